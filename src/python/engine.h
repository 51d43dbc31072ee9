// PyEngine: an engine and its contexts, called with torch tensors.
#pragma once

#include <nanobind/nanobind.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <headrace/headrace.h>
#include "python/context_pool.h"
#include "python/torch_api.h"

namespace headrace::python {

// Threads: calls may come from several Python threads, and run at the same time (ContextPool). The GIL is
// released while an engine works or is waited for.
class PyEngine {
 public:
  PyEngine(const std::filesystem::path& path, std::optional<int64_t> weight_budget, int threads,
           std::optional<int64_t> memory_limit, const std::string& device, std::optional<int64_t> host_limit,
           const std::optional<std::filesystem::path>& model, double tuning_seconds, bool deterministic,
           const std::optional<Pool>& pool);

  // One entry of `inputs` (a list or tuple) an input of the engine: a tensor, an int where the export has a
  // number, anything where it has a constant. Gives one entry an output: a new tensor, an int or None.
  // On a GPU the work goes to PyTorch's current stream, and tensors come out on the GPU unless all that went
  // in lie on the CPU.
  nanobind::tuple run(nanobind::handle inputs);

  void set_weight_budget(std::optional<int64_t> budget);
  void set_memory_limit(std::optional<int64_t> limit);
  void write_trace(const std::filesystem::path& path);

  void start_trace();
  MemoryReport memory() const { return pool_->memory(); }

  Engine& engine() { return engine_; }
  bool packed_again() const { return packed_again_; }  // when it was opened

 private:
  // What the outputs are like for one set of input shapes and numbers.
  struct Shapes {
    std::vector<std::vector<int64_t>> sizes;
    std::vector<nanobind::object> tuples;  // the same as tuples of ints, for PyTorch
  };
  struct Opened {
    Engine engine;
    std::unique_ptr<ContextPool> pool;
    bool packed_again = false;
  };

  static Opened open(const std::filesystem::path& path, std::optional<int64_t> weight_budget, int threads,
                     std::optional<int64_t> memory_limit, const std::string& device,
                     std::optional<int64_t> host_limit, const std::optional<std::filesystem::path>& model,
                     double tuning_seconds, bool deterministic, const std::optional<Pool>& pool);
  explicit PyEngine(Opened opened);
  // The inputs of one call, and what keeps them.
  struct Call {
    std::vector<Tensor> tensors;
    std::vector<int64_t> numbers, key;
    std::vector<nanobind::object> kept;  // copies of strided tensors on the GPU
    bool on_gpu = false;
  };
  void read_inputs(nanobind::handle inputs, Call& call) const;
  std::shared_ptr<const Shapes> shapes_for(const Call& call);
  // Without the GIL.
  Status run_call(const Call& call, std::optional<uintptr_t> stream, std::span<const Tensor> results);

  Engine engine_;
  const std::unique_ptr<ContextPool> pool_;
  const bool packed_again_;
  const std::vector<PortInfo> inputs_, outputs_;
  const int gpu_;  // the index; -1 on the CPU
  TorchApi torch_;
  std::map<std::vector<int64_t>, std::shared_ptr<const Shapes>> known_shapes_;  // guarded by the GIL
};

void bind_engine(nanobind::module_& module);
void bind_compile(nanobind::module_& module);

}  // namespace headrace::python
