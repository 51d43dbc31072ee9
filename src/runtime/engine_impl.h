// EngineImpl: residency and budgets, shared by the contexts of an engine.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "runtime/engine.h"
#include "runtime/replanner.h"
#include "runtime/residency.h"
#include "runtime/run_gate.h"
#include "runtime/shape_plan.h"
#include "runtime/source_reader.h"
#include "runtime/weight_planner.h"

namespace headrace::runtime {

class ContextImpl;

class EngineImpl : public Engine {
 public:
  EngineImpl(EngineFile file, std::shared_ptr<Device> device, FileIdentity identity, WeightSource source,
             Bytes host_limit);
  ~EngineImpl() override;
  // Loads what is always resident, and what the budget says.
  Status start(Kernels& kernels, const EngineOptions& options);

  const Plan& plan() const override { return file_.plan(); }
  const EngineFile& file() const override { return file_; }
  Bytes streamable() const override { return planner_.streamable(); }
  Bytes weight_budget() const override { return {budget_.load()}; }
  bool weight_budget_is_auto() const override { return is_auto_; }
  Bytes automatic_weight_budget() const override;
  Status set_weight_budget(std::optional<Bytes> budget) override;
  Result<std::shared_ptr<Context>> make_context(ContextOptions options) override;
  Result<MemoryNeed> memory_need(const DimBindings& dims, int threads) override;

  // --- For contexts.
  Device& device() const override { return *device_; }
  const WeightPlanner& planner() const { return planner_; }
  // On queued devices, while a group streams; else nullptr. Stays while a RunGate::Run lives.
  CopySource* source() const { return source_.source.get(); }
  // What a limit must leave to the device's driver: as measured, but with all weights in blocks of their own;
  // and what it is charged, which is more.
  Bytes driver_taken() const;
  Bytes driver_charged() const;
  Bytes host_pinned() const { return {host_pinned_.load()}; }
  const FileIdentity& identity() const { return identity_; }
  RunGate& gate() { return gate_; }
  // The groups in memory. Stays as it is while a RunGate::Run lives; `version` changes with it, and is never
  // 0.
  const Residency& residency() const { return residency_; }
  uint64_t version() const { return version_; }
  Bytes resident() const { return {resident_.load()}; }
  Bytes always_resident() const { return always_resident_; }
  std::byte* literal(size_t index) const { return literals_.data() + literal_offsets_[index].count; }
  Result<std::shared_ptr<const ShapePlan>> shape_plan(const DimBindings& dims, int threads) const;
  // What the device counts for an arena of so many bytes.
  Bytes counted(Bytes arena) const {
    const int64_t unit = device_->growth_unit().count;
    return {(arena.count + unit - 1) / unit * unit};
  }
  // What a run of these shapes needs as its arena, with tensors that can be used where they are.
  Bytes arena_of(const ShapePlan& shape) const {
    return device_->queued() ? arena_with_places(plan(), shape) : shape.arena;
  }

  // Tells that resident streamable weights and the scratch of `context` must fit into `room` together
  // (nullopt: no limit), and makes it so. Must not be called inside a run.
  // On failure the former room stays. Errors: kExhausted, those of reads.
  Status set_room(ContextImpl& context, std::optional<Bytes> room);
  // Lowers an automatic budget so that `arena` can be allocated; does nothing to one that was set.
  Status give_way(Bytes arena);
  // A context has measured its runs anew; the next run of any takes a look.
  void note_pace() { pace_is_due_.store(true, std::memory_order_relaxed); }
  bool pace_is_due() const { return pace_is_due_.load(std::memory_order_relaxed); }
  // Moves weights where that gains enough, the budget as it is. Before a run of `context`, outside the gate;
  // while others run, or something else is being changed, it is put off to a later run. Where memory is too
  // short for it, the weights stay as they are.
  void follow_pace(ContextImpl& context);
  void enroll(ContextImpl& context);
  void leave(ContextImpl& context);

 private:
  struct Member {
    ContextImpl* context;
    std::optional<Bytes> room;
  };
  Status load_literals();
  Bytes automatic_beside(Bytes arena) const;
  Status apply(const Progress& progress);  // REQUIRES: change_mutex_ is held
  Status change_residency(const std::vector<bool>& wanted, const Progress& progress);
  Status move_weights(const std::vector<bool>& wanted, const Progress& progress);  // REQUIRES: a closed gate
  Status move_for_pace(ContextImpl& context, const std::vector<bool>& better);     // the same
  bool has_memory_for(const std::vector<bool>& better, const std::vector<bool>& now) const;
  Status pin_source();
  void unpin_source();
  Result<Bytes> budget_within_rooms() const;
  // Of the runs of the first context that has had enough of them: all follow one, or weights would move to
  // and fro between two. REQUIRES: change_mutex_ is held.
  void take_pace();

  EngineFile file_;
  std::shared_ptr<Device> device_;
  FileIdentity identity_;
  WeightSource source_;  // changes only while the gate is closed
  const Bytes host_limit_;
  std::atomic<int64_t> host_pinned_ = 0;
  WeightPlanner planner_;
  std::unique_ptr<Executable> executable_;
  Allocation literals_;
  std::vector<Bytes> literal_offsets_;
  Bytes always_resident_;
  RunGate gate_;
  Residency residency_;  // changes only while the gate is closed
  uint64_t version_ = 1;

  std::mutex change_mutex_;         // one change at a time; guards the six below
  std::optional<Bytes> requested_;  // nullopt: auto
  Bytes automatic_;                 // what auto was when it was last asked for
  std::vector<Member> members_;
  RunPace pace_;         // what residency is chosen by
  Replanner replanner_;  // has the pace that was measured since
  int put_off_ = 0;      // so many times, weights that are to move
  std::atomic<bool> pace_is_due_ = false;
  std::atomic<int64_t> budget_ = 0;  // in force
  std::atomic<int64_t> resident_ = 0;
  std::atomic<int64_t> lost_ = 0;  // in blocks of the groups that are resident
  Bytes lost_of_all_;              // if all were
  std::atomic<bool> is_auto_ = true;

  mutable std::mutex opt_mutex_;  // guards the two below
  mutable std::shared_ptr<const ShapePlan> opt_shape_;
  mutable int opt_threads_ = 0;
};

}  // namespace headrace::runtime
