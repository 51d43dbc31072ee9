#include "kernels/cpu/norm_kernels.h"

#include "kernels/cpu/test_step.h"

namespace headrace::cpu {
namespace {

TestStep step(std::string kernel) { return TestStep(norm_kernels(), std::move(kernel)); }

// Mean and 1 / sqrt(variance + eps) of the values.
struct Statistics {
  double mean = 0, factor = 0;
  Statistics(const std::vector<double>& values, double eps, bool centred = true) {
    for (const double v : values) mean += v / double(values.size());
    if (!centred) mean = 0;
    double square = 0;
    for (const double v : values) square += (v - mean) * (v - mean) / double(values.size());
    factor = 1 / std::sqrt(square + eps);
  }
};

constexpr DType kFloats[] = {DType::kF32, DType::kBF16, DType::kF16, DType::kF64};

TEST(NormKernels, LayerAndRmsNormOverTrailingDims) {
  for (const char* kernel : {"layer_norm", "rms_norm"}) {
    for (const DType dtype : kFloats) {
      for (const Sizes& shape : {Sizes{3, 5, 768}, Sizes{2, 4, 7}, Sizes{6, 1}, Sizes{0, 8}, Sizes{1500}}) {
        const int64_t width = shape.back();
        TestStep norm = step(kernel);
        norm.set("axes", int64_t{1}).set("eps", 1e-5).input(dense(dtype, shape)).input(dense(dtype, {width}));
        if (std::string(kernel) == "layer_norm") norm.input(dense(dtype, {width})).fill_random(2, -1, 1);
        norm.output(dense(dtype, shape)).fill_random(0, -1, 4).fill_random(1, 0.5, 2);
        ASSERT_TRUE(norm.run().ok());
        norm.expect(0, [&](Sizes at) {
          const int64_t column = at.back();
          std::vector<double> row;
          for (at.back() = 0; at.back() < width; ++at.back()) row.push_back(norm.in(0, at));
          const Statistics of(row, 1e-5, norm.shapes_.inputs.size() == 3);
          const double bias = norm.shapes_.inputs.size() == 3 ? norm.in(2, {column}) : 0;
          return (row[size_t(column)] - of.mean) * of.factor * norm.in(1, {column}) + bias;
        });
      }
    }
  }
}

TEST(NormKernels, LayerNormOfAPermutedTensorOverTwoDims) {
  TestStep norm = step("layer_norm");
  const Sizes shape = {4, 3, 5, 6};
  norm.set("axes", int64_t{2}).set("eps", 1e-5).input(laid_out(DType::kF32, shape, {3, 1, 0, 2}));
  norm.input(std::nullopt)
      .input(dense(DType::kF32, {5, 6}))
      .output(laid_out(DType::kF32, shape, {2, 0, 1, 3}));
  norm.fill_random(0, -1, 4).fill_random(2, -1, 1);
  ASSERT_TRUE(norm.run().ok());
  norm.expect(0, [&](const Sizes& at) {
    std::vector<double> row;
    for_each({5, 6}, [&](const Sizes& r) { row.push_back(norm.in(0, {at[0], at[1], r[0], r[1]})); });
    const Statistics of(row, 1e-5);
    return (norm.in(0, at) - of.mean) * of.factor + norm.in(2, {at[2], at[3]});
  });
}

TEST(NormKernels, LayerNormKeepsItsAccuracyFarFromZero) {
  TestStep norm = step("layer_norm");
  norm.set("axes", int64_t{1})
      .set("eps", 1e-5)
      .input(dense(DType::kF32, {1, 4096}))
      .output(dense(DType::kF32, {1, 4096}));
  norm.fill(0, [](const Sizes& at) { return 1000 + double(at[1] % 2); });
  ASSERT_TRUE(norm.run().ok());
  norm.expect(
      0, [](const Sizes& at) { return (double(at[1] % 2) - 0.5) / std::sqrt(0.25 + 1e-5); }, 10);
}

TEST(NormKernels, GroupNormInBothLayouts) {
  for (const std::vector<int>& layout : {std::vector<int>{0, 1, 2, 3}, {0, 2, 3, 1}}) {
    for (const DType dtype : {DType::kF32, DType::kBF16}) {
      TestStep norm = step("group_norm");
      norm.set("groups", int64_t{3}).set("eps", 1e-5).input(laid_out(dtype, {2, 6, 5, 7}, layout));
      norm.input(dense(dtype, {6})).input(dense(dtype, {6})).output(laid_out(dtype, {2, 6, 5, 7}, layout));
      norm.fill_random(0, -1, 3).fill_random(1, -1, 1).fill_random(2, -1, 1);
      ASSERT_TRUE(norm.run().ok());
      norm.expect(0, [&](const Sizes& at) {
        std::vector<double> group;
        for_each({2, 5, 7}, [&](const Sizes& g) {
          group.push_back(norm.in(0, {at[0], at[1] / 2 * 2 + g[0], g[1], g[2]}));
        });
        const Statistics of(group, 1e-5);
        return (norm.in(0, at) - of.mean) * of.factor * norm.in(1, {at[1]}) + norm.in(2, {at[1]});
      });
    }
  }
}

TEST(NormKernels, SoftmaxOverAnyAxisAndItsLogarithm) {
  for (const bool log : {false, true}) {
    for (const DType dtype : kFloats) {
      for (const int64_t axis : {0, 1, 2}) {
        TestStep softmax = step("softmax");
        softmax.set("axis", axis)
            .set("log", log)
            .input(dense(dtype, {5, 33, 19}))
            .output(dense(dtype, {5, 33, 19}));
        softmax.fill_random(0, -9, 9);
        ASSERT_TRUE(softmax.run().ok());
        softmax.expect(0, [&](const Sizes& at) {
          double sum = 0;
          Sizes other = at;
          const auto a = size_t(axis);
          for (other[a] = 0; other[a] < softmax.shapes_.outputs[0].shape[a]; ++other[a])
            sum += std::exp(softmax.in(0, other));
          return log ? softmax.in(0, at) - std::log(sum) : std::exp(softmax.in(0, at)) / sum;
        });
      }
    }
  }
}

TEST(NormKernels, SoftmaxOfInfinitiesFollowsPyTorch) {
  TestStep softmax = step("softmax");
  softmax.set("axis", int64_t{1}).input(dense(DType::kF32, {3, 40})).output(dense(DType::kF32, {3, 40}));
  // One open key; none; a NaN.
  softmax.fill(0, [](const Sizes& at) {
    return at[0] == 2 ? (at[1] == 5 ? std::nan("") : 1) : at[0] == 0 && at[1] == 7 ? 3 : -INFINITY;
  });
  ASSERT_TRUE(softmax.run().ok());
  softmax.expect(0, [](const Sizes& at) { return at[0] == 0 ? double(at[1] == 7) : std::nan(""); });
}

TEST(NormKernels, RotaryTurnsHalvesOrPairs) {
  for (const bool interleaved : {false, true}) {
    for (const DType dtype : kFloats) {
      TestStep rotary = step("rotary");
      const Sizes shape = {2, 3, 5, 64};
      rotary.set("interleaved", interleaved).input(laid_out(dtype, shape, {0, 2, 1, 3}));
      rotary.input(dense(dtype, {5, 64})).input(dense(dtype, {1, 1, 5, 64})).output(dense(dtype, shape));
      for (size_t i = 0; i < 3; ++i) rotary.fill_random(i, -1, 1);
      ASSERT_TRUE(rotary.run().ok());
      rotary.expect(0, [&](const Sizes& at) {
        Sizes other = at;
        const int64_t d = at[3];
        other[3] = interleaved ? d ^ 1 : (d + 32) % 64;
        const double sign = (interleaved ? d % 2 == 0 : d < 32) ? -1 : 1;
        return rotary.in(0, at) * rotary.in(1, {at[2], d}) +
               sign * rotary.in(0, other) * rotary.in(2, {0, 0, at[2], d});
      });
    }
  }
}

TEST(NormKernels, GiveTheSameBytesOnMoreThreads) {
  TestStep norm = step("layer_norm");
  norm.set("axes", int64_t{1})
      .set("eps", 1e-5)
      .input(dense(DType::kBF16, {301, 700}))
      .output(dense(DType::kBF16, {301, 700}));
  norm.fill_random(0, -3, 3);
  norm.expect_same_on_more_threads();
  TestStep softmax = step("softmax");
  softmax.set("axis", int64_t{0})
      .input(dense(DType::kF32, {300, 700}))
      .output(dense(DType::kF32, {300, 700}));
  softmax.fill_random(0, -3, 3);
  softmax.expect_same_on_more_threads();
}

TEST(NormKernels, RefuseMalformedSteps) {
  const auto code = [](TestStep& step) { return step.run().code(); };
  TestStep axes = step("layer_norm");
  axes.set("axes", int64_t{3}).input(dense(DType::kF32, {2, 2})).output(dense(DType::kF32, {2, 2}));
  EXPECT_EQ(code(axes), Code::kCorrupt);
  TestStep scale = step("rms_norm");
  scale.set("axes", int64_t{1})
      .input(dense(DType::kF32, {2, 2}))
      .input(dense(DType::kF32, {3}))
      .output(dense(DType::kF32, {2, 2}));
  EXPECT_EQ(code(scale), Code::kCorrupt);
  TestStep groups = step("group_norm");
  groups.set("groups", int64_t{0}).input(dense(DType::kF32, {2, 2})).output(dense(DType::kF32, {2, 2}));
  EXPECT_EQ(code(groups), Code::kCorrupt);
  TestStep integer = step("softmax");
  integer.input(dense(DType::kI32, {2, 2})).output(dense(DType::kI32, {2, 2}));
  EXPECT_EQ(code(integer), Code::kCorrupt);
  TestStep odd = step("rotary");
  odd.input(dense(DType::kF32, {3}))
      .input(dense(DType::kF32, {3}))
      .input(dense(DType::kF32, {3}))
      .output(dense(DType::kF32, {3}));
  EXPECT_EQ(code(odd), Code::kCorrupt);
}

}  // namespace
}  // namespace headrace::cpu
