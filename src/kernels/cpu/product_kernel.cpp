#include "kernels/cpu/product_kernel.h"

#include <array>

#include "kernels/cpu/packing_desc.h"
#include "kernels/step_checks.h"

namespace headrace::cpu {

Result<ProductWeight> ProductWeight::packed(const StepShapes& step, const StepTensor& bytes,
                                            const RecipeStep& pack, DType compute, WorkspacePlan& workspace) {
  std::string key = fmt::format("layout of a weight {} {}", to_text(pack.shape), dtype_name(pack.dtype));
  for (const auto& [name, value] : pack.attributes.entries()) key += " " + name + " " + attribute_text(value);
  HR_ASSIGN(const std::shared_ptr<const PackedLayout> layout,
            shared_part<PackedLayout>(step, key, [&] { return checked_layout(pack); }));
  if (bytes.shape[0] != layout->stored.count)
    return malformed(step, "its packed weight is of {} bytes; {} are due", bytes.shape[0],
                     layout->stored.count);
  ProductWeight weight;
  weight.operand_.tensor = bytes;
  weight.layout_ = layout->packed;
  if (pack.dtype == compute) return weight;
  const int64_t elements = layout->stored.count / dtype_size(pack.dtype);
  weight.operand_.stage = Stage(pack.dtype, {elements}, {1}, compute, step.threads);
  weight.operand_.block = workspace.add(weight.operand_.stage->size());
  return weight;
}

ProductWeight ProductWeight::plain(Operand operand, dnnl::memory::desc layout) {
  ProductWeight weight;
  weight.operand_ = std::move(operand);
  weight.layout_ = std::move(layout);
  return weight;
}

Status ProductWeight::reorder(const dnnl::memory::desc& wanted, WorkspacePlan& workspace) {
  if (wanted == layout_) return {};
  HR_ASSIGN(reorder_, Reorder::make(layout_, wanted));
  block_ = workspace.add(bytes_of(wanted));
  scratch_ = workspace.add(reorder_->scratch());
  return {};
}

Result<const std::byte*> ProductWeight::load(const Addresses& at) const {
  const std::byte* data = operand_.load(at);
  if (!reorder_) return data;
  HR_TRY(reorder_->run(data, at.workspace + block_, at.workspace + scratch_));
  return at.workspace + block_;
}

ProductKernel::ProductKernel(ProductRun run) : run_(std::move(run)) {
  scratch_ = run_.workspace.add(bytes_of(run_.primitive->scratch));
}

Status ProductKernel::run(const Addresses& at) const {
  const ProductPrimitive& primitive = *run_.primitive;
  HR_ASSIGN(const std::byte* weight, run_.weight.load(at));
  const std::byte* x = run_.x.load(at);
  std::byte* y = run_.y.target(at);
  if (run_.copied_residual) run_.copied_residual->load(run_.residual->at(at), y);
  std::array<Argument, 6> arguments = {{{DNNL_ARG_SRC, &primitive.x, x},
                                        {DNNL_ARG_WEIGHTS, &primitive.weight, weight},
                                        {DNNL_ARG_DST, &primitive.y, y},
                                        {DNNL_ARG_SCRATCHPAD, &primitive.scratch, at.workspace + scratch_}}};
  size_t count = 4;
  if (run_.bias) arguments[count++] = {DNNL_ARG_BIAS, &primitive.bias, run_.bias->load(at)};
  if (run_.residual && !run_.copied_residual)
    arguments[count++] = {DNNL_ARG_ATTR_MULTIPLE_POST_OP(0) | DNNL_ARG_SRC_1, &primitive.y,
                          run_.residual->at(at)};
  HR_TRY(execute(primitive.primitive, {arguments.data(), count}));
  if (run_.function) run_.function->run(y);
  run_.y.store(at);
  return {};
}

}  // namespace headrace::cpu
