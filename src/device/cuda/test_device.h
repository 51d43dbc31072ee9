// What the tests of this folder share.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>

#include "device/cuda/cuda_device.h"

namespace headrace::cuda {

#define ASSERT_OK(expression)                             \
  do {                                                    \
    const ::headrace::Status ok_status_ = (expression);   \
    ASSERT_TRUE(ok_status_.ok()) << ok_status_.message(); \
  } while (false)
#define EXPECT_OK(expression)                             \
  do {                                                    \
    const ::headrace::Status ok_status_ = (expression);   \
    EXPECT_TRUE(ok_status_.ok()) << ok_status_.message(); \
  } while (false)

template <class T>
T take(Result<T> result) {
  EXPECT_TRUE(result.ok()) << result.status().message();
  if (!result.ok()) std::abort();
  return *std::move(result);
}

// A test on the first GPU; skipped, with the reason, where there is none.
class CudaTest : public testing::Test {
 protected:
  void SetUp() override {
    auto device = make_cuda_device(0);
    if (!device.ok()) GTEST_SKIP() << device.status().message();
    device_ = *std::move(device);
    queue_ = take(device_->make_work_queue());
  }
  std::shared_ptr<CudaDevice> device_;
  std::unique_ptr<WorkQueue> queue_;
};

// A test of what a driver refuses that refuses what it is asked to: tests/fake_cuda. Skipped on others.
class FakeCudaTest : public CudaTest {
 protected:
  void SetUp() override {
    CudaTest::SetUp();
    if (device_ && device_->name() != "fake GPU")
      GTEST_SKIP() << "this is no fake driver: " << device_->name();
  }
  void TearDown() override { unsetenv("HEADRACE_FAKE_CUDA"); }
  static void ask(const char* faults) { setenv("HEADRACE_FAKE_CUDA", faults, 1); }
};

}  // namespace headrace::cuda
