// The pass space_to_depth keeps what a convolution computes, for every size and padding.
#include <cstring>
#include <random>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "graph_runner.h"
#include "passes/passes.h"

namespace headrace::passes {
namespace {

struct Case {
  int64_t channels, height, width, kernel, low, high;
};

int64_t result_size(const Case& c, int64_t image) { return (image + c.low + c.high - c.kernel) / 2 + 1; }

ir::Graph graph_of(const Case& c) {
  // So large a batch is worthwhile; the runs have a small one.
  const auto text = fmt::format(
      R"(graph(%x: f32[s0, {1}, {2}, {0}]) symbols(s0: 1 <= 100000 <= 100000) {{
  @w: f32[8, {0}, {3}, {3}] = weight("w", offset 0, strides [{4}, {5}, {3}, 1])
  @b: f32[8] = weight("b", offset 0, strides [1])
  %y: f32[s0, {6}, {7}, 8] = conv(%x, @w, @b) {{channels_last = true, epilogue = "relu", pad_high = [{9}, {9}], pad_low = [{8}, {8}], stride = [2, 2]}}
  return %y as "y"
}})",
      c.channels, c.height, c.width, c.kernel, c.channels * c.kernel * c.kernel, c.kernel * c.kernel,
      result_size(c, c.height), result_size(c, c.width), c.low, c.high);
  auto graph = ir::parse(text);
  EXPECT_TRUE(graph.ok()) << graph.status().message() << text;
  return *std::move(graph);
}

HostTensor random_tensor(Sizes shape, uint32_t seed) {
  HostTensor tensor{DType::kF32, std::move(shape), {}};
  std::mt19937 random(seed);
  std::vector<float> values(static_cast<size_t>(element_count(std::span<const int64_t>(tensor.shape))));
  for (float& value : values) value = static_cast<float>(random() % 2001) / 1000.0f - 1.0f;
  tensor.bytes.resize(values.size() * sizeof(float));
  std::memcpy(tensor.bytes.data(), values.data(), tensor.bytes.size());
  return tensor;
}

TEST(SpaceToDepth, KeepsWhatAConvolutionComputes) {
  const Case cases[] = {{3, 16, 16, 7, 3, 3}, {3, 17, 16, 7, 3, 3}, {1, 15, 18, 3, 1, 1},
                        {4, 14, 14, 4, 1, 1}, {3, 16, 20, 5, 2, 1}, {2, 12, 12, 6, 0, 0},
                        {3, 13, 13, 3, 0, 1}};
  for (const Case& c : cases) {
    ir::Graph graph = graph_of(c);
    const testing::Tensors given = {{"x", random_tensor({2, c.height, c.width, c.channels}, 1)},
                                    {"w", random_tensor({8, c.channels, c.kernel, c.kernel}, 2)},
                                    {"b", random_tensor({8}, 3)}};
    const auto before = testing::run_graph(graph, given, {{"s0", 2}});
    ASSERT_TRUE(before.ok()) << before.status().message();
    PassOptions options;
    options.preferences.space_to_depth = true;
    options.verify = true;
    ASSERT_TRUE(run_passes(graph, options).ok());
    EXPECT_EQ(ir::print(graph).find("stride = [2, 2]"), std::string::npos) << ir::print(graph);
    const auto after = testing::run_graph(graph, given, {{"s0", 2}});
    ASSERT_TRUE(after.ok()) << after.status().message();
    EXPECT_LE(testing::difference((*before)[0], (*after)[0]), 1e-5) << ir::print(graph);
  }
}

}  // namespace
}  // namespace headrace::passes
