#include <cmath>

#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/packing.h"
#include "kernels/cpu/test_step.h"
#include "kernels/cpu/tile_functions.h"

namespace headrace::cpu {
namespace {

std::string text(const Sizes& sizes) { return to_text(sizes); }

// What a step should give: epilogue(a·b + bias + residual), from its tensors as they lie.
class Product {
 public:
  Product(TestStep& step, bool transposed) : step_(step), transposed_(transposed) {}

  double at(const Sizes& place) {
    const auto& inputs = step_.shapes_.inputs;
    const Sizes& a = inputs[0]->shape;
    double sum = 0;
    for (int64_t k = 0; k < a.back(); ++k) {
      Sizes left = place, right = place;
      left.back() = k;
      right.end()[transposed_ ? -1 : -2] = k;
      if (transposed_) right.end()[-2] = place.back();
      sum += broadcast(0, left) * broadcast(1, right);
    }
    if (inputs.size() > 2 && inputs[2]) sum += step_.in(2, {place.back()});
    if (inputs.size() > 3 && inputs[3]) sum += broadcast(3, place);
    return sum;
  }

 private:
  // The element that broadcasting puts at `place`.
  double broadcast(size_t input, const Sizes& place) {
    const Sizes& shape = step_.shapes_.inputs[input]->shape;
    Sizes at(place.end() - static_cast<int64_t>(shape.size()), place.end());
    for (size_t i = 0; i < at.size(); ++i)
      if (shape[i] == 1) at[i] = 0;
    return step_.in(input, at);
  }
  TestStep& step_;
  bool transposed_;
};

double slack(int64_t k) { return 4 + std::sqrt(static_cast<double>(k)); }

struct Case {
  Sizes a, b;
  bool transposed = false;
  std::optional<Sizes> residual;
  bool bias = false;
};

const Case kCases[] = {
    {{2, 3}, {3, 4}},
    {{1, 1}, {1, 1}},
    {{5, 64}, {64, 48}, false, Sizes{5, 48}, true},
    {{7, 33}, {19, 33}, true, {}, true},
    {{2, 3, 4}, {4, 5}, false, Sizes{2, 3, 5}},
    {{2, 3, 4}, {2, 4, 5}, false, Sizes{5}, true},
    {{3, 4, 5, 6}, {3, 4, 7, 6}, true},
    {{7, 1, 2, 3}, {5, 3, 4}},
    {{4, 3}, {6, 3, 2}, false, Sizes{6, 1, 2}},
    {{2, 1, 4, 3}, {1, 3, 3, 2}, false, Sizes{4, 2}},
    {{130, 70}, {70, 129}, false, Sizes{130, 129}, true},
};

// The shape that a case's product has.
Sizes result(const Case& test) {
  Sizes lead_a(test.a.begin(), test.a.end() - 2), lead_b(test.b.begin(), test.b.end() - 2);
  Sizes shape = *evaluate(*broadcast(to_shape(lead_a), to_shape(lead_b)), {});
  shape.push_back(test.a.end()[-2]);
  shape.push_back(test.transposed ? test.b.end()[-2] : test.b.back());
  return shape;
}

TestStep make_step(const Case& test, DType dtype) {
  TestStep step(product_kernels(), "matmul");
  step.set("transpose_b", test.transposed).input(dense(dtype, test.a)).input(dense(dtype, test.b));
  const Sizes y = result(test);
  step.input(test.bias ? std::optional(dense(dtype, {y.back()})) : std::nullopt);
  step.input(test.residual ? std::optional(dense(dtype, *test.residual)) : std::nullopt);
  for (size_t i = 0; i < 4; ++i) {
    if (!step.shapes_.inputs[i]) continue;
    if (is_float(dtype)) {
      step.fill_random(i, -1, 1);
    } else {
      step.fill(i, [i](const Sizes& at) {
        return static_cast<double>((at.back() * 7 + at[0] * 3 + static_cast<int64_t>(i)) % 11 - 5);
      });
    }
  }
  step.output(dense(dtype, y));
  return step;
}

TEST(MatmulKernel, AgreesWithPlainLoopsInEveryDtype) {
  for (const Case& test : kCases)
    for (const DType dtype :
         {DType::kF32, DType::kBF16, DType::kF16, DType::kF64, DType::kI64, DType::kI32}) {
      SCOPED_TRACE(text(test.a) + " x " + text(test.b) + " " + std::string(dtype_name(dtype)));
      TestStep step = make_step(test, dtype);
      const Status status = step.run(2);
      ASSERT_TRUE(status.ok()) << status.message();
      Product want(step, test.transposed);
      step.expect(
          0, [&](const Sizes& at) { return want.at(at); }, slack(test.a.back()));
    }
}

TEST(MatmulKernel, AppliesEveryEpilogueAfterBiasAndResidual) {
  const Case test = {{9, 24}, {24, 17}, false, Sizes{9, 17}, true};
  for (const std::string& name : product_epilogues()) {
    for (const DType dtype : {DType::kF32, DType::kBF16}) {
      SCOPED_TRACE(name);
      TestStep plain = make_step(test, dtype), step = make_step(test, dtype);
      step.set("epilogue", name);
      ASSERT_TRUE(step.run(2).ok());
      Product sums(plain, false);
      const auto function = find_pointwise(name)->function;
      const auto apply = tile_functions().function[static_cast<size_t>(function)][0];
      step.expect(
          0,
          [&](const Sizes& at) {
            auto value = static_cast<float>(sums.at(at));
            const void* const operands[] = {&value};
            apply(operands, &value, 1);
            return value;
          },
          60);
    }
  }
}

TEST(MatmulKernel, AppliesFunctionsThatOneDnnLacks) {
  for (const DType dtype : {DType::kF32, DType::kF64}) {
    TestStep step = make_step({{4, 6}, {6, 5}}, dtype);
    step.set("epilogue", std::string("sin"));
    ASSERT_TRUE(step.run(2).ok());
    Product sums(step, false);
    step.expect(
        0, [&](const Sizes& at) { return std::sin(sums.at(at)); }, 20);
  }
}

TEST(MatmulKernel, SumsNothingToBiasAndResidual) {
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kI64}) {
    TestStep step = make_step({{3, 0}, {0, 4}, false, Sizes{3, 4}, true}, dtype);
    ASSERT_TRUE(step.run(2).ok());
    Product want(step, false);
    step.expect(0, [&](const Sizes& at) { return want.at(at); });
  }
}

// Operands and results in every order of their dims, and in windows of wider tensors.
TEST(MatmulKernel, TakesAnyStrides) {
  const Sizes a = {2, 3, 5, 8}, b = {2, 3, 8, 6}, y = {2, 3, 5, 6};
  const std::vector<int> orders[] = {{0, 1, 2, 3}, {0, 2, 1, 3}, {1, 0, 3, 2}, {0, 1, 3, 2}, {3, 2, 1, 0}};
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16})
    for (const auto& order_a : orders)
      for (const auto& order_b : orders)
        for (const auto& order_y : orders) {
          TestStep step(product_kernels(), "matmul");
          step.input(laid_out(dtype, a, order_a)).input(laid_out(dtype, b, order_b)).input(std::nullopt);
          step.input(dense(dtype, y)).output(laid_out(dtype, y, order_y));
          for (const size_t i : {0, 1, 3}) step.fill_random(i, -1, 1);
          const Status status = step.run(2);
          ASSERT_TRUE(status.ok()) << status.message();
          Product want(step, false);
          step.expect(
              0, [&](const Sizes& at) { return want.at(at); }, slack(8));
        }
}

TEST(MatmulKernel, WritesAWindowAndNothingBesideIt) {
  TestStep step(product_kernels(), "matmul");
  StepTensor window = dense(DType::kF32, {4, 10});
  window.shape = {4, 3};
  window.offset = 5;
  StepTensor a = dense(DType::kF32, {4, 12});
  a.shape = {4, 6};
  a.offset = 6;
  step.input(a).input(dense(DType::kF32, {6, 3})).output(window);
  step.fill_random(0, -1, 1).fill_random(1, -1, 1);
  ASSERT_TRUE(step.run(2).ok());
  Product want(step, false);
  step.expect(
      0, [&](const Sizes& at) { return want.at(at); }, slack(6));
  const StepTensor whole = [&] {
    StepTensor tensor = step.output_tensor(0);
    tensor.offset = 0;
    return tensor;
  }();
  for (const int64_t i : {0, 4, 8, 14, 18, 34})
    EXPECT_EQ(load_element(whole.dtype, step.output_bytes(0).data() + i * 4), 0) << i;
}

// --- Packed weights.

// Packs input `i` of `step`, a weight of sizes `shape`, filled at random; returns its values.
std::vector<float> add_packed(TestStep& step, DType dtype, const Sizes& shape, AttributeMap attributes) {
  RecipeStep pack;
  pack.op = RecipeOp::kPack;
  pack.dtype = dtype;
  pack.shape = shape;
  pack.attributes = std::move(attributes);
  const Status chosen = make_packer()->choose(pack).status();
  EXPECT_TRUE(chosen.ok()) << chosen.message();
  const auto packer = make_packer();
  const Bytes size = packer->packed_size(pack).value();
  std::mt19937 random(3);
  std::uniform_real_distribution<float> uniform(-1, 1);
  std::vector<float> values;
  std::vector<std::byte> plain(static_cast<size_t>(element_count(shape) * dtype_size(dtype)));
  for (int64_t i = 0; i < element_count(shape); ++i) {
    store_element(dtype, uniform(random), plain.data() + i * dtype_size(dtype));
    values.push_back(static_cast<float>(load_element(dtype, plain.data() + i * dtype_size(dtype))));
  }
  Weight weight;
  weight.recipe = {pack};
  step.plan.weights = {weight};
  StepTensor tensor = dense(DType::kU8, {size.count});
  tensor.weight = 0;
  step.input(tensor);
  auto& bytes = step.buffers.back().bytes;
  const Status packed = packer->pack(pack, plain, bytes);
  EXPECT_TRUE(packed.ok()) << packed.message();
  return values;
}

TEST(MatmulKernel, AgreesOnAPackedWeightAtAnyNumberOfRows) {
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16})
    for (const bool transposed : {false, true})
      for (const auto& [k, n] : {std::pair<int64_t, int64_t>{64, 64}, {37, 129}, {1, 5}, {200, 1}})
        for (const int64_t rows : {1, 3, 128})
          for (const bool strided : {false, true}) {
            SCOPED_TRACE(fmt::format("{} {} x {} transposed {} rows {} strided {}", dtype_name(dtype), k, n,
                                     transposed, rows, strided));
            TestStep step(product_kernels(), "matmul");
            const auto wide = [&](int64_t columns) {
              StepTensor tensor = dense(dtype, {rows, columns + (strided ? 3 : 0)});
              tensor.shape[1] = columns;
              return tensor;
            };
            step.input(wide(k));
            const auto w = add_packed(step, dtype, transposed ? Sizes{n, k} : Sizes{k, n},
                                      matmul_packing(16, transposed));
            step.input(dense(dtype, {n})).input(dense(dtype, {rows, n})).output(wide(n));
            for (const size_t i : {0, 2, 3}) step.fill_random(i, -1, 1);
            const Status status = step.run(2);
            ASSERT_TRUE(status.ok()) << status.message();
            step.expect(
                0,
                [&](const Sizes& at) {
                  double sum = step.in(2, {at[1]}) + step.in(3, at);
                  for (int64_t i = 0; i < k; ++i)
                    sum += step.in(0, {at[0], i}) *
                           w[static_cast<size_t>(transposed ? at[1] * k + i : i * n + at[1])];
                  return sum;
                },
                slack(k));
          }
}

TEST(MatmulKernel, TakesNoWeightOfAnotherLayout) {
  TestStep step(product_kernels(), "matmul");
  step.input(dense(DType::kF32, {2, 8}));
  add_packed(step, DType::kF32, {8, 4}, matmul_packing(2, false));
  step.output(dense(DType::kF32, {2, 4}));
  step.plan.weights[0].recipe.back().attributes.set("blocks", std::string("of another machine"));
  const Status status = step.run();
  EXPECT_EQ(status.code(), Code::kIncompatible);
  EXPECT_NE(status.message().find("compile the model again"), std::string::npos) << status.message();
}

TEST(MatmulKernel, RefusesMalformedSteps) {
  const auto code = [](TestStep step) { return step.run().code(); };
  const auto f32 = [](const Sizes& shape) { return dense(DType::kF32, shape); };
  const auto step = [] { return TestStep(product_kernels(), "matmul"); };
  EXPECT_EQ(code(step().input(f32({2, 3})).output(f32({2, 3}))), Code::kCorrupt);
  EXPECT_EQ(code(step().input(f32({2, 3})).input(f32({4, 5})).output(f32({2, 5}))), Code::kCorrupt);
  EXPECT_EQ(code(step().input(f32({2, 3})).input(f32({3, 5})).output(f32({2, 4}))), Code::kCorrupt);
  EXPECT_EQ(code(step().input(f32({3})).input(f32({3, 5})).output(f32({1, 5}))), Code::kCorrupt);
  EXPECT_EQ(code(step().input(f32({2, 3})).input(dense(DType::kBF16, {3, 5})).output(f32({2, 5}))),
            Code::kCorrupt);
  EXPECT_EQ(code(step().input(f32({2, 3})).input(f32({3, 5})).input(f32({4})).output(f32({2, 5}))),
            Code::kCorrupt);
  EXPECT_EQ(code(step()
                     .input(f32({2, 3}))
                     .input(f32({3, 5}))
                     .output(f32({2, 5}))
                     .set("epilogue", std::string("add"))),
            Code::kCorrupt);
}

}  // namespace
}  // namespace headrace::cpu
