// These need a GPU; elsewhere they are skipped.
#include "device/cuda/cuda_device.h"

#include <gtest/gtest.h>

#include <cstring>
#include <numeric>
#include <thread>

#include "device/cuda/test_device.h"

namespace headrace::cuda {
namespace {

std::vector<uint32_t> numbers(size_t count, uint32_t from) {
  std::vector<uint32_t> values(count);
  std::iota(values.begin(), values.end(), from);
  return values;
}

const std::byte* bytes(const std::vector<uint32_t>& values) {
  return reinterpret_cast<const std::byte*>(values.data());
}
std::byte* bytes(std::vector<uint32_t>& values) { return reinterpret_cast<std::byte*>(values.data()); }
Bytes size_of(const std::vector<uint32_t>& values) { return {static_cast<int64_t>(values.size()) * 4}; }

using Cuda = CudaTest;

TEST(CudaDevice, SaysWhichDevicesThereAre) {
  if (!make_cuda_device(0).ok()) GTEST_SKIP() << make_cuda_device(0).status().message();
  for (const int index : {-1, 1000}) {
    const auto device = make_cuda_device(index);
    ASSERT_FALSE(device.ok());
    EXPECT_EQ(device.status().code(), Code::kUnavailable);
    EXPECT_EQ(device.status().message().find("there is no CUDA device " + std::to_string(index) +
                                             ": the driver shows "),
              0u)
        << device.status().message();
  }
}

TEST(CudaDevice, SaysWhyThereIsNone) {
  const auto device = make_cuda_device(0);
  if (device.ok()) GTEST_SKIP() << "there is one: " << (*device)->name();
  EXPECT_EQ(device.status().code(), Code::kUnavailable);
  EXPECT_NE(device.status().message(), "");
}

TEST_F(Cuda, TellsWhatItIs) {
  EXPECT_GE(device_->sm(), 50);
  EXPECT_GE(device_->multiprocessors(), 1);
  EXPECT_GE(device_->shared_memory(), 48 << 10);
  EXPECT_NE(device_->name(), "");
  EXPECT_EQ(device_->index(), 0);
  EXPECT_GT(device_->available(), Bytes{});
  EXPECT_EQ(device_->used(), Bytes{});
}

TEST_F(Cuda, CountsItsMemoryAndGivesItBack) {
  (void)take(device_->allocate(mib(64), "a first one"));  // what the driver keeps for itself
  const Bytes before = device_->available();
  {
    auto memory = take(device_->allocate(mib(512), "a test"));
    EXPECT_EQ(reinterpret_cast<uintptr_t>(memory.data()) % 256, 0u);
    EXPECT_EQ(device_->used(), mib(512));
    EXPECT_LE(device_->available(), before - mib(511));
    EXPECT_TRUE(device_->owns(memory.data()));
    EXPECT_TRUE(device_->owns(memory.data() + mib(512).count - 1));
  }
  EXPECT_EQ(device_->used(), Bytes{});
  EXPECT_EQ(device_->peak(), mib(512));
  EXPECT_GE(device_->available(), before - mib(2));
}

TEST_F(Cuda, RefusesMoreMemoryThanThereIs) {
  const auto memory = device_->allocate(gib(1 << 14), "the arena");
  ASSERT_FALSE(memory.ok());
  EXPECT_EQ(memory.status().code(), Code::kExhausted);
  EXPECT_EQ(memory.status().message().find("cannot allocate 16.00 TiB for the arena on CUDA device 0 ("), 0u)
      << memory.status().message();
  EXPECT_EQ(device_->used(), Bytes{});
}

TEST_F(Cuda, KnowsWhatMemoryIsNotItsOwn) {
  int on_the_stack = 0;
  EXPECT_FALSE(device_->owns(&on_the_stack));
  EXPECT_FALSE(device_->owns(nullptr));
}

TEST_F(Cuda, CopiesThereAndBack) {
  const auto values = numbers(3000001, 7);
  auto a = take(device_->allocate(size_of(values), "a")), b = take(device_->allocate(size_of(values), "b"));
  std::vector<uint32_t> got(values.size());
  ASSERT_OK(queue_->copy(a.data(), bytes(values), size_of(values)));
  ASSERT_OK(queue_->copy(b.data(), a.data(), size_of(values)));
  ASSERT_OK(queue_->copy(bytes(got), b.data(), size_of(values)));
  ASSERT_OK(queue_->copy(nullptr, nullptr, {}));
  ASSERT_OK(queue_->synchronize());
  EXPECT_EQ(got, values);
}

TEST_F(Cuda, SaysWhichCopyTheDriverRefuses) {
  auto memory = take(device_->allocate(kib(4), "memory"));
  const Status status = queue_->copy(nullptr, memory.data(), {64});
  EXPECT_EQ(status.code(), Code::kUnavailable);
  EXPECT_EQ(status.message().find("copy 64 B from 0x"), 0u) << status.message();
  EXPECT_NE(status.message().find(" to 0x0: CUDA_ERROR_INVALID_VALUE (1): "), std::string::npos)
      << status.message();
  EXPECT_OK(queue_->synchronize());
}

TEST_F(Cuda, OrdersQueuesByEvents) {
  constexpr size_t kCount = 16 << 20;
  const auto values = numbers(kCount, 1);
  auto a = take(device_->allocate(size_of(values), "a")), b = take(device_->allocate(size_of(values), "b"));
  auto other = take(device_->make_work_queue());
  auto first = take(device_->make_event()), second = take(device_->make_event());
  std::vector<uint32_t> got(kCount);
  for (uint32_t round = 0; round < 3; ++round) {
    const auto sent = numbers(kCount, round);
    ASSERT_OK(queue_->copy(a.data(), bytes(sent), size_of(sent)));
    ASSERT_OK(queue_->record(*first));
    ASSERT_OK(other->wait(*first));
    ASSERT_OK(other->copy(b.data(), a.data(), size_of(sent)));
    ASSERT_OK(other->record(*second));
    ASSERT_OK(queue_->wait(*second));
    ASSERT_OK(queue_->copy(bytes(got), b.data(), size_of(sent)));
    ASSERT_OK(queue_->record(*first));
    ASSERT_OK(first->synchronize());
    ASSERT_EQ(got, sent);
  }
}

TEST_F(Cuda, CapturesTwoBranchesAndChangesTheirCopies) {
  const auto one = numbers(1 << 16, 100), two = numbers(1 << 16, 900);
  const Bytes size = size_of(one);
  auto in1 = take(device_->allocate(size, "in")), in2 = take(device_->allocate(size, "in"));
  auto mid = take(device_->allocate(size, "mid")), out = take(device_->allocate(size * 2, "out"));
  ASSERT_OK(queue_->copy(in1.data(), bytes(one), size));
  ASSERT_OK(queue_->copy(in2.data(), bytes(two), size));
  ASSERT_OK(queue_->synchronize());

  auto side = take(device_->make_work_queue());
  auto forked = take(device_->make_event()), joined = take(device_->make_event());
  ASSERT_OK(queue_->begin_capture());
  EXPECT_FALSE(queue_->begin_capture().ok());
  EXPECT_EQ(take(queue_->copy_changing(mid.data(), in1.data(), size)), 0);
  ASSERT_OK(queue_->record(*forked));
  ASSERT_OK(side->wait(*forked));
  EXPECT_EQ(take(side->copy_changing(out.data(), mid.data(), size)), 1);
  ASSERT_OK(side->record(*joined));
  ASSERT_OK(queue_->copy(out.data() + size.count, mid.data(), size));
  ASSERT_OK(queue_->wait(*joined));
  EXPECT_EQ(take(queue_->copy_changing(nullptr, nullptr, {})), kNoCopy);
  auto graph = take(queue_->end_capture());
  EXPECT_FALSE(queue_->end_capture().ok());

  const auto read = [&](const std::byte* from) {
    std::vector<uint32_t> got(one.size());
    EXPECT_OK(queue_->copy(bytes(got), from, size));
    EXPECT_OK(queue_->synchronize());
    return got;
  };
  EXPECT_NE(read(out.data()), one);  // captured, not run
  ASSERT_OK(queue_->launch(*graph));
  EXPECT_EQ(read(out.data()), one);
  EXPECT_EQ(read(out.data() + size.count), one);

  auto elsewhere = take(device_->allocate(size, "elsewhere"));
  ASSERT_OK(graph->set_copy(0, mid.data(), in2.data()));
  ASSERT_OK(graph->set_copy(1, elsewhere.data(), mid.data()));
  ASSERT_OK(side->launch(*graph));  // any queue will do
  ASSERT_OK(side->synchronize());
  EXPECT_EQ(read(elsewhere.data()), two);
  EXPECT_EQ(read(out.data()), one);
  EXPECT_EQ(read(out.data() + size.count), two);
  EXPECT_FALSE(graph->set_copy(2, elsewhere.data(), mid.data()).ok());
  EXPECT_FALSE(graph->set_copy(-1, elsewhere.data(), mid.data()).ok());
}

TEST_F(Cuda, ChangesCopiesOfLaunchesToComeOnly) {
  const auto values = numbers(1 << 20, 5);
  const Bytes size = size_of(values);
  auto from = take(device_->allocate(size * 2, "from")), to = take(device_->allocate(size * 2, "to"));
  const auto zero = std::vector<uint32_t>(values.size() * 2);
  ASSERT_OK(queue_->copy(from.data(), bytes(values), size));
  ASSERT_OK(queue_->copy(to.data(), bytes(zero), size * 2));
  ASSERT_OK(queue_->begin_capture());
  const CopyIndex copy = take(queue_->copy_changing(to.data(), from.data(), size));
  auto graph = take(queue_->end_capture());
  ASSERT_OK(queue_->launch(*graph));
  ASSERT_OK(graph->set_copy(copy, to.data() + size.count, from.data()));
  ASSERT_OK(queue_->launch(*graph));
  std::vector<uint32_t> got(values.size() * 2);
  ASSERT_OK(queue_->copy(bytes(got), to.data(), size * 2));
  ASSERT_OK(queue_->synchronize());
  EXPECT_EQ(std::memcmp(got.data(), values.data(), static_cast<size_t>(size.count)), 0);
  EXPECT_EQ(std::memcmp(got.data() + values.size(), values.data(), static_cast<size_t>(size.count)), 0);
}

TEST_F(Cuda, OutlivesABrokenCapture) {
  auto memory = take(device_->allocate(kib(64), "memory"));
  auto side = take(device_->make_work_queue());
  auto forked = take(device_->make_event());
  ASSERT_OK(queue_->begin_capture());
  ASSERT_OK(queue_->record(*forked));
  ASSERT_OK(side->wait(*forked));
  ASSERT_OK(side->copy(memory.data(), memory.data() + kib(32).count, kib(32)));
  const auto graph = queue_->end_capture();  // never joined
  ASSERT_FALSE(graph.ok());
  EXPECT_EQ(graph.status().message().find("end a capture: CUDA_ERROR_STREAM_CAPTURE_UNJOINED"), 0u)
      << graph.status().message();
  ASSERT_OK(queue_->begin_capture());
  ASSERT_OK(queue_->copy(memory.data(), memory.data() + kib(32).count, kib(32)));
  auto again = take(queue_->end_capture());
  ASSERT_OK(queue_->launch(*again));
  ASSERT_OK(queue_->synchronize());
}

TEST_F(Cuda, CancelsACaptureThatIsLeft) {
  auto memory = take(device_->allocate(kib(64), "memory"));
  {
    auto left = take(device_->make_work_queue());
    ASSERT_OK(left->begin_capture());
    ASSERT_OK(left->copy(memory.data(), memory.data() + kib(32).count, kib(32)));
  }
  EXPECT_OK(queue_->synchronize());
}

TEST_F(Cuda, BorrowsTheDefaultStreamAndOthers) {
  const auto values = numbers(1 << 20, 3);
  auto memory = take(device_->allocate(size_of(values), "memory"));
  std::vector<uint32_t> got(values.size());
  auto standard = take(device_->borrow_queue(nullptr));
  ASSERT_OK(standard->copy(memory.data(), bytes(values), size_of(values)));
  ASSERT_OK(standard->synchronize());
  {
    auto same = take(device_->borrow_queue(static_cast<CudaQueue&>(*queue_).stream()));
    ASSERT_OK(same->copy(bytes(got), memory.data(), size_of(values)));
  }
  ASSERT_OK(queue_->synchronize());  // lives on
  EXPECT_EQ(got, values);
  EXPECT_FALSE(standard->begin_capture().ok());  // the driver takes no capture there
  EXPECT_OK(standard->synchronize());
}

TEST_F(Cuda, WorksInManyThreadsAtOnce) {
  std::vector<std::thread> threads;
  for (uint32_t thread = 0; thread < 4; ++thread) {
    threads.emplace_back([this, thread] {
      auto queue = take(device_->make_work_queue());
      for (uint32_t round = 0; round < 20; ++round) {
        const auto values = numbers(10000 + thread, thread * 100000 + round);
        auto memory = take(device_->allocate(size_of(values) * 2, "memory"));
        std::vector<uint32_t> got(values.size());
        EXPECT_OK(queue->copy(memory.data(), bytes(values), size_of(values)));
        EXPECT_OK(queue->synchronize());
        EXPECT_OK(queue->begin_capture());
        EXPECT_OK(queue->copy(memory.data() + size_of(values).count, memory.data(), size_of(values)));
        auto graph = take(queue->end_capture());
        EXPECT_OK(queue->launch(*graph));
        EXPECT_OK(queue->copy(bytes(got), memory.data() + size_of(values).count, size_of(values)));
        EXPECT_OK(queue->synchronize());
        EXPECT_EQ(got, values);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(device_->used(), Bytes{});
}

}  // namespace
}  // namespace headrace::cuda
