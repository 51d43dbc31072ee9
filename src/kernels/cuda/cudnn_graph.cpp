#include "kernels/cuda/cudnn_graph.h"

// cuDNN's headers hold experimental engines that compile by NVRTC, which a machine that runs engines need not
// have. Nothing here asks for them: weak references keep the plug-in from needing the library.
#pragma weak nvrtcCreateProgram
#pragma weak nvrtcDestroyProgram
#pragma weak nvrtcCompileProgram
#pragma weak nvrtcGetProgramLogSize
#pragma weak nvrtcGetProgramLog
#pragma weak nvrtcGetCUBINSize
#pragma weak nvrtcGetCUBIN
#pragma weak nvrtcGetPTXSize
#pragma weak nvrtcGetPTX

#include <cudnn_frontend.h>

#include <algorithm>
#include <array>
#include <map>
#include <unordered_map>

#include "engine/sizes.h"

namespace headrace::cuda {
namespace {

namespace fe = cudnn_frontend;
using TensorPtr = std::shared_ptr<fe::graph::Tensor_attributes>;

constexpr int64_t kTimedPlans = 4;
// A plan may be compiled as it is built, which takes its time: no more are looked at after so long.
constexpr std::chrono::milliseconds kBuildTime{1500};

// Calls into cuDNN's C++ headers, which may throw.
template <class Call>
Status guarded(std::string_view what, const Call& call) {
  try {
    fe::error_t error = call();
    if (error.is_good()) return {};
    const bool none = error.get_code() == fe::error_code_t::GRAPH_NOT_SUPPORTED ||
                      error.get_code() == fe::error_code_t::HEURISTIC_QUERY_FAILED ||
                      error.get_code() == fe::error_code_t::UNSUPPORTED_GRAPH_FORMAT ||
                      error.get_code() == fe::error_code_t::GRAPH_EXECUTION_PLAN_CREATION_FAILED ||
                      error.get_code() == fe::error_code_t::CUDNN_BACKEND_API_FAILED;
    return Status(none ? Code::kUnsupported : Code::kUnavailable,
                  fmt::format("{}: cuDNN says {}", what, error.get_message()));
  } catch (const std::exception& error) {
    return unavailable("{}: cuDNN says {}", what, error.what());
  }
}

fe::DataType_t data_type(DType dtype) {
  return dtype == DType::kF16    ? fe::DataType_t::HALF
         : dtype == DType::kBF16 ? fe::DataType_t::BFLOAT16
                                 : fe::DataType_t::FLOAT;
}

std::optional<fe::PointwiseMode_t> pointwise_mode(Pointwise function) {
  switch (function) {
    case Pointwise::kRelu: return fe::PointwiseMode_t::RELU_FWD;
    case Pointwise::kSigmoid: return fe::PointwiseMode_t::SIGMOID_FWD;
    case Pointwise::kTanh: return fe::PointwiseMode_t::TANH_FWD;
    case Pointwise::kGelu: return fe::PointwiseMode_t::GELU_FWD;
    case Pointwise::kGeluTanh: return fe::PointwiseMode_t::GELU_APPROX_TANH_FWD;
    case Pointwise::kSilu: return fe::PointwiseMode_t::SWISH_FWD;
    default: return std::nullopt;
  }
}

class PlannedGraph : public CudnnGraph {
 public:
  PlannedGraph(Libraries& libraries, DType dtype) : libraries_(libraries) {
    graph_.set_io_data_type(data_type(dtype))
        .set_intermediate_data_type(fe::DataType_t::FLOAT)
        .set_compute_data_type(fe::DataType_t::FLOAT)
        .set_sm_version(libraries.device().sm());
  }

  // --- Making it: tensors, operations, then choose().
  fe::graph::Graph& graph() { return graph_; }
  TensorPtr input(CudnnOperand operand, const CudnnTensor& tensor) {
    sizes_[operand] = extent(tensor);
    return graph_.tensor(described(operand, tensor));
  }
  void output(CudnnOperand operand, const CudnnTensor& tensor, const TensorPtr& result) {
    sizes_[operand] = extent(tensor);
    result->set_output(true)
        .set_dim(tensor.dims)
        .set_stride(tensor.strides)
        .set_data_type(data_type(tensor.dtype))
        .set_uid(static_cast<int64_t>(operand));
  }
  // The sum, and the function of it.
  TensorPtr add(const TensorPtr& a, const TensorPtr& b) {
    return graph_.pointwise(a, b, fe::graph::Pointwise_attributes().set_mode(fe::PointwiseMode_t::ADD));
  }
  TensorPtr apply(fe::PointwiseMode_t mode, const TensorPtr& x) {
    return graph_.pointwise(x, fe::graph::Pointwise_attributes().set_mode(mode));
  }
  // `exact`: f32 is not rounded on the way.
  Status choose(const std::string& key, bool exact, const CudnnChoice& choice);

  Bytes workspace() const override { return {workspace_}; }
  Status enqueue(std::span<const CudnnBinding> at, std::byte* workspace, CUstream stream) const override {
    return run(plan_, at, workspace, stream);
  }
  TuningOutcome outcome() const override { return outcome_; }

 private:
  class Plans;

  static fe::graph::Tensor_attributes described(CudnnOperand operand, const CudnnTensor& tensor) {
    return fe::graph::Tensor_attributes()
        .set_dim(tensor.dims)
        .set_stride(tensor.strides)
        .set_data_type(data_type(tensor.dtype))
        .set_uid(static_cast<int64_t>(operand));
  }
  static Bytes extent(const CudnnTensor& tensor) {
    const std::optional<int64_t> end = window_end(tensor.dims, tensor.strides, 0);
    return align_up({end.value_or(0) * dtype_size(tensor.dtype)}, {kWorkspaceAlignment});
  }

  Status find_plans(bool exact);
  Status build(int64_t plan);
  // The plans that can be built, as far as they are looked at.
  Result<std::vector<int64_t>> build_plans(bool several, std::chrono::milliseconds most_time);
  // The plan of that name, built.
  std::optional<int64_t> build_named(const std::string& name);
  std::string name_of(int64_t plan) const;
  int64_t scratch_of(int64_t plan) const { return graph_.get_workspace_size_plan_at_index(plan); }
  Status run(int64_t plan, std::span<const CudnnBinding> at, std::byte* workspace, CUstream stream) const;

  Libraries& libraries_;
  mutable fe::graph::Graph graph_;  // the execution of a plan is const in effect
  std::map<CudnnOperand, Bytes> sizes_;
  int64_t plan_ = 0;
  int64_t workspace_ = 0;
  TuningOutcome outcome_ = TuningOutcome::kUntuned;
};

Status PlannedGraph::find_plans(bool exact) {
  HR_ASSIGN(CudnnHandle * handle, libraries_.cudnn());
  const CudnnHandle::Lock lock(*handle);
  HR_TRY(guarded("describe the step", [&] { return graph_.validate(); }));
  HR_TRY(guarded("describe the step", [&] { return graph_.build_operation_graph(lock.get()); }));
  HR_TRY(guarded("find plans", [&] {
    return graph_.create_execution_plans({fe::HeurMode_t::A, fe::HeurMode_t::FALLBACK});
  }));
  return guarded("select plans", [&] {
    std::vector<fe::NumericalNote_t> notes = {fe::NumericalNote_t::NONDETERMINISTIC,
                                              fe::NumericalNote_t::DOWN_CONVERT_INPUTS,
                                              fe::NumericalNote_t::REDUCED_PRECISION_REDUCTION};
    if (exact) notes.push_back(fe::NumericalNote_t::TENSOR_CORE);
    graph_.deselect_numeric_notes(notes);
    return fe::error_t();
  });
}

Status PlannedGraph::build(int64_t plan) {
  return guarded("build a plan", [&] { return graph_.build_plan_at_index(plan); });
}

std::string PlannedGraph::name_of(int64_t plan) const {
  std::string name;
  const Status status = guarded("name a plan", [&] { return graph_.get_plan_name_at_index(plan, name); });
  return status.ok() ? name : "";
}

std::optional<int64_t> PlannedGraph::build_named(const std::string& name) {
  const int64_t count = graph_.get_execution_plan_count();
  for (int64_t plan = 0; plan < count; ++plan)
    if (name_of(plan) == name && build(plan).ok()) return plan;
  return std::nullopt;
}

Result<std::vector<int64_t>> PlannedGraph::build_plans(bool several, std::chrono::milliseconds most_time) {
  const int64_t count = graph_.get_execution_plan_count();
  const int64_t most = library_workspace(libraries_.device().sm()).count;
  std::vector<int64_t> plans, large;
  Status failure;
  const auto end = std::chrono::steady_clock::now() + most_time;
  for (int64_t plan = 0; plan < count; ++plan) {
    if (Status built = build(plan); !built.ok()) {
      // The first ones are the likeliest, and so their failures.
      if (failure.ok()) failure = std::move(built);
      continue;
    }
    (scratch_of(plan) <= most ? plans : large).push_back(plan);
    const bool late = std::chrono::steady_clock::now() > end;
    if (plans.empty() ? late : !several || late || static_cast<int64_t>(plans.size()) == kTimedPlans) break;
  }
  if (!plans.empty()) return plans;
  // Better too much scratch than none of it done.
  if (!large.empty()) return std::vector<int64_t>{large[0]};
  if (failure.ok()) failure = unsupported("cuDNN knows no plan for it");
  return failure;
}

class PlannedGraph::Plans : public Candidates {
 public:
  Plans(PlannedGraph& graph, std::chrono::milliseconds build_time) : graph_(graph), build_time_(build_time) {}

  bool recall(const std::string& choice) override {
    const std::optional<int64_t> plan = graph_.build_named(choice);
    if (plan) graph_.plan_ = *plan;
    return plan.has_value();
  }
  Result<size_t> find(bool several) override {
    HR_ASSIGN(found_, graph_.build_plans(several, build_time_));
    return found_.size();
  }
  size_t widen(size_t) override { return found_.size(); }
  Bytes memory() const override {
    Bytes total;
    for (const auto& [operand, size] : graph_.sizes_) total = total + size;
    int64_t scratch = 0;
    for (const int64_t plan : found_) scratch = std::max(scratch, graph_.scratch_of(plan));
    return total + Bytes{scratch};
  }
  Status run(size_t candidate, std::byte* memory, CUstream stream) override {
    std::vector<CudnnBinding> at;
    for (const auto& [operand, size] : graph_.sizes_) {
      at.push_back({operand, memory});
      memory += size.count;
    }
    return graph_.run(found_[candidate], at, memory, stream);
  }
  void settle(size_t candidate) override { graph_.plan_ = found_[candidate]; }
  std::string text(size_t candidate) const override { return graph_.name_of(found_[candidate]); }

 private:
  PlannedGraph& graph_;
  const std::chrono::milliseconds build_time_;
  std::vector<int64_t> found_;
};

Status PlannedGraph::choose(const std::string& key, bool exact, const CudnnChoice& choice) {
  HR_TRY(find_plans(exact));
  // A clock has no say in what is deterministic.
  Plans plans(*this, choice.mode == ChoiceMode::kDeterministic ? std::chrono::hours(1) : kBuildTime);
  HR_ASSIGN(outcome_, libraries_.tuner().choose(fmt::format("{} exact {}", key, exact), choice.mode, plans,
                                                libraries_.choices(), choice.tuning));
  return guarded("size a plan's workspace",
                 [&] { return graph_.get_workspace_size_plan_at_index(plan_, workspace_); });
}

Status PlannedGraph::run(int64_t plan, std::span<const CudnnBinding> at, std::byte* workspace,
                         CUstream stream) const {
  std::unordered_map<int64_t, void*> pointers;
  for (const CudnnBinding& binding : at) pointers[static_cast<int64_t>(binding.operand)] = binding.at;
  HR_ASSIGN(CudnnHandle * handle, libraries_.cudnn());
  const CudnnHandle::Lock lock(*handle);
  HR_TRY(check_cudnn(cudnnSetStream(lock.get(), stream), "hand cuDNN the stream"));
  const Status status = guarded(
      "run a plan", [&] { return graph_.execute_plan_at_index(lock.get(), pointers, workspace, plan); });
  // That there is a plan was found before.
  return status.ok() ? Status() : Status(Code::kUnavailable, status.message());
}

// bias [O] as [1, O, 1, ..].
CudnnTensor bias_tensor(const CudnnTensor& y) {
  CudnnTensor bias = {y.dtype, Sizes(y.dims.size(), 1), Sizes(y.dims.size(), y.dims[1])};
  bias.dims[1] = y.dims[1];
  bias.strides[1] = 1;
  return bias;
}

// Residual, bias and epilogue: in the order in which cuDNN's own kernels have them; sums do not mind.
Result<TensorPtr> add_tail(PlannedGraph& graph, const ConvProblem& problem, TensorPtr sum) {
  if (problem.residual) sum = graph.add(sum, graph.input(CudnnOperand::kResidual, problem.y));
  if (problem.bias) sum = graph.add(sum, graph.input(CudnnOperand::kBias, bias_tensor(problem.y)));
  if (!problem.epilogue) return sum;
  const std::optional<fe::PointwiseMode_t> mode = pointwise_mode(*problem.epilogue);
  if (!mode) return unsupported("cuDNN has no function '{}'", info(*problem.epilogue).name);
  return graph.apply(*mode, sum);
}

bool is_exact(const ConvProblem& problem) { return problem.y.dtype == DType::kF32 && !problem.tf32; }

}  // namespace

Result<CudnnGraphPtr> make_conv_graph(const ConvProblem& problem, const CudnnChoice& choice) {
  auto graph = std::make_shared<PlannedGraph>(choice.libraries, problem.y.dtype);
  Status described;
  HR_TRY(guarded("describe a convolution", [&] {
    const TensorPtr x = graph->input(CudnnOperand::kX, problem.x);
    const TensorPtr w = graph->input(CudnnOperand::kW, problem.w);
    const auto options = fe::graph::Conv_fprop_attributes()
                             .set_pre_padding(problem.low)
                             .set_post_padding(problem.high)
                             .set_stride(problem.stride)
                             .set_dilation(problem.dilation);
    const Result<TensorPtr> y = add_tail(*graph, problem, graph->graph().conv_fprop(x, w, options));
    if (y.ok()) graph->output(CudnnOperand::kY, problem.y, *y);
    described = y.status();
    return fe::error_t();
  }));
  HR_TRY(described);
  HR_TRY(graph->choose(problem.key(), is_exact(problem), choice));
  return CudnnGraphPtr(std::move(graph));
}

Result<CudnnGraphPtr> make_conv_tail_graph(const ConvProblem& problem, const CudnnChoice& choice) {
  auto graph = std::make_shared<PlannedGraph>(choice.libraries, problem.y.dtype);
  Status described;
  HR_TRY(guarded("describe what follows a convolution", [&] {
    const Result<TensorPtr> y = add_tail(*graph, problem, graph->input(CudnnOperand::kX, problem.y));
    if (y.ok()) graph->output(CudnnOperand::kY, problem.y, *y);
    described = y.status();
    return fe::error_t();
  }));
  HR_TRY(described);
  HR_TRY(graph->choose("tail of " + problem.key(), false, choice));
  return CudnnGraphPtr(std::move(graph));
}

Result<CudnnGraphPtr> make_attention_graph(const AttentionProblem& problem, const CudnnChoice& choice) {
  auto graph = std::make_shared<PlannedGraph>(choice.libraries, problem.q.dtype);
  HR_TRY(guarded("describe attention", [&] {
    auto options = fe::graph::SDPA_attributes()
                       .set_generate_stats(false)
                       .set_attn_scale(static_cast<float>(problem.scale))
                       .set_causal_mask(problem.causal);
    if (problem.mask) options.set_bias(graph->input(CudnnOperand::kMask, *problem.mask));
    const auto results = graph->graph().sdpa(graph->input(CudnnOperand::kQ, problem.q),
                                             graph->input(CudnnOperand::kK, problem.k),
                                             graph->input(CudnnOperand::kV, problem.v), options);
    graph->output(CudnnOperand::kOut, problem.out, results[0]);
    return fe::error_t();
  }));
  HR_TRY(graph->choose(problem.key(), false, choice));
  return CudnnGraphPtr(std::move(graph));
}

}  // namespace headrace::cuda
