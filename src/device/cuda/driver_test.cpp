#include "device/cuda/driver.h"

#include <gtest/gtest.h>

namespace headrace::cuda {
namespace {

TEST(CudaDriver, SaysWhereItLookedWhenThereIsNone) {
  const auto api = load_driver("libcuda_that_is_not_here.so.1");
  ASSERT_FALSE(api.ok());
  EXPECT_EQ(api.status().code(), Code::kUnavailable);
  EXPECT_EQ(api.status().message(),
            "there is no NVIDIA driver here: libcuda_that_is_not_here.so.1: cannot open shared object file: "
            "No such "
            "file or directory; install one, or choose another device");
}

TEST(CudaDriver, SaysWhichFunctionIsMissing) {
  const auto api = load_driver("libm.so.6");
  ASSERT_FALSE(api.ok());
  EXPECT_EQ(api.status().code(), Code::kUnavailable);
  EXPECT_EQ(
      api.status().message(),
      "the NVIDIA driver (libm.so.6) has no cuInit: it is older than CUDA 13.0, which is needed; update the "
      "driver");
}

TEST(CudaDriver, IsOpenedOnceOrRefusedAlike) {
  const auto first = driver(), second = driver();
  ASSERT_EQ(first.ok(), second.ok());
  if (first.ok()) {
    EXPECT_EQ(*first, *second);
  } else {
    EXPECT_EQ(first.status().code(), Code::kUnavailable);
    EXPECT_EQ(first.status().message(), second.status().message());
  }
}

}  // namespace
}  // namespace headrace::cuda
