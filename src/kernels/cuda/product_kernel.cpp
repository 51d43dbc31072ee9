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
#include "kernels/cuda/tuned_part.h"
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

// The kernels for one set of shapes.
struct Products {
  std::vector<std::unique_ptr<WeightProduct>> ours;
  std::unique_ptr<StepKernel> library;

  static Result<Products> make(const StepShapes& shapes) {
    Products made;
    HR_ASSIGN(const MatmulForm form, MatmulForm::make(shapes));
    for (int64_t i = 0; i < shapes.step->attributes.integer(kProducts); ++i) {
      HR_ASSIGN(auto product, WeightProduct::make(shapes, form, i));
      if (product) made.ours.push_back(std::move(product));
    }
    HR_ASSIGN(made.library, LibraryProduct::make(shapes));
    return made;
  }
};

constexpr std::string_view kLibrary = "library";

// cuBLASLt's product, which is the first guess, and then ours; by name.
class ProductCandidates : public Candidates {
 public:
  ProductCandidates(const StepShapes& shapes, const Products* products)
      : products_(products), operands_(shapes), weight_(*shapes.inputs[1]) {
    constexpr Bytes kCopies = mib(96);
    copy_ = align_up({weight_.elements() * dtype_size(weight_.dtype)}, {kWorkspaceAlignment});
    copies_ = std::clamp<int64_t>(kCopies.count / std::max<int64_t>(copy_.count, 1), 1, 16);
  }
  const std::string& chosen() const { return chosen_; }

  bool recall(const std::string& choice) override { return chosen_ = choice, true; }
  Result<size_t> find(bool several) override { return several && products_ ? products_->ours.size() + 1 : 1; }
  size_t widen(size_t) override { return products_->ours.size() + 1; }
  Bytes memory() const override { return before() + products_->library->workspace(); }
  Status run(size_t candidate, std::byte* memory, CUstream stream) override {
    const Bytes shift{copy_.count * (turn_++ % copies_)};
    const auto buffers = operands_.in(memory, weight_.buffer, shift);
    const Addresses at{buffers, {}, memory + before().count};
    const StepKernel& kernel = candidate == 0 ? *products_->library : *products_->ours[candidate - 1];
    return kernel.enqueue(at, stream);
  }
  void settle(size_t candidate) override { chosen_ = text(candidate); }
  std::string text(size_t candidate) const override {
    return candidate == 0 ? std::string(kLibrary) : products_->ours[candidate - 1]->function();
  }

 private:
  Bytes before() const { return operands_.size() + Bytes{copy_.count * copies_}; }

  const Products* products_;  // nullptr: the first guess alone
  const MadeUpOperands operands_;
  const StepTensor& weight_;
  // Weights come from memory, as in a model that is larger than the cache: copies of them, in turn.
  Bytes copy_;
  int64_t copies_ = 1, turn_ = 0;
  std::string chosen_;
};

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
  std::string key = fmt::format("product {}", problem->key());
  for (int64_t i = 0; i < shapes.step->attributes.integer(kProducts); ++i)
    key += " " + shapes.step->attributes.text(product_prefix(i) + "function");
  const ChoiceMode mode = choice_mode(opt);
  std::optional<Products> products;
  if (mode == ChoiceMode::kTimed && !libraries.choices().find(key)) {
    HR_ASSIGN(products, Products::make(opt));
    if (products->ours.empty()) return ProductChoice{std::string(kLibrary), problem->n};
  }
  ProductCandidates candidates(opt, products ? &*products : nullptr);
  HR_ASSIGN(const TuningOutcome outcome,
            libraries.tuner().choose(key, mode, candidates, libraries.choices(), *shapes.tuning));
  if (mode != ChoiceMode::kDeterministic) shapes.tuning->note(key, outcome);
  return ProductChoice{candidates.chosen(), problem->n};
}

// One of ours, where its operands lie on 16 bytes; else cuBLASLt's.
class ProductKernel : public StepKernel {
 public:
  static Result<std::unique_ptr<StepKernel>> make(const StepShapes& shapes) {
    if (shapes.step->attributes.integer(kProducts) <= 0) return LibraryProduct::make(shapes);
    HR_ASSIGN(const ProductChoice choice, choose(shapes));
    HR_ASSIGN(Products products, Products::make(shapes));
    const auto ours = std::ranges::find(products.ours, choice.kernel, &WeightProduct::function);
    // Far from the sizes that were timed, the library is the safer guess.
    const bool near = shapes.outputs[0].elements() <= 2 * choice.rows * shapes.outputs[0].shape.back();
    if (ours == products.ours.end() || !near) return std::move(products.library);
    auto made = std::make_unique<ProductKernel>();
    made->ours_ = std::move(*ours);
    made->library_ = std::move(products.library);
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
