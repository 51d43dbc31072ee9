// Random nets on the fake device that runs behind the host.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "device/fake/fake_queued_device.h"
#include "random_net.h"
#include "runtime/row_source.h"
#include "runtime/testing.h"

namespace headrace::runtime::nets {

// The reference back end's steps as work on a queue. Rows are read where the address says.
class QueuedPrepared : public Prepared {
 public:
  QueuedPrepared(std::shared_ptr<const Plan> plan, std::shared_ptr<const Prepared> inner)
      : plan_(std::move(plan)), inner_(std::move(inner)) {}
  Bytes workspace(StepIndex step) const override { return inner_->workspace(step); }
  Status enqueue(StepIndex step, const Addresses& at, Queue& queue) const override {
    std::vector<std::byte*> buffers(at.buffers.begin(), at.buffers.end());
    std::vector<std::span<const std::byte>> uses;
    for (const int32_t buffer : weights_of(step)) {
      const std::byte* data = buffers[static_cast<size_t>(buffer)];
      if (!data) return internal_error("step {}: a weight has no address", step);
      const auto weight = static_cast<size_t>(plan_->buffers[static_cast<size_t>(buffer)].index);
      if (plan_->weights[weight].use == WeightUse::kWhole) {
        uses.emplace_back(data, static_cast<size_t>(plan_->weights[weight].resident.count));
      }
    }
    auto work = [this, step, buffers = std::move(buffers), workspace = at.workspace]() mutable -> Status {
      return run(step, buffers, workspace);
    };
    return static_cast<fake::FakeWorkQueue&>(queue).push(plan_->steps[static_cast<size_t>(step)].label,
                                                         std::move(work), std::move(uses));
  }

 private:
  std::vector<int32_t> weights_of(StepIndex step) const {
    std::vector<int32_t> found;
    for (const TensorIndex input : plan_->steps[static_cast<size_t>(step)].inputs) {
      if (input == kNone) continue;
      const BufferIndex buffer = plan_->tensors[static_cast<size_t>(input)].buffer;
      if (plan_->buffers[static_cast<size_t>(buffer)].kind == BufferKind::kWeight) found.push_back(buffer);
    }
    return found;
  }

  Status run(StepIndex step, std::vector<std::byte*>& buffers, std::byte* workspace) const {
    class Nothing : public Queue {
      Status synchronize() override { return {}; }
    } queue;
    std::vector<MemoryRows> sources;
    std::vector<RowSource*> rows(plan_->weights.size());
    sources.reserve(rows.size());
    for (const int32_t buffer : weights_of(step)) {
      const auto weight = static_cast<size_t>(plan_->buffers[static_cast<size_t>(buffer)].index);
      if (plan_->weights[weight].use != WeightUse::kRows) continue;
      rows[weight] = &sources.emplace_back(plan_->weights[weight], buffers[static_cast<size_t>(buffer)]);
    }
    return inner_->enqueue(step, {buffers, rows, workspace}, queue);
  }

  std::shared_ptr<const Plan> plan_;
  std::shared_ptr<const Prepared> inner_;
};

class QueuedExecutable : public Executable {
 public:
  QueuedExecutable(std::shared_ptr<const Plan> plan, std::unique_ptr<Executable> inner)
      : plan_(std::move(plan)), inner_(std::move(inner)) {}
  Result<std::shared_ptr<const Prepared>> prepare(const DimBindings& dims, int threads) override {
    HR_ASSIGN(auto inner, inner_->prepare(dims, threads));
    return std::shared_ptr<const Prepared>(std::make_shared<QueuedPrepared>(plan_, std::move(inner)));
  }

 private:
  std::shared_ptr<const Plan> plan_;
  std::unique_ptr<Executable> inner_;
};

class QueuedKernels : public Kernels {
 public:
  Result<std::unique_ptr<Executable>> load(std::shared_ptr<const Plan> plan) override {
    HR_ASSIGN(auto inner, reference::make_kernels()->load(plan));
    return std::unique_ptr<Executable>(std::make_unique<QueuedExecutable>(std::move(plan), std::move(inner)));
  }
};

// The test plans' steps as work on a queue.
class QueuedMix : public Kernels {
 public:
  Result<std::unique_ptr<Executable>> load(std::shared_ptr<const Plan> plan) override {
    HR_ASSIGN(auto inner, testing::MixKernels().load(plan));
    return std::unique_ptr<Executable>(std::make_unique<QueuedExecutable>(std::move(plan), std::move(inner)));
  }
};

inline std::shared_ptr<Engine> open_queued(const NetFile& file, std::shared_ptr<Device> device,
                                           Bytes budget) {
  return file.open(std::move(device), budget, std::make_unique<QueuedKernels>());
}

inline void expect_case(Context& context, const Case& one, uint64_t seed) {
  const auto got = context.run(one.inputs);
  ASSERT_TRUE(got.ok()) << "seed " << seed << ": " << got.status().message();
  EXPECT_TRUE(same_bits(*got, one.want)) << "seed " << seed;
}

// The tensors of a case on the device, as a caller holds them.
class DeviceTensors {
 public:
  DeviceTensors(fake::FakeQueuedDevice& device, WorkQueue& caller, const Case& one)
      : caller_(caller), case_(one) {
    for (const Tensor& input : one.inputs) inputs.push_back(make(device, input));
    for (const Tensor& want : one.want) outputs.push_back(make(device, want));
  }
  void fill_inputs() {
    for (size_t i = 0; i < inputs.size(); ++i) {
      ASSERT_TRUE(caller_.copy(inputs[i].data(), case_.inputs[i].data(), inputs[i].size()).ok());
    }
  }
  void expect_outputs(const std::string& what) {
    std::vector<Tensor> got;
    for (const Tensor& output : outputs) {
      got.push_back(take(Tensor::make(output.dtype(), output.shape())));
      ASSERT_TRUE(caller_.copy(got.back().data(), output.data(), output.size()).ok());
      ASSERT_TRUE(caller_.copy(output.data(), blank(output).data(), output.size()).ok());
    }
    ASSERT_TRUE(caller_.synchronize().ok());
    EXPECT_TRUE(same_bits(got, case_.want)) << what;
  }

  std::vector<Tensor> inputs, outputs;

 private:
  Tensor make(fake::FakeQueuedDevice& device, const Tensor& like) {
    memory_.push_back(take(device.allocate(like.size(), "a caller's tensor")));
    return Tensor::borrow(memory_.back().data(), like.dtype(), like.shape());
  }
  // So that a run that writes nothing is seen.
  const std::vector<std::byte>& blank(const Tensor& like) {
    blank_.assign(std::max(blank_.size(), static_cast<size_t>(like.size().count)), std::byte{0x5a});
    return blank_;
  }

  WorkQueue& caller_;
  const Case& case_;
  std::vector<Allocation> memory_;
  std::vector<std::byte> blank_;
};

}  // namespace headrace::runtime::nets
