#include "kernels/cpu/reduce_kernels.h"

#include <map>

#include "kernels/cpu/test_step.h"

namespace headrace::cpu {
namespace {

TestStep step(std::string kernel) { return TestStep(reduce_kernels(), std::move(kernel)); }

double fold(const std::string& kind, const std::vector<double>& values) {
  double sum = 0, product = 1, best = kind == "max" ? -INFINITY : INFINITY;
  bool any = false, all = true;
  for (const double v : values) {
    sum += v;
    product *= v;
    if (std::isnan(v) || (kind == "max" ? v > best : v < best)) best = std::isnan(best) ? best : v;
    any |= v != 0;
    all &= v != 0;
  }
  if (kind == "sum") return sum;
  if (kind == "mean") return sum / double(values.size());
  if (kind == "prod") return product;
  if (kind == "any") return any;
  if (kind == "all") return all;
  return best;
}

// Runs a reduction and compares it with folds in double.
void check(const std::string& kind, DType dtype, const Sizes& shape, const std::vector<int>& layout,
           const std::vector<int64_t>& axes, bool keepdim) {
  std::vector<bool> reduced(shape.size());
  for (const int64_t axis : axes) reduced[size_t(axis)] = true;
  Sizes result;
  for (size_t d = 0; d < shape.size(); ++d) {
    if (!reduced[d]) result.push_back(shape[d]);
    if (reduced[d] && keepdim) result.push_back(1);
  }
  TestStep reduce = step("reduce");
  const bool truth = kind == "any" || kind == "all";
  reduce.set("kind", kind).set("axes", axes).input(laid_out(dtype, shape, layout));
  reduce.output(dense(truth ? DType::kBool : dtype, result));
  reduce.fill_random(0, kind == "prod" ? 0.6 : truth ? -1.1 : -3, kind == "prod" ? 1.3 : 3);
  const Status status = reduce.run();
  ASSERT_TRUE(status.ok()) << status.message();
  std::map<Sizes, std::vector<double>> groups;
  for_each(shape, [&](const Sizes& x) {
    Sizes to;
    for (size_t d = 0; d < shape.size(); ++d) {
      if (!reduced[d]) to.push_back(x[d]);
      if (reduced[d] && keepdim) to.push_back(0);
    }
    groups[to].push_back(reduce.in(0, x));
  });
  reduce.expect(0, [&](const Sizes& at) {
    const double exact = fold(kind, groups[at]);
    return is_float(dtype) ? exact : std::trunc(exact);
  });
}

TEST(ReduceKernels, FoldAnyAxesOfAnyLayout) {
  const Sizes shape = {3, 8, 5, 6};
  for (const char* kind : {"sum", "mean", "max", "min", "prod", "any", "all"}) {
    for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF64, DType::kI32, DType::kI64}) {
      if (!is_float(dtype) && std::string(kind) == "mean") continue;
      for (const std::vector<int64_t>& axes :
           {std::vector<int64_t>{3}, {0}, {1}, {2, 3}, {0, 2}, {0, 1, 2, 3}, {}}) {
        check(kind, dtype, shape, {0, 1, 2, 3}, axes, axes.size() % 2 == 0);
        check(kind, dtype, shape, {0, 2, 3, 1}, axes, axes.size() % 2 == 1);
      }
    }
  }
}

TEST(ReduceKernels, FoldLongRowsAndColumns) {
  for (const DType dtype : {DType::kF32, DType::kF16}) {
    check("sum", dtype, {2, 2500}, {0, 1}, {1}, false);
    check("mean", dtype, {700, 300}, {0, 1}, {0}, false);
    check("max", dtype, {300, 513}, {0, 1}, {0}, true);
    check("max", dtype, {1, 1}, {0, 1}, {0}, true);
  }
  check("any", DType::kBool, {40, 30}, {0, 1}, {1}, false);
  check("sum", DType::kF32, {0, 4}, {0, 1}, {0}, false);
  check("mean", DType::kF32, {4, 0}, {0, 1}, {1}, false);
  check("sum", DType::kF32, {}, {}, {}, false);
}

TEST(ReduceKernels, SumAMillionFloatsToTheirLastDigits) {
  TestStep sum = step("reduce");
  sum.set("kind", std::string("sum"))
      .set("axes", std::vector<int64_t>{0})
      .input(dense(DType::kF32, {1 << 20}));
  sum.output(dense(DType::kF32, {})).fill(0, [](const Sizes&) { return 0.1; });
  ASSERT_TRUE(sum.run().ok());
  EXPECT_NEAR(sum.out(0, {}), double(0.1f) * (1 << 20), 0.02);
}

TEST(ReduceKernels, NanWinsInMaxAndMin) {
  for (const char* kind : {"max", "min"}) {
    for (const int64_t axis : {0, 1}) {
      TestStep reduce = step("reduce");
      reduce.set("kind", std::string(kind))
          .set("axes", std::vector<int64_t>{axis})
          .input(dense(DType::kF32, {70, 70}));
      reduce.output(dense(DType::kF32, {70}));
      reduce.fill(0, [&](const Sizes& at) {
        return at[size_t(1 - axis)] == 3 && at[size_t(axis)] == 41 ? std::nan("") : double(at[0] + at[1]);
      });
      ASSERT_TRUE(reduce.run().ok());
      reduce.expect(0, [&](const Sizes& at) {
        return at[0] == 3 ? std::nan("") : double(at[0] + (*kind == 'm' && kind[1] == 'a' ? 69 : 0));
      });
    }
  }
}

TEST(ReduceKernels, RefuseTheMaximumOfNothing) {
  TestStep reduce = step("reduce");
  reduce.set("kind", std::string("max"))
      .set("axes", std::vector<int64_t>{0})
      .input(dense(DType::kF32, {0, 2}))
      .output(dense(DType::kF32, {2}));
  EXPECT_EQ(reduce.run().message(), "'the step': the max of no elements; its input has sizes [0, 2]");
}

TEST(ReduceKernels, ArgReduceTakesTheFirstOfEqualsAndOfNans) {
  for (const char* kind : {"max", "min"}) {
    for (const DType dtype : {DType::kF32, DType::kBF16, DType::kI32}) {
      for (const int64_t axis : {0, 1, 2}) {
        const Sizes shape = {4, 300, 70};
        Sizes result = shape;
        result.erase(result.begin() + axis);
        TestStep arg = step("arg_reduce");
        arg.set("kind", std::string(kind))
            .set("axis", axis)
            .input(dense(dtype, shape))
            .output(dense(DType::kI64, result));
        arg.fill(0, [&](const Sizes& at) {
          if (dtype == DType::kF32 && at[0] == 2 && at[1] == 60 && at[2] > 60) return std::nan("");
          return double((at[0] * 7 + at[1] * 5 + at[2] * 3) % 11);
        });
        ASSERT_TRUE(arg.run().ok());
        arg.expect(0, [&](Sizes at) {
          at.insert(at.begin() + axis, 0);
          const auto a = size_t(axis);
          double best = arg.in(0, at);
          int64_t found = 0;
          for (at[a] = 0; at[a] < shape[a]; ++at[a]) {
            const double v = arg.in(0, at);
            const bool beats = (*kind == 'm' && kind[1] == 'a' ? v > best : v < best) ||
                               (std::isnan(v) && !std::isnan(best));
            if (beats) best = v, found = at[a];
          }
          return double(found);
        });
      }
    }
  }
}

TEST(ReduceKernels, CumsumAlongAnyAxis) {
  for (const DType dtype : {DType::kF32, DType::kF64, DType::kI64, DType::kI32}) {
    for (const int64_t axis : {0, 1, 2}) {
      TestStep scan = step("cumsum");
      const Sizes shape = {3, 290, 9};
      scan.set("axis", axis)
          .input(dense(dtype, shape))
          .output(laid_out(dtype, shape, {1, 0, 2}))
          .fill_random(0, -9, 9);
      ASSERT_TRUE(scan.run().ok());
      scan.expect(0, [&](const Sizes& at) {
        double sum = 0;
        Sizes from = at;
        for (from[size_t(axis)] = 0; from[size_t(axis)] <= at[size_t(axis)]; ++from[size_t(axis)])
          sum += scan.in(0, from);
        return sum;
      });
    }
  }
}

TEST(ReduceKernels, GiveTheSameBytesOnMoreThreads) {
  for (const int64_t axis : {0, 1}) {
    TestStep sum = step("reduce");
    sum.set("kind", std::string("sum"))
        .set("axes", std::vector<int64_t>{axis})
        .input(dense(DType::kF32, {900, 901}));
    sum.output(dense(DType::kF32, {axis == 0 ? 901 : 900})).fill_random(0, -1, 1);
    sum.expect_same_on_more_threads();
  }
}

TEST(ReduceKernels, RefuseMalformedSteps) {
  TestStep kind = step("reduce");
  kind.set("kind", std::string("median")).input(dense(DType::kF32, {2})).output(dense(DType::kF32, {2}));
  EXPECT_EQ(kind.run().code(), Code::kCorrupt);
  TestStep axis = step("reduce");
  axis.set("kind", std::string("sum"))
      .set("axes", std::vector<int64_t>{-1})
      .input(dense(DType::kF32, {2}))
      .output(dense(DType::kF32, {}));
  EXPECT_EQ(axis.run().code(), Code::kCorrupt);
  TestStep shape = step("reduce");
  shape.set("kind", std::string("sum"))
      .set("axes", std::vector<int64_t>{0})
      .input(dense(DType::kF32, {2, 3}))
      .output(dense(DType::kF32, {2}));
  EXPECT_EQ(shape.run().code(), Code::kCorrupt);
  TestStep output = step("arg_reduce");
  output.set("kind", std::string("max")).input(dense(DType::kF32, {2})).output(dense(DType::kI32, {}));
  EXPECT_EQ(output.run().code(), Code::kCorrupt);
}

}  // namespace
}  // namespace headrace::cpu
