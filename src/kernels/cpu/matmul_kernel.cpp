// Matrix products by oneDNN.
#include "kernels/cpu/packing_desc.h"
#include "kernels/cpu/products.h"
#include "kernels/cpu/step_kernel.h"
#include "kernels/matmul_form.h"
#include "kernels/step_checks.h"

namespace headrace::cpu {

namespace {

// How a product is put to oneDNN: operands of equal rank, with sizes of 1 where they are broadcast.
struct MatmulDescs {
  dnnl::memory::desc a, b, out;
  std::optional<dnnl::memory::desc> bias;
  bool adds_residual = false;  // as a binary post-op, laid out as out
  bool sums = false;           // onto what out holds
  std::string epilogue;

  std::string key() const {
    const bool any = b.get_format_kind() == dnnl::memory::format_kind::any;
    return fmt::format("matmul {} {} x {} + {} -> {}, {} {} {}", static_cast<int>(out.get_data_type()),
                       layout_text(a), any ? "any" : layout_text(b), bias ? layout_text(*bias) : "none",
                       layout_text(out), adds_residual, sums, epilogue);
  }
};

struct MatmulPrimitive {
  dnnl::primitive primitive;
  dnnl::memory::desc a, b, bias, out, scratch;
  bool slow = false;
};

Result<MatmulPrimitive> make_primitive(const MatmulDescs& descs) {
  MatmulPrimitive made;
  HR_TRY(guarded("a matrix product", [&] {
    dnnl::post_ops ops;
    if (descs.adds_residual) ops.append_binary(dnnl::algorithm::binary_add, descs.out);
    if (descs.sums) ops.append_sum();
    if (!descs.epilogue.empty()) append_epilogue(ops, descs.epilogue);
    dnnl::primitive_attr attributes;
    attributes.set_post_ops(ops);
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    using Desc = dnnl::matmul::primitive_desc;
    const Desc desc = descs.bias ? Desc(cpu_engine(), descs.a, descs.b, *descs.bias, descs.out, attributes)
                                 : Desc(cpu_engine(), descs.a, descs.b, descs.out, attributes);
    made.a = desc.src_desc();
    made.b = desc.weights_desc();
    if (descs.bias) made.bias = desc.bias_desc();
    made.out = desc.dst_desc();
    made.scratch = desc.scratchpad_desc();
    made.slow = is_slow(desc);
    made.primitive = dnnl::matmul(desc);
  }));
  return made;
}

// One stride for all of the dims, where they can be walked so.
std::optional<int64_t> merged_stride(std::span<const int64_t> shape, std::span<const int64_t> strides) {
  int64_t stride = 0, size = 1;
  for (size_t i = shape.size(); i-- > 0;) {
    if (shape[i] == 1) continue;
    if (size == 1) stride = strides[i];
    if (strides[i] != stride * size) return std::nullopt;
    size *= shape[i];
  }
  return stride;
}

// Whether gemm can walk it: one of the last two strides is 1, the other at least a row's size.
bool is_matrix(const StepTensor& tensor) {
  const int64_t rows = tensor.shape.end()[-2], columns = tensor.shape.back();
  const int64_t row_stride = tensor.strides.end()[-2], column_stride = tensor.strides.back();
  const bool by_rows = (column_stride == 1 || columns == 1) && (row_stride >= columns || rows == 1);
  const bool by_columns = (row_stride == 1 || rows == 1) && (column_stride >= rows || columns == 1);
  return by_rows || by_columns;
}

class MatmulKernel : public StepKernel {
 public:
  // `dense`: whatever does not lie densely goes through a block.
  static Result<std::unique_ptr<MatmulKernel>> make(const StepShapes& step, const MatmulForm& form,
                                                    bool dense);
  bool slow() const { return primitive_->slow; }
  Bytes workspace() const override { return workspace_.size(); }
  Status run(const Addresses& at) const override;

 private:
  bool folds_batch() const;
  void fold_rows();
  void squeeze_batch();
  void choose_stages(bool dense);
  void choose_residual();
  dnnl::memory::desc desc_of(const Operand& operand) const;
  Status make_descs(const StepShapes& step);
  Status find_primitive(const StepShapes& step);
  Result<const std::byte*> weight_data(const Addresses& at) const;

  MatmulForm form_;
  DType compute_ = DType::kF32;
  int threads_ = 1;
  Operand a_, b_, out_, bias_;
  std::optional<Stage> residual_;          // copied into out first, and summed; else added as it lies
  std::optional<BlockFunction> function_;  // an epilogue that oneDNN lacks
  MatmulDescs descs_;
  std::shared_ptr<const MatmulPrimitive> primitive_;
  std::shared_ptr<const PackedLayout> layout_;
  std::optional<Stage> widen_;      // of a packed f16 weight
  std::optional<Reorder> reorder_;  // where a packed weight must lie otherwise for these sizes
  int64_t widen_block_ = 0, reorder_block_ = 0, reorder_scratch_ = 0, scratch_ = 0;
  WorkspacePlan workspace_;
};

// b is one matrix, so the batch is more rows.
bool MatmulKernel::folds_batch() const {
  if (form_.packed) return true;
  for (size_t i = 0; i < form_.batch.size(); ++i)
    if (form_.batch[i] != 1 && form_.b.strides[i] != 0) return false;
  return true;
}

void MatmulKernel::fold_rows() {
  const int64_t rows = element_count(form_.batch) * form_.m;
  for (Operand* operand : {&a_, &out_}) {
    StepTensor& tensor = operand->tensor;
    const size_t last = tensor.shape.size() - 1;
    std::optional<int64_t> stride = merged_stride({tensor.shape.data(), last}, {tensor.strides.data(), last});
    const int64_t columns = tensor.shape.back();
    if (!stride) {
      stage_operand(*operand, compute_, threads_, workspace_);
      stride = columns;
      tensor.strides.back() = 1;
    }
    tensor.strides = {*stride, tensor.strides.back()};
    tensor.shape = {rows, columns};
  }
  if (form_.packed) return;
  b_.tensor.shape = {form_.k, form_.n};
  b_.tensor.strides = {form_.b.strides.end()[-2], form_.b.strides.back()};
}

// Dims of the batch that are 1 say nothing; a broadcast operand is of size 1 there.
void MatmulKernel::squeeze_batch() {
  for (Operand* operand : {&a_, &b_, &out_}) {
    StepTensor& tensor = operand->tensor;
    Sizes shape, strides;
    for (size_t i = 0; i < tensor.shape.size(); ++i) {
      const bool in_batch = i < form_.batch.size();
      if (in_batch && form_.batch[i] == 1) continue;
      shape.push_back(in_batch && tensor.strides[i] == 0 ? 1 : tensor.shape[i]);
      strides.push_back(tensor.strides[i]);
    }
    tensor.shape = std::move(shape);
    tensor.strides = std::move(strides);
  }
}

void MatmulKernel::choose_stages(bool dense) {
  const bool other = compute_ != form_.dtype;
  dense = dense || form_.packed;  // the fast kernels of packed weights take nothing else
  const auto send = [&](Operand& operand, bool must) {
    if (operand.stage || !must) return;
    stage_operand(operand, compute_, threads_, workspace_);
    operand.tensor.strides = row_major_strides(operand.tensor.shape);
  };
  send(a_, other || (dense ? !a_.tensor.row_major() : !is_matrix(a_.tensor)));
  if (!form_.packed) send(b_, other || !is_matrix(b_.tensor) || (dense && !b_.tensor.row_major()));
  const bool whole_out = dense || function_ || residual_;
  send(out_, other || (whole_out ? !out_.tensor.row_major()
                                 : out_.tensor.strides.back() != 1 || !is_matrix(out_.tensor)));
  if (form_.bias) send(bias_, other || !bias_.tensor.row_major());
}

// A residual that lies as out does is added by the way; any other is copied to where out is computed.
void MatmulKernel::choose_residual() {
  if (!form_.residual) return;
  const bool alike = form_.residual->strides == form_.out.strides && compute_ == form_.dtype;
  if (alike && !out_.stage) return;
  residual_ = Stage(form_.dtype, form_.residual->shape, form_.residual->strides, compute_, threads_);
}

dnnl::memory::desc MatmulKernel::desc_of(const Operand& operand) const {
  const Sizes& shape = operand.tensor.shape;
  Sizes strides = operand.tensor.strides;
  // The strides of sizes of 1 are as in dense memory, so that oneDNN knows a plain layout.
  int64_t dense = 1;
  for (size_t i = shape.size(); i-- > 0;) {
    if (shape[i] == 1) strides[i] = dense;
    dense = std::max(dense, strides[i] * shape[i]);
  }
  return strided_desc(compute_, shape, strides);
}

Status MatmulKernel::make_descs(const StepShapes& step) {
  descs_.a = desc_of(a_);
  descs_.out = desc_of(out_);
  if (form_.packed) {
    const AttributeMap& attributes = form_.packed->attributes;
    const std::string key =
        fmt::format("layout of a product's weight {} {} {} {} {}", dtype_name(form_.dtype), form_.k, form_.n,
                    attributes.integer("rows"), attributes.text("blocks"));
    HR_ASSIGN(layout_, shared_part<PackedLayout>(step, key, [&] { return checked_layout(*form_.packed); }));
    if (step.inputs[1]->shape[0] != layout_->stored.count)
      return malformed(step, "its packed weight is of {} bytes; {} are due", step.inputs[1]->shape[0],
                       layout_->stored.count);
    descs_.b = layout_->packed;
  } else {
    descs_.b = desc_of(b_);
  }
  if (form_.bias) {
    Sizes shape(out_.tensor.shape.size(), 1), strides(shape.size(), form_.n);
    shape.back() = form_.n;
    strides.back() = 1;
    descs_.bias = strided_desc(compute_, shape, strides);
  }
  descs_.adds_residual = form_.residual && !residual_;
  descs_.sums = residual_.has_value();
  if (form_.epilogue && !function_) descs_.epilogue = std::string(info(*form_.epilogue).name);
  return {};
}

Status MatmulKernel::find_primitive(const StepShapes& step) {
  const auto find = [&] {
    return shared_part<MatmulPrimitive>(step, descs_.key(), [&] { return make_primitive(descs_); });
  };
  HR_ASSIGN(primitive_, find());
  if (form_.packed && primitive_->slow) {
    // Other sizes than the opt ones may want another layout: a copy beats the reference loops.
    descs_.b = any_desc(compute_, {form_.k, form_.n});
    HR_ASSIGN(primitive_, find());
    HR_ASSIGN(reorder_, Reorder::make(layout_->packed, primitive_->b));
    reorder_block_ = workspace_.add(bytes_of(primitive_->b));
    reorder_scratch_ = workspace_.add(reorder_->scratch());
  }
  if (layout_ && compute_ != form_.dtype) {
    widen_ = Stage(form_.dtype, {layout_->stored.count / dtype_size(form_.dtype)}, {1}, compute_, threads_);
    widen_block_ = workspace_.add(widen_->size());
  }
  scratch_ = workspace_.add(bytes_of(primitive_->scratch));
  return {};
}

Result<std::unique_ptr<MatmulKernel>> MatmulKernel::make(const StepShapes& step, const MatmulForm& form,
                                                         bool dense) {
  auto kernel = std::make_unique<MatmulKernel>();
  kernel->form_ = form;
  kernel->compute_ = form.dtype == DType::kF16 ? DType::kF32 : form.dtype;
  kernel->threads_ = step.threads;
  kernel->a_.tensor = form.a;
  kernel->b_.tensor = form.b;
  kernel->out_.tensor = form.out;
  if (form.bias) kernel->bias_.tensor = *form.bias;
  if (form.epilogue && !has_epilogue(info(*form.epilogue).name))
    kernel->function_ = BlockFunction(*form.epilogue, kernel->compute_, form.out.elements(), step.threads);
  if (kernel->folds_batch()) {
    kernel->fold_rows();
  } else {
    kernel->squeeze_batch();
  }
  kernel->choose_stages(dense);
  kernel->choose_residual();
  kernel->choose_stages(dense);  // a residual that is summed wants a dense out
  HR_TRY(kernel->make_descs(step));
  HR_TRY(kernel->find_primitive(step));
  return kernel;
}

Result<const std::byte*> MatmulKernel::weight_data(const Addresses& at) const {
  if (!form_.packed) return b_.load(at);
  const std::byte* data = form_.b.at(at);
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

Status MatmulKernel::run(const Addresses& at) const {
  HR_ASSIGN(const std::byte* b, weight_data(at));
  const std::byte* a = a_.load(at);
  std::byte* out = out_.target(at);
  if (residual_) residual_->load(form_.residual->at(at), out);
  std::vector<Argument> arguments = {{DNNL_ARG_SRC, &primitive_->a, a},
                                     {DNNL_ARG_WEIGHTS, &primitive_->b, b},
                                     {DNNL_ARG_DST, &primitive_->out, out},
                                     {DNNL_ARG_SCRATCHPAD, &primitive_->scratch, at.workspace + scratch_}};
  if (form_.bias) arguments.push_back({DNNL_ARG_BIAS, &primitive_->bias, bias_.load(at)});
  if (descs_.adds_residual)
    arguments.push_back(
        {DNNL_ARG_ATTR_MULTIPLE_POST_OP(0) | DNNL_ARG_SRC_1, &primitive_->out, form_.residual->at(at)});
  HR_TRY(execute(primitive_->primitive, arguments));
  if (function_) function_->run(out);
  out_.store(at);
  return {};
}

}  // namespace

Result<std::unique_ptr<StepKernel>> make_matmul(const StepShapes& step) {
  HR_ASSIGN(const MatmulForm form, matmul_form(step));
  const bool floats = form.dtype == DType::kF32 || form.dtype == DType::kBF16 || form.dtype == DType::kF16;
  if (!floats || form.k == 0) return make_loop_matmul(step);
  HR_ASSIGN(std::unique_ptr<MatmulKernel> kernel, MatmulKernel::make(step, form, false));
  if (kernel->slow()) {
    HR_ASSIGN(std::unique_ptr<MatmulKernel> staged, MatmulKernel::make(step, form, true));
    if (!staged->slow()) kernel = std::move(staged);
  }
  return std::unique_ptr<StepKernel>(std::move(kernel));
}

}  // namespace headrace::cpu
