// The tile functions of every instruction set of this machine, against libm in double.
#include "kernels/cpu/tile_functions.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace headrace::cpu {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

class TileFunctionsTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    tiles_ = tile_functions_for(GetParam());
    if (tiles_ == nullptr) GTEST_SKIP() << "this machine has no " << GetParam();
  }
  std::vector<float> apply(Pointwise function, std::vector<float> x) const {
    std::vector<float> y(x.size());
    const void* in[] = {x.data()};
    tiles_->function[static_cast<size_t>(function)][0](in, y.data(), static_cast<int64_t>(x.size()));
    return y;
  }
  const TileFunctions* tiles_ = nullptr;
};

struct Exactness {
  Pointwise function;
  double (*exact)(double);
  double low, high;
  double ulps;
};

double gelu(double x) { return 0.5 * x * std::erfc(-x / std::sqrt(2.0)); }
double gelu_tanh(double x) {
  const double z = std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x);
  return x / (1 + std::exp(-2 * z));
}
double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
double silu(double x) { return x / (1 + std::exp(-x)); }
double softplus(double x) { return x > 20 ? x : std::log1p(std::exp(x)); }
double mish(double x) { return x * std::tanh(std::log1p(std::exp(x))); }

constexpr Exactness kExactness[] = {
    {Pointwise::kExp, std::exp, -103, 89, 2},
    {Pointwise::kExp, std::exp, -1, 1, 2},
    {Pointwise::kExpm1, std::expm1, -30, 89, 3},
    {Pointwise::kExpm1, std::expm1, -0.5, 0.5, 3},
    {Pointwise::kLog, std::log, 1e-45, 10, 2},
    {Pointwise::kLog, std::log, 0.5, 2, 2},
    {Pointwise::kLog, std::log, 1, 1e38, 2},
    {Pointwise::kLog1p, std::log1p, -0.999, 10, 3},
    {Pointwise::kLog1p, std::log1p, -1e-3, 1e-3, 3},
    {Pointwise::kTanh, std::tanh, -12, 12, 3},
    {Pointwise::kTanh, std::tanh, -0.3, 0.3, 3},
    {Pointwise::kErf, std::erf, -5, 5, 3},
    {Pointwise::kErf, std::erf, -0.01, 0.01, 3},
    {Pointwise::kSin, std::sin, -100, 100, 2},
    {Pointwise::kCos, std::cos, -100, 100, 2},
    {Pointwise::kTan, std::tan, -100, 100, 4},
    {Pointwise::kSin, std::sin, -9e5, 9e5, 2},
    {Pointwise::kCos, std::cos, 1e7, 1e9, 2},
    {Pointwise::kSigmoid, sigmoid, -80, 80, 4},
    {Pointwise::kSilu, silu, -80, 80, 4},
    {Pointwise::kSoftplus, softplus, -80, 30, 4},
    {Pointwise::kMish, mish, -80, 30, 5},
    {Pointwise::kGelu, gelu, -1, 10, 4},
    {Pointwise::kGeluTanh, gelu_tanh, -2, 10, 8},
    {Pointwise::kRsqrt, [](double x) { return 1 / std::sqrt(x); }, 1e-6, 1e6, 2},
};

TEST_P(TileFunctionsTest, FunctionsOfFloatsAreExactToAFewUlps) {
  for (const Exactness& row : kExactness) {
    constexpr int kCount = 20011;
    std::vector<float> x(kCount);
    for (int i = 0; i < kCount; ++i)
      x[static_cast<size_t>(i)] = static_cast<float>(row.low + (row.high - row.low) * i / (kCount - 1));
    const std::vector<float> y = apply(row.function, x);
    double worst = 0, worst_x = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      const double exact = row.exact(x[i]);
      const auto nearest = static_cast<float>(exact);
      if (nearest == y[i]) continue;
      const double ulp =
          std::nextafter(std::abs(nearest), std::numeric_limits<float>::infinity()) - std::abs(nearest);
      const double error = std::abs(y[i] - exact) / ulp;
      if (!(error <= worst)) worst = error, worst_x = x[i];
    }
    EXPECT_LE(worst, row.ulps) << info(row.function).name << " at " << worst_x;
  }
}

TEST_P(TileFunctionsTest, InfinitiesAndNanFollowLibm) {
  struct Case {
    Pointwise function;
    double (*exact)(double);
  };
  const Case cases[] = {{Pointwise::kExp, std::exp},    {Pointwise::kExpm1, std::expm1},
                        {Pointwise::kLog, std::log},    {Pointwise::kLog1p, std::log1p},
                        {Pointwise::kTanh, std::tanh},  {Pointwise::kErf, std::erf},
                        {Pointwise::kSin, std::sin},    {Pointwise::kCos, std::cos},
                        {Pointwise::kSigmoid, sigmoid}, {Pointwise::kSoftplus, softplus}};
  for (const Case& c : cases) {
    for (const double x : {kInfinity, -kInfinity, std::nan(""), 0.0, -1.0, -2.0, 1e30, -1e30}) {
      const double exact = static_cast<float>(c.exact(static_cast<float>(x)));
      const double got = apply(c.function, std::vector<float>(19, static_cast<float>(x))).back();
      EXPECT_TRUE(std::isnan(exact) ? std::isnan(got) : got == exact || std::abs(got - exact) < 1e-6)
          << info(c.function).name << "(" << x << ") is " << got << ", not " << exact;
    }
  }
  EXPECT_EQ(apply(Pointwise::kGelu, {static_cast<float>(kInfinity)})[0], kInfinity);
  EXPECT_TRUE(std::isnan(apply(Pointwise::kGelu, {std::nanf("")})[0]));
  EXPECT_TRUE(std::isnan(apply(Pointwise::kRelu, {std::nanf("")})[0]));
  for (float x = -12; x < -1; x += 0.01f) EXPECT_NEAR(apply(Pointwise::kGelu, {x})[0], gelu(x), 6e-8) << x;
}

TEST_P(TileFunctionsTest, HalfFormatsRoundTripWhateverTheCount) {
  for (const DType dtype : {DType::kF16, DType::kBF16}) {
    const auto d = static_cast<size_t>(dtype);
    std::vector<uint16_t> bits(65536), back(65536);
    for (size_t i = 0; i < bits.size(); ++i) bits[i] = static_cast<uint16_t>(i);
    std::vector<float> tile(65536);
    for (const int64_t n : {int64_t{1}, int64_t{7}, int64_t{19}, int64_t{65536}}) {
      tiles_->load[d](reinterpret_cast<std::byte*>(bits.data()), 1, tile.data(), n);
      tiles_->store[d](tile.data(), reinterpret_cast<std::byte*>(back.data()), 1, n);
      for (int64_t i = 0; i < n; ++i) {
        const auto at = static_cast<size_t>(i);
        if (!std::isnan(tile[at])) {
          ASSERT_EQ(bits[at], back[at]);
        }
      }
    }
    EXPECT_TRUE(std::isnan(tile[0x7fff]));
  }
}

TEST_P(TileFunctionsTest, FoldsOfRowsSeeEveryElement) {
  for (const int64_t n : {1, 3, 15, 16, 17, 63, 64, 65, 1023, 1024, 1025, 5000}) {
    std::vector<float> x(static_cast<size_t>(n));
    double sum = 0;
    for (int64_t i = 0; i < n; ++i)
      sum += x[static_cast<size_t>(i)] = static_cast<float>((i * 37) % 101) / 16;
    EXPECT_NEAR(tiles_->fold_float.row[0](x.data(), n), sum, 1e-6 * sum);
    for (int64_t peak : {int64_t{0}, n / 2, n - 1}) {
      std::vector<float> y = x;
      y[static_cast<size_t>(peak)] = 1000;
      EXPECT_EQ(tiles_->fold_float.row[2](y.data(), n), 1000);
      y[static_cast<size_t>(peak)] = -1000;
      EXPECT_EQ(tiles_->fold_float.row[3](y.data(), n), -1000);
      y[static_cast<size_t>(peak)] = std::nanf("");
      EXPECT_TRUE(std::isnan(tiles_->fold_float.row[2](y.data(), n)));
      EXPECT_TRUE(std::isnan(tiles_->fold_float.row[3](y.data(), n)));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(EachInstructionSet, TileFunctionsTest,
                         testing::Values("avx512", "avx2", "baseline"));

}  // namespace
}  // namespace headrace::cpu
