// Convolutions by oneDNN.
#include "kernels/conv_form.h"
#include "kernels/cpu/conv_primitive.h"
#include "kernels/cpu/product_kernel.h"

namespace headrace::cpu {

namespace {

// Puts a convolution to oneDNN.
class ConvMaker {
 public:
  ConvMaker(const StepShapes& step, const ConvForm& form)
      : step_(step), form_(form), compute_(product_dtype(form.dtype)) {}
  Result<std::unique_ptr<StepKernel>> make();

 private:
  void stage_dense(Operand& operand);
  void choose_stages();
  void choose_residual();
  Result<ProductWeight> weight();
  Status find_primitive();
  Result<ProductPrimitive> make_primitive(const dnnl::memory::desc& weight) const;

  const StepShapes& step_;
  const ConvForm& form_;
  DType compute_ = DType::kF32;
  ProductRun run_;
};

Sizes normal_strides(const StepTensor& tensor, const Sizes& dense) {
  Sizes strides = tensor.strides;
  for (size_t i = 0; i < strides.size(); ++i)
    if (tensor.shape[i] == 1) strides[i] = dense[i];
  return strides;
}

// A Stage's block is row-major: the dims in the order of the block's.
StepTensor in_block_order(StepTensor tensor, bool channels_last) {
  if (!channels_last) return tensor;
  std::rotate(tensor.shape.begin() + 1, tensor.shape.begin() + 2, tensor.shape.end());
  std::rotate(tensor.strides.begin() + 1, tensor.strides.begin() + 2, tensor.strides.end());
  return tensor;
}

// Sends x or y through a block that lies as oneDNN's kernels want it, unless it lies so itself.
void ConvMaker::stage_dense(Operand& operand) {
  StepTensor& tensor = operand.tensor;
  const Sizes dense = conv_strides(tensor.shape, form_.channels_last);
  if (compute_ == form_.dtype && normal_strides(tensor, dense) == dense) {
    tensor.strides = dense;
    return;
  }
  const StepTensor ordered = in_block_order(tensor, form_.channels_last);
  operand.stage = Stage(tensor.dtype, ordered.shape, ordered.strides, compute_, step_.threads);
  operand.block = run_.workspace.add(operand.stage->size());
  tensor.strides = dense;
}

void ConvMaker::choose_stages() {
  run_.x.tensor = form_.x;
  run_.y.tensor = form_.y;
  stage_dense(run_.x);
  stage_dense(run_.y);
  if (form_.bias) {
    run_.bias = Operand{*form_.bias, std::nullopt, 0};
    if (compute_ != form_.dtype || !form_.bias->row_major())
      stage_operand(*run_.bias, compute_, step_.threads, run_.workspace);
  }
  if (form_.epilogue && !has_epilogue(info(*form_.epilogue).name))
    run_.function = BlockFunction(*form_.epilogue, compute_, form_.y.elements(), step_.threads);
}

void ConvMaker::choose_residual() {
  if (!form_.residual) return;
  run_.residual = form_.residual;
  const Sizes& lies = run_.y.tensor.strides;
  if (!run_.y.stage && normal_strides(*form_.residual, lies) == lies) return;
  const StepTensor from = in_block_order(*form_.residual, form_.channels_last);
  run_.copied_residual = Stage(form_.dtype, from.shape, from.strides, compute_, step_.threads);
}

Result<ProductWeight> ConvMaker::weight() {
  if (form_.packed)
    return ProductWeight::packed(step_, *step_.inputs[1], *form_.packed, compute_, run_.workspace);
  Operand operand{form_.weight, std::nullopt, 0};
  const Sizes dense = row_major_strides(form_.shape.weight);
  if (compute_ != form_.dtype) {
    stage_operand(operand, compute_, step_.threads, run_.workspace);
    operand.tensor.strides = dense;
  }
  dnnl::memory::desc layout =
      strided_desc(compute_, form_.shape.weight, normal_strides(operand.tensor, dense));
  return ProductWeight::plain(std::move(operand), std::move(layout));
}

Result<ProductPrimitive> ConvMaker::make_primitive(const dnnl::memory::desc& weight) const {
  const auto desc = [&](const StepTensor& tensor) {
    return strided_desc(compute_, tensor.shape, tensor.strides);
  };
  const dnnl::memory::desc x = desc(run_.x.tensor), y = desc(run_.y.tensor);
  const dnnl::memory::desc bias = strided_desc(compute_, {form_.shape.y[1]}, {1});
  dnnl::post_ops ops;
  dnnl::primitive_attr attributes;
  HR_TRY(guarded("a convolution's attributes", [&] {
    if (run_.copied_residual) {
      ops.append_sum();
    } else if (form_.residual) {
      ops.append_binary(dnnl::algorithm::binary_add, y);
    }
    if (form_.epilogue && !run_.function) append_epilogue(ops, info(*form_.epilogue).name);
    attributes.set_post_ops(ops);
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  }));
  return make_conv(form_.shape, x, weight, form_.bias ? &bias : nullptr, y, attributes);
}

Status ConvMaker::find_primitive() {
  const ConvShape& s = form_.shape;
  const std::string key = fmt::format(
      "conv {} {} {} x {} by {} d {} pad {} {} groups {} last {} transposed {} bias {} residual {} {} {}",
      dtype_name(compute_), to_text(s.x), to_text(s.y), to_text(s.weight), to_text(s.stride),
      to_text(s.dilation), to_text(s.low), to_text(s.high), s.groups, form_.channels_last, s.transposed,
      form_.bias.has_value(), form_.residual.has_value(), run_.copied_residual.has_value(),
      form_.epilogue && !run_.function ? info(*form_.epilogue).name : "none");
  // As a packed weight lies, or else as oneDNN likes it best.
  const dnnl::memory::desc& lies = run_.weight.layout();
  bool reorders = !form_.packed;
  if (form_.packed) {
    Result<std::shared_ptr<const ProductPrimitive>> found = shared_part<ProductPrimitive>(
        step_, key + " " + layout_text(lies), [&] { return make_primitive(lies); });
    reorders = !found.ok() || (*found)->slow;
    if (!reorders) run_.primitive = *std::move(found);
  }
  if (!reorders) return {};
  HR_ASSIGN(run_.primitive, shared_part<ProductPrimitive>(step_, key + " any", [&] {
              return make_primitive(any_desc(compute_, s.weight));
            }));
  return run_.weight.reorder(run_.primitive->weight, run_.workspace);
}

Result<std::unique_ptr<StepKernel>> ConvMaker::make() {
  choose_stages();
  choose_residual();
  HR_ASSIGN(run_.weight, weight());
  HR_TRY(find_primitive());
  return std::unique_ptr<StepKernel>(std::make_unique<ProductKernel>(std::move(run_)));
}

}  // namespace

Result<std::unique_ptr<StepKernel>> make_conv_kernel(const StepShapes& step) {
  HR_ASSIGN(const ConvForm form, conv_form(step));
  // oneDNN has no f64, and reads nothing of an empty input: a transpose of it is still bias and residual.
  if (form.dtype == DType::kF64 || form.x.elements() == 0) return make_loop_conv(step);
  return ConvMaker(step, form).make();
}

}  // namespace headrace::cpu
