#include <cmath>
#include <limits>

#include "kernels/cpu/test_step.h"

namespace headrace::cpu {
namespace {

struct Case {
  Sizes x, y, kernel, stride, dilation, low, high;
};
const Case kCases[] = {
    {{2, 3, 9}, {2, 3, 4}, {3}, {2}, {1}, {0}, {0}},
    {{1, 5, 8, 7}, {1, 5, 4, 4}, {3, 3}, {2, 2}, {1, 1}, {1, 1}, {1, 1}},
    {{1, 300, 5, 4}, {1, 300, 3, 4}, {2, 1}, {1, 1}, {2, 1}, {0, 0}, {0, 0}},
    {{1, 2, 4, 5, 6}, {1, 2, 3, 3, 6}, {2, 2, 3}, {1, 2, 1}, {1, 1, 1}, {0, 1, 1}, {0, 0, 1}},
};

// Calls visit(value) for each cell under the window of `place`; padding is left out.
void for_each_cell(const Case& test, const Sizes& place, const std::function<double(const Sizes&)>& x,
                   const std::function<void(double)>& visit) {
  for_each(test.kernel, [&](const Sizes& tap) {
    Sizes from = place;
    for (size_t d = 0; d < tap.size(); ++d) {
      from[d + 2] = place[d + 2] * test.stride[d] - test.low[d] + tap[d] * test.dilation[d];
      if (from[d + 2] < 0 || from[d + 2] >= test.x[d + 2]) return;
    }
    visit(x(from));
  });
}

Sizes moved_last(Sizes sizes) {
  std::rotate(sizes.begin() + 1, sizes.begin() + 2, sizes.end());
  return sizes;
}
Sizes moved_first(Sizes sizes) {
  std::rotate(sizes.begin() + 1, sizes.end() - 1, sizes.end());
  return sizes;
}

TestStep make_step(const Case& test, const char* kernel, DType dtype, bool last) {
  TestStep step(pool_kernels(), kernel);
  step.set("kernel", test.kernel)
      .set("stride", test.stride)
      .set("pad_low", test.low)
      .set("pad_high", test.high);
  step.set("dilation", test.dilation).set("channels_last", last);
  step.input(dense(dtype, last ? moved_last(test.x) : test.x)).fill_random(0, -3, 3);
  step.output(dense(dtype, last ? moved_last(test.y) : test.y));
  return step;
}

void for_each_layout(const std::function<void(const Case&, DType, bool)>& check) {
  for (const Case& test : kCases)
    for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16, DType::kF64})
      for (const bool last : {false, true}) check(test, dtype, last);
}

TEST(PoolKernels, TakeTheMaximum) {
  for_each_layout([](const Case& test, DType dtype, bool last) {
    TestStep step = make_step(test, "max_pool", dtype, last);
    ASSERT_TRUE(step.run(2).ok());
    step.expect(0, [&](const Sizes& place) {
      double most = -std::numeric_limits<double>::infinity();
      for_each_cell(
          test, last ? moved_first(place) : place,
          [&](const Sizes& at) { return step.in(0, last ? moved_last(at) : at); },
          [&](double value) { most = std::max(most, value); });
      return most;
    });
  });
}

TEST(PoolKernels, LetNanWinInAMaximum) {
  TestStep step(pool_kernels(), "max_pool");
  step.set("kernel", Sizes{2}).set("stride", Sizes{1});
  step.input(dense(DType::kF32, {1, 1, 4})).output(dense(DType::kF32, {1, 1, 3}));
  step.fill(0, [](const Sizes& at) { return at[2] == 1 ? std::nan("") : 1.0; });
  ASSERT_TRUE(step.run().ok());
  step.expect(0, [](const Sizes& at) { return at[2] == 2 ? 1.0 : std::nan(""); });
}

TEST(PoolKernels, AverageByEachDivisor) {
  for_each_layout([](const Case& test, DType dtype, bool last) {
    for (const int64_t divisor : {0, 5})
      for (const bool padding : {false, true}) {
        if (test.dilation[0] != 1) continue;  // averages have no dilation
        TestStep step = make_step(test, "avg_pool", dtype, last);
        step.set("divisor", divisor).set("count_padding", padding);
        ASSERT_TRUE(step.run(2).ok());
        step.expect(
            0,
            [&](const Sizes& place) {
              const Sizes at = last ? moved_first(place) : place;
              double sum = 0, count = 0, padded = 1;
              for_each_cell(
                  test, at, [&](const Sizes& from) { return step.in(0, last ? moved_last(from) : from); },
                  [&](double value) { sum += value, ++count; });
              for (size_t d = 0; d < test.kernel.size(); ++d) {
                const int64_t start = at[d + 2] * test.stride[d] - test.low[d];
                padded *= static_cast<double>(std::min(start + test.kernel[d], test.x[d + 2] + test.high[d]) -
                                              start);
              }
              return sum / (divisor ? static_cast<double>(divisor) : padding ? padded : count);
            },
            2);
      }
  });
}

TEST(PoolKernels, AverageToAGivenSize) {
  for (const DType dtype : {DType::kF32, DType::kBF16})
    for (const Sizes& out : {Sizes{1, 1}, Sizes{3, 2}, Sizes{7, 5}, Sizes{9, 8}}) {
      TestStep step(pool_kernels(), "adaptive_avg_pool");
      step.set("output", out).set("channels_last", true);
      step.input(dense(dtype, {2, 7, 5, 6}))
          .output(dense(dtype, {2, out[0], out[1], 6}))
          .fill_random(0, -1, 1);
      ASSERT_TRUE(step.run(2).ok());
      step.expect(
          0,
          [&](const Sizes& at) {
            double sum = 0, count = 0;
            for (int64_t i = at[1] * 7 / out[0]; i < ((at[1] + 1) * 7 + out[0] - 1) / out[0]; ++i)
              for (int64_t j = at[2] * 5 / out[1]; j < ((at[2] + 1) * 5 + out[1] - 1) / out[1]; ++j, ++count)
                sum += step.in(0, {at[0], i, j, at[3]});
            return sum / count;
          },
          2);
    }
}

TEST(PoolKernels, KeepTheirAccuracyOverLargeWindows) {
  for (const char* kernel : {"adaptive_avg_pool", "avg_pool"}) {
    TestStep step(pool_kernels(), kernel);
    step.set("output", Sizes{1, 1}).set("kernel", Sizes{300, 301});
    step.input(dense(DType::kF32, {1, 2, 300, 301})).output(dense(DType::kF32, {1, 2, 1, 1}));
    step.fill(0, [](const Sizes&) { return 0.1; });
    ASSERT_TRUE(step.run().ok());
    step.expect(
        0, [](const Sizes&) { return 0.1; }, 1, 0);
  }
}

TEST(PoolKernels, RefuseMalformedSteps) {
  const auto code = [](const Sizes& x, const Sizes& y, const Sizes& kernel) {
    TestStep step(pool_kernels(), "max_pool");
    return step.set("kernel", kernel).input(dense(DType::kF32, x)).output(dense(DType::kF32, y)).run().code();
  };
  EXPECT_EQ(code({1, 2, 5}, {1, 2, 4}, {2}), Code::kOk);
  EXPECT_EQ(code({1, 2, 5}, {1, 2, 3}, {2}), Code::kCorrupt);
  EXPECT_EQ(code({1, 2, 5}, {1, 3, 4}, {2}), Code::kCorrupt);
  EXPECT_EQ(code({1, 2, 5}, {1, 2, 4}, {0}), Code::kCorrupt);
  EXPECT_EQ(code({1, 2, 5}, {1, 2, 4}, {2, 2}), Code::kCorrupt);
  EXPECT_EQ(code({2, 5}, {2, 4}, {2}), Code::kCorrupt);
}

TEST(BatchNormKernel, AgreesWithPlainLoopsOnEveryAxis) {
  const Sizes shape = {2, 3, 4, 700};
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16, DType::kF64})
    for (const size_t axis : {0, 1, 3})
      for (const bool affine : {false, true}) {
        TestStep step(batch_norm_kernels(), "batch_norm");
        step.set("axis", static_cast<int64_t>(axis)).set("eps", 0.01).input(dense(dtype, shape));
        for (size_t i = 1; i < 5; ++i)
          step.input(i < 3 && !affine ? std::nullopt : std::optional(dense(dtype, {shape[axis]})));
        step.output(laid_out(dtype, shape, {0, 2, 3, 1}));
        step.fill_random(0, -2, 2);
        for (size_t i = affine ? 1 : 3; i < 5; ++i) step.fill_random(i, 0.5, 2);
        ASSERT_TRUE(step.run(2).ok());
        step.expect(
            0,
            [&](const Sizes& at) {
              const Sizes c = {at[axis]};
              const double centred = (step.in(0, at) - step.in(3, c)) / std::sqrt(step.in(4, c) + 0.01);
              return affine ? centred * step.in(1, c) + step.in(2, c) : centred;
            },
            4);
      }
}

}  // namespace
}  // namespace headrace::cpu
