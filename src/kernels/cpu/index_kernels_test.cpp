#include "kernels/cpu/index_kernels.h"

#include "kernels/cpu/test_step.h"

namespace headrace::cpu {
namespace {

TestStep step(std::string kernel) { return TestStep(index_kernels(), std::move(kernel)); }
// Indices of both signs in range of `limit`.
auto any_index(int64_t limit) {
  return
      [limit, next = int64_t{0}](const Sizes&) mutable { return double((next += 7) % (2 * limit) - limit); };
}
int64_t from_end(double index, int64_t limit) {
  return int64_t(index) < 0 ? int64_t(index) + limit : int64_t(index);
}

TEST(IndexKernels, GatherAlongAnyAxis) {
  const Sizes x = {5, 6, 7};
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kI64, DType::kBool}) {
    for (const DType index : {DType::kI64, DType::kI32}) {
      for (const int64_t axis : {0, 1, 2}) {
        for (const Sizes& picks : {Sizes{}, Sizes{4}, Sizes{2, 3}, Sizes{0}}) {
          Sizes result(x.begin(), x.begin() + axis);
          result.insert(result.end(), picks.begin(), picks.end());
          result.insert(result.end(), x.begin() + axis + 1, x.end());
          TestStep gather = step("gather");
          gather.set("axis", axis).input(laid_out(dtype, x, {1, 0, 2})).input(dense(index, picks));
          std::vector<int> reversed;
          for (size_t d = result.size(); d-- > 0;) reversed.push_back(int(d));
          gather.output(laid_out(dtype, result, reversed))
              .fill_random(0, -9, 9)
              .fill(1, any_index(x[size_t(axis)]));
          const Status status = gather.run();
          ASSERT_TRUE(status.ok()) << status.message();
          gather.expect(0, [&](const Sizes& at) {
            const Sizes pick(at.begin() + axis, at.begin() + axis + int64_t(picks.size()));
            Sizes from(at.begin(), at.begin() + axis);
            from.push_back(from_end(gather.in(1, pick), x[size_t(axis)]));
            from.insert(from.end(), at.begin() + axis + int64_t(picks.size()), at.end());
            return gather.in(0, from);
          });
        }
      }
    }
  }
}

class FakeRows : public RowSource {
 public:
  explicit FakeRows(int64_t width) : width_(width) {}
  Status gather(std::span<const int64_t> indices, std::byte* out) override {
    largest = std::max(largest, indices.size());
    for (size_t i = 0; i < indices.size(); ++i) {
      for (int64_t c = 0; c < width_; ++c)
        reinterpret_cast<float*>(out)[int64_t(i) * width_ + c] = float(indices[i] * 1000 + c);
    }
    return {};
  }
  size_t largest = 0;

 private:
  int64_t width_;
};

TEST(IndexKernels, GatherFetchesRowsOfAWeightThatIsNotInMemory) {
  for (const bool in_place : {true, false}) {
    FakeRows source(40000);
    TestStep gather = step("gather");
    gather.plan.weights.push_back({.name = "embedding", .shape = {50, 40000}, .use = WeightUse::kRows});
    StepTensor table = dense(DType::kF32, {50, 40000});
    table.weight = 0;
    gather.set("axis", int64_t{0}).input(table).input(dense(DType::kI64, {3, 2}));
    gather.output(in_place ? dense(DType::kF32, {3, 2, 40000})
                           : laid_out(DType::kF32, {3, 2, 40000}, {1, 0, 2}));
    gather.fill(1, any_index(50));
    gather.rows = {&source};
    const Status status = gather.run();
    ASSERT_TRUE(status.ok()) << status.message();
    gather.expect(0, [&](const Sizes& at) {
      return double(from_end(gather.in(1, {at[0], at[1]}), 50) * 1000 + at[2]);
    });
    EXPECT_EQ(source.largest, in_place ? 6u : 1u);  // batches are bounded in bytes
  }
}

TEST(IndexKernels, GatherElementsAlongAnyAxis) {
  for (const int64_t axis : {0, 1, 2}) {
    const Sizes x = {5, 6, 40};
    Sizes result = {3, 4, 33};
    result[size_t(axis)] = 50;
    TestStep gather = step("gather_elements");
    gather.set("axis", axis).input(dense(DType::kF16, x)).input(laid_out(DType::kI64, result, {2, 0, 1}));
    gather.output(dense(DType::kF16, result)).fill_random(0, -9, 9).fill(1, any_index(x[size_t(axis)]));
    ASSERT_TRUE(gather.run().ok());
    gather.expect(0, [&](const Sizes& at) {
      Sizes from = at;
      from[size_t(axis)] = from_end(gather.in(1, at), x[size_t(axis)]);
      return gather.in(0, from);
    });
  }
}

TEST(IndexKernels, IndexPicksByTensorsThatBroadcastTogether) {
  TestStep index = step("index");
  index.input(laid_out(DType::kF32, {5, 6, 7}, {2, 0, 1}))
      .input(dense(DType::kI64, {4, 1}))
      .input(dense(DType::kI64, {3}));
  index.output(dense(DType::kF32, {4, 3, 7}))
      .fill_random(0, -9, 9)
      .fill(1, any_index(5))
      .fill(2, any_index(6));
  ASSERT_TRUE(index.run().ok());
  index.expect(0, [&](const Sizes& at) {
    return index.in(0, {from_end(index.in(1, {at[0], 0}), 5), from_end(index.in(2, {at[1]}), 6), at[2]});
  });
}

TEST(IndexKernels, NameTheIndexThatIsOutOfRange) {
  for (const char* kernel : {"gather", "index", "gather_elements"}) {
    for (const double bad : {3.0, -4.0}) {
      TestStep pick = step(kernel);
      pick.set("axis", int64_t{0})
          .input(dense(DType::kF32, {3}))
          .input(dense(DType::kI64, {2}))
          .output(dense(DType::kF32, {2}));
      pick.fill(1, [&](const Sizes& at) { return at[0] == 1 ? bad : 0; });
      const Status status = pick.run();
      EXPECT_EQ(status.code(), Code::kInvalidArgument);
      EXPECT_EQ(status.message(),
                fmt::format("'the step': index {} is out of range for a dimension of size 3", bad));
    }
  }
}

TEST(IndexKernels, GiveTheSameBytesOnMoreThreads) {
  TestStep gather = step("gather");
  gather.set("axis", int64_t{0})
      .input(dense(DType::kF32, {100, 700}))
      .input(dense(DType::kI64, {1000}))
      .output(dense(DType::kF32, {1000, 700}));
  gather.fill_random(0, -1, 1).fill(1, any_index(100));
  gather.expect_same_on_more_threads();
}

TEST(IndexKernels, RefuseMalformedSteps) {
  TestStep floats = step("gather");
  floats.input(dense(DType::kF32, {3})).input(dense(DType::kF32, {2})).output(dense(DType::kF32, {2}));
  EXPECT_EQ(floats.run().code(), Code::kCorrupt);
  TestStep shape = step("gather_elements");
  shape.input(dense(DType::kF32, {3, 3}))
      .input(dense(DType::kI64, {2, 4}))
      .output(dense(DType::kF32, {2, 4}));
  EXPECT_EQ(shape.run().code(), Code::kCorrupt);
  TestStep many = step("index");
  many.input(dense(DType::kF32, {3}))
      .input(dense(DType::kI64, {2}))
      .input(dense(DType::kI64, {2}))
      .output(dense(DType::kF32, {2}));
  EXPECT_EQ(many.run().code(), Code::kCorrupt);
  TestStep rows = step("gather_elements");  // a weight read by rows has no address
  rows.plan.weights.push_back({.name = "embedding", .shape = {3}, .use = WeightUse::kRows});
  StepTensor table = dense(DType::kF32, {3});
  table.weight = 0;
  rows.input(table).input(dense(DType::kI64, {2})).output(dense(DType::kF32, {2}));
  EXPECT_EQ(rows.run().code(), Code::kCorrupt);
}

}  // namespace
}  // namespace headrace::cpu
