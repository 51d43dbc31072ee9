#include "runtime/binding.h"

#include <gtest/gtest.h>

namespace headrace::runtime {
namespace {

Dim s(const char* name) { return Dim::symbol(name); }

InputSpec tensor(const char* name, Shape shape, DType dtype = DType::kF32) {
  InputSpec spec;
  spec.name = name;
  spec.shape = std::move(shape);
  spec.dtype = dtype;
  return spec;
}

InputSpec number(const char* name, const char* symbol) {
  InputSpec spec;
  spec.kind = InputKind::kNumber;
  spec.name = name;
  spec.symbol = symbol;
  return spec;
}

Tensor given(Sizes shape, DType dtype = DType::kF32) {
  static float memory[1];
  return Tensor::borrow(memory, dtype, std::move(shape));
}

Plan plan() {
  Plan plan;
  plan.symbols = {{"n", 1, 8, 200}, {"t", 1, 16, 512}};
  plan.inputs = {tensor("ids", {s("n"), s("t")}, DType::kI64), tensor("mask", {s("n"), Dim(2) * s("t") + 1})};
  plan.guards = {{s("n") * s("t"), Dim(4096), Relation::kLe}};
  return plan;
}

std::string error(const Plan& plan, std::vector<Tensor> inputs) {
  auto bound = bind_symbols(plan, inputs);
  if (bound.ok()) return "no error";
  EXPECT_EQ(bound.status().code(), Code::kInvalidArgument);
  return bound.status().message();
}

TEST(Binding, GivesEverySymbolItsValue) {
  auto bound = bind_symbols(plan(), std::vector{given({4, 10}, DType::kI64), given({4, 21})});
  ASSERT_TRUE(bound.ok()) << bound.status().message();
  EXPECT_EQ(bound->at("n"), 4);
  EXPECT_EQ(bound->at("t"), 10);
}

TEST(Binding, SolvesSizesThatAreLinear) {
  Plan only_mask = plan();
  only_mask.inputs = {tensor("x", {s("n") * Dim(3), s("n") + s("t")})};
  auto bound = bind_symbols(only_mask, std::vector{given({12, 20})});
  ASSERT_TRUE(bound.ok()) << bound.status().message();
  EXPECT_EQ(bound->at("n"), 4);
  EXPECT_EQ(bound->at("t"), 16);
  EXPECT_EQ(error(only_mask, {given({13, 20})}),
            "dimension 0 of input 'x' [13, 20] is 13, but must be 3 * n for a whole number n");
}

TEST(Binding, SaysWhatIsWrongWithACall) {
  const Plan p = plan();
  const Tensor ids = given({4, 10}, DType::kI64);
  EXPECT_EQ(error(p, {ids}), "the engine takes 2 inputs (ids, mask); 1 were given");
  EXPECT_EQ(error(p, {given({4, 10}), given({4, 21})}),
            "input 'ids' must be i64, but is f32; convert it before the call");
  EXPECT_EQ(error(p, {given({4}, DType::kI64), given({4, 21})}),
            "input 'ids' must have 2 dimensions [n, t], but has 1: [4]");
  EXPECT_EQ(error(p, {ids, given({5, 21})}),
            "dimension 0 of input 'mask' [5, 21] must be 4, but is 5 (n = 4 by dimension 0 of input 'ids' "
            "[4, 10])");
  EXPECT_EQ(
      error(p, {ids, given({4, 20})}),
      "dimension 1 of input 'mask' [4, 20] must be 2 * t + 1 = 21, but is 20 (t = 10 by dimension 1 of input "
      "'ids' [4, 10])");
  EXPECT_EQ(error(p, {given({300, 1}, DType::kI64), given({300, 3})}),
            "dimension 0 of input 'ids' [300, 1]: n is 300, outside the profile 1 to 200 that the engine was "
            "compiled for");
  EXPECT_EQ(error(p, {given({100, 100}, DType::kI64), given({100, 201})}),
            "the model requires n * t <= 4096, but with these inputs that is 10000 <= 4096");
  EXPECT_EQ(error(p, {Tensor::borrow(nullptr, DType::kI64, {4, 10}), given({4, 21})}),
            "input 'ids' has no data: an empty Tensor was given");
}

TEST(Binding, TakesNumbersAndConstants) {
  Plan p;
  p.symbols = {{"k", 0, 2, 9}};
  InputSpec constant;
  constant.kind = InputKind::kConstant;
  p.inputs = {number("k", "k"), constant, tensor("x", {s("k") + 1})};
  int64_t three = 3;
  const Tensor k = Tensor::borrow(&three, DType::kI64, {});
  auto bound = bind_symbols(p, std::vector{k, Tensor(), given({4})});
  ASSERT_TRUE(bound.ok()) << bound.status().message();
  EXPECT_EQ(bound->at("k"), 3);
  EXPECT_EQ(error(p, {given({}), Tensor(), given({4})}),
            "input 'k' is a whole number: give a tensor of dtype i64 and shape [], not f32 []");
  EXPECT_EQ(error(p, {k, Tensor(), given({5})}),
            "dimension 0 of input 'x' [5] must be k + 1 = 4, but is 5 (k = 3 by input 'k')");
}

TEST(Binding, RefusesAStaticSizeThatDiffers) {
  Plan p;
  p.inputs = {tensor("x", {Dim(1), Dim(784)})};
  EXPECT_EQ(error(p, {given({1, 785})}), "dimension 1 of input 'x' [1, 785] must be 784, but is 785");
}

}  // namespace
}  // namespace headrace::runtime
