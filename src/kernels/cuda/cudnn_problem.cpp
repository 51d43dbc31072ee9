#include "kernels/cuda/cudnn_problem.h"

#include <fmt/core.h>

#include <algorithm>

namespace headrace::cuda {
namespace {

bool is_product_dtype(DType dtype) {
  return dtype == DType::kF16 || dtype == DType::kBF16 || dtype == DType::kF32;
}

// Whether the strides are those of dense memory; those of sizes of 1 say nothing.
bool lies_as(const StepTensor& tensor, const Sizes& dense) {
  for (size_t i = 0; i < dense.size(); ++i)
    if (tensor.shape[i] != 1 && tensor.strides[i] != dense[i]) return false;
  return true;
}

// A dense tensor; two spatial dims at least.
std::optional<CudnnTensor> dense_tensor(const StepTensor& tensor, bool channels_last) {
  CudnnTensor made = {tensor.dtype, tensor.shape, conv_strides(tensor.shape, channels_last)};
  if (!lies_as(tensor, made.strides)) return std::nullopt;
  if (made.dims.size() == 3) {
    made.dims.insert(made.dims.begin() + 2, 1);
    made.strides = conv_strides(made.dims, channels_last);
  }
  return made;
}

// A list of the attributes, one number a spatial dim, of which there are two at least.
Sizes spatial(Sizes list, int64_t fallback) {
  if (list.size() == 1) list.insert(list.begin(), fallback);
  return list;
}

// The weight as [O, C/groups, k..].
StepTensor plain_weight(const ConvForm& form) {
  StepTensor weight = form.weight;
  if (form.shape.groups == 1) return weight;
  weight.shape[1] *= weight.shape[0];
  weight.shape.erase(weight.shape.begin());
  weight.strides.erase(weight.strides.begin());
  return weight;
}

// [B, H, rows, columns], with strides for sizes of 1 that keep the rows' alignment.
CudnnTensor attention_tensor(const StepTensor& tensor) {
  CudnnTensor made = {tensor.dtype, tensor.shape, tensor.strides};
  if (made.dims.size() == 3) {
    made.dims.insert(made.dims.begin(), 1);
    made.strides.insert(made.strides.begin(), 0);
  }
  int64_t extent = 1;
  for (size_t i = 0; i < made.dims.size(); ++i)
    if (made.dims[i] > 1) extent = std::max(extent, made.dims[i] * made.strides[i]);
  const int64_t aligned = (extent + 7) / 8 * 8;
  for (size_t i = 0; i < made.dims.size(); ++i)
    if (made.dims[i] == 1) made.strides[i] = i + 1 == made.dims.size() ? 1 : aligned;
  return made;
}

// Sizes of 1 where it is broadcast.
CudnnTensor mask_tensor(StepTensor mask) {
  for (size_t i = 0; i + 2 < mask.shape.size(); ++i)
    if (mask.strides[i] == 0) mask.shape[i] = 1;
  return attention_tensor(mask);
}

bool has_aligned_rows(const CudnnTensor& tensor) {
  for (size_t i = 0; i < tensor.dims.size(); ++i) {
    const bool last = i + 1 == tensor.dims.size();
    if (last ? tensor.strides[i] != 1 : tensor.strides[i] == 0 || tensor.strides[i] % 8 != 0) return false;
  }
  return true;
}

}  // namespace

std::string CudnnTensor::text() const {
  return fmt::format("{}{}/{}", dtype_name(dtype), to_text(dims), to_text(strides));
}

std::string ConvProblem::key() const {
  return fmt::format("conv{} {} {} {} by {} d {} pad {} {}{}{} {}", tf32 ? " tf32" : "", x.text(), w.text(),
                     y.text(), to_text(stride), to_text(dilation), to_text(low), to_text(high),
                     bias ? " bias" : "", residual ? " residual" : "",
                     epilogue ? std::string(info(*epilogue).name) : "plain");
}

std::optional<ConvProblem> ConvProblem::make(const ConvForm& form, bool tf32) {
  const ConvShape& shape = form.shape;
  if (!is_product_dtype(form.dtype) || shape.transposed || shape.low != shape.high) return std::nullopt;
  const auto x = dense_tensor(form.x, form.channels_last), y = dense_tensor(form.y, form.channels_last);
  const auto w = dense_tensor(plain_weight(form), form.channels_last);
  if (!x || !y || !w) return std::nullopt;
  if (form.residual && !dense_tensor(*form.residual, form.channels_last)) return std::nullopt;
  ConvProblem problem;
  problem.x = *x;
  problem.w = *w;
  problem.y = *y;
  problem.bias = form.bias.has_value();
  problem.residual = form.residual.has_value();
  problem.stride = spatial(shape.stride, 1);
  problem.dilation = shape.dilation;
  for (int64_t& d : problem.dilation) ++d;
  problem.dilation = spatial(problem.dilation, 1);
  problem.low = spatial(shape.low, 0);
  problem.high = spatial(shape.high, 0);
  problem.epilogue = form.epilogue;
  problem.tf32 = tf32 && form.dtype == DType::kF32;
  return problem;
}

std::string AttentionProblem::key() const {
  return fmt::format("attention {} {} {} {} mask {} scale {} causal {}", q.text(), k.text(), v.text(),
                     out.text(), mask ? mask->text() : "none", scale, causal);
}

std::optional<AttentionProblem> AttentionProblem::make(const AttentionForm& form) {
  if (form.dtype != DType::kF16 && form.dtype != DType::kBF16) return std::nullopt;
  if (form.batch.size() > 1 || form.keys == 0) return std::nullopt;
  if (form.mask && (form.mask->dtype != form.dtype || form.mask->strides.back() != 1)) return std::nullopt;
  AttentionProblem problem;
  problem.q = attention_tensor(form.q);
  problem.k = attention_tensor(form.k);
  problem.v = attention_tensor(form.v);
  problem.out = attention_tensor(form.out);
  if (form.mask) problem.mask = mask_tensor(*form.mask);
  problem.scale = form.scale;
  problem.causal = form.causal;
  for (const CudnnTensor* tensor : {&problem.q, &problem.k, &problem.v, &problem.out})
    if (!has_aligned_rows(*tensor) || tensor->dims.back() % 8 != 0) return std::nullopt;
  if (problem.mask && !has_aligned_rows(*problem.mask)) return std::nullopt;
  return problem;
}

}  // namespace headrace::cuda
