// Random nets for the tests of streaming: their engine files, inputs, and what the resident run gives.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "builder/builder.h"
#include "core/error.h"
#include "device/fake/fake_device.h"
#include "ir/graph.h"
#include "kernels/reference/reference_kernels.h"
#include "lowering/reference/reference_lowering.h"
#include "runtime/engine.h"

namespace headrace::runtime::nets {

using Random = std::mt19937_64;

template <class T>
T take(Result<T> result) {
  EXPECT_TRUE(result.ok()) << result.status().message();
  if (!result.ok()) std::abort();
  return *std::move(result);
}

// Weights that are made up when they are read: from their name and nothing else.
class MadeUpWeights : public WeightSourceReader {
 public:
  explicit MadeUpWeights(std::map<std::string, int64_t> sizes) : sizes_(std::move(sizes)) {}
  Result<Bytes> size(const std::string& storage) const override {
    const auto found = sizes_.find(storage);
    if (found == sizes_.end()) return not_found("no storage '{}'", storage);
    return Bytes{found->second};
  }
  Status read(const std::string& storage, Bytes offset, std::span<std::byte> out) const override {
    Random random(std::hash<std::string>()(storage));
    std::vector<float> values(static_cast<size_t>(sizes_.at(storage) / 4));
    for (float& value : values) value = static_cast<float>(random() % 2001) / 10000.0f - 0.1f;
    std::memcpy(out.data(), reinterpret_cast<const std::byte*>(values.data()) + offset.count, out.size());
    return {};
  }

 private:
  std::map<std::string, int64_t> sizes_;
};

constexpr int64_t kWidth = 48;

// A random net over x [s0, kWidth] and ids [s0]: products with weights that are sometimes used again, rows of
// a table, residuals, norms; some weights are so small that they always stay.
class RandomNet {
 public:
  explicit RandomNet(Random& random) : random_(random) {
    graph_.symbols = {{"s0", 1, 3, 8}};
    x_ = graph_.add_input("x", {DType::kF32, {Dim::symbol("s0"), Dim(kWidth)}});
    ids_ = graph_.add_input("ids", {DType::kI64, {Dim::symbol("s0")}});
    values_.push_back(x_);
    const int nodes = 4 + static_cast<int>(random_() % 14);
    for (int i = 0; i < nodes; ++i) add_node();
    for (int i = 0; i < 3; ++i) {
      graph_.add_output(i == 0 ? values_.back() : values_[1 + random_() % (values_.size() - 1)],
                        "y" + std::to_string(i));
    }
  }
  const ir::Graph& graph() const { return graph_; }
  const std::map<std::string, int64_t>& sizes() const { return sizes_; }

 private:
  ir::Value* weight(Shape shape) {
    const std::string name = "w" + std::to_string(sizes_.size());
    const int64_t count = element_count(std::span<const Dim>(shape)).constant();
    sizes_[name] = count * 4;
    const Shape strides = row_major_strides(std::span<const Dim>(shape));
    ir::WeightSource source{name, 0, {}};
    for (const Dim& stride : strides) source.strides.push_back(stride.constant());
    return graph_.add_weight(name, {DType::kF32, std::move(shape)}, source);
  }
  ir::Value* any() { return values_[random_() % values_.size()]; }
  void add(std::string_view op, std::vector<ir::Value*> inputs, AttributeMap attributes = {}) {
    values_.push_back(take(graph_.add(op, std::move(inputs), std::move(attributes))));
  }
  void add_node() {
    switch (random_() % 6) {
      case 0: return add("add", {any(), any()});
      case 1: return add("relu", {any()});
      case 2:
        return add("layer_norm", {any(), weight({Dim(kWidth)}), weight({Dim(kWidth)})},
                   {{"axes", int64_t{1}}, {"eps", 1e-5}});
      case 3: {
        ir::Value* table = weight({Dim(static_cast<int64_t>(400 + random_() % 400)), Dim(kWidth)});
        return add("gather", {table, ids_}, {{"axis", int64_t{0}}});
      }
      default: {
        if (squares_.empty() || random_() % 4 != 0) squares_.push_back(weight({Dim(kWidth), Dim(kWidth)}));
        return add("matmul", {any(), squares_[random_() % squares_.size()]});
      }
    }
  }

  Random& random_;
  ir::Graph graph_;
  ir::Value* x_;
  ir::Value* ids_;
  std::vector<ir::Value*> values_, squares_;
  std::map<std::string, int64_t> sizes_;
};

// Groups drawn at random: the builder's own would put nets as small as these into one.
inline void assign_random_groups(Plan& plan, Random& random) {
  Bytes next;
  bool closed = true;
  for (Weight& weight : plan.weights) {
    const bool rows = weight.use == WeightUse::kRows;
    if (closed || rows || random() % 2 == 0) {
      plan.groups.push_back({next, {}, weight.stored > Bytes{1000} && random() % 8 != 0});
    }
    WeightGroup& group = plan.groups.back();
    weight.group = static_cast<int32_t>(plan.groups.size()) - 1;
    weight.offset = group.size;
    group.size += {(weight.stored.count + 63) / 64 * 64};
    next = {(group.offset.count + group.size.count + 4095) / 4096 * 4096};
    closed = rows;
  }
}

class NetFile {
 public:
  explicit NetFile(uint64_t seed) {
    Random random(seed);
    RandomNet net(random);
    Plan plan = take(reference::make_lowering()->lower(net.graph()));
    assign_random_groups(plan, random);
    path_ =
        std::filesystem::absolute("net_" + std::to_string(getpid()) + "_" + std::to_string(seed) + ".engine");
    const auto evaluator = reference::make_evaluator();
    const MadeUpWeights weights(net.sizes());
    auto report = build_engine(std::move(plan), weights, nullptr, evaluator.get(), path_, {}, nullptr);
    EXPECT_TRUE(report.ok()) << report.status().message();
  }
  ~NetFile() { std::filesystem::remove(path_); }
  std::shared_ptr<Engine> open(std::shared_ptr<Device> device, std::optional<Bytes> budget,
                               std::unique_ptr<Kernels> kernels = reference::make_kernels()) const {
    return take(Engine::open(take(EngineFile::open(path_)), std::move(kernels), std::move(device),
                             {.weight_budget = budget, .progress = {}}));
  }

 private:
  std::filesystem::path path_;
};

inline std::vector<Tensor> random_inputs(Random& random) {
  const auto n = static_cast<int64_t>(1 + random() % 8);
  const Tensor x = take(Tensor::make(DType::kF32, {n, kWidth}));
  const Tensor ids = take(Tensor::make(DType::kI64, {n}));
  for (int64_t i = 0; i < x.elements(); ++i)
    x.as<float>()[i] = static_cast<float>(random() % 200) / 100.0f - 1.0f;
  for (int64_t i = 0; i < n; ++i) ids.as<int64_t>()[i] = static_cast<int64_t>(random() % 400);
  return {x, ids};
}

inline bool same_bits(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i].shape() != b[i].shape()) return false;
    if (std::memcmp(a[i].data(), b[i].data(), static_cast<size_t>(a[i].size().count)) != 0) return false;
  }
  return true;
}

struct Case {
  std::vector<Tensor> inputs, want;
};

inline std::vector<Case> resident_cases(const NetFile& file, Random& random) {
  auto engine = file.open(std::make_shared<fake::FakeDevice>(), gib(1));
  auto context = take(engine->make_context({.threads = 1}));
  std::vector<Case> cases;
  for (int i = 0; i < 3; ++i) {
    Case one;
    one.inputs = random_inputs(random);
    one.want = take(context->run(one.inputs));
    cases.push_back(std::move(one));
  }
  EXPECT_EQ(context->memory().streamed_last_run, Bytes{0});
  return cases;
}

inline Bytes random_budget(const Engine& engine, Random& random) {
  if (random() % 5 == 0) return random() % 2 ? engine.streamable() : Bytes{};
  return {static_cast<int64_t>(random() % static_cast<uint64_t>(engine.streamable().count + 1))};
}

}  // namespace headrace::runtime::nets
