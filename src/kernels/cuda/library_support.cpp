#include "kernels/cuda/library_support.h"

#include <algorithm>
#include <array>

namespace headrace::cuda {
namespace {

constexpr std::array<std::string_view, 3> kMatmulEpilogues = {"", "relu", "gelu_tanh"};

bool is_half(DType dtype) { return dtype == DType::kF16 || dtype == DType::kBF16; }
bool is_product_dtype(DType dtype) { return is_half(dtype) || dtype == DType::kF32; }

const PlanTensor* at(TensorPointers inputs, size_t index) {
  return index < inputs.size() ? inputs[index] : nullptr;
}
bool is_one(const Dim& dim) { return dim.is_constant() && dim.constant() == 1; }
bool is_zero(const Dim& dim) { return dim.is_constant() && dim.constant() == 0; }

// All present inputs, `needed` at least, are of the output's dtype.
bool same_dtypes(TensorPointers inputs, size_t needed, DType dtype) {
  for (size_t i = 0; i < std::max(inputs.size(), needed); ++i) {
    const PlanTensor* input = at(inputs, i);
    if (input ? input->dtype != dtype : i < needed) return false;
  }
  return true;
}

bool is_vector(const PlanTensor& tensor) {
  return tensor.shape.size() == 1 && (is_one(tensor.strides[0]) || is_one(tensor.shape[0]));
}

// The axis, -1 or -2 from the end, along which elements are neighbours; 0: neither, or rows share memory.
int unit_axis(const PlanTensor& tensor) {
  const size_t rank = tensor.shape.size();
  if (rank < 2) return 0;
  const Dim &rows = tensor.shape[rank - 2], &columns = tensor.shape[rank - 1];
  const Dim &row = tensor.strides[rank - 2], &column = tensor.strides[rank - 1];
  const auto steps = [](const Dim& stride, const Dim& size, const Dim& least) {
    if (is_one(size)) return true;
    if (is_zero(stride)) return false;
    return !stride.is_constant() || !least.is_constant() || stride.constant() >= least.constant();
  };
  if ((is_one(column) || is_one(columns)) && steps(row, rows, columns)) return -1;
  if ((is_one(row) || is_one(rows)) && steps(column, columns, rows)) return -2;
  return 0;
}

bool is_row_major(const PlanTensor& tensor) {
  const Shape dense = row_major_strides(std::span<const Dim>(tensor.shape));
  for (size_t i = 0; i < dense.size(); ++i)
    if (!is_one(tensor.shape[i]) && !(tensor.strides[i] == dense[i])) return false;
  return true;
}

// Whether it begins, and each of its rows or columns does, on 16 bytes.
bool lies_on_16_bytes(const PlanTensor& tensor) {
  const int64_t elements = 16 / dtype_size(tensor.dtype);
  const size_t rank = tensor.shape.size(), unit = rank - static_cast<size_t>(-unit_axis(tensor));
  if (!is_multiple(tensor.offset, elements)) return false;
  for (size_t i = 0; i < rank; ++i) {
    if (i != unit && !is_one(tensor.shape[i]) && !is_multiple(tensor.strides[i], elements)) return false;
  }
  return true;
}

// Whether every stride beside the last is a multiple of 16 bytes, none is 0, and the last is 1.
bool has_aligned_rows(const PlanTensor& tensor, bool broadcasts) {
  const int64_t elements = 16 / dtype_size(tensor.dtype);
  if (!is_multiple(tensor.offset, elements) || !is_one(tensor.strides.back())) return false;
  for (size_t i = 0; i + 1 < tensor.shape.size(); ++i) {
    if (is_one(tensor.shape[i])) continue;
    if (!broadcasts && is_zero(tensor.strides[i])) return false;
    if (!is_multiple(tensor.strides[i], elements)) return false;
  }
  return true;
}

bool takes_mask(const PlanTensor& mask, const PlanTensor& q, const PlanTensor& k) {
  const size_t rank = mask.shape.size();
  if (rank < 2 || rank > q.shape.size()) return false;
  // Both of the scores' dims are spelled out: cuDNN documents broadcasting over batch and heads alone.
  if (!(mask.shape[rank - 1] == k.shape.end()[-2]) || !(mask.shape[rank - 2] == q.shape.end()[-2]))
    return false;
  if (is_zero(mask.strides[rank - 2]) && !is_one(mask.shape[rank - 2])) return false;
  return has_aligned_rows(mask, true);
}

// Whether cuDNN has kernels that end a convolution with such a bias, residual and function: it is not asked
// before an engine runs, so this is what every version that we take is known to have.
bool ends_conv(const AttributeMap& attributes, TensorPointers inputs, const PlanTensor& output) {
  const std::string epilogue = attributes.text("epilogue");
  if (!attributes.flag("channels_last")) return !at(inputs, 2) && !at(inputs, 3) && epilogue.empty();
  if (!at(inputs, 3) && epilogue.empty()) return true;
  if (epilogue != "relu" || !at(inputs, 2) || attributes.integer("groups", 1) != 1) return false;
  return output.dtype == DType::kF32 ||
         (is_multiple(inputs[0]->shape.back(), 8) && is_multiple(output.shape.back(), 8));
}

}  // namespace

bool is_multiple(const Dim& dim, int64_t of) {
  if (dim.is_constant()) return dim.constant() % of == 0;
  const auto all = [&](const Dim& operand) { return is_multiple(operand, of); };
  switch (dim.kind()) {
    case Dim::Kind::kAdd:
    case Dim::Kind::kMin:
    case Dim::Kind::kMax: return std::ranges::all_of(dim.operands(), all);
    case Dim::Kind::kMul: return std::ranges::any_of(dim.operands(), all);
    default: return false;
  }
}

bool library_takes_matmul_epilogue(std::string_view name) {
  return std::ranges::find(kMatmulEpilogues, name) != kMatmulEpilogues.end();
}

bool library_takes_matmul(const AttributeMap& attributes, TensorPointers inputs, const PlanTensor& output) {
  if (!is_product_dtype(output.dtype) || !same_dtypes(inputs, 2, output.dtype)) return false;
  const std::string epilogue = attributes.text("epilogue");
  if (!library_takes_matmul_epilogue(epilogue)) return false;
  // cuBLASLt's tanh is an approximation that is good for 16 bits only.
  if (epilogue == "gelu_tanh" && !is_half(output.dtype)) return false;
  if (unit_axis(*inputs[0]) == 0 || unit_axis(*inputs[1]) == 0) return false;
  const PlanTensor *bias = at(inputs, 2), *residual = at(inputs, 3);
  const int axis = unit_axis(output);
  // The bias runs along the columns, which must be the neighbours in memory.
  if (axis == 0 || (bias && axis != -1)) return false;
  if (bias && !is_vector(*bias)) return false;
  if (!residual) return true;
  const size_t rank = residual->shape.size();
  return rank >= 2 && residual->shape[rank - 1] == output.shape.back() &&
         residual->shape[rank - 2] == output.shape.end()[-2] && unit_axis(*residual) == axis;
}

bool library_rounds_early(const AttributeMap& attributes, TensorPointers inputs, const PlanTensor& output) {
  if (!is_half(output.dtype)) return false;
  // Rounding before relu is rounding after it; a residual is added to the sum in every algorithm.
  if (!at(inputs, 2) && attributes.text("epilogue") != "gelu_tanh") return false;
  return !lies_on_16_bytes(*inputs[0]) || !lies_on_16_bytes(*inputs[1]) || !lies_on_16_bytes(output);
}

bool library_takes_conv(const AttributeMap& attributes, TensorPointers inputs, const PlanTensor& output) {
  if (!is_product_dtype(output.dtype) || !same_dtypes(inputs, 2, output.dtype)) return false;
  if (attributes.flag("transposed") || !ends_conv(attributes, inputs, output)) return false;
  if (attributes.flag("channels_last") != attributes.flag("weight_channels_last")) return false;
  if (attributes.integers("pad_low") != attributes.integers("pad_high")) return false;
  const PlanTensor &x = *inputs[0], &w = *inputs[1];
  const size_t rank = x.shape.size();
  if (rank < 3 || rank > 5 || w.shape.size() != rank || !is_static(w.shape)) return false;
  if (!is_row_major(x) || !is_row_major(w) || !is_row_major(output)) return false;
  const PlanTensor *bias = at(inputs, 2), *residual = at(inputs, 3);
  if (bias && !is_vector(*bias)) return false;
  return !residual || (residual->shape == output.shape && is_row_major(*residual));
}

bool library_takes_attention(const AttributeMap&, TensorPointers inputs, const PlanTensor& output, int sm) {
  if (!is_half(output.dtype) || !same_dtypes(inputs, 3, output.dtype)) return false;
  const PlanTensor &q = *inputs[0], &k = *inputs[1], &v = *inputs[2];
  const size_t rank = q.shape.size();
  if (rank < 3 || rank > 4) return false;
  const int64_t most = sm >= 90 ? 256 : 128;
  for (const PlanTensor* tensor : {&q, &k, &v, &output}) {
    const Dim& size = tensor->shape.back();
    if (!size.is_constant() || size.constant() > most || !is_multiple(size, 8)) return false;
    if (!tensor->shape[rank - 3].is_constant() || !has_aligned_rows(*tensor, false)) return false;
  }
  return !at(inputs, 3) || takes_mask(*inputs[3], q, k);
}

}  // namespace headrace::cuda
