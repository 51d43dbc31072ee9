// Headrace: compiles PyTorch exports into engines, and runs them inside the memory you give them.
//
//   headrace::Engine engine = headrace::compile("model.pt2", "model.engine").value();  // or
//   Engine::open("model.engine") headrace::Context context = engine.context({.memory_limit =
//   headrace::gib(2)}).value(); auto outputs = context.run({{"input_ids", ids}}).value();
//
// Every call that can fail gives a Result or a Status; `.value()` throws headrace::Error for those who like
// it so. Engine and Context are handles: copies refer to the same thing.
#pragma once

#include <filesystem>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <headrace/bytes.h>
#include <headrace/dtype.h>
#include <headrace/progress.h>
#include <headrace/status.h>
#include <headrace/tensor.h>
#include <headrace/tuning.h>

namespace headrace {

class EngineFile;
class Tuning;
namespace runtime {
class Engine;
class Context;
class Pool;
}  // namespace runtime

std::string version();  // "0.1.0"

// The range of a dynamic size. Names are the symbols that `headrace inspect` shows.
struct ProfileRange {
  std::string name;
  int64_t min = 1, opt = 1, max = 1;
};

struct CompileOptions {
  std::string device = "cpu";  // "cpu", "reference", "cuda", "cuda:1", "cuda:sm_90" (needs no GPU)
  std::string precision =
      "as-is";  // of floats: "as-is", "fp32", "bf16", "fp16"; inputs and outputs keep their dtypes
  bool allow_tf32 = false;  // on a GPU, f32 products may round their operands to TF32: faster, 10 bits
  std::vector<ProfileRange> profile;    // narrows the ranges that the export gives
  std::vector<std::string> passes_off;  // names of graph passes to leave out
  Progress progress;
  std::filesystem::path trace;  // where set: a Chrome trace of the build is written there
  bool verify_passes = false;   // check the graph after every pass
};

// What a compile did, in numbers.
struct CompileReport {
  int64_t nodes = 0;  // of the export
  int64_t steps = 0;  // of the plan
  Bytes file, weights, streamable;
  Bytes arena;  // activations of a run at the opt sizes
  std::vector<std::pair<std::string, std::vector<int64_t>>> opt_shapes;  // of the tensor inputs
  Bytes peak_growth;  // of the process's anonymous memory, sampled
  int64_t ns = 0;
  std::vector<std::pair<std::string, int64_t>> phases;  // name, nanoseconds
  std::vector<std::string> warnings;                    // sentences for people
};

struct OpenOptions {
  std::optional<Bytes> weight_budget;  // absent: auto, from the memory that is available
  Progress progress;
  std::string device;               // "cuda:1"; empty: the first that the engine was compiled for
  std::optional<Bytes> host_limit;  // of host memory pinned to feed a GPU; absent: what is free
  // The archive that the engine was compiled from. Looked at only where the engine was made for another ISA
  // or another version of oneDNN: its weights are packed again then, and the engine file is replaced. Empty:
  // the engine's name with .pt2.
  std::filesystem::path model;
  // On a GPU: for how long kernels are tuned that no earlier load has tuned; 0: not at all.
  double tuning_seconds = 10;
  // On a GPU: nothing that is computed depends on a timing, or on what was tuned before.
  bool deterministic = false;
  // On a GPU: of the device's memory that tuning may take meanwhile. What needs more is not tuned.
  Bytes tuning_memory = mib(512);
  // For contexts with this memory limit: a quarter of it at most, so that the driver and its libraries have
  // room beside.
  void tune_within(Bytes memory_limit);
};

// Arena and scratch of contexts that never run at once, of one engine or of several on one device: as large
// as the context needs that needs most, where each of its own would hold as much as it needs. A handle; the
// memory is held while contexts of the pool are, and what only one needed is given back when that one goes.
// Threads: all methods may be called by several. A run that begins before another one of the pool has
// returned is refused (kInvalidArgument); on a GPU, runs that return before they are over follow each other
// there.
class Pool {
 public:
  Pool();
  Bytes arena() const;
  Bytes scratch() const;

 private:
  friend class Engine;
  std::shared_ptr<runtime::Pool> pool_;
};

struct ContextOptions {
  int threads = 0;                    // 0: as many as the affinity mask and the cgroup allow
  std::optional<Bytes> memory_limit;  // for everything that the engine and this context hold
  int prepared_shapes = 0;            // sets of shapes kept ready; 0: 16, and 256 on a GPU
  std::optional<Pool> pool;           // shared with other contexts; not with a memory limit. Absent: its own
};

// One input or output of an engine.
struct PortInfo {
  std::string name;
  bool is_tensor = true;  // false: a number, a constant or None
  DType dtype = DType::kF32;
  std::vector<std::string> shape;  // "1", "s0", "2 * s0 + 1"
  std::string constant;            // JSON text of a constant ("null" is None); empty for tensors and numbers
};

// Memory held and moved, from the allocator.
struct MemoryReport {
  Bytes streamable, weight_budget, resident, always_resident, scratch, arena, workspace, states;
  Bytes device_used, device_peak, streamed_last_run;
  Bytes driver;       // a GPU's driver, beside device_used: code, libraries, captured runs; measured
  Bytes host_pinned;  // host memory pinned to copy weights from; none while all are resident
  int64_t last_run_ns = 0, last_read_ns = 0, last_wait_ns = 0;
  int64_t link_rate = 0;     // bytes a second in which weights stream, as measured in runs; 0: not yet
  std::string text() const;  // one line for people
};

// A tensor with the name of the input that it is for.
struct NamedTensor {
  std::string name;
  Tensor tensor;
};

// One execution state of an engine. Threads: one run at a time; several contexts of one engine may run at
// once.
class Context {
 public:
  // Inputs in the order of the export's call, or by name. Errors: kInvalidArgument names the input, asked and
  // found.
  Result<std::vector<Tensor>> run(std::span<const Tensor> inputs);
  Result<std::vector<Tensor>> run(std::initializer_list<Tensor> inputs);
  Result<std::vector<Tensor>> run(std::span<const NamedTensor> inputs);
  Result<std::vector<Tensor>> run(std::initializer_list<NamedTensor> inputs);
  // Writes into tensors of the caller's, of the dtypes and shapes that output_shapes() tells.
  Status run_into(std::span<const Tensor> inputs, std::span<const Tensor> outputs);
  Result<std::vector<std::vector<int64_t>>> output_shapes(std::span<const Tensor> inputs) const;

  // The engine's budget; it holds for all its contexts. Takes effect before the next run.
  Status set_weight_budget(std::optional<Bytes> budget);  // nullopt: auto
  Status set_memory_limit(std::optional<Bytes> limit);
  // On a GPU: runs go to this CUDA stream (nullptr: the default one) and, where all tensors lie on the GPU,
  // return before they are over. nullopt: a stream of the context's own, waited for. Not during a run.
  Status set_stream(std::optional<void*> stream);
  MemoryReport memory() const;
  std::string report() const;  // memory().text()

  // Events of the runs from now on, written by write_trace. Errors of files.
  void start_trace();
  Status write_trace(const std::filesystem::path& path);
  void set_progress(Progress progress);  // called between steps; false cancels the run

 private:
  friend class Engine;
  struct State;
  std::shared_ptr<State> state_;
};

// What an engine file says of itself: read without its weights, and on any machine, whatever the engine is
// for. A handle; it keeps the file open.
class EngineInfo {
 public:
  std::string backend() const;  // "cpu"
  // The ISA and libraries that its steps and weights were made for: "cpu avx2 onednn 3.2.0".
  std::string fingerprint() const;
  Bytes streamable() const;  // bytes of weights that a budget can leave in the file
  std::vector<PortInfo> inputs() const;
  std::vector<PortInfo> outputs() const;
  std::vector<ProfileRange> profile() const;
  const std::string& in_spec() const;  // torch.utils pytree text of (args, kwargs)
  const std::string& out_spec() const;
  std::string plan_text() const;           // for `headrace inspect --plan`
  std::string weights_text() const;        // for `headrace inspect --weights`
  Result<std::string> graph_text() const;  // the graph after the passes, read from the file; kCorrupt
  std::filesystem::path path() const;

 private:
  friend class Engine;
  friend Result<EngineInfo> inspect_engine(const std::filesystem::path& path);
  std::shared_ptr<const EngineFile> file_;
};

// Errors: kNotFound, kCorrupt, kIncompatible (a format of another version).
Result<EngineInfo> inspect_engine(const std::filesystem::path& path);

// A compiled graph, its weights resident or in its file. Threads: all calls may come from several.
class Engine {
 public:
  // An engine for a CPU of another ISA or another oneDNN is packed again first, see OpenOptions::model; the
  // phase of its progress is "pack again". Errors: kNotFound, kCorrupt, kIncompatible (made by another
  // version of Headrace, or for a machine or library of which it cannot be packed again: compile again).
  static Result<Engine> open(const std::filesystem::path& path, const OpenOptions& options = {});

  // Errors: kInvalidArgument: the pool's memory is on another device; kUnsupported: a memory limit and a
  // pool; kExhausted: the memory limit is too small for the opt shapes, with the least that is not.
  Result<Context> context(const ContextOptions& options = {}) const;

  Bytes streamable() const;     // bytes of weights that a budget can leave in the file
  Bytes weight_budget() const;  // in force
  Bytes automatic_weight_budget() const;
  // Waits for runs in flight, then moves only the bytes that differ. Which weights fill a budget may change
  // before a later run, once runs have shown what is faster. More than streamable() is taken as streamable().
  // Errors: kInvalidArgument (negative), kExhausted; the old budget stays in force.
  Status set_weight_budget(std::optional<Bytes> budget);

  // The same as info()'s.
  std::vector<PortInfo> inputs() const;
  std::vector<PortInfo> outputs() const;
  std::vector<ProfileRange> profile() const;
  const std::string& in_spec() const;
  const std::string& out_spec() const;
  std::string plan_text() const;
  std::string weights_text() const;
  Result<std::string> graph_text() const;
  std::string backend() const;
  std::filesystem::path path() const;

  std::string device() const;  // "cpu", "cuda:0"
  EngineInfo info() const;     // what its file says
  // On a GPU: the kernels that opening has tuned or knew; zeros elsewhere.
  TuningReport tuning() const;

 private:
  std::shared_ptr<runtime::Engine> engine_;
  std::shared_ptr<const Tuning> tuning_;
};

// Compiles an export into an engine file. Nothing appears under `engine` unless all went well.
// Errors: those of reading the archive; kUnsupported lists every op that is not supported, with the reason.
Result<Engine> compile(const std::filesystem::path& model, const std::filesystem::path& engine,
                       const CompileOptions& options = {}, CompileReport* report = nullptr);
// The same without opening the result.
Result<CompileReport> compile_file(const std::filesystem::path& model, const std::filesystem::path& engine,
                                   const CompileOptions& options = {});

// The graph of an export as text: as read, or after the passes for a device.
Result<std::string> graph_text(const std::filesystem::path& model, bool optimised,
                               const CompileOptions& options = {});

// Checks every byte of an engine file. Errors: kCorrupt names what is wrong.
Status verify_engine(const std::filesystem::path& path, const Progress& progress = {});

}  // namespace headrace
