#include "kernels/cuda/lt_matmul.h"

#include <algorithm>
#include <cstring>

#include "engine/sizes.h"
#include "kernels/cuda/lt_algorithm.h"

namespace headrace::cuda {
namespace {

constexpr int kTimedCandidates = 24;
// What is tried beyond the heuristics' own, where a product takes long enough for it to matter.
constexpr double kWideFrom = 2e9;  // multiplications
constexpr size_t kWideTilings = 64, kWideTiles = 32, kWideShapes = 48;

cudaDataType_t data_type(DType dtype) {
  return dtype == DType::kF16 ? CUDA_R_16F : dtype == DType::kBF16 ? CUDA_R_16BF : CUDA_R_32F;
}

Result<cublasLtEpilogue_t> epilogue_of(const MatmulProblem& problem) {
  if (!problem.epilogue) return problem.bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
  switch (*problem.epilogue) {
    case Pointwise::kRelu: return problem.bias ? CUBLASLT_EPILOGUE_RELU_BIAS : CUBLASLT_EPILOGUE_RELU;
    case Pointwise::kGeluTanh: return problem.bias ? CUBLASLT_EPILOGUE_GELU_BIAS : CUBLASLT_EPILOGUE_GELU;
    default: return unsupported("cuBLASLt has no epilogue '{}'", info(*problem.epilogue).name);
  }
}

template <class T>
Status set(cublasLtMatmulDesc_t desc, cublasLtMatmulDescAttributes_t attribute, const T& value) {
  return check_blas(cublasLtMatmulDescSetAttribute(desc, attribute, &value, sizeof(value)),
                    "describe a product");
}
template <class T>
Status set(cublasLtMatrixLayout_t layout, cublasLtMatrixLayoutAttribute_t attribute, const T& value) {
  return check_blas(cublasLtMatrixLayoutSetAttribute(layout, attribute, &value, sizeof(value)),
                    "describe a matrix");
}
template <class T>
Status set(cublasLtMatmulPreference_t preference, cublasLtMatmulPreferenceAttributes_t attribute,
           const T& value) {
  return check_blas(cublasLtMatmulPreferenceSetAttribute(preference, attribute, &value, sizeof(value)),
                    "prefer algorithms");
}

}  // namespace

std::string LtAlignment::text() const {
  return fmt::format("align {} {} {} {} {}", operands[kFirst], operands[kSecond], operands[kAddend],
                     operands[kResult], bias);
}

Status LtMatmul::make_layouts() {
  for (size_t i = 0; i < kLtOperands; ++i) {
    const LtMatrix& matrix = problem_.matrices[i];
    cublasLtMatrixLayout_t layout = nullptr;
    HR_TRY(check_blas(cublasLtMatrixLayoutCreate(&layout, data_type(problem_.dtype_of(i)),
                                                 static_cast<uint64_t>(matrix.rows),
                                                 static_cast<uint64_t>(matrix.columns), matrix.ld),
                      "describe a matrix"));
    layouts_[i].reset(layout);
    if (problem_.batch == 1) continue;
    HR_TRY(set(layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, static_cast<int32_t>(problem_.batch)));
    HR_TRY(set(layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, matrix.batch_stride));
  }
  return {};
}

Result<BlasLtOwner<cublasLtMatmulDesc_t>> LtMatmul::make_desc(const std::byte* bias) const {
  const auto compute = problem_.tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
  cublasLtMatmulDesc_t made = nullptr;
  HR_TRY(check_blas(cublasLtMatmulDescCreate(&made, compute, CUDA_R_32F), "describe a product"));
  BlasLtOwner<cublasLtMatmulDesc_t> desc(made);
  const auto operation = [&](LtOperand operand) -> int32_t {
    return problem_.matrices[operand].transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
  };
  HR_TRY(set(made, CUBLASLT_MATMUL_DESC_TRANSA, operation(kFirst)));
  HR_TRY(set(made, CUBLASLT_MATMUL_DESC_TRANSB, operation(kSecond)));
  HR_ASSIGN(const cublasLtEpilogue_t epilogue, epilogue_of(problem_));
  HR_TRY(set(made, CUBLASLT_MATMUL_DESC_EPILOGUE, static_cast<uint32_t>(epilogue)));
  if (bias) HR_TRY(set(made, CUBLASLT_MATMUL_DESC_BIAS_POINTER, static_cast<const void*>(bias)));
  return desc;
}

const std::byte* LtMatmul::bias_to_ask_with() const {
  return problem_.bias ? reinterpret_cast<const std::byte*>(static_cast<uintptr_t>(alignment_.bias))
                       : nullptr;
}

Result<std::vector<LtMatmul::Algorithm>> LtMatmul::candidates(int count, Bytes most) const {
  cublasLtMatmulPreference_t made = nullptr;
  HR_TRY(check_blas(cublasLtMatmulPreferenceCreate(&made), "prefer algorithms"));
  const BlasLtOwner<cublasLtMatmulPreference_t> preference(made);
  HR_TRY(set(made, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, static_cast<uint64_t>(most.count)));
  // Sums of parts are added in f32: neither in the result's own dtype nor in the result's place.
  HR_TRY(set(made, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
             static_cast<uint32_t>(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE)));
  constexpr std::array kAlignments = {
      CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
      CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES};
  for (size_t i = 0; i < kLtOperands; ++i) HR_TRY(set(made, kAlignments[i], alignment_.operands[i]));

  HR_ASSIGN(const auto desc, make_desc(bias_to_ask_with()));
  std::vector<cublasLtMatmulHeuristicResult_t> results(static_cast<size_t>(count));
  int found = 0;
  const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(
      handle_, desc.get(), layouts_[kFirst].get(), layouts_[kSecond].get(), layouts_[kAddend].get(),
      layouts_[kResult].get(), made, count, results.data(), &found);
  if (status != CUBLAS_STATUS_NOT_SUPPORTED) HR_TRY(check_blas(status, "ask for algorithms"));
  std::vector<Algorithm> algorithms;
  for (int i = 0; i < found; ++i) {
    const cublasLtMatmulHeuristicResult_t& result = results[static_cast<size_t>(i)];
    if (result.state == CUBLAS_STATUS_SUCCESS) algorithms.push_back({result.algo, result.workspaceSize});
  }
  if (algorithms.empty())
    return unsupported("cuBLASLt has no algorithm for {} with {} of scratch", problem_.key(), most.count);
  return algorithms;
}

std::optional<LtMatmul::Algorithm> LtMatmul::checked(const cublasLtMatmulAlgo_t& algo, Bytes most) const {
  const auto desc = make_desc(bias_to_ask_with());
  if (!desc.ok()) return std::nullopt;
  cublasLtMatmulHeuristicResult_t result = {};
  const cublasStatus_t status =
      cublasLtMatmulAlgoCheck(handle_, desc->get(), layouts_[kFirst].get(), layouts_[kSecond].get(),
                              layouts_[kAddend].get(), layouts_[kResult].get(), &algo, &result);
  if (status != CUBLAS_STATUS_SUCCESS || result.workspaceSize > static_cast<size_t>(most.count))
    return std::nullopt;
  return Algorithm{algo, result.workspaceSize};
}

std::array<Bytes, kLtOperands> LtMatmul::extents() const {
  std::array<Bytes, kLtOperands> sizes;
  for (size_t i = 0; i < kLtOperands; ++i) {
    const LtMatrix& matrix = problem_.matrices[i];
    const int64_t elements =
        (problem_.batch - 1) * matrix.batch_stride + (matrix.columns - 1) * matrix.ld + matrix.rows;
    sizes[i] = align_up({elements * dtype_size(problem_.dtype_of(i))}, {kWorkspaceAlignment});
  }
  return sizes;
}

class LtMatmul::Algorithms : public Candidates {
 public:
  Algorithms(LtMatmul& product, Bytes most, int multiprocessors)
      : product_(product), most_(most), multiprocessors_(multiprocessors), sizes_(product.extents()) {}

  bool recall(const std::string& choice) override {
    const std::optional<cublasLtMatmulAlgo_t> kept = parse_choice(choice);
    const std::optional<Algorithm> algorithm = kept ? product_.checked(*kept, most_) : std::nullopt;
    if (algorithm) product_.algorithm_ = *algorithm;
    return algorithm.has_value();
  }
  Result<size_t> find(bool several) override {
    HR_ASSIGN(found_, product_.candidates(several ? kTimedCandidates : 1, most_));
    named_ = found_.size();
    return found_.size();
  }
  // First other tiles, in the shapes that the heuristics have named; then other shapes of the best.
  size_t widen(size_t best) override {
    const MatmulProblem& problem = product_.problem_;
    const double work =
        static_cast<double>(problem.m) * static_cast<double>(problem.n * problem.k * problem.batch);
    if (work < kWideFrom || widened_ == 2) return found_.size();
    if (widened_++ == 0)
      add_tiles(found_[best].algo);
    else
      add_shapes(found_[best].algo);
    return found_.size();
  }
  Bytes memory() const override {
    Bytes total = bias_size();
    for (const Bytes size : sizes_) total = total + size;
    return total + most_;
  }
  Status run(size_t candidate, std::byte* memory, CUstream stream) override {
    LtPointers at;
    for (size_t i = 0; i < kLtOperands; memory += sizes_[i++].count) at.operands[i] = memory;
    if (product_.problem_.bias) at.bias = memory;
    return product_.run(found_[candidate], at, memory + bias_size().count, stream);
  }
  void settle(size_t candidate) override { product_.algorithm_ = found_[candidate]; }
  std::string text(size_t candidate) const override { return choice_text(found_[candidate].algo); }

 private:
  Bytes bias_size() const {
    return align_up({product_.problem_.m * dtype_size(product_.problem_.dtype)}, {kWorkspaceAlignment});
  }
  // False where there is no such algorithm, or it is there already.
  bool add(const cublasLtMatmulAlgo_t& algo) {
    const auto is_this = [&](const Algorithm& other) { return is_same(other.algo, algo); };
    if (std::any_of(found_.begin(), found_.end(), is_this)) return false;
    const std::optional<Algorithm> algorithm = product_.checked(algo, most_);
    if (algorithm) found_.push_back(*algorithm);
    return algorithm.has_value();
  }
  // The best's shape, then those of the others.
  std::vector<LtShape> named_shapes(const cublasLtMatmulAlgo_t& best) const {
    std::vector<LtShape> shapes = {shape_of(best)};
    for (size_t i = 0; i < named_; ++i) {
      const LtShape shape = shape_of(found_[i].algo);
      if (std::find(shapes.begin(), shapes.end(), shape) == shapes.end()) shapes.push_back(shape);
    }
    return shapes;
  }
  void add_tiles(const cublasLtMatmulAlgo_t& best) {
    const MatmulProblem& problem = product_.problem_;
    const LtSizes sizes = {problem.m, problem.n, problem.k, problem.batch};
    const std::vector<LtShape> shapes = named_shapes(best);
    const size_t most = found_.size() + kWideTiles;
    for (const LtTiling& tiling : likely_tilings(sizes, multiprocessors_, kWideTilings))
      for (size_t i = 0, added = 0; i < shapes.size() && added < 2 && found_.size() < most; ++i)
        added += add(with_tiling(with_shape(best, shapes[i]), tiling)) ? 1 : 0;
  }
  void add_shapes(const cublasLtMatmulAlgo_t& best) {
    const size_t most = found_.size() + kWideShapes;
    const auto options = custom_options(best);
    for (const uint16_t cluster :
         {CUBLASLT_CLUSTER_SHAPE_1x1x1, CUBLASLT_CLUSTER_SHAPE_2x1x1, CUBLASLT_CLUSTER_SHAPE_1x2x1,
          CUBLASLT_CLUSTER_SHAPE_4x1x1, CUBLASLT_CLUSTER_SHAPE_1x4x1, CUBLASLT_CLUSTER_SHAPE_2x2x1})
      for (uint32_t custom = 0; custom <= options && found_.size() < most; ++custom)
        add(with_shape(best, {cluster, custom}));
  }

  LtMatmul& product_;
  const Bytes most_;
  const int multiprocessors_;
  const std::array<Bytes, kLtOperands> sizes_;
  std::vector<Algorithm> found_;
  size_t named_ = 0;  // of them, by the heuristics
  int widened_ = 0;
};

Result<std::shared_ptr<const LtMatmul>> LtMatmul::make(const MatmulProblem& problem,
                                                       const LtAlignment& alignment, ChoiceMode mode,
                                                       Libraries& libraries, Tuning& tuning) {
  auto made = std::make_shared<LtMatmul>();
  made->problem_ = problem;
  made->alignment_ = alignment;
  HR_ASSIGN(made->handle_, libraries.blas_lt());
  HR_TRY(made->make_layouts());
  const Bytes most = library_workspace(libraries.device().sm());
  Algorithms algorithms(*made, most, libraries.device().multiprocessors());
  const std::string key = fmt::format("matmul {} {} scratch {}", problem.key(), alignment.text(), most.count);
  HR_ASSIGN(made->outcome_, libraries.tuner().choose(key, mode, algorithms, libraries.choices(), tuning));
  return std::shared_ptr<const LtMatmul>(std::move(made));
}

Status LtMatmul::run(const Algorithm& algorithm, const LtPointers& at, std::byte* workspace,
                     CUstream stream) const {
  HR_ASSIGN(const auto desc, make_desc(at.bias));
  const float alpha = 1, beta = problem_.residual ? 1 : 0;
  const std::byte* addend = problem_.residual ? at.operands[kAddend] : at.operands[kResult];
  return check_blas(cublasLtMatmul(handle_, desc.get(), &alpha, at.operands[kFirst], layouts_[kFirst].get(),
                                   at.operands[kSecond], layouts_[kSecond].get(), &beta, addend,
                                   layouts_[kAddend].get(), at.operands[kResult], layouts_[kResult].get(),
                                   &algorithm.algo, workspace, algorithm.workspace, stream),
                    "run a product");
}

Status LtMatmul::enqueue(const LtPointers& at, std::byte* workspace, CUstream stream) const {
  return run(algorithm_, at, workspace, stream);
}

}  // namespace headrace::cuda
