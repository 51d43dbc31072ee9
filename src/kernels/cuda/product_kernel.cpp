// Steps "matmul": cuBLASLt's product, and a kernel of ours for its epilogue where cuBLASLt has none; or one
// kernel of ours for all of it, where the step brings some and timing at the profile's opt sizes finds one of
// them faster.
#include <algorithm>

#include "core/error.h"
#include "engine/sizes.h"
#include "kernels/cuda/libraries.h"
#include "kernels/cuda/matmul_problem.h"
#include "kernels/cuda/product_step.h"
#include "kernels/cuda/step_kernel.h"
#include "kernels/cuda/weight_product.h"

namespace headrace::cuda {
namespace {

// What cuBLASLt does of a step, and what follows it.
class LibraryProduct : public StepKernel {
 public:
  static Result<std::unique_ptr<StepKernel>> make(const StepShapes& shapes) {
    const AttributeMap ending = with_prefix(shapes.step->attributes, kEndingPrefix);
    if (ending.empty()) return make_blas_product(shapes);
    auto made = std::make_unique<LibraryProduct>();
    Step step = *shapes.step;
    step.attributes.erase("epilogue");
    StepShapes part = shapes;
    part.step = &step;
    HR_ASSIGN(made->product_, make_blas_product(part));
    step.attributes = ending;
    part.inputs = {shapes.outputs[0]};
    HR_ASSIGN(made->ending_, make_generated(part));
    return std::unique_ptr<StepKernel>(std::move(made));
  }
  Bytes workspace() const override { return product_->workspace(); }
  Status enqueue(const Addresses& at, CUstream stream) const override {
    HR_TRY(product_->enqueue(at, stream));
    return ending_->enqueue(at, stream);
  }

 private:
  std::unique_ptr<StepKernel> product_, ending_;
};

// Addresses of a step's operands in memory made up for timing.
class MadeUpOperands {
 public:
  explicit MadeUpOperands(const StepShapes& shapes) : offsets_(shapes.plan->buffers.size(), Bytes{-1}) {
    for (const auto& input : shapes.inputs)
      if (input) add(*input);
    for (const StepTensor& output : shapes.outputs) add(output);
  }
  Bytes size() const { return size_; }
  // The buffers, in `memory`; `weight` lies `shift` further on.
  std::vector<std::byte*> in(std::byte* memory, BufferIndex weight, Bytes shift) const {
    std::vector<std::byte*> buffers(offsets_.size(), nullptr);
    for (size_t i = 0; i < offsets_.size(); ++i)
      if (offsets_[i].count >= 0) buffers[i] = memory + offsets_[i].count;
    buffers[static_cast<size_t>(weight)] += shift.count;
    return buffers;
  }

 private:
  void add(const StepTensor& tensor) {
    Bytes& offset = offsets_[static_cast<size_t>(tensor.buffer)];
    if (offset.count >= 0) return;
    int64_t end = tensor.offset + 1;
    for (size_t d = 0; d < tensor.shape.size(); ++d) end += (tensor.shape[d] - 1) * tensor.strides[d];
    offset = size_;
    size_ = size_ + align_up({end * dtype_size(tensor.dtype)}, {kWorkspaceAlignment});
  }

  std::vector<Bytes> offsets_;  // by buffer; -1: not this step's
  Bytes size_;
};

// The kernels for one set of shapes; ours first, cuBLASLt's last.
struct Candidates {
  std::vector<std::unique_ptr<WeightProduct>> ours;
  std::unique_ptr<StepKernel> library;

  static Result<Candidates> make(const StepShapes& shapes) {
    Candidates made;
    HR_ASSIGN(const MatmulForm form, MatmulForm::make(shapes));
    for (int64_t i = 0; i < shapes.step->attributes.integer(kProducts); ++i) {
      HR_ASSIGN(auto product, WeightProduct::make(shapes, form, i));
      if (product) made.ours.push_back(std::move(product));
    }
    HR_ASSIGN(made.library, LibraryProduct::make(shapes));
    return made;
  }

  // Weights that come from memory, as in a model that is larger than the cache: copies of them, in turn.
  size_t fastest(const StepShapes& shapes, Tuner& tuner) const {
    constexpr Bytes kCopies = mib(96);
    const MadeUpOperands operands(shapes);
    const StepTensor& weight = *shapes.inputs[1];
    const Bytes copy = align_up({weight.elements() * dtype_size(weight.dtype)}, {kWorkspaceAlignment});
    const int64_t copies = std::clamp<int64_t>(kCopies.count / std::max<int64_t>(copy.count, 1), 1, 16);
    int64_t turn = 0;
    const Bytes before = operands.size() + Bytes{copy.count * copies};
    return tuner.fastest(ours.size() + 1, before + library->workspace(),
                         [&](size_t candidate, std::byte* memory, CUstream stream) {
                           const Bytes shift{copy.count * (turn++ % copies)};
                           const auto buffers = operands.in(memory, weight.buffer, shift);
                           const Addresses at{buffers, {}, memory + before.count};
                           const StepKernel& kernel = candidate < ours.size() ? *ours[candidate] : *library;
                           return kernel.enqueue(at, stream);
                         });
  }
};

constexpr std::string_view kLibrary = "library";

// Which kernel is fastest at the opt sizes: the function's name, or kLibrary; and the rows there.
struct ProductChoice {
  std::string kernel;
  int64_t rows = 0;
};
Result<ProductChoice> choose(const StepShapes& shapes) {
  StepShapes opt = shapes;
  opt.dims = shapes.opt;
  HR_TRY(evaluate_tensors(*shapes.step, opt));
  if (opt.empty()) return ProductChoice{std::string(kLibrary), 0};
  HR_ASSIGN(const MatmulForm form, MatmulForm::make(opt));
  const std::optional<MatmulProblem> problem = MatmulProblem::make(form, false);
  if (!problem) return ProductChoice{std::string(kLibrary), 0};
  Libraries& libraries = *shapes.libraries;
  std::string key =
      fmt::format("{} cublasLt {} product {}", libraries.device_key(), cublasLtGetVersion(), problem->key());
  for (int64_t i = 0; i < shapes.step->attributes.integer(kProducts); ++i)
    key += " " + shapes.step->attributes.text(product_prefix(i) + "function");
  if (const auto kept = libraries.choices().find(key)) return ProductChoice{*kept, problem->n};
  HR_ASSIGN(const Candidates candidates, Candidates::make(opt));
  ProductChoice choice{std::string(kLibrary), problem->n};
  if (candidates.ours.empty()) return choice;
  const size_t best = candidates.fastest(opt, libraries.tuner());
  if (best < candidates.ours.size()) choice.kernel = candidates.ours[best]->function();
  libraries.choices().keep(key, choice.kernel);
  return choice;
}

// One of ours, where its operands lie on 16 bytes; else cuBLASLt's.
class ProductKernel : public StepKernel {
 public:
  static Result<std::unique_ptr<StepKernel>> make(const StepShapes& shapes) {
    if (shapes.step->attributes.integer(kProducts) <= 0) return LibraryProduct::make(shapes);
    HR_ASSIGN(const ProductChoice choice, choose(shapes));
    HR_ASSIGN(Candidates candidates, Candidates::make(shapes));
    const auto ours = std::ranges::find(candidates.ours, choice.kernel, &WeightProduct::function);
    // Far from the sizes that were timed, the library is the safer guess.
    const bool near = shapes.outputs[0].elements() <= 2 * choice.rows * shapes.outputs[0].shape.back();
    if (ours == candidates.ours.end() || !near) return std::move(candidates.library);
    auto made = std::make_unique<ProductKernel>();
    made->ours_ = std::move(*ours);
    made->library_ = std::move(candidates.library);
    return std::unique_ptr<StepKernel>(std::move(made));
  }
  Bytes workspace() const override { return library_->workspace(); }
  Status enqueue(const Addresses& at, CUstream stream) const override {
    return ours_->takes(at) ? ours_->enqueue(at, stream) : library_->enqueue(at, stream);
  }

 private:
  std::unique_ptr<WeightProduct> ours_;
  std::unique_ptr<StepKernel> library_;
};

constexpr KernelRow kRows[] = {{"matmul", ProductKernel::make}};

}  // namespace

std::span<const KernelRow> matmul_kernels() { return kRows; }

}  // namespace headrace::cuda
