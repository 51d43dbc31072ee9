// The run of a context on a device that runs behind the host.
#include "core/error.h"
#include "runtime/context_impl.h"

namespace headrace::runtime {

Status ContextImpl::execute_queued(const ShapePlan& shape, std::span<const Tensor> inputs,
                                   std::span<const Tensor> outputs) {
  const auto steps = static_cast<int64_t>(plan_.steps.size());
  const std::function<Status(StepIndex)> before_step = [&](StepIndex step) -> Status {
    if (progress_ && !progress_({"run", step, steps})) return unavailable("cancelled");
    return {};
  };
  const QueuedWork work = {plan_,          shape,  buffers_, rows_,    arena_data_, staged_,
                           group_buffers_, inputs, outputs,  version_, step_times_, before_step};
  return queued_run_->run(work, shapes_.front().captured);  // find_shape has put it there
}

// Waits for the runs that are under way on the device.
Status ContextImpl::settle() {
  if (!queued_run_) return {};
  const RunGate::Run run(engine_->gate());  // a budget change waits for them too
  return queued_run_->settle();
}

Status ContextImpl::set_stream(std::optional<void*> stream) {
  if (!queued_run_) return unsupported("this device has no streams: a run is over when it returns");
  const RunGate::Run run(engine_->gate());
  return queued_run_->set_stream(stream);
}

}  // namespace headrace::runtime
