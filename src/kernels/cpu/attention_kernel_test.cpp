#include <array>
#include <cmath>
#include <limits>

#include "kernels/cpu/attention_tiles.h"
#include "kernels/cpu/test_step.h"

namespace headrace::cpu {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// softmax(scale · q kᵀ + mask) v at one place of the result, by plain loops.
double attend(TestStep& step, const Sizes& place, double scale, bool causal) {
  const Sizes &q = step.shapes_.inputs[0]->shape, &k = step.shapes_.inputs[1]->shape;
  const size_t rank = q.size();
  const int64_t keys = k[rank - 2], per_group = q[rank - 3] / k[rank - 3];
  Sizes key = place;
  key[rank - 3] /= per_group;
  std::vector<double> scores;
  double most = -kInfinity, sum = 0, value = 0;
  for (int64_t t = 0; t < keys; ++t) {
    double score = 0;
    Sizes from = place;
    key[rank - 2] = t;
    for (int64_t d = 0; d < q.back(); ++d) {
      from.back() = key.back() = d;
      score += step.in(0, from) * step.in(1, key);
    }
    score *= scale;
    if (step.shapes_.inputs.size() > 3) {
      const StepTensor& mask = *step.shapes_.inputs[3];
      Sizes at = place;
      at.back() = t;
      at.erase(at.begin(), at.end() - static_cast<int64_t>(mask.shape.size()));
      for (size_t i = 0; i < at.size(); ++i)
        if (mask.shape[i] == 1) at[i] = 0;
      score += mask.dtype == DType::kBool ? (step.in(3, at) != 0 ? 0 : -kInfinity) : step.in(3, at);
    }
    if (causal && t > place[rank - 2]) score = -kInfinity;
    scores.push_back(score);
    most = std::max(most, score);
  }
  if (most == -kInfinity) return 0;
  key.back() = place.back();
  for (int64_t t = 0; t < keys; ++t) {
    key[rank - 2] = t;
    const double weight = std::exp(scores[static_cast<size_t>(t)] - most);
    sum += weight;
    if (weight != 0) value += weight * step.in(2, key);
  }
  return value / sum;
}

struct Case {
  Sizes lead;  // batch
  int64_t heads, groups, queries, keys, depth, width;
};
const Case kCases[] = {
    {{}, 1, 1, 1, 1, 1, 1},     {{1}, 2, 2, 5, 7, 8, 8},     {{2}, 4, 2, 1, 70, 16, 16},
    {{1}, 3, 1, 65, 65, 7, 12}, {{1}, 2, 1, 130, 70, 8, 16}, {{2, 2}, 2, 2, 3, 129, 5, 33},
    {{1}, 8, 2, 9, 40, 12, 20},
};

enum class Mask { kNone, kBoolKeys, kBoolFull, kFloatFull, kFloatHeads };

Sizes join(const Sizes& lead, std::initializer_list<int64_t> rest) {
  Sizes shape = lead;
  shape.insert(shape.end(), rest);
  return shape;
}

void add_mask(TestStep& step, const Case& test, Mask mask, DType dtype) {
  switch (mask) {
    case Mask::kNone: return;
    case Mask::kBoolKeys:
      step.input(dense(DType::kBool, {1, 1, test.keys}));
      step.fill(3, [](const Sizes& at) { return at.back() % 3 != 1; });
      return;
    case Mask::kBoolFull:  // the second query attends to nothing
      step.input(dense(DType::kBool, {test.queries, test.keys}));
      step.fill(3, [](const Sizes& at) { return at[0] != 1 && (at[0] + at[1]) % 4 != 0; });
      return;
    case Mask::kFloatFull:
      step.input(dense(dtype, join(test.lead, {1, test.queries, test.keys})));
      step.fill_random(3, -2, 2);
      return;
    case Mask::kFloatHeads:
      step.input(dense(dtype, {test.heads, 1, test.keys}));
      step.fill(3, [](const Sizes& at) {
        return (at[0] + at[2]) % 5 == 0 ? -kInfinity : 0.25 * static_cast<double>(at[0]);
      });
      return;
  }
}

TestStep make_step(const Case& test, DType dtype, Mask mask) {
  TestStep step(attention_kernels(), "attention");
  step.input(dense(dtype, join(test.lead, {test.heads, test.queries, test.depth})));
  step.input(dense(dtype, join(test.lead, {test.groups, test.keys, test.depth})));
  step.input(dense(dtype, join(test.lead, {test.groups, test.keys, test.width})));
  for (size_t i = 0; i < 3; ++i) step.fill_random(i, -2, 2);
  add_mask(step, test, mask, dtype);
  step.output(dense(dtype, join(test.lead, {test.heads, test.queries, test.width})));
  return step;
}

TEST(AttentionKernel, AgreesWithPlainLoops) {
  for (const Case& test : kCases)
    for (const Mask mask :
         {Mask::kNone, Mask::kBoolKeys, Mask::kBoolFull, Mask::kFloatFull, Mask::kFloatHeads})
      for (const bool causal : {false, true})
        for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16, DType::kF64}) {
          SCOPED_TRACE(fmt::format("{} heads, {} x {}, mask {} causal {} {}", test.heads, test.queries,
                                   test.keys, static_cast<int>(mask), causal, dtype_name(dtype)));
          TestStep step = make_step(test, dtype, mask);
          step.set("scale", 0.37).set("causal", causal);
          const Status status = step.run(2);
          ASSERT_TRUE(status.ok()) << status.message();
          step.expect(
              0, [&](const Sizes& at) { return attend(step, at, 0.37, causal); }, 4);
        }
}

// Query, key and value as parts of one product's result [B, S, 3, H, D]; the result as [B, S, H, E].
TEST(AttentionKernel, TakesViewsOfAJoinedProduct) {
  const int64_t batch = 2, queries = 37, heads = 3, depth = 16;
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    TestStep step(attention_kernels(), "attention");
    for (int64_t part = 0; part < 3; ++part) {
      StepTensor view = permuted(dense(dtype, {batch, queries, 3 * heads, depth}), {0, 2, 1, 3});
      view.shape[1] = heads;
      view.offset = part * heads * depth;
      step.input(view);
    }
    for (size_t i = 0; i < 3; ++i) step.fill_random(i, -1, 1);
    step.output(laid_out(dtype, {batch, heads, queries, depth}, {0, 2, 1, 3}));
    step.set("scale", 0.25).set("causal", true);
    ASSERT_TRUE(step.run(2).ok());
    step.expect(
        0, [&](const Sizes& at) { return attend(step, at, 0.25, true); }, 4);
  }
}

TEST(AttentionKernel, GivesTheSameBytesOnMoreThreads) {
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF64})
    make_step({{2}, 4, 2, 70, 90, 24, 24}, dtype, Mask::kFloatFull).expect_same_on_more_threads();
}

TEST(AttentionKernel, IsZeroWhereThereAreNoKeys) {
  TestStep step(attention_kernels(), "attention");
  step.input(dense(DType::kF32, {1, 2, 4}))
      .input(dense(DType::kF32, {1, 0, 4}))
      .input(dense(DType::kF32, {1, 0, 4}));
  step.output(dense(DType::kF32, {1, 2, 4}));
  ASSERT_TRUE(step.run(2).ok());
  step.expect(0, [](const Sizes&) { return 0.0; });
}

constexpr DType kComputed[] = {DType::kF32, DType::kBF16, DType::kF64};

TEST(AttentionKernel, SpreadsMaskedValuesThatAreNotFinite) {
  for (const DType dtype : kComputed) {
    TestStep step(attention_kernels(), "attention");
    for (int i = 0; i < 3; ++i) step.input(dense(dtype, {1, 4, 8}));
    step.input(dense(DType::kBool, {4, 4})).output(dense(dtype, {1, 4, 8}));
    for (size_t i = 0; i < 2; ++i) step.fill_random(i, -1, 1);
    step.fill(2, [](const Sizes& at) { return at[1] == 3 && at[2] == 5 ? kInfinity : 0.5; });
    // The first query sees all, the second nothing, the others all but the last key.
    step.fill(3, [](const Sizes& at) { return at[0] == 0 || (at[0] != 1 && at[1] != 3); });
    ASSERT_TRUE(step.run().ok());
    step.expect(0, [](const Sizes& at) {
      if (at[2] == 5) return at[1] == 0 ? kInfinity : std::nan("");
      return at[1] == 1 ? 0 : 0.5;
    });
  }
}

TEST(AttentionKernel, SpreadsMaskedKeysThatAreNaN) {
  for (const DType dtype : kComputed)
    for (const DType mask : {DType::kBool, dtype}) {
      TestStep step(attention_kernels(), "attention");
      for (int i = 0; i < 3; ++i) step.input(dense(dtype, {2, 70, 8}));
      step.input(dense(mask, {2, 1, 70})).output(dense(dtype, {2, 70, 8}));
      for (const size_t i : {0, 1, 2}) step.fill(i, [](const Sizes&) { return 0.5; });
      step.fill(1, [](const Sizes& at) { return at[0] == 0 && at[1] == 66 ? std::nan("") : 0.5; });
      step.fill(3, [&](const Sizes& at) {
        return mask == DType::kBool ? at[2] != 66 : (at[2] == 66 ? -kInfinity : 0);
      });
      ASSERT_TRUE(step.run().ok());
      step.expect(0, [](const Sizes& at) { return at[0] == 0 ? std::nan("") : 0.5; });
    }
}

// By one head's queries in blocks, and by few queries of heads that share their keys.
TEST(AttentionKernel, TakesNoPartOfKeysThatCausalityHides) {
  for (const auto& [heads, groups, length] : {std::array<int64_t, 3>{2, 2, 150}, {4, 2, 9}})
    for (const DType dtype : kComputed) {
      TestStep step(attention_kernels(), "attention");
      step.input(dense(dtype, {heads, length, 8}));
      for (int i = 0; i < 2; ++i) step.input(dense(dtype, {groups, length, 8}));
      step.output(dense(dtype, {heads, length, 8}));
      const int64_t bad_key = length - 5, bad_value = length - 3;
      step.fill(0, [](const Sizes&) { return 0.5; });
      step.fill(1, [&](const Sizes& at) { return at[1] == bad_key ? std::nan("") : 0.5; });
      step.fill(2, [&](const Sizes& at) { return at[1] == bad_value ? kInfinity : 0.5; });
      step.set("causal", true);
      ASSERT_TRUE(step.run(2).ok());
      step.expect(0, [&](const Sizes& at) { return at[1] < bad_key ? 0.5 : std::nan(""); });
      step.fill(1, [](const Sizes&) { return 0.5; });
      ASSERT_TRUE(step.run(2).ok());
      step.expect(0, [&](const Sizes& at) { return at[1] < bad_value ? 0.5 : kInfinity; });
    }
}

TEST(AttentionKernel, RefusesMalformedSteps) {
  const auto code = [](const Sizes& q, const Sizes& k, const Sizes& v, const Sizes& out) {
    TestStep step(attention_kernels(), "attention");
    for (const Sizes& shape : {q, k, v}) step.input(dense(DType::kF32, shape));
    return step.output(dense(DType::kF32, out)).run().code();
  };
  EXPECT_EQ(code({2, 3, 4}, {2, 5, 4}, {2, 5, 6}, {2, 3, 6}), Code::kOk);
  EXPECT_EQ(code({3, 4}, {5, 4}, {5, 6}, {3, 6}), Code::kCorrupt);
  EXPECT_EQ(code({2, 3, 4}, {2, 5, 3}, {2, 5, 6}, {2, 3, 6}), Code::kCorrupt);
  EXPECT_EQ(code({3, 3, 4}, {2, 5, 4}, {2, 5, 6}, {3, 3, 6}), Code::kCorrupt);
  EXPECT_EQ(code({2, 3, 4}, {0, 5, 4}, {0, 5, 6}, {2, 3, 6}), Code::kCorrupt);
  EXPECT_EQ(code({2, 3, 4}, {2, 5, 4}, {2, 5, 6}, {2, 3, 5}), Code::kCorrupt);
}

TEST(AttentionTiles, MultiplyAlikeOnEveryInstructionSet) {
  for (const char* isa : {"avx512", "avx2", "baseline"}) {
    const AttentionTiles* tiles = attention_tiles_for(isa);
    if (tiles == nullptr) continue;
    SCOPED_TRACE(isa);
    for (const int64_t rows : {1, 5, 6, 13})
      for (const int64_t vectors : {1, 2, 5}) {
        const int64_t columns = vectors * tiles->width, depth = 9;
        std::vector<float> a(static_cast<size_t>(rows * depth)), b(static_cast<size_t>(depth * columns));
        std::vector<float> c(static_cast<size_t>(rows * columns), 0.5f);
        for (size_t i = 0; i < a.size(); ++i) a[i] = std::sin(static_cast<float>(i));
        for (size_t i = 0; i < b.size(); ++i) b[i] = std::cos(static_cast<float>(i));
        tiles->product(rows, columns, depth, a.data(), 1, rows, b.data(), columns, c.data(), columns, true);
        for (int64_t i = 0; i < rows; ++i)
          for (int64_t j = 0; j < columns; ++j) {
            double want = 0.5;
            for (int64_t k = 0; k < depth; ++k)
              want += static_cast<double>(a[static_cast<size_t>(k * rows + i)]) *
                      b[static_cast<size_t>(k * columns + j)];
            ASSERT_NEAR(c[static_cast<size_t>(i * columns + j)], want, 1e-5);
          }
      }
  }
}

TEST(AttentionTiles, FindAnyValueThatIsNotFinite) {
  for (const char* isa : {"avx512", "avx2", "baseline"}) {
    const AttentionTiles* tiles = attention_tiles_for(isa);
    if (tiles == nullptr) continue;
    const int64_t columns = 2 * tiles->width, row = columns + 3;
    std::vector<float> values(static_cast<size_t>(3 * row), -std::numeric_limits<float>::max());
    values[static_cast<size_t>(columns)] = std::nanf("");  // between the rows
    EXPECT_TRUE(tiles->all_finite(values.data(), 3, columns, row)) << isa;
    for (const float bad : {std::nanf(""), -std::nanf(""), HUGE_VALF, -HUGE_VALF})
      for (const int64_t at : {int64_t{0}, columns - 1, row + 1, 2 * row + columns - 1}) {
        std::vector<float> changed = values;
        changed[static_cast<size_t>(at)] = bad;
        EXPECT_FALSE(tiles->all_finite(changed.data(), 3, columns, row)) << isa << " " << bad << " at " << at;
      }
  }
}

}  // namespace
}  // namespace headrace::cpu
