#include "passes/passes.h"

#include <algorithm>
#include <array>
#include <chrono>

#include "core/error.h"
#include "passes/pass_list.h"

namespace headrace::passes {
namespace {

// The order matters: patterns are found on the user's dtypes and layout, so fusing into whole ops comes
// before precision and layout; epilogues and point-wise chains are made of what is left.
constexpr std::array kPasses = {
    PassInfo{"eliminate_dead_code", "erases nodes, weights and literals that nothing uses",
             eliminate_dead_code},
    PassInfo{"simplify", "local rewrites: what does nothing, and what can be said shorter", simplify},
    PassInfo{"fold_constants", "evaluates nodes of literals alone, up to 64 KiB each", fold_constants},
    PassInfo{"common_subexpressions", "computes equal things once", common_subexpressions},
    PassInfo{"fold_batch_norm", "batch norm into the weights before it, or into scale and shift",
             fold_batch_norm},
    PassInfo{"canonical_matmul", "weights of products as [N, K], an added vector as bias", canonical_matmul},
    PassInfo{"fuse_activation", "silu and gelu that are written out in small ops", fuse_activation},
    PassInfo{"fuse_rotary", "x*cos + rotate_half(x)*sin becomes rotary", fuse_rotary},
    PassInfo{"fuse_norm", "RMS norm and layer norm that are written out become one op", fuse_norm},
    PassInfo{"fuse_attention", "softmax(q k^T) v becomes attention; masks and repeated heads are absorbed",
             fuse_attention},
    PassInfo{"precision", "floats in the precision asked for; inputs and outputs stay", precision},
    PassInfo{"layout", "convolutions and what lies between them in channels-last order", layout},
    PassInfo{"join_matmuls", "products of one input with several weights become one", join_matmuls},
    PassInfo{"join_rotary", "rotary of neighbouring heads of one product becomes one", join_rotary},
    PassInfo{"fuse_epilogues", "residual and activation into the matmul or conv before them", fuse_epilogues},
    PassInfo{"fuse_pointwise", "chains of element-wise ops become one", fuse_pointwise},
};
constexpr size_t kCleanup = 4;      // the first so many also run after each other pass that changed something
constexpr int kCleanupRounds = 16;  // a bound, for rules that would chase each other for ever

class Pipeline {
 public:
  Pipeline(ir::Graph& graph, const PassOptions& options) : graph_(graph), options_(options) {}

  Status run() {
    HR_TRY(check_names());
    HR_TRY(clean_up());
    for (size_t i = kCleanup; i < kPasses.size(); ++i) {
      HR_ASSIGN(const bool changed, run_pass(kPasses[i]));
      if (changed) HR_TRY(clean_up());
    }
    return {};
  }
  std::vector<PassTime> times() && { return std::move(times_); }

 private:
  Status check_names() const {
    for (const std::string& name : options_.off) {
      if (std::any_of(kPasses.begin(), kPasses.end(), [&](auto& pass) { return pass.name == name; }))
        continue;
      std::string known;
      for (const PassInfo& pass : kPasses) known += fmt::format("{}{}", known.empty() ? "" : ", ", pass.name);
      return invalid_argument("there is no pass '{}' to switch off; the passes are {}", name, known);
    }
    return {};
  }

  Status clean_up() {
    for (int round = 0; round < kCleanupRounds; ++round) {
      bool changed = false;
      for (size_t i = 0; i < kCleanup; ++i) {
        HR_ASSIGN(const bool pass_changed, run_pass(kPasses[i]));
        changed |= pass_changed;
      }
      if (!changed) break;
    }
    return {};
  }

  Result<bool> run_pass(const PassInfo& pass) {
    if (std::find(options_.off.begin(), options_.off.end(), pass.name) != options_.off.end()) return false;
    const auto start = std::chrono::steady_clock::now();
    Result<bool> changed = pass.run(graph_, PassContext{options_});
    const auto time = std::chrono::steady_clock::now() - start;
    if (!changed.ok()) return changed.status().with_context(fmt::format("pass '{}'", pass.name));
    if (options_.verify && *changed) {
      const Status status = ir::verify(graph_);
      if (!status.ok())
        return status.with_context(fmt::format("pass '{}' left a graph that is not valid", pass.name));
    }
    add_time(pass.name, std::chrono::duration_cast<std::chrono::nanoseconds>(time).count(), *changed);
    return changed;
  }

  void add_time(std::string_view name, int64_t ns, bool changed) {
    for (PassTime& time : times_) {
      if (time.name != name) continue;
      time.ns += ns;
      time.changed |= changed;
      return;
    }
    times_.push_back({std::string(name), ns, changed});
  }

  ir::Graph& graph_;
  const PassOptions& options_;
  std::vector<PassTime> times_;  // the rounds of a pass added up
};

}  // namespace

std::span<const PassInfo> all_passes() { return kPasses; }

Result<std::vector<PassTime>> run_passes(ir::Graph& graph, const PassOptions& options) {
  Pipeline pipeline(graph, options);
  HR_TRY(pipeline.run());
  return std::move(pipeline).times();
}

}  // namespace headrace::passes
