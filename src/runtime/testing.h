// For tests: small plans, engine files of them, and a back end whose every step depends on every bit of its
// weights.
#pragma once

#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "core/error.h"
#include "core/hash.h"
#include "engine/engine_file.h"
#include "engine/plan.h"
#include "kernels/kernels.h"
#include "runtime/engine.h"

namespace headrace::runtime::testing {

// The value; a test that gets none cannot go on.
template <class T>
T take(Result<T> result) {
  EXPECT_TRUE(result.ok()) << result.status().message();
  if (!result.ok()) std::abort();
  return *std::move(result);
}

// Steps of one kernel, "mix": out[i] = 0.5 * in[i] + (checksum of all weights of the step, as a number in
// [0, 1)). A kRows weight adds the row that the value of in[i] names.
class MixPrepared : public Prepared {
 public:
  MixPrepared(std::shared_ptr<const Plan> plan, DimBindings dims, Bytes workspace)
      : plan_(std::move(plan)), dims_(std::move(dims)), workspace_(workspace) {}
  Bytes workspace(StepIndex) const override { return workspace_; }
  Status enqueue(StepIndex index, const Addresses& at, Queue&) const override {
    const Step& step = plan_->steps[static_cast<size_t>(index)];
    if (workspace_ > Bytes{}) std::memset(at.workspace, 0xee, static_cast<size_t>(workspace_.count));
    float shift = 0;
    const PlanTensor* x = nullptr;
    std::vector<int32_t> rows;
    for (const TensorIndex input : step.inputs) {
      const PlanTensor& tensor = plan_->tensors[static_cast<size_t>(input)];
      const Buffer& buffer = plan_->buffers[static_cast<size_t>(tensor.buffer)];
      if (buffer.kind != BufferKind::kWeight) {
        if (!x) x = &tensor;
        continue;
      }
      const Weight& weight = plan_->weights[static_cast<size_t>(buffer.index)];
      if (weight.use == WeightUse::kRows) {
        rows.push_back(buffer.index);
        continue;
      }
      const std::byte* data = at.buffers[static_cast<size_t>(tensor.buffer)];
      const uint64_t sum = checksum({data, static_cast<size_t>(weight.resident.count)});
      shift += static_cast<float>(sum >> 40) / static_cast<float>(1 << 24);
    }
    const PlanTensor& y = plan_->tensors[static_cast<size_t>(step.outputs[0])];
    HR_ASSIGN(const Sizes sizes, evaluate(y.shape, dims_));
    const int64_t count = element_count(sizes);
    const auto* in = reinterpret_cast<const float*>(at.buffers[static_cast<size_t>(x->buffer)]);
    auto* out = reinterpret_cast<float*>(at.buffers[static_cast<size_t>(y.buffer)]);
    for (const int32_t weight : rows) HR_TRY(add_rows(weight, in, count, at, shift));
    for (int64_t i = 0; i < count; ++i) out[i] = 0.5f * in[i] + shift;
    return {};
  }

 private:
  Status add_rows(int32_t index, const float* in, int64_t count, const Addresses& at, float& shift) const {
    const Weight& weight = plan_->weights[static_cast<size_t>(index)];
    std::vector<int64_t> indices;
    for (int64_t i = 0; i < count; ++i) {
      indices.push_back(static_cast<int64_t>(std::abs(in[i]) * 977.0f) % weight.shape[0]);
    }
    std::vector<std::byte> got(static_cast<size_t>(count * weight.stored.count / weight.shape[0]));
    HR_TRY(at.rows[static_cast<size_t>(index)]->gather(indices, got.data()));
    shift += static_cast<float>(checksum(got) >> 40) / static_cast<float>(1 << 24);
    return {};
  }

  std::shared_ptr<const Plan> plan_;
  DimBindings dims_;
  Bytes workspace_;
};

class MixExecutable : public Executable {
 public:
  MixExecutable(std::shared_ptr<const Plan> plan, Bytes workspace)
      : plan_(std::move(plan)), workspace_(workspace) {}
  Result<std::shared_ptr<const Prepared>> prepare(const DimBindings& dims, int) override {
    ++prepared;
    return std::shared_ptr<const Prepared>(std::make_shared<MixPrepared>(plan_, dims, workspace_));
  }
  static inline std::atomic<int> prepared = 0;

 private:
  std::shared_ptr<const Plan> plan_;
  Bytes workspace_;
};

class MixKernels : public Kernels {
 public:
  explicit MixKernels(Bytes workspace = {}) : workspace_(workspace) {}
  Result<std::unique_ptr<Executable>> load(std::shared_ptr<const Plan> plan) override {
    return std::unique_ptr<Executable>(std::make_unique<MixExecutable>(std::move(plan), workspace_));
  }

 private:
  Bytes workspace_;
};

// A plan that grows step by step: x [n, columns] -> mix -> … -> y.
class PlanMaker {
 public:
  explicit PlanMaker(int64_t columns = 8) : shape_{Dim::symbol("n"), Dim(columns)} {
    plan.backend = "mix";
    plan.symbols = {{"n", 1, 2, 64}};
    InputSpec x;
    x.name = "x";
    x.shape = shape_;
    x.buffer = add_buffer(BufferKind::kInput, activation(), 0);
    plan.inputs.push_back(x);
    latest_ = add_tensor(x.buffer, shape_);
  }

  // A group with weights of these sizes in bytes (multiples of 4); returns the index of the first.
  int32_t add_group(std::vector<int64_t> sizes, bool streamable = true, WeightUse use = WeightUse::kWhole) {
    WeightGroup group;
    group.offset = next_;
    group.streamable = streamable;
    const auto first = static_cast<int32_t>(plan.weights.size());
    for (const int64_t size : sizes) {
      Weight weight;
      weight.name = "w" + std::to_string(plan.weights.size());
      weight.use = use;
      weight.shape = use == WeightUse::kRows ? Sizes{size / 64, 16} : Sizes{size / 4};
      weight.stored = weight.resident = {size};
      weight.group = static_cast<int32_t>(plan.groups.size());
      weight.offset = group.size;
      group.size += {(size + 63) / 64 * 64};
      plan.weights.push_back(weight);
      weight_tensors_.push_back(add_tensor(
          add_buffer(BufferKind::kWeight, Dim(size), static_cast<int32_t>(plan.weights.size()) - 1),
          {weight.shape.begin(), weight.shape.end()}));
    }
    next_ = {(next_.count + group.size.count + 4095) / 4096 * 4096};
    plan.groups.push_back(group);
    return first;
  }

  // A step on the latest result (or on `x`) that reads these weights.
  void add_step(const std::vector<int32_t>& weights) {
    Step step;
    step.kernel = "mix";
    step.label = "mix_" + std::to_string(plan.steps.size());
    step.inputs.push_back(latest_);
    for (const int32_t weight : weights) step.inputs.push_back(weight_tensors_[static_cast<size_t>(weight)]);
    const auto index = static_cast<StepIndex>(plan.steps.size());
    Buffer& read = plan.buffers[static_cast<size_t>(plan.tensors[static_cast<size_t>(latest_)].buffer)];
    if (read.kind == BufferKind::kArena) read.last_step = index;
    const BufferIndex buffer = add_buffer(BufferKind::kArena, activation(), kNone);
    plan.buffers[static_cast<size_t>(buffer)].first_step = index;
    plan.buffers[static_cast<size_t>(buffer)].last_step = index;
    latest_ = add_tensor(buffer, shape_);
    step.outputs = {latest_};
    plan.steps.push_back(step);
  }

  // The latest result becomes an output that its step writes in place.
  void add_output() {
    const auto index = static_cast<int32_t>(plan.outputs.size());
    Buffer& buffer = plan.buffers[static_cast<size_t>(plan.tensors[static_cast<size_t>(latest_)].buffer)];
    buffer = {BufferKind::kOutput, buffer.size, index, kNone, kNone};
    add_output_of(latest_, "y" + std::to_string(index));
  }
  void add_output_of(TensorIndex tensor, std::string name) {
    OutputSpec output;
    output.name = std::move(name);
    output.dtype = plan.tensors[static_cast<size_t>(tensor)].dtype;
    output.shape = plan.tensors[static_cast<size_t>(tensor)].shape;
    output.tensor = tensor;
    plan.outputs.push_back(output);
  }
  TensorIndex latest() const { return latest_; }
  TensorIndex weight_tensor(int32_t weight) const { return weight_tensors_[static_cast<size_t>(weight)]; }
  TensorIndex add_tensor(BufferIndex buffer, Shape shape, DType dtype = DType::kF32) {
    PlanTensor tensor;
    tensor.dtype = dtype;
    tensor.strides = row_major_strides(std::span<const Dim>(shape));
    tensor.shape = std::move(shape);
    tensor.offset = Dim(0);
    tensor.buffer = buffer;
    plan.tensors.push_back(tensor);
    return static_cast<TensorIndex>(plan.tensors.size()) - 1;
  }
  BufferIndex add_buffer(BufferKind kind, Dim size, int32_t index) {
    plan.buffers.push_back({kind, std::move(size), index, kNone, kNone});
    return static_cast<BufferIndex>(plan.buffers.size()) - 1;
  }

  Plan plan;

 private:
  Dim activation() const { return element_count(std::span<const Dim>(shape_)) * Dim(4); }
  Shape shape_;
  Bytes next_;
  TensorIndex latest_ = kNone;
  std::vector<TensorIndex> weight_tensors_;
};

// A large weight in the first step, which nothing hides, and pairs of steps that read a small one each; then
// steps without weights. Without outputs.
inline PlanMaker embedding_and_pairs(int64_t large_mib = 12, int64_t small_mib = 4, int idle_steps = 0) {
  PlanMaker maker;
  maker.add_step({maker.add_group({mib(large_mib).count})});
  for (int i = 0; i < 4; ++i) {
    const int32_t weight = maker.add_group({mib(small_mib).count});
    maker.add_step({weight});
    maker.add_step({weight});
  }
  for (int i = 0; i < idle_steps; ++i) maker.add_step({});
  return maker;
}

// An engine file in the working folder, removed at the end. Weights are random, from `seed`.
class TestFile {
 public:
  explicit TestFile(const Plan& plan, uint64_t seed = 1) {
    static std::atomic<int> count = 0;
    path_ = std::filesystem::absolute("test_" + std::to_string(getpid()) + "_" + std::to_string(count++) +
                                      ".engine");
    auto writer = EngineWriter::create(path_, plan);
    EXPECT_TRUE(writer.ok()) << writer.status().message();
    std::mt19937_64 random(seed);
    for (const Weight& weight : plan.weights) {
      std::vector<std::byte> bytes(static_cast<size_t>(weight.stored.count));
      for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
      const Status status = writer->append_weight(bytes);
      EXPECT_TRUE(status.ok()) << status.message();
    }
    auto size = writer->commit();
    EXPECT_TRUE(size.ok()) << size.status().message();
  }
  ~TestFile() { std::filesystem::remove(path_); }
  TestFile(const TestFile&) = delete;
  TestFile& operator=(const TestFile&) = delete;
  const std::filesystem::path& path() const { return path_; }

  Result<std::shared_ptr<Engine>> open(std::shared_ptr<Device> device, EngineOptions options = {},
                                       std::unique_ptr<Kernels> kernels = nullptr) const {
    HR_ASSIGN(EngineFile file, EngineFile::open(path_));
    if (!kernels) kernels = std::make_unique<MixKernels>();
    return Engine::open(std::move(file), std::move(kernels), std::move(device), std::move(options));
  }

 private:
  std::filesystem::path path_;
};

inline Tensor random_tensor(Sizes shape, uint64_t seed) {
  auto tensor = Tensor::make(DType::kF32, std::move(shape));
  EXPECT_TRUE(tensor.ok());
  std::mt19937_64 random(seed);
  for (int64_t i = 0; i < tensor->elements(); ++i) {
    tensor->as<float>()[i] = static_cast<float>(random() % 2000) / 1000.0f - 1.0f;
  }
  return *tensor;
}

inline bool same_bits(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && a.dtype() == b.dtype() &&
         std::memcmp(a.data(), b.data(), static_cast<size_t>(a.size().count)) == 0;
}

}  // namespace headrace::runtime::testing
