// For tests of plans that go by time: steps that take theirs on a fake device's clock.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "runtime/testing.h"

namespace headrace::runtime::testing {

// What steps take. A test may change it while nothing runs.
using StepTable = std::shared_ptr<std::vector<int64_t>>;

using Advance = std::function<void(int64_t ns)>;  // a clock

// MixKernels whose steps take so many nanoseconds; those behind the table's end take none.
class TimedKernels : public Kernels {
 public:
  TimedKernels(Advance advance, StepTable step_ns)
      : advance_(std::move(advance)), step_ns_(std::move(step_ns)) {}
  Result<std::unique_ptr<Executable>> load(std::shared_ptr<const Plan> plan) override {
    HR_ASSIGN(auto inner, MixKernels().load(std::move(plan)));
    return std::unique_ptr<Executable>(std::make_unique<Timed>(std::move(inner), advance_, step_ns_));
  }

 private:
  class TimedPrepared : public Prepared {
   public:
    TimedPrepared(std::shared_ptr<const Prepared> inner, Advance advance, StepTable step_ns)
        : inner_(std::move(inner)), advance_(std::move(advance)), step_ns_(std::move(step_ns)) {}
    Bytes workspace(StepIndex step) const override { return inner_->workspace(step); }
    Status enqueue(StepIndex step, const Addresses& at, Queue& queue) const override {
      const auto index = static_cast<size_t>(step);
      if (index < step_ns_->size()) advance_((*step_ns_)[index]);
      return inner_->enqueue(step, at, queue);
    }

   private:
    std::shared_ptr<const Prepared> inner_;
    Advance advance_;
    StepTable step_ns_;
  };
  class Timed : public Executable {
   public:
    Timed(std::unique_ptr<Executable> inner, Advance advance, StepTable step_ns)
        : inner_(std::move(inner)), advance_(std::move(advance)), step_ns_(std::move(step_ns)) {}
    Result<std::shared_ptr<const Prepared>> prepare(const DimBindings& dims, int threads) override {
      HR_ASSIGN(auto inner, inner_->prepare(dims, threads));
      return std::shared_ptr<const Prepared>(
          std::make_shared<TimedPrepared>(std::move(inner), advance_, step_ns_));
    }

   private:
    std::unique_ptr<Executable> inner_;
    Advance advance_;
    StepTable step_ns_;
  };
  Advance advance_;
  StepTable step_ns_;
};

}  // namespace headrace::runtime::testing
