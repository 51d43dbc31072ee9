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
  int64_t batch, channels, height, width, kernel, low, high;
};

int64_t result_size(const Case& c, int64_t image) { return (image + c.low + c.high - c.kernel) / 2 + 1; }

ir::Graph graph_of(const Case& c) {
  const auto text = fmt::format(
      "graph(%x: f32[{0}, {2}, {3}, {1}]) {{\n"
      "  @w: f32[8, {1}, {4}, {4}] = weight(\"w\", offset 0, strides [{5}, {6}, {4}, 1])\n"
      "  @b: f32[8] = weight(\"b\", offset 0, strides [1])\n"
      "  %y: f32[{0}, {7}, {8}, 8] = conv(%x, @w, @b) {{channels_last = true, epilogue = \"relu\", pad_high "
      "= "
      "[{10}, {10}], pad_low = [{9}, {9}], stride = [2, 2]}}\n"
      "  return %y as \"y\"\n}}",
      c.batch, c.channels, c.height, c.width, c.kernel, c.channels * c.kernel * c.kernel, c.kernel * c.kernel,
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
  const Case cases[] = {{2, 3, 16, 16, 7, 3, 3}, {1, 3, 17, 16, 7, 3, 3}, {1, 1, 15, 18, 3, 1, 1},
                        {2, 4, 14, 14, 4, 1, 1}, {1, 3, 16, 20, 5, 2, 1}, {1, 2, 12, 12, 6, 0, 0},
                        {3, 3, 13, 13, 3, 0, 1}};
  for (const Case& c : cases) {
    ir::Graph graph = graph_of(c);
    const testing::Tensors given = {{"x", random_tensor({c.batch, c.height, c.width, c.channels}, 1)},
                                    {"w", random_tensor({8, c.channels, c.kernel, c.kernel}, 2)},
                                    {"b", random_tensor({8}, 3)}};
    const auto before = testing::run_graph(graph, given, {});
    ASSERT_TRUE(before.ok()) << before.status().message();
    PassOptions options;
    options.preferences.space_to_depth = true;
    options.verify = true;
    ASSERT_TRUE(run_passes(graph, options).ok());
    EXPECT_EQ(ir::print(graph).find("stride = [2, 2]"), std::string::npos) << ir::print(graph);
    const auto after = testing::run_graph(graph, given, {});
    ASSERT_TRUE(after.ok()) << after.status().message();
    EXPECT_LE(testing::difference((*before)[0], (*after)[0]), 1e-5) << ir::print(graph);
  }
}

}  // namespace
}  // namespace headrace::passes
