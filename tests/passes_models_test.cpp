// Whole models, as torch.export gives them (tests/golden/models), through all passes: the ops that are left,
// and that they compute the same.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <random>
#include <sstream>

#include "core/half.h"
#include "graph_runner.h"
#include "pass_options.h"
#include "passes/passes.h"

namespace headrace::passes {
namespace {

using Counts = std::map<std::string, int>;  // nodes by op, weight-only ones left out

struct ModelCase {
  const char* name;
  Counts want;  // ops that are not named may not be there
  double tolerance;
};

const ModelCase kModels[] = {
    {"bert_eager",
     {{"attention", 2},
      {"layer_norm", 5},
      {"matmul", 8},
      {"gather", 1},
      {"pointwise", 1},
      {"cast", 1},
      {"where", 1},
      {"reshape", 9},
      {"slice", 6},
      {"transpose", 8}},
     1e-4},
    {"llama_eager_bf16",
     {{"attention", 2},
      {"rms_norm", 5},
      {"rotary", 2},
      {"matmul", 9},
      {"gather", 1},
      {"pointwise", 2},
      {"reshape", 6},
      {"slice", 12},
      {"transpose", 6}},
     0.05},
    {"llama_mask_sdpa_f32",
     {{"attention", 2},
      {"rms_norm", 5},
      {"rotary", 2},
      {"matmul", 9},
      {"gather", 1},
      {"pointwise", 2},
      {"cast", 1},
      {"reshape", 7},
      {"slice", 12},
      {"transpose", 6}},
     1e-4},
    {"vit",
     {{"attention", 2},
      {"layer_norm", 5},
      {"matmul", 9},
      {"conv", 1},
      {"concat", 1},
      {"add", 1},
      {"reshape", 10},
      {"slice", 7},
      {"transpose", 9}},
     1e-4},
};

// Values for an input or weight: small floats, token ids, a mask of ones.
HostTensor values_for(const ir::Value& value, std::mt19937& rng) {
  HostTensor tensor{value.dtype(), *evaluate(std::span<const Dim>(value.shape()), {}), {}};
  const int64_t count = element_count(std::span<const int64_t>(tensor.shape));
  std::uniform_real_distribution<float> number(-0.3f, 0.3f);
  const auto put = [&](auto element) {
    const auto* bytes = reinterpret_cast<const std::byte*>(&element);
    tensor.bytes.insert(tensor.bytes.end(), bytes, bytes + sizeof element);
  };
  for (int64_t i = 0; i < count; ++i) {
    if (value.dtype() == DType::kF32) put(number(rng));
    if (value.dtype() == DType::kBF16) put(float_to_bf16(number(rng)));
    if (value.dtype() == DType::kI64)
      put(value.name() == "a" ? int64_t{1} : static_cast<int64_t>(rng() % 100));
  }
  return tensor;
}

std::vector<float> floats(const HostTensor& tensor) {
  std::vector<float> numbers;
  const auto size = static_cast<size_t>(dtype_size(tensor.dtype));
  for (size_t at = 0; at < tensor.bytes.size(); at += size) {
    uint32_t bits = 0;
    std::memcpy(&bits, tensor.bytes.data() + at, size);
    numbers.push_back(tensor.dtype == DType::kBF16 ? bf16_to_float(static_cast<uint16_t>(bits))
                                                   : std::bit_cast<float>(bits));
  }
  return numbers;
}

Counts counts_of(const ir::Graph& graph) {
  Counts counts;
  for (const auto& node : graph.nodes())
    if (!ir::is_weight_only(*node)) ++counts[std::string(node->op()->name)];
  return counts;
}

TEST(PassesOnModels, LeaveTheOpsThatMatterAndComputeTheSame) {
  for (const ModelCase& model : kModels) {
    std::ifstream in(std::string(HEADRACE_SOURCE_DIR) + "/tests/golden/models/" + model.name + ".ir");
    std::stringstream text;
    text << in.rdbuf();
    auto graph = ir::parse(text.str());
    ASSERT_TRUE(graph.ok()) << model.name << ": " << graph.status().message();
    std::mt19937 rng(1);
    testing::Tensors given;
    for (const ir::GraphInput& input : graph->inputs()) given[input.name] = values_for(*input.value, rng);
    for (const ir::Value* weight : graph->weights())
      given[weight->weight().storage] = values_for(*weight, rng);
    const auto before = testing::run_graph(*graph, given, {});
    ASSERT_TRUE(before.ok()) << model.name << ": " << before.status().message();
    const auto times = run_passes(*graph, testing::all_passes_on());
    ASSERT_TRUE(times.ok()) << model.name << ": " << times.status().message();
    EXPECT_EQ(counts_of(*graph), model.want) << model.name << "\n" << ir::print(*graph);
    const auto after = testing::run_graph(*graph, given, {});
    ASSERT_TRUE(after.ok()) << model.name << ": " << after.status().message();
    const std::vector<float> want = floats(before->at(0)), got = floats(after->at(0));
    ASSERT_EQ(want.size(), got.size());
    for (size_t i = 0; i < want.size(); ++i) ASSERT_NEAR(want[i], got[i], model.tolerance) << model.name;
  }
}

}  // namespace
}  // namespace headrace::passes
