// Convolutions by oneDNN.
#include "kernels/conv_form.h"
#include "kernels/cpu/conv_primitive.h"
#include "kernels/cpu/packing_desc.h"
#include "kernels/cpu/products.h"
#include "kernels/cpu/step_kernel.h"
#include "kernels/step_checks.h"

namespace headrace::cpu {

namespace {

class ConvKernel : public StepKernel {
 public:
  static Result<std::unique_ptr<StepKernel>> make(const StepShapes& step, const ConvForm& form);
  Bytes workspace() const override { return workspace_.size(); }
  Status run(const Addresses& at) const override;

 private:
  void stage_dense(Operand& operand);
  void choose_stages();
  Status find_weight_layout(const StepShapes& step);
  Status find_primitive(const StepShapes& step);
  Result<ConvPrimitive> make_primitive(const dnnl::memory::desc& weight) const;
  Result<const std::byte*> weight_data(const Addresses& at) const;

  ConvForm form_;
  DType compute_ = DType::kF32;
  int threads_ = 1;
  Operand x_, y_, bias_, weight_;
  std::optional<Stage> residual_;          // copied into y first, and summed; else added as it lies
  std::optional<BlockFunction> function_;  // an epilogue that oneDNN lacks
  std::shared_ptr<const ConvPrimitive> primitive_;
  dnnl::memory::desc weight_layout_;  // of the bytes that reorder_ or the primitive reads
  std::optional<Stage> widen_;        // of a packed f16 weight
  std::optional<Reorder> reorder_;    // where the weight must lie otherwise
  int64_t widen_block_ = 0, reorder_block_ = 0, reorder_scratch_ = 0, scratch_ = 0;
  WorkspacePlan workspace_;
};

Sizes normal_strides(const StepTensor& tensor, const Sizes& dense) {
  Sizes strides = tensor.strides;
  for (size_t i = 0; i < strides.size(); ++i)
    if (tensor.shape[i] == 1) strides[i] = dense[i];
  return strides;
}

// Sends x or y through a block that lies as oneDNN's kernels want it, unless it lies so itself.
void ConvKernel::stage_dense(Operand& operand) {
  StepTensor& tensor = operand.tensor;
  const Sizes dense = conv_strides(tensor.shape, form_.channels_last);
  if (compute_ == form_.dtype && normal_strides(tensor, dense) == dense) {
    tensor.strides = dense;
    return;
  }
  // A Stage's block is row-major: its dims in the order of the block's.
  StepTensor ordered = tensor;
  if (form_.channels_last) {
    std::rotate(ordered.shape.begin() + 1, ordered.shape.begin() + 2, ordered.shape.end());
    std::rotate(ordered.strides.begin() + 1, ordered.strides.begin() + 2, ordered.strides.end());
  }
  operand.stage = Stage(tensor.dtype, ordered.shape, ordered.strides, compute_, threads_);
  operand.block = workspace_.add(operand.stage->size());
  tensor.strides = dense;
}

void ConvKernel::choose_stages() {
  x_.tensor = form_.x;
  y_.tensor = form_.y;
  stage_dense(x_);
  stage_dense(y_);
  if (form_.bias) {
    bias_.tensor = *form_.bias;
    if (compute_ != form_.dtype || !bias_.tensor.row_major())
      stage_operand(bias_, compute_, threads_, workspace_);
  }
  if (form_.epilogue && !has_epilogue(info(*form_.epilogue).name))
    function_ = BlockFunction(*form_.epilogue, compute_, form_.y.elements(), threads_);
  if (!form_.residual) return;
  StepTensor residual = *form_.residual;
  const bool alike = !y_.stage && normal_strides(residual, y_.tensor.strides) == y_.tensor.strides;
  if (alike) return;
  if (form_.channels_last) {
    std::rotate(residual.shape.begin() + 1, residual.shape.begin() + 2, residual.shape.end());
    std::rotate(residual.strides.begin() + 1, residual.strides.begin() + 2, residual.strides.end());
  }
  residual_ = Stage(form_.dtype, residual.shape, residual.strides, compute_, threads_);
}

Status ConvKernel::find_weight_layout(const StepShapes& step) {
  if (form_.packed) {
    std::string key = "layout of a convolution's weight";
    for (const auto& [name, value] : form_.packed->attributes.entries())
      key += " " + name + " " + attribute_text(value);
    key += fmt::format(" {} {}", to_text(form_.packed->shape), dtype_name(form_.dtype));
    HR_ASSIGN(const std::shared_ptr<const PackedLayout> layout,
              shared_part<PackedLayout>(step, key, [&] { return checked_layout(*form_.packed); }));
    if (step.inputs[1]->shape[0] != layout->stored.count)
      return malformed(step, "its packed weight is of {} bytes; {} are due", step.inputs[1]->shape[0],
                       layout->stored.count);
    weight_layout_ = layout->packed;
    if (compute_ == form_.dtype) return {};
    widen_ = Stage(form_.dtype, {layout->stored.count / dtype_size(form_.dtype)}, {1}, compute_, threads_);
    widen_block_ = workspace_.add(widen_->size());
    return {};
  }
  weight_.tensor = form_.weight;
  const Sizes dense = row_major_strides(form_.shape.weight);
  if (compute_ != form_.dtype) {
    stage_operand(weight_, compute_, threads_, workspace_);
    weight_.tensor.strides = dense;
  }
  weight_layout_ = strided_desc(compute_, form_.shape.weight, normal_strides(weight_.tensor, dense));
  return {};
}

Result<ConvPrimitive> ConvKernel::make_primitive(const dnnl::memory::desc& weight) const {
  const auto desc = [&](const StepTensor& tensor) {
    return strided_desc(compute_, tensor.shape, tensor.strides);
  };
  const dnnl::memory::desc x = desc(x_.tensor), y = desc(y_.tensor);
  const dnnl::memory::desc bias = strided_desc(compute_, {form_.shape.y[1]}, {1});
  dnnl::post_ops ops;
  dnnl::primitive_attr attributes;
  HR_TRY(guarded("a convolution's attributes", [&] {
    if (residual_) {
      ops.append_sum();
    } else if (form_.residual) {
      ops.append_binary(dnnl::algorithm::binary_add, y);
    }
    if (form_.epilogue && !function_) append_epilogue(ops, info(*form_.epilogue).name);
    attributes.set_post_ops(ops);
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  }));
  return make_conv(form_.shape, x, weight, form_.bias ? &bias : nullptr, y, attributes);
}

Status ConvKernel::find_primitive(const StepShapes& step) {
  const ConvShape& s = form_.shape;
  const std::string key = fmt::format(
      "conv {} {} {} x {} by {} d {} pad {} {} groups {} last {} transposed {} bias {} residual {} {} {}",
      dtype_name(compute_), to_text(s.x), to_text(s.y), to_text(s.weight), to_text(s.stride),
      to_text(s.dilation), to_text(s.low), to_text(s.high), s.groups, form_.channels_last, s.transposed,
      form_.bias.has_value(), form_.residual.has_value(), residual_.has_value(),
      form_.epilogue && !function_ ? info(*form_.epilogue).name : "none");
  // As the weight lies, or else as oneDNN likes it best.
  bool reorders = !form_.packed;
  if (form_.packed) {
    Result<std::shared_ptr<const ConvPrimitive>> found = shared_part<ConvPrimitive>(
        step, key + " " + layout_text(weight_layout_), [&] { return make_primitive(weight_layout_); });
    reorders = !found.ok() || (*found)->slow;
    if (!reorders) primitive_ = *std::move(found);
  }
  if (reorders) {
    HR_ASSIGN(primitive_, shared_part<ConvPrimitive>(step, key + " any", [&] {
                return make_primitive(any_desc(compute_, s.weight));
              }));
    if (primitive_->weight != weight_layout_) {
      HR_ASSIGN(reorder_, Reorder::make(weight_layout_, primitive_->weight));
      reorder_block_ = workspace_.add(bytes_of(primitive_->weight));
      reorder_scratch_ = workspace_.add(reorder_->scratch());
    }
  }
  scratch_ = workspace_.add(bytes_of(primitive_->scratch));
  return {};
}

Result<std::unique_ptr<StepKernel>> ConvKernel::make(const StepShapes& step, const ConvForm& form) {
  auto kernel = std::make_unique<ConvKernel>();
  kernel->form_ = form;
  kernel->compute_ = form.dtype == DType::kF16 ? DType::kF32 : form.dtype;
  kernel->threads_ = step.threads;
  kernel->choose_stages();
  HR_TRY(kernel->find_weight_layout(step));
  HR_TRY(kernel->find_primitive(step));
  return std::unique_ptr<StepKernel>(std::move(kernel));
}

Result<const std::byte*> ConvKernel::weight_data(const Addresses& at) const {
  const std::byte* data = form_.packed ? form_.weight.at(at) : weight_.load(at);
  if (widen_) {
    widen_->load(data, at.workspace + widen_block_);
    data = at.workspace + widen_block_;
  }
  if (reorder_) {
    HR_TRY(reorder_->run(data, at.workspace + reorder_block_, at.workspace + reorder_scratch_));
    data = at.workspace + reorder_block_;
  }
  return data;
}

Status ConvKernel::run(const Addresses& at) const {
  HR_ASSIGN(const std::byte* weight, weight_data(at));
  const std::byte* x = x_.load(at);
  std::byte* y = y_.target(at);
  if (residual_) residual_->load(form_.residual->at(at), y);
  std::vector<Argument> arguments = {{DNNL_ARG_SRC, &primitive_->x, x},
                                     {DNNL_ARG_WEIGHTS, &primitive_->weight, weight},
                                     {DNNL_ARG_DST, &primitive_->y, y},
                                     {DNNL_ARG_SCRATCHPAD, &primitive_->scratch, at.workspace + scratch_}};
  if (form_.bias) arguments.push_back({DNNL_ARG_BIAS, &primitive_->bias, bias_.load(at)});
  if (form_.residual && !residual_)
    arguments.push_back(
        {DNNL_ARG_ATTR_MULTIPLE_POST_OP(0) | DNNL_ARG_SRC_1, &primitive_->y, form_.residual->at(at)});
  HR_TRY(execute(primitive_->primitive, arguments));
  if (function_) function_->run(y);
  y_.store(at);
  return {};
}

}  // namespace

Result<std::unique_ptr<StepKernel>> make_conv_kernel(const StepShapes& step) {
  HR_ASSIGN(const ConvForm form, conv_form(step));
  // oneDNN has no f64, and reads nothing of an empty input: a transpose of it is still bias and residual.
  if (form.dtype == DType::kF64 || form.x.elements() == 0) return make_loop_conv(step);
  return ConvKernel::make(step, form);
}

}  // namespace headrace::cpu
