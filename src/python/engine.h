// PyEngine: an engine and its context, called with torch tensors.
#pragma once

#include <nanobind/nanobind.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include <headrace/headrace.h>
#include "python/torch_api.h"

namespace headrace::python {

// Threads: calls may come from several Python threads; runs of one PyEngine follow each other. The GIL is
// released while an engine works or is waited for.
class PyEngine {
 public:
  PyEngine(const std::filesystem::path& path, std::optional<int64_t> weight_budget, int threads,
           std::optional<int64_t> memory_limit, const std::string& device);

  // One entry of `inputs` (a list or tuple) an input of the engine: a tensor, an int where the export has a
  // number, anything where it has a constant. Gives one entry an output: a new tensor, an int or None.
  // On a GPU the work goes to PyTorch's current stream, and tensors come out on the GPU unless all that went
  // in lie on the CPU.
  nanobind::tuple run(nanobind::handle inputs);

  void set_weight_budget(std::optional<int64_t> budget);
  void set_memory_limit(std::optional<int64_t> limit);
  void write_trace(const std::filesystem::path& path);

  Engine& engine() { return engine_; }

  // Calls `work` on the context between runs.
  template <class Work>
  auto between_runs(const Work& work) {
    nanobind::gil_scoped_release release;
    std::lock_guard lock(running_);
    return work(context_);
  }

 private:
  // What the outputs are like for one set of input shapes and numbers.
  struct Shapes {
    std::vector<std::vector<int64_t>> sizes;
    std::vector<nanobind::object> tuples;  // the same as tuples of ints, for PyTorch
  };
  struct Opened {
    Engine engine;
    Context context;
  };

  static Opened open(const std::filesystem::path& path, std::optional<int64_t> weight_budget, int threads,
                     std::optional<int64_t> memory_limit, const std::string& device);
  explicit PyEngine(Opened opened);
  // The inputs of one call, and what keeps them.
  struct Call {
    std::vector<Tensor> tensors;
    std::vector<int64_t> numbers, key;
    std::vector<nanobind::object> kept;  // copies of strided tensors on the GPU
    bool on_gpu = false;
  };
  void read_inputs(nanobind::handle inputs, Call& call) const;
  const Shapes& shapes_for(const std::vector<Tensor>& tensors, const std::vector<int64_t>& key);

  Engine engine_;
  Context context_;
  std::mutex running_;  // never waited for with the GIL held
  const std::vector<PortInfo> inputs_, outputs_;
  const int gpu_;  // the index; -1 on the CPU
  TorchApi torch_;
  std::optional<uintptr_t> stream_;                      // the one that the context has; guarded by running_
  std::map<std::vector<int64_t>, Shapes> known_shapes_;  // guarded by the GIL
};

void bind_engine(nanobind::module_& module);
void bind_compile(nanobind::module_& module);

}  // namespace headrace::python
