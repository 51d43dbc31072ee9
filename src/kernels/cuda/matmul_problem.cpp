#include "kernels/cuda/matmul_problem.h"

#include <fmt/core.h>

#include <algorithm>

#include "core/pointwise.h"

namespace headrace::cuda {
namespace {

// One dim of the batch, with the strides of a, b, residual and out.
struct BatchDim {
  int64_t size = 1;
  int64_t a = 0, b = 0, residual = 0, out = 0;
};

struct Walk {
  int64_t rows, row_stride, columns, column_stride;
};
Walk walk_of(const StepTensor& tensor) {
  return {tensor.shape.end()[-2], tensor.strides.end()[-2], tensor.shape.back(), tensor.strides.back()};
}

bool by_rows(const Walk& w) {
  return (w.column_stride == 1 || w.columns == 1) && (w.row_stride >= w.columns || w.rows == 1);
}
bool by_columns(const Walk& w) {
  return (w.row_stride == 1 || w.rows == 1) && (w.column_stride >= w.rows || w.columns == 1);
}

// The operand [rows, columns] as a matrix by columns, transposed where it lies by rows.
std::optional<LtMatrix> matrix_of(const Walk& w) {
  LtMatrix matrix;
  if (by_rows(w)) {
    matrix = {w.columns, w.rows, w.rows == 1 ? std::max<int64_t>(w.columns, 1) : w.row_stride, 0, true};
  } else if (by_columns(w)) {
    matrix = {w.rows, w.columns, w.columns == 1 ? std::max<int64_t>(w.rows, 1) : w.column_stride, 0, false};
  } else {
    return std::nullopt;
  }
  return matrix;
}

LtMatrix transposed(LtMatrix matrix) {
  matrix.transposed = !matrix.transposed;
  return matrix;
}

// As a result must lie: by columns, untransposed.
std::optional<LtMatrix> result_of(const Walk& w, bool swapped) {
  const Walk put = swapped ? Walk{w.columns, w.column_stride, w.rows, w.row_stride} : w;
  if (!by_columns(put)) return std::nullopt;
  return LtMatrix{put.rows, put.columns,
                  put.columns == 1 ? std::max<int64_t>(put.rows, 1) : put.column_stride, 0, false};
}

// The batch without sizes of 1, and with neighbours joined where every operand walks them as one.
std::vector<BatchDim> batch_dims(const MatmulForm& form) {
  std::vector<BatchDim> dims;
  for (size_t i = 0; i < form.batch.size(); ++i) {
    if (form.batch[i] == 1) continue;
    const BatchDim inner = {form.batch[i], form.a.strides[i], form.b.strides[i],
                            form.residual ? form.residual->strides[i] : 0, form.out.strides[i]};
    const auto joins = [&](int64_t BatchDim::*stride) {
      return dims.back().*stride == inner.*stride * inner.size;
    };
    if (!dims.empty() && joins(&BatchDim::a) && joins(&BatchDim::b) && joins(&BatchDim::residual) &&
        joins(&BatchDim::out)) {
      const int64_t size = dims.back().size * inner.size;
      dims.back() = inner;
      dims.back().size = size;
    } else {
      dims.push_back(inner);
    }
  }
  return dims;
}

// Whether result and residual lie as that way of putting it needs.
bool results_fit(const MatmulForm& form, bool swapped) {
  return result_of(walk_of(form.out), swapped) &&
         (!form.residual || result_of(walk_of(*form.residual), swapped));
}

// Makes the innermost batch dim more rows of a, where b is the same all along it and all stay matrices.
bool fold_rows(const BatchDim& dim, bool swapped, MatmulForm& form) {
  if (dim.b != 0) return false;
  MatmulForm folded = form;
  folded.m *= dim.size;
  const auto fold = [&](StepTensor& tensor, int64_t stride) {
    const bool continues = form.m == 1 || stride == tensor.strides.end()[-2] * form.m;
    if (form.m == 1) tensor.strides.end()[-2] = stride;
    tensor.shape.end()[-2] = folded.m;
    return continues;
  };
  if (!fold(folded.a, dim.a) || !fold(folded.out, dim.out)) return false;
  if (folded.residual && !fold(*folded.residual, dim.residual)) return false;
  if (!matrix_of(walk_of(folded.a)) || !results_fit(folded, swapped)) return false;
  form = std::move(folded);
  return true;
}

// Bias and residual still count where there is nothing to sum.
void put_zeros(MatmulProblem& problem) {
  problem.zeros = true;
  problem.k = 1;
  problem.matrices[kFirst] = {problem.m, 1, problem.m, 0, false};
  problem.matrices[kSecond] = {1, problem.n, 1, 0, false};
  for (const LtOperand operand : {kFirst, kSecond})
    std::ranges::fill(problem.outer_strides[operand], int64_t{0});
}

}  // namespace

int64_t MatmulProblem::shift(LtOperand operand, int64_t index) const {
  int64_t shift = 0;
  for (size_t i = outer.size(); i-- > 0; index /= outer[i])
    shift += index % outer[i] * outer_strides[operand][i];
  return shift;
}

std::string MatmulProblem::key() const {
  std::string text = fmt::format("matmul {}{}{} {}x{}x{} batch {} {}{}{}", dtype_name(dtype),
                                 tf32 ? " tf32" : "", result != dtype ? " to f32" : "", m, n, k, batch,
                                 epilogue ? std::string(info(*epilogue).name) : "plain", bias ? " bias" : "",
                                 residual ? " residual" : "");
  for (const LtMatrix& matrix : matrices)
    text += fmt::format(" {}{}/{}", matrix.transposed ? "t" : "n", matrix.ld, matrix.batch_stride);
  return text;
}

std::optional<MatmulProblem> MatmulProblem::make(const MatmulForm& step, bool tf32) {
  MatmulForm form = step;
  MatmulProblem problem;
  problem.dtype = form.dtype;
  problem.result = form.out.dtype;
  problem.epilogue = form.epilogue;
  problem.bias = form.bias.has_value();
  problem.residual = form.residual.has_value();
  problem.tf32 = tf32 && form.dtype == DType::kF32;
  const bool swapped = results_fit(form, true);
  if (!swapped && (form.bias || !results_fit(form, false))) return std::nullopt;
  problem.swapped = swapped;
  std::vector<BatchDim> dims = batch_dims(form);
  while (!dims.empty() && fold_rows(dims.back(), swapped, form)) dims.pop_back();
  const auto a = matrix_of(walk_of(form.a)), b = matrix_of(walk_of(form.b));
  if (!a || !b) return std::nullopt;
  problem.matrices[kFirst] = swapped ? transposed(*b) : *a;
  problem.matrices[kSecond] = swapped ? transposed(*a) : *b;
  problem.matrices[kResult] = *result_of(walk_of(form.out), swapped);
  problem.matrices[kAddend] = *result_of(walk_of(form.residual ? *form.residual : form.out), swapped);
  problem.m = swapped ? form.n : form.m;
  problem.n = swapped ? form.m : form.n;
  problem.k = form.k;

  // The largest dim is cuBLASLt's own batch; each place of the others is a call.
  const auto largest = std::ranges::max_element(dims, {}, &BatchDim::size);
  for (auto dim = dims.begin(); dim != dims.end(); ++dim) {
    const int64_t strides[kLtOperands] = {problem.swapped ? dim->b : dim->a,
                                          problem.swapped ? dim->a : dim->b,
                                          form.residual ? dim->residual : dim->out, dim->out};
    if (dim == largest)
      problem.batch = dim->size;
    else
      problem.outer.push_back(dim->size);
    for (size_t i = 0; i < kLtOperands; ++i) {
      if (dim == largest)
        problem.matrices[i].batch_stride = strides[i];
      else
        problem.outer_strides[i].push_back(strides[i]);
    }
  }
  if (form.k == 0) put_zeros(problem);
  return problem;
}

}  // namespace headrace::cuda
