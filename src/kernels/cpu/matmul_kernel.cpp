// Matrix products by oneDNN.
#include "kernels/cpu/product_kernel.h"
#include "kernels/matmul_form.h"

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

Result<ProductPrimitive> make_primitive(const MatmulDescs& descs) {
  ProductPrimitive made;
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
    made = make_product<dnnl::matmul>(desc, descs.bias.has_value());
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

// Puts a product to oneDNN.
class MatmulMaker {
 public:
  MatmulMaker(const StepShapes& step, const MatmulForm& form)
      : step_(step), form_(form), compute_(product_dtype(form.dtype)) {}
  // `dense`: whatever does not lie densely goes through a block.
  Result<std::unique_ptr<ProductKernel>> make(bool dense);

 private:
  void stage(Operand& operand);
  bool folds_batch() const;
  void fold_rows();
  void squeeze_batch();
  void choose_stages(bool dense);
  void choose_residual();
  dnnl::memory::desc desc_of(const Operand& operand) const;
  Status make_descs();
  Status find_primitive();

  const StepShapes& step_;
  const MatmulForm& form_;
  DType compute_ = DType::kF32;
  ProductRun run_;
  Operand b_;  // unless it is packed
  MatmulDescs descs_;
};

void MatmulMaker::stage(Operand& operand) { stage_operand(operand, compute_, step_.threads, run_.workspace); }

// b is one matrix, so the batch is more rows.
bool MatmulMaker::folds_batch() const {
  if (form_.packed) return true;
  for (size_t i = 0; i < form_.batch.size(); ++i)
    if (form_.batch[i] != 1 && form_.b.strides[i] != 0) return false;
  return true;
}

void MatmulMaker::fold_rows() {
  const int64_t rows = element_count(form_.batch) * form_.m;
  for (Operand* operand : {&run_.x, &run_.y}) {
    StepTensor& tensor = operand->tensor;
    const size_t last = tensor.shape.size() - 1;
    std::optional<int64_t> stride = merged_stride({tensor.shape.data(), last}, {tensor.strides.data(), last});
    const int64_t columns = tensor.shape.back();
    if (!stride) {
      stage(*operand);
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
void MatmulMaker::squeeze_batch() {
  for (Operand* operand : {&run_.x, &b_, &run_.y}) {
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

void MatmulMaker::choose_stages(bool dense) {
  const bool other = compute_ != form_.dtype;
  // oneDNN (3.2) runs packed weights beside strided operands by its reference loops, thousands of times
  // slower than the copies.
  dense = dense || form_.packed;
  const auto send = [&](Operand& operand, bool must) {
    if (operand.stage || !must) return;
    stage(operand);
    operand.tensor.strides = row_major_strides(operand.tensor.shape);
  };
  send(run_.x, other || (dense ? !run_.x.tensor.row_major() : !is_matrix(run_.x.tensor)));
  if (!form_.packed) send(b_, other || !is_matrix(b_.tensor) || (dense && !b_.tensor.row_major()));
  const bool whole_out = dense || run_.function || run_.copied_residual;
  send(run_.y, other || (whole_out ? !run_.y.tensor.row_major()
                                   : run_.y.tensor.strides.back() != 1 || !is_matrix(run_.y.tensor)));
  if (run_.bias) send(*run_.bias, other || !run_.bias->tensor.row_major());
}

// A residual that lies as out does is added by the way; any other is copied to where out is computed.
void MatmulMaker::choose_residual() {
  run_.residual = form_.residual;
  if (!form_.residual) return;
  const bool alike = form_.residual->strides == form_.out.strides && compute_ == form_.dtype;
  if (alike && !run_.y.stage) return;
  run_.copied_residual =
      Stage(form_.dtype, form_.residual->shape, form_.residual->strides, compute_, step_.threads);
}

dnnl::memory::desc MatmulMaker::desc_of(const Operand& operand) const {
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

Status MatmulMaker::make_descs() {
  descs_.a = desc_of(run_.x);
  descs_.out = desc_of(run_.y);
  if (form_.packed) {
    HR_ASSIGN(run_.weight,
              ProductWeight::packed(step_, *step_.inputs[1], *form_.packed, compute_, run_.workspace));
  } else {
    run_.weight = ProductWeight::plain(b_, desc_of(b_));
  }
  descs_.b = run_.weight.layout();
  if (form_.bias) {
    Sizes shape(run_.y.tensor.shape.size(), 1), strides(shape.size(), form_.n);
    shape.back() = form_.n;
    strides.back() = 1;
    descs_.bias = strided_desc(compute_, shape, strides);
  }
  descs_.adds_residual = run_.residual && !run_.copied_residual;
  descs_.sums = run_.copied_residual.has_value();
  if (form_.epilogue && !run_.function) descs_.epilogue = std::string(info(*form_.epilogue).name);
  return {};
}

Status MatmulMaker::find_primitive() {
  const auto find = [&] {
    return shared_part<ProductPrimitive>(step_, descs_.key(), [&] { return make_primitive(descs_); });
  };
  HR_ASSIGN(run_.primitive, find());
  if (!form_.packed || !run_.primitive->slow) return {};
  // Other sizes than the opt ones may want another layout: a copy beats the reference loops.
  descs_.b = any_desc(compute_, {form_.k, form_.n});
  HR_ASSIGN(run_.primitive, find());
  return run_.weight.reorder(run_.primitive->weight, run_.workspace);
}

Result<std::unique_ptr<ProductKernel>> MatmulMaker::make(bool dense) {
  run_.x.tensor = form_.a;
  b_.tensor = form_.b;
  run_.y.tensor = form_.out;
  if (form_.bias) run_.bias = Operand{*form_.bias, std::nullopt, 0};
  if (form_.epilogue && !has_epilogue(info(*form_.epilogue).name))
    run_.function = BlockFunction(*form_.epilogue, compute_, form_.out.elements(), step_.threads);
  if (folds_batch()) {
    fold_rows();
  } else {
    squeeze_batch();
  }
  choose_stages(dense);
  choose_residual();
  choose_stages(dense);  // a residual that is summed wants a dense out
  HR_TRY(make_descs());
  HR_TRY(find_primitive());
  return std::make_unique<ProductKernel>(std::move(run_));
}

}  // namespace

Result<std::unique_ptr<StepKernel>> make_matmul(const StepShapes& step) {
  HR_ASSIGN(const MatmulForm form, matmul_form(step));
  const bool floats = form.dtype == DType::kF32 || form.dtype == DType::kBF16 || form.dtype == DType::kF16;
  if (!floats || form.k == 0) return make_loop_matmul(step);
  HR_ASSIGN(std::unique_ptr<ProductKernel> kernel, MatmulMaker(step, form).make(false));
  if (kernel->slow()) {
    HR_ASSIGN(std::unique_ptr<ProductKernel> staged, MatmulMaker(step, form).make(true));
    if (!staged->slow()) kernel = std::move(staged);
  }
  return std::unique_ptr<StepKernel>(std::move(kernel));
}

}  // namespace headrace::cpu
