// What the driver refuses, told by a driver that refuses what it is asked to: tests/fake_cuda. Skipped on
// others.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <optional>

#include "core/unique_fd.h"
#include "device/cuda/test_device.h"

namespace headrace::cuda {
namespace {

class CudaFaults : public FakeCudaTest {
 protected:
  static void expect(const Status& status, Code code, std::string_view text) {
    EXPECT_EQ(status.code(), code);
    EXPECT_EQ(status.message(), text);
  }
};

TEST_F(CudaFaults, TellADriverThatIsTooOld) {
  ask("version=12040");
  expect(load_driver("libcuda.so.1").status(), Code::kUnavailable,
         "the NVIDIA driver (libcuda.so.1) is for CUDA 12.4, 13.0 is needed; update the driver");
}

TEST_F(CudaFaults, TellAMachineWithoutADevice) {
  ask("devices=0");
  expect(load_driver("libcuda.so.1").status(), Code::kUnavailable,
         "start the NVIDIA driver (libcuda.so.1): CUDA_ERROR_NO_DEVICE (100): as the fake driver says");
  expect(make_cuda_device(0).status(), Code::kUnavailable,
         "there is no CUDA device 0: the driver shows 0; CUDA_VISIBLE_DEVICES may hide others");
}

TEST_F(CudaFaults, TellADeviceThatDoesNotStart) {
  ask("cuDevicePrimaryCtxRetain=2");
  expect(make_cuda_device(0).status(), Code::kExhausted,
         "start CUDA device 0 (fake GPU): CUDA_ERROR_OUT_OF_MEMORY (2): as the fake driver says");
}

TEST_F(CudaFaults, TellAFaultOfAKernelWhereItIsWaitedFor) {
  auto event = take(device_->make_event());
  ASSERT_OK(queue_->record(*event));
  ask("cuStreamSynchronize=700 cuEventSynchronize=700 cuMemAlloc=700");
  expect(queue_->synchronize(), Code::kUnavailable,
         "wait for a stream: CUDA_ERROR_ILLEGAL_ADDRESS (700): an illegal memory access was encountered");
  expect(event->synchronize(), Code::kUnavailable,
         "wait for an event: CUDA_ERROR_ILLEGAL_ADDRESS (700): an illegal memory access was encountered");
  expect(device_->allocate(kib(8), "the arena").status(), Code::kUnavailable,
         "allocate 8.0 KiB for the arena on CUDA device 0 (fake GPU): CUDA_ERROR_ILLEGAL_ADDRESS (700): an "
         "illegal "
         "memory access was encountered");
  EXPECT_EQ(device_->used(), Bytes{});
}

TEST_F(CudaFaults, TellAQueueThatCannotBeMadeAtItsFirstUse) {
  ask("cuStreamCreate=2");
  EXPECT_EQ(device_->make_work_queue().status().code(), Code::kExhausted);
  auto queue = device_->make_queue();
  expect(queue->synchronize(), Code::kExhausted,
         "make a stream: CUDA_ERROR_OUT_OF_MEMORY (2): as the fake driver says");
  ask("cuEventCreate=2");
  EXPECT_EQ(device_->make_event().status().code(), Code::kExhausted);
}

TEST_F(CudaFaults, LeaveAQueueThatGoesOnAfterEveryStepOfACapture) {
  auto memory = take(device_->allocate(kib(64), "memory"));
  for (const char* fault : {"cuStreamBeginCapture=801", "cuStreamGetCaptureInfo=801", "cuMemcpyAsync=801",
                            "cuGraphMemcpyNodeGetParams=801", "cuStreamEndCapture=801",
                            "cuGraphInstantiate=801", "cuGraphUpload=801", "cuGraphLaunch=801"}) {
    ask(fault);
    const auto run = [&]() -> Status {
      if (Status status = queue_->begin_capture(); !status.ok()) return status;
      const auto copy = queue_->copy_changing(memory.data(), memory.data() + 4096, {4096});
      auto graph = queue_->end_capture();
      if (!copy.ok()) return copy.status();
      if (!graph.ok()) return graph.status();
      return queue_->launch(**graph);
    };
    const Status status = run();
    EXPECT_EQ(status.code(), Code::kUnavailable) << fault;
    EXPECT_NE(status.message().find("CUDA_ERROR_NOT_SUPPORTED (801)"), std::string::npos) << status.message();
    unsetenv("HEADRACE_FAKE_CUDA");
    if (std::string_view(fault).starts_with("cuStreamEndCapture")) {
      queue_ = take(device_->make_work_queue());  // the driver would not end it
    }
    const Status again = run();
    EXPECT_TRUE(again.ok()) << fault << ": " << again.message();
  }
}

TEST_F(CudaFaults, FallBackToARingThatSaysWhy) {
  char name[] = "cuda_faults_XXXXXX";
  const UniqueFd fd(mkstemp(name));
  unlink(name);
  ASSERT_EQ(ftruncate(fd.get(), mib(1).count), 0);
  ask("cuMemHostRegister=801");
  auto source = take(device_->open_source(fd.get(), {}, mib(1), gib(1), "a.engine"));
  EXPECT_EQ(
      source->mechanism(),
      "pinned ring of 1.0 MiB (pin 1.0 MiB of 'a.engine' at 0: CUDA_ERROR_NOT_SUPPORTED (801): as the fake "
      "driver says)");
  auto to = take(device_->allocate(mib(1), "to"));
  EXPECT_OK(source->copy({}, mib(1), to.data(), *queue_));
  auto reader = take(device_->open_reader(fd.get(), "a.engine"));
  EXPECT_OK(take(reader->start({}, mib(1), to.data()))->wait());
  EXPECT_EQ(reader->mechanism(), "pinned ring");
  ask("cuMemHostRegister=801 cuMemAllocHost=2");
  expect(device_->open_source(fd.get(), {}, mib(1), gib(1), "a.engine").status(), Code::kExhausted,
         "pin 1.0 MiB of host memory to copy 'a.engine' through: CUDA_ERROR_OUT_OF_MEMORY (2): as the fake "
         "driver "
         "says");
  ask("cuMemHostGetDevicePointer=1");
  auto map = take(device_->open_source(fd.get(), {}, mib(1), gib(1), "a.engine"));
  EXPECT_EQ(map->visible({}), nullptr);  // copied all the same
  EXPECT_OK(map->copy({}, mib(1), to.data(), *queue_));
}

TEST_F(CudaFaults, CountTheContextWhereItIsStartedHere) {
  queue_.reset();
  device_.reset();
  ask("context=400000000");
  {
    const auto first = take(make_cuda_device(0)), second = take(make_cuda_device(0));
    EXPECT_EQ(first->driver_bytes(), Bytes{400000000});
    EXPECT_EQ(second->driver_bytes(), Bytes{});  // it is the first one's
  }
  EXPECT_EQ(take(make_cuda_device(0))->driver_bytes(), Bytes{400000000});
  ask("cuDevicePrimaryCtxGetState=100");
  EXPECT_FALSE(make_cuda_device(0).ok());
}

TEST_F(CudaFaults, MeasureWhatTheDriverTakesBesideOurs) {
  auto ours = take(device_->allocate(mib(8), "before"));
  std::optional<Allocation> later;
  {
    const DriverWatch outer(*device_);
    ask("driver_takes=50000000");
    const DriverWatch inner(*device_);
    later = take(device_->allocate(mib(16), "meanwhile"));
    ours = {};
  }
  EXPECT_EQ(device_->driver_bytes(), Bytes{50000000});
  {
    const DriverWatch watch(*device_);
    ask("driver_takes=20000000");  // a captured run was destroyed
  }
  EXPECT_EQ(device_->driver_bytes(), Bytes{20000000});
  ask("driver_takes=30000000");  // nobody watched
  EXPECT_EQ(device_->driver_bytes(), Bytes{20000000});
  {
    const DriverWatch watch(*device_);
    ask("driver_takes=1900000000");  // that is another program
  }
  EXPECT_EQ(device_->driver_bytes(), Bytes{20000000});
}

}  // namespace
}  // namespace headrace::cuda
