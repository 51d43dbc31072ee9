// Engine and Context: a plan that runs, inside the memory it is given.
//
// Residency belongs to the Engine and is shared by its contexts; states belong to a Context, arena and
// scratch to its Pool, which others may have too that never run at once. A weight budget says how many bytes
// of streamable weights may be resident; the rest streams from the engine file through scratch slots, ahead
// of use. Results do not depend on the budget, to the bit. Within it the engine moves weights by itself
// before a run, where earlier runs have shown that others in memory make runs faster.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <headrace/bytes.h>
#include <headrace/progress.h>
#include <headrace/status.h>
#include <headrace/tensor.h>
#include "core/trace.h"
#include "device/device.h"
#include "engine/engine_file.h"
#include "kernels/kernels.h"

namespace headrace::runtime {

struct EngineOptions {
  std::optional<Bytes> weight_budget;  // absent: auto
  Progress progress;                   // loading resident weights
  std::optional<Bytes> host_limit;     // of host memory pinned for a queued device; absent: what is free
};

class Pool;

struct ContextOptions {
  int threads = 0;  // 0: usable_cpus()
  std::optional<Bytes>
      memory_limit;         // everything: resident + scratch + arena + states + workspace + literals + driver
  int prepared_shapes = 0;  // sets of shapes kept ready (LRU); 0: 16, and 256 on queued devices
  std::shared_ptr<Pool> pool;  // of arena and scratch, with others; nullptr: one of the context's own
};

// What memory is held, from the allocator; and what the last run moved.
struct MemoryReport {
  Bytes streamable;       // all streamable weights
  Bytes weight_budget;    // in force
  Bytes resident;         // streamable weights in memory now; <= weight_budget
  Bytes always_resident;  // small weights and literals
  Bytes scratch;          // slots for streamed weights; of the pool
  Bytes arena;            // activations of the largest shape so far; of the pool
  Bytes workspace;        // part of the arena: kernels' scratchpads
  Bytes states;
  Bytes device_used;  // as the allocator counts, all of the above
  Bytes device_peak;
  Bytes driver;  // a GPU's driver beside that: code, libraries, captured runs; of all engines, as measured
  Bytes host_pinned;  // of the host's memory, to copy weights from; none while all are resident
  Bytes streamed_last_run;
  int64_t last_run_ns = 0;
  int64_t last_read_ns = 0;  // time with at least one read under way
  int64_t last_wait_ns = 0;  // time that steps waited for reads
  int64_t link_rate = 0;     // bytes a second, of streamed weights in runs so far; 0: not measured
};

// What a memory limit would need, for the shapes in `dims`.
struct MemoryNeed {
  Bytes least;  // with weight budget 0
  Bytes most;   // with all weights resident
  Bytes arena, scratch, always_resident, states, driver;
  std::string largest_streamed;  // the weight that decides the scratch
};

class Context;

// Threads: all methods may be called by several threads. Lives as long as a Context of it does.
class Engine : public std::enable_shared_from_this<Engine> {
 public:
  static Result<std::shared_ptr<Engine>> open(EngineFile file, std::unique_ptr<Kernels> kernels,
                                              std::shared_ptr<Device> device, EngineOptions options = {});
  virtual ~Engine() = default;

  virtual const Plan& plan() const = 0;
  virtual const EngineFile& file() const = 0;
  virtual Device& device() const = 0;
  virtual Bytes streamable() const = 0;  // total streamable bytes
  virtual Bytes weight_budget() const = 0;
  virtual bool weight_budget_is_auto() const = 0;
  virtual Bytes automatic_weight_budget() const = 0;  // what auto would be now
  // Waits for runs in flight, then moves only the bytes that differ; the limit holds also while it moves. A
  // budget above streamable() is clamped to it (the caller warns). On failure the old budget stays in force.
  // Errors: kInvalidArgument (negative), kExhausted, kUnavailable (a read failed).
  virtual Status set_weight_budget(std::optional<Bytes> budget) = 0;  // nullopt: auto
  // Errors: kExhausted, with asked, needed and least, where the limit is too small for the profile's opt
  // shapes; kInvalidArgument: the pool is on another device; kUnsupported: a limit in a pool that is given.
  virtual Result<std::shared_ptr<Context>> make_context(ContextOptions options = {}) = 0;
  virtual Result<MemoryNeed> memory_need(const DimBindings& dims, int threads) = 0;
};

// One execution state. Threads: one run at a time; overlapping runs of one context are an error
// (kInvalidArgument), and so are those of contexts that share a pool.
class Context {
 public:
  virtual ~Context() = default;
  // Binds symbols from the inputs' shapes and checks count, dtype, rank, sizes, profile, guards. One entry an
  // input of the plan: tensors for kTensor, a 0-d i64 tensor for kNumber; entries for kConstant are not
  // looked at. Errors: kInvalidArgument with input's name, asked and found.
  virtual Result<DimBindings> bind(std::span<const Tensor> inputs) const = 0;
  // The shapes of the tensor outputs, known before the run; other outputs give an empty list.
  virtual Result<std::vector<Sizes>> output_shapes(const DimBindings& dims) const = 0;
  // Runs. `outputs` is empty (the context allocates new tensors), or has one entry an output: a tensor to
  // write into (dtype and shape as output_shapes; row-major: written in place, else copied), or an empty
  // Tensor to allocate. Non-contiguous inputs are accepted. After an error the context stays usable.
  virtual Result<std::vector<Tensor>> run(std::span<const Tensor> inputs,
                                          std::span<const Tensor> outputs = {}) = 0;
  // The same into tensors of the caller's: one entry an output, none empty but for outputs that are None; a
  // number goes to an i64 tensor of rank 0. Allocates nothing once its shapes have been run, unless weights
  // stream.
  virtual Status run_into(std::span<const Tensor> inputs, std::span<const Tensor> outputs) = 0;
  virtual MemoryReport memory() const = 0;
  virtual Status set_memory_limit(std::optional<Bytes> limit) = 0;
  // On a device whose work is queued: runs go to this stream of the caller's (nullptr: the default stream),
  // and where all inputs and outputs lie on the device they return before they are over. nullopt: a stream of
  // the context's own, waited for. Errors: kUnsupported on other devices.
  virtual Status set_stream(std::optional<void*> stream) = 0;
  virtual void set_trace(Trace* trace) = 0;          // nullptr: none; borrowed
  virtual void set_progress(Progress progress) = 0;  // called between steps; false cancels the run
  virtual Engine& engine() const = 0;
};

}  // namespace headrace::runtime
