// ContextImpl: arena, scratch and states of one run at a time, and the run itself.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "runtime/engine.h"
#include "runtime/engine_impl.h"
#include "runtime/pool.h"
#include "runtime/queued_run.h"
#include "runtime/row_source.h"
#include "runtime/shape_plan.h"
#include "runtime/step_times.h"
#include "runtime/streamer.h"

namespace headrace::runtime {

class ContextImpl : public Context {
 public:
  // `pool` is the engine's device's; options.pool, or the context's own.
  ContextImpl(std::shared_ptr<EngineImpl> engine, std::shared_ptr<Pool> pool, const ContextOptions& options);
  ~ContextImpl() override;

  Result<DimBindings> bind(std::span<const Tensor> inputs) const override;
  Result<std::vector<Sizes>> output_shapes(const DimBindings& dims) const override;
  Result<std::vector<Tensor>> run(std::span<const Tensor> inputs, std::span<const Tensor> outputs) override;
  Status run_into(std::span<const Tensor> inputs, std::span<const Tensor> outputs) override;
  MemoryReport memory() const override;
  Status set_memory_limit(std::optional<Bytes> limit) override;
  Status set_stream(std::optional<void*> stream) override;
  void set_trace(Trace* trace) override { trace_ = trace; }
  void set_progress(Progress progress) override { progress_ = std::move(progress); }
  Engine& engine() const override { return *engine_; }

  const StepTimes& step_times() const { return step_times_; }
  const LinkRate& link_rate() const { return queued_run_ ? queued_run_->link_rate() : streamer_.link_rate(); }
  // Both are called by the engine while no run is in the gate.
  void drop_scratch();
  // Takes in which groups are resident now: a new schedule and scratch for the others, and all addresses.
  Status follow_residency();

 private:
  struct PreparedShape {
    std::vector<int64_t> key;
    std::shared_ptr<const ShapePlan> shape;
    CapturedRun captured;  // on queued devices
  };
  class RunMark;

  Result<const ShapePlan*> find_shape(std::span<const Tensor> inputs);
  Status check_outputs(const ShapePlan& shape, std::span<const Tensor> outputs) const;
  Bytes stage(const ShapePlan& shape, std::span<const Tensor> inputs, std::span<const Tensor> outputs);
  Bytes room_for(const MemoryNeed& need) const {
    return *limit_ - need.always_resident - need.states - need.arena - need.driver;
  }
  MemoryNeed need_of(const ShapePlan& shape, Bytes arena) const;
  Status take_room(const MemoryNeed& need);
  Status charge_driver(const ShapePlan& shape);
  Status make_arena(const ShapePlan& shape, Bytes arena);
  Status grow_arena(const ShapePlan& shape, Bytes arena);
  Status make_states(const ShapePlan& shape);
  Status configure_streams(const std::vector<bool>& resident, Bytes scratch_limit);
  void place_rows(const std::vector<bool>& resident);
  void place(const ShapePlan& shape, std::span<const Tensor> inputs, std::span<const Tensor> outputs);
  Status execute(const ShapePlan& shape, std::span<const Tensor> inputs, std::span<const Tensor> outputs);
  Status execute_queued(const ShapePlan& shape, std::span<const Tensor> inputs,
                        std::span<const Tensor> outputs);
  Status run_steps(const ShapePlan& shape);
  Status run_step(const ShapePlan& shape, StepIndex step);
  Status acquire_weights(StepIndex step);
  int64_t rows_wait_ns() const;
  void give_up_scratch();
  Status settle();
  void deliver(const ShapePlan& shape, std::span<const Tensor> outputs);
  void note_run(int64_t begin_ns);
  void tell_pace();
  Status run_marked(const ShapePlan& shape, std::span<const Tensor> inputs, std::span<const Tensor> outputs);

  const std::shared_ptr<EngineImpl> engine_;
  const std::shared_ptr<Pool> pool_;
  const bool shares_pool_;
  const Plan& plan_;
  const int threads_;
  const size_t prepared_limit_;
  std::atomic<bool> running_ = false;

  std::optional<Bytes> limit_;
  Bytes charged_;                      // to the limit, for the driver
  std::optional<Bytes> room_;          // what the limit leaves for resident weights and scratch
  std::vector<PreparedShape> shapes_;  // the latest used first
  std::vector<int64_t> key_;
  std::vector<Staged> staged_;

  PoolMemory::Share arena_;
  std::byte* arena_data_ = nullptr;  // in this run
  std::vector<Allocation> states_;
  Streamer streamer_;
  uint64_t version_ = 0;  // of the residency that streamer_, buffers_ and rows_ follow
  std::vector<MemoryRows> memory_rows_;
  std::vector<FileRows> file_rows_;
  std::unique_ptr<Queue> queue_;           // nullptr on queued devices
  std::unique_ptr<QueuedRun> queued_run_;  // on these alone

  std::vector<std::byte*> buffers_;                      // by buffer
  std::vector<RowSource*> rows_;                         // by weight
  std::vector<BufferIndex> output_buffers_;              // by output: its own buffer
  std::vector<std::vector<BufferIndex>> group_buffers_;  // by group: the buffers of its weights

  StepTimes step_times_;
  int64_t told_at_ = 0;  // which of the runs that are timed; 0: never
  Trace* trace_ = nullptr;
  Progress progress_;
  std::atomic<int64_t> workspace_bytes_ = 0, state_bytes_ = 0;
  mutable std::mutex report_mutex_;  // guards the two below
  Streamer::Statistics last_;
  int64_t last_run_ns_ = 0;
};

}  // namespace headrace::runtime
