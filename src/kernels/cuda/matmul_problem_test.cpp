#include "kernels/cuda/matmul_problem.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>

#include "core/error.h"

namespace headrace::cuda {
namespace {

// A tensor of `shape` whose dims lie in the order of `perm`, outermost first.
StepTensor laid_out(const Sizes& shape, const std::vector<size_t>& perm) {
  StepTensor tensor;
  tensor.shape = shape;
  tensor.strides.resize(shape.size());
  int64_t stride = 1;
  for (size_t i = perm.size(); i-- > 0; stride *= shape[perm[i]]) tensor.strides[perm[i]] = stride;
  return tensor;
}
StepTensor dense(const Sizes& shape) {
  std::vector<size_t> order(shape.size());
  std::iota(order.begin(), order.end(), 0);
  return laid_out(shape, order);
}

int64_t extent(const StepTensor& tensor) {
  int64_t last = 0;
  for (size_t i = 0; i < tensor.shape.size(); ++i) last += (tensor.shape[i] - 1) * tensor.strides[i];
  return last + 1;
}

MatmulForm form_of(Sizes batch, int64_t m, int64_t k, int64_t n) {
  MatmulForm form;
  form.batch = std::move(batch);
  form.m = m;
  form.k = k;
  form.n = n;
  return form;
}
Sizes with(Sizes batch, int64_t rows, int64_t columns) {
  batch.push_back(rows);
  batch.push_back(columns);
  return batch;
}

// Memory that a product is computed in.
struct Memory {
  std::vector<double> a, b, residual, bias, out;
};

// As cuBLASLt does it, from the problem alone.
void run(const MatmulProblem& problem, const MatmulForm& form, Memory& memory) {
  const std::vector<double>& first = problem.swapped ? memory.b : memory.a;
  const std::vector<double>& second = problem.swapped ? memory.a : memory.b;
  const auto element = [&](const std::vector<double>& data, LtOperand operand, int64_t call, int64_t batch,
                           int64_t row, int64_t column) {
    const LtMatrix& matrix = problem.matrices[operand];
    if (matrix.transposed) std::swap(row, column);
    EXPECT_LT(row, matrix.rows);
    EXPECT_LT(column, matrix.columns);
    EXPECT_GE(matrix.ld, matrix.rows);
    return data.at(static_cast<size_t>(problem.shift(operand, call) + batch * matrix.batch_stride + row +
                                       column * matrix.ld));
  };
  for (int64_t call = 0; call < problem.calls(); ++call)
    for (int64_t batch = 0; batch < problem.batch; ++batch)
      for (int64_t row = 0; row < problem.m; ++row)
        for (int64_t column = 0; column < problem.n; ++column) {
          double sum = problem.bias ? memory.bias.at(static_cast<size_t>(row)) : 0;
          for (int64_t k = 0; k < problem.k && !problem.zeros; ++k)
            sum += element(first, kFirst, call, batch, row, k) *
                   element(second, kSecond, call, batch, k, column);
          if (form.residual) sum += element(memory.residual, kAddend, call, batch, row, column);
          const LtMatrix& to = problem.matrices[kResult];
          memory.out.at(static_cast<size_t>(problem.shift(kResult, call) + batch * to.batch_stride + row +
                                            column * to.ld)) = sum;
        }
}

double at(const std::vector<double>& data, const StepTensor& tensor, const Sizes& place) {
  int64_t position = 0;
  for (size_t i = 0; i < place.size(); ++i) position += place[i] * tensor.strides[i];
  return data.at(static_cast<size_t>(position));
}

// By the op's definition; compared with what the problem gives.
void expect_product(const MatmulForm& form) {
  const std::optional<MatmulProblem> problem = MatmulProblem::make(form, false);
  ASSERT_TRUE(problem.has_value());
  Memory memory;
  int64_t next = 0;
  const auto fill = [&](std::vector<double>& data, int64_t size) {
    data.resize(static_cast<size_t>(std::max<int64_t>(size, 0)));
    for (double& value : data) value = static_cast<double>(++next * 7 % 23 - 11);
  };
  fill(memory.a, extent(form.a));
  fill(memory.b, extent(form.b));
  if (form.residual) fill(memory.residual, extent(*form.residual));
  if (form.bias) fill(memory.bias, form.n);
  memory.out.assign(static_cast<size_t>(extent(form.out)), -1e9);
  run(*problem, form, memory);

  Sizes place(form.out.shape.size(), 0);
  for (int64_t left = element_count(form.out.shape); left > 0; --left) {
    double want = form.bias ? memory.bias[static_cast<size_t>(place.back())] : 0;
    for (int64_t k = 0; k < form.k; ++k) {
      Sizes in_a = place, in_b = place;
      in_a.back() = k;
      in_b.end()[-2] = k;
      want += at(memory.a, form.a, in_a) * at(memory.b, form.b, in_b);
    }
    if (form.residual) want += at(memory.residual, *form.residual, place);
    EXPECT_EQ(at(memory.out, form.out, place), want) << to_text(place);
    for (size_t d = place.size(); d-- > 0 && ++place[d] == form.out.shape[d];) place[d] = 0;
  }
}

TEST(MatmulProblem, PutsARowMajorProductAsItsTranspose) {
  MatmulForm form = form_of({}, 3, 4, 5);
  form.a = dense({3, 4});
  form.b = dense({4, 5});
  form.out = dense({3, 5});
  const auto problem = MatmulProblem::make(form, false);
  ASSERT_TRUE(problem.has_value());
  EXPECT_TRUE(problem->swapped);
  EXPECT_EQ(problem->m, 5);
  EXPECT_EQ(problem->n, 3);
  EXPECT_EQ(problem->matrices[kFirst], (LtMatrix{5, 4, 5, 0, false}));
  EXPECT_EQ(problem->matrices[kSecond], (LtMatrix{4, 3, 4, 0, false}));
  EXPECT_EQ(problem->matrices[kResult], (LtMatrix{5, 3, 5, 0, false}));
}

TEST(MatmulProblem, MakesABatchOverOneWeightMoreRows) {
  MatmulForm form = form_of({6, 7}, 3, 4, 5);
  form.a = dense({6, 7, 3, 4});
  form.b = dense({1, 1, 4, 5});
  form.b.shape = {6, 7, 4, 5};
  form.b.strides = {0, 0, 5, 1};
  form.out = dense({6, 7, 3, 5});
  form.residual = form.out;
  const auto problem = MatmulProblem::make(form, false);
  ASSERT_TRUE(problem.has_value());
  EXPECT_EQ(problem->batch, 1);
  EXPECT_EQ(problem->calls(), 1);
  EXPECT_EQ(problem->n, 6 * 7 * 3);
  expect_product(form);
}

TEST(MatmulProblem, WalksABatchThatDoesNotJoinByCalls) {
  // Heads beside each other: [2, 3, 4, 5] over memory [2, 4, 3, 5].
  MatmulForm form = form_of({2, 3}, 4, 5, 4);
  form.a = laid_out({2, 3, 4, 5}, {0, 2, 1, 3});
  form.b = laid_out({2, 3, 5, 4}, {0, 3, 1, 2});
  form.out = dense({2, 3, 4, 4});
  const auto problem = MatmulProblem::make(form, false);
  ASSERT_TRUE(problem.has_value());
  EXPECT_EQ(problem->batch, 3);
  EXPECT_EQ(problem->calls(), 2);
  expect_product(form);
}

TEST(MatmulProblem, AddsBiasAndResidualWhereThereIsNothingToSum) {
  MatmulForm form = form_of({2}, 3, 0, 4);
  form.a = dense({2, 3, 0});
  form.b = dense({2, 0, 4});
  form.out = dense({2, 3, 4});
  form.residual = form.out;
  form.bias = dense({4});
  expect_product(form);
}

TEST(MatmulProblem, RefusesWhatIsNoMatrix) {
  MatmulForm form = form_of({}, 3, 4, 5);
  form.a = dense({3, 4});
  form.b = dense({4, 5});
  form.out = dense({3, 5});
  MatmulForm gaps = form, overlapping = form, broadcast = form, biased = form;
  gaps.a.strides = {8, 2};
  EXPECT_FALSE(MatmulProblem::make(gaps, false).has_value());
  overlapping.b.strides = {2, 1};
  EXPECT_FALSE(MatmulProblem::make(overlapping, false).has_value());
  broadcast.residual = form.out;
  broadcast.residual->strides = {0, 1};
  EXPECT_FALSE(MatmulProblem::make(broadcast, false).has_value());
  biased.out = laid_out({3, 5}, {1, 0});
  EXPECT_TRUE(MatmulProblem::make(biased, false).has_value());
  biased.bias = dense({5});
  EXPECT_FALSE(MatmulProblem::make(biased, false).has_value());
}

// Layouts in which one of the last two dims is innermost, in every order of the rest.
TEST(MatmulProblem, GivesTheProductWhateverTheStrides) {
  std::mt19937 random(4);
  const auto pick = [&](std::initializer_list<int64_t> of) { return of.begin()[random() % of.size()]; };
  const auto layout = [&](const Sizes& shape) {
    std::vector<size_t> order(shape.size());
    std::iota(order.begin(), order.end(), 0);
    std::shuffle(order.begin(), order.end(), random);
    // The innermost is one of the matrix's two.
    const size_t last = shape.size() - 1 - random() % 2;
    std::erase(order, last);
    order.push_back(last);
    StepTensor tensor = laid_out(shape, order);
    if (random() % 3 == 0)  // a window of something wider
      for (size_t i = 0; i < shape.size(); ++i) tensor.strides[i] *= i == last ? 1 : 3;
    return tensor;
  };
  for (int round = 0; round < 3000; ++round) {
    SCOPED_TRACE(round);
    Sizes batch;
    for (int64_t rank = pick({0, 1, 2, 3}); rank > 0; --rank) batch.push_back(pick({1, 2, 3}));
    MatmulForm form = form_of(batch, pick({1, 2, 5}), pick({0, 1, 3}), pick({1, 2, 4}));
    form.a = layout(with(batch, form.m, form.k));
    form.b = layout(with(batch, form.k, form.n));
    form.out = layout(with(batch, form.m, form.n));
    if (random() % 2 == 0) form.residual = form.out;
    for (StepTensor* operand : {&form.a, &form.b, form.residual ? &*form.residual : &form.a})
      for (size_t i = 0; i < batch.size(); ++i)
        if (random() % 3 == 0) operand->strides[i] = 0;
    const bool by_rows = form.out.strides.back() == 1 || form.n == 1;
    if (by_rows && random() % 2 == 0) form.bias = dense({form.n});
    expect_product(form);
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace headrace::cuda
