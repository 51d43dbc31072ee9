#include "python/context_pool.h"

#include <algorithm>
#include <utility>

#include "python/interrupts.h"

namespace headrace::python {
namespace {

// Beyond it, more runs at once only take turns on the CPUs, and each holds an arena.
constexpr size_t kMostContexts = 4;

}  // namespace

ContextPool::ContextPool(Engine engine, const ContextOptions& options, Context first)
    : engine_(std::move(engine)), options_(options), most_(kMostContexts) {
  slots_.push_back(std::make_unique<Slot>(Slot{std::move(first), std::nullopt}));
  free_.push_back(slots_.back().get());
  last_used_ = free_.back();
}

Result<ContextPool::Lease> ContextPool::take() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return alone_ == 0 && (!free_.empty() || slots_.size() < most()); });
  if (free_.empty()) {
    Result<Context> context = engine_.context(options_);
    if (!context.ok()) return context.status();
    context->set_progress(watch_signals());
    slots_.push_back(std::make_unique<Slot>(Slot{*std::move(context), std::nullopt}));
    return Lease(*this, *slots_.back());
  }
  Slot& slot = *free_.back();
  free_.pop_back();
  return Lease(*this, slot);
}

void ContextPool::give_back(Slot& slot) {
  {
    const std::lock_guard lock(mutex_);
    free_.push_back(&slot);
    last_used_ = &slot;
  }
  changed_.notify_all();
}

bool ContextPool::retire(Lease lease) {
  std::unique_ptr<Slot> retired;
  {
    const std::lock_guard lock(mutex_);
    if (slots_.size() == 1) return false;
    const auto at = std::find_if(slots_.begin(), slots_.end(),
                                 [&](const auto& slot) { return slot.get() == lease.slot_; });
    retired = std::move(*at);
    slots_.erase(at);
    most_ = slots_.size();
    if (last_used_ == retired.get()) last_used_ = slots_.front().get();
  }
  lease.slot_ = nullptr;
  return true;
}

Context& ContextPool::alone(std::unique_lock<std::mutex>& lock) {
  ++alone_;
  changed_.wait(lock, [this] { return free_.size() == slots_.size(); });
  --alone_;
  changed_.notify_all();  // they go on when `lock` does
  slots_.resize(1);
  free_ = {slots_.front().get()};
  last_used_ = slots_.front().get();
  return slots_.front()->context;
}

Status ContextPool::set_memory_limit(std::optional<Bytes> limit) {
  std::unique_lock lock(mutex_);
  Status status = alone(lock).set_memory_limit(limit);
  if (status.ok()) options_.memory_limit = limit;
  return status;
}

void ContextPool::start_trace() {
  std::unique_lock lock(mutex_);
  alone(lock).start_trace();
  traced_ = true;
}

Status ContextPool::write_trace(const std::filesystem::path& path) {
  std::unique_lock lock(mutex_);
  return alone(lock).write_trace(path);
}

Context ContextPool::any() const {
  const std::lock_guard lock(mutex_);
  return slots_.front()->context;
}

MemoryReport ContextPool::memory() const {
  const std::lock_guard lock(mutex_);
  MemoryReport all = last_used_->context.memory();
  for (const auto& slot : slots_) {
    if (slot.get() == last_used_) continue;
    const MemoryReport other = slot->context.memory();
    all.scratch += other.scratch, all.arena += other.arena;
    all.workspace += other.workspace, all.states += other.states;
  }
  return all;
}

}  // namespace headrace::python
