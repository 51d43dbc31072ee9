// On a GPU, and on the driver of tests/fake_cuda; what that one alone can refuse is tested on it alone.
#include "device/cuda/cuda_memory.h"

#include <numeric>
#include <vector>

#include "device/cuda/test_device.h"

namespace headrace::cuda {
namespace {

using CudaRange = CudaTest;
using CudaRangeFaults = FakeCudaTest;

std::vector<uint32_t> numbers(Bytes size) {
  std::vector<uint32_t> values(static_cast<size_t>(size.count) / 4);
  std::iota(values.begin(), values.end(), 1u);
  return values;
}

Status write(WorkQueue& queue, std::byte* to, const std::vector<uint32_t>& values) {
  const Bytes size = {static_cast<int64_t>(values.size()) * 4};
  const Status status = queue.copy(to, reinterpret_cast<const std::byte*>(values.data()), size);
  return status.ok() ? queue.synchronize() : status;
}

std::vector<uint32_t> read(WorkQueue& queue, const std::byte* from, Bytes size) {
  std::vector<uint32_t> values(static_cast<size_t>(size.count) / 4);
  EXPECT_OK(queue.copy(reinterpret_cast<std::byte*>(values.data()), from, size));
  EXPECT_OK(queue.synchronize());
  return values;
}

TEST_F(CudaRange, GrowsWhereItIs) {
  auto range = device_->make_growable("the arena");
  const Bytes unit = device_->growth_unit();
  if (unit == kReadAlignment) GTEST_SKIP() << "this device reserves no addresses";
  EXPECT_EQ(range->size(), Bytes{});
  ASSERT_OK(range->resize({1}));
  EXPECT_EQ(range->size(), unit);
  EXPECT_EQ(device_->used(), unit);
  std::byte* const at = range->data();
  EXPECT_TRUE(device_->owns(at));
  const auto values = numbers(unit);
  ASSERT_OK(write(*queue_, at, values));

  for (const int64_t units : {3, 4, 40}) {
    ASSERT_OK(range->resize(unit * units - Bytes{5}));
    EXPECT_EQ(range->data(), at);
    EXPECT_EQ(range->size(), unit * units);
    EXPECT_EQ(device_->used(), unit * units);
    EXPECT_TRUE(device_->owns(at + (unit * units).count - 1));
    EXPECT_EQ(read(*queue_, at, unit), values);
  }
  const auto all = numbers(unit * 40);  // a copy over all pieces
  ASSERT_OK(write(*queue_, at, all));
  EXPECT_EQ(read(*queue_, at, unit * 40), all);
}

TEST_F(CudaRange, KeepsWhatWasCapturedBeforeItGrew) {
  auto range = device_->make_growable("the arena");
  const Bytes unit = device_->growth_unit();
  ASSERT_OK(range->resize(unit));
  auto other = take(device_->allocate(unit, "a copy"));
  ASSERT_OK(queue_->begin_capture());
  const CopyIndex copy = take(queue_->copy_changing(other.data(), range->data(), unit));
  auto graph = take(queue_->end_capture());
  std::byte* const at = range->data();
  ASSERT_OK(range->resize(unit * 8));
  if (range->data() != at) GTEST_SKIP() << "this device reserves no addresses";
  const auto values = numbers(unit);
  ASSERT_OK(write(*queue_, at, values));
  ASSERT_OK(queue_->launch(*graph));
  EXPECT_EQ(read(*queue_, other.data(), unit), values);

  ASSERT_OK(range->resize({}));  // and what was captured before other memory came there
  ASSERT_OK(range->resize(unit * 2));
  ASSERT_EQ(range->data(), at);
  const std::vector<uint32_t> ones(values.size(), 1);
  ASSERT_OK(write(*queue_, at, ones));
  ASSERT_OK(queue_->launch(*graph));
  EXPECT_EQ(read(*queue_, other.data(), unit), ones);

  auto third = take(device_->allocate(unit, "a copy"));  // as a caller's tensor that moves
  ASSERT_OK(graph->set_copy(copy, third.data(), at));
  ASSERT_OK(queue_->launch(*graph));
  EXPECT_EQ(read(*queue_, third.data(), unit), ones);
}

TEST_F(CudaRange, GivesBackWholePiecesAndAllAtTheEnd) {
  { auto first = take(device_->allocate(mib(64), "what the driver keeps for itself")); }
  const Bytes unit = device_->growth_unit(), before = device_->available();
  {
    auto range = device_->make_growable("the arena");
    for (const int64_t units : {1, 3, 64}) ASSERT_OK(range->resize(unit * units));
    EXPECT_LE(device_->available(), before - unit * 63);
    ASSERT_OK(range->resize(unit * 2));  // the second piece begins at 1
    EXPECT_GE(range->size(), unit * 2);
    EXPECT_EQ(device_->used(), range->size());
    ASSERT_OK(range->resize({}));
    EXPECT_EQ(range->size(), Bytes{});
    EXPECT_EQ(device_->used(), Bytes{});
    ASSERT_OK(range->resize(unit * 5));
    EXPECT_EQ(device_->used(), unit * 5);
  }
  EXPECT_EQ(device_->used(), Bytes{});
  EXPECT_EQ(device_->peak(), std::max(mib(64), unit * 64));
  EXPECT_GE(device_->available(), before - mib(2));
}

TEST_F(CudaRange, KeepsSizeAndBytesWhereMemoryRunsOut) {
  auto range = device_->make_growable("the arena");
  const Bytes unit = device_->growth_unit();
  if (unit == kReadAlignment) GTEST_SKIP() << "this device reserves no addresses";
  ASSERT_OK(range->resize(unit));
  std::byte* const at = range->data();
  const auto values = numbers(unit);
  ASSERT_OK(write(*queue_, at, values));
  auto rest = take(device_->allocate(device_->available() - mib(512), "all else"));
  const Status status = range->resize(gib(1));
  EXPECT_EQ(status.code(), Code::kExhausted);
  EXPECT_EQ(status.message().find("cannot allocate "), 0u) << status.message();
  EXPECT_NE(status.message().find(" for the arena on CUDA device 0 ("), std::string::npos)
      << status.message();
  EXPECT_EQ(range->size(), unit);
  EXPECT_EQ(device_->used(), unit + rest.size());
  EXPECT_EQ(range->data(), at);
  EXPECT_EQ(read(*queue_, at, unit), values);
  rest = {};
  EXPECT_OK(range->resize(gib(1)));
  EXPECT_EQ(range->data(), at);
}

TEST_F(CudaRangeFaults, LeaveWhatWasThereAndNothingElse) {
  const Bytes unit = device_->growth_unit(), before = device_->available();
  {
    auto range = device_->make_growable("the arena");
    ASSERT_OK(range->resize(unit));
    std::byte* const at = range->data();
    const auto values = numbers(unit);
    ASSERT_OK(write(*queue_, at, values));
    for (const char* call : {"cuMemCreate", "cuMemMap", "cuMemSetAccess"}) {
      for (const auto& [error, code] : {std::pair{2, Code::kExhausted}, {700, Code::kUnavailable}}) {
        ask((std::string(call) + "=" + std::to_string(error)).c_str());
        const Status status = range->resize(unit * 4);
        ask("");
        EXPECT_EQ(status.code(), code) << call;
        EXPECT_NE(status.message().find("allocate 6.0 MiB for the arena on CUDA device 0 (fake GPU)"),
                  std::string::npos)
            << status.message();
        EXPECT_EQ(range->size(), unit) << call;
        EXPECT_EQ(device_->used(), unit) << call;
        EXPECT_EQ(device_->available(), before - unit) << call;
        EXPECT_EQ(read(*queue_, at, unit), values) << call;
      }
      ASSERT_OK(range->resize(unit * 4));  // the place is free
      EXPECT_EQ(range->data(), at);
      ASSERT_OK(range->resize(unit));
      EXPECT_EQ(range->size(), unit);
    }
  }
  EXPECT_EQ(device_->available(), before);
  EXPECT_EQ(device_->used(), Bytes{});
}

TEST_F(CudaRangeFaults, AskForFewerAddressesWhereTheDriverIsShortOfThem) {
  const Bytes unit = device_->growth_unit(), before = device_->available();
  ask("reservable_mib=100");
  {
    auto first = device_->make_growable("the arena"), second = device_->make_growable("the scratch");
    ASSERT_OK(first->resize(unit));   // 64 MiB: 8 GiB, halved until it fits
    ASSERT_OK(second->resize(unit));  // 32 MiB of what is left
    std::byte* const at = second->data();
    ASSERT_OK(second->resize(mib(32)));
    EXPECT_EQ(second->data(), at);
    const Status status = second->resize(mib(64));
    EXPECT_EQ(status.code(), Code::kExhausted);
    EXPECT_EQ(status.message(),
              "reserve addresses for 64.0 MiB of the scratch on CUDA device 0 (fake GPU): "
              "CUDA_ERROR_OUT_OF_MEMORY (2): as the fake driver says");
    EXPECT_EQ(second->size(), Bytes{});
    ASSERT_OK(second->resize(mib(36)));  // other addresses
    EXPECT_EQ(device_->used(), unit + mib(36));
  }
  auto all = device_->make_growable("the arena");  // none are lost
  ASSERT_OK(all->resize(mib(100)));
  EXPECT_EQ(device_->available(), before - mib(100));
}

TEST_F(CudaRangeFaults, TakePlainAllocationsWhereTheDeviceReservesNoAddresses) {
  ask("reserves=0");
  auto device = take(make_cuda_device(0));
  EXPECT_EQ(device->growth_unit(), kReadAlignment);
  auto memory = device->make_growable("the arena");
  ASSERT_OK(memory->resize({5000}));
  EXPECT_EQ(memory->size(), kib(8));
  ASSERT_OK(memory->resize(mib(3)));
  EXPECT_EQ(device->used(), mib(3));
  ASSERT_OK(memory->resize(kib(8)));  // it is not replaced by a smaller one
  EXPECT_EQ(device->used(), mib(3));
  ask("reserves=0 cuMemAlloc=2");
  EXPECT_EQ(memory->resize(mib(4)).code(), Code::kExhausted);
  EXPECT_EQ(memory->size(), Bytes{});
  EXPECT_EQ(device->used(), Bytes{});
  ask("cuMemGetAllocationGranularity=1");
  EXPECT_EQ(make_cuda_device(0).status().message(),
            "ask CUDA device 0 for its granularity: CUDA_ERROR_INVALID_VALUE (1): as the fake driver says");
}

}  // namespace
}  // namespace headrace::cuda
