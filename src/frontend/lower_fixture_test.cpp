// The archives in tests/fixtures/pt2, of real PyTorch versions, lowered to graphs.
#include <gmock/gmock.h>

#include "core/error.h"
#include "frontend/frontend.h"

namespace headrace::frontend {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class LoweredFixtures : public testing::TestWithParam<const char*> {
 protected:
  static Result<ir::Graph> lower(std::string_view name) {
    const auto path = std::filesystem::path(HEADRACE_SOURCE_DIR) / "tests/fixtures/pt2" / GetParam() /
                      fmt::format("{}.pt2", name);
    HR_ASSIGN(const auto archive, Archive::open(path));
    HR_ASSIGN(const ExportedProgram program, read_program(*archive));
    return lower_program(program, [&](const std::string& storage, Bytes offset, std::span<std::byte> out) {
      return archive->read(storage, offset, out);
    });
  }
  static std::vector<std::string> ops(const ir::Graph& graph) {
    std::vector<std::string> names;
    for (const auto& node : graph.nodes()) names.emplace_back(node->op()->name);
    return names;
  }
};

TEST_P(LoweredFixtures, GiveGraphsThatAreValidAndReadBack) {
  for (const char* name : {"buffers", "dynamic_int", "in_place_raw", "mlp", "mlp_dynamic", "mlp_dynamic_raw",
                           "mlp_raw", "nested", "specials", "strided_weights", "tied_weights"}) {
    const Result<ir::Graph> graph = lower(name);
    ASSERT_TRUE(graph.ok()) << name << ": " << graph.status().message();
    EXPECT_TRUE(ir::verify(*graph).ok()) << name << ": " << ir::verify(*graph).message();
    const std::string text = ir::print(*graph);
    const Result<ir::Graph> again = ir::parse(text);
    ASSERT_TRUE(again.ok()) << name << ": " << again.status().message();
    EXPECT_EQ(ir::print(*again), text) << name;
  }
}

TEST_P(LoweredFixtures, RawAndDecomposedMlpsAreTheSameProducts) {
  EXPECT_THAT(ops(lower("mlp_raw").value()), ElementsAre("matmul", "relu", "matmul"));
  EXPECT_THAT(ops(lower("mlp").value()), ElementsAre("transpose", "matmul", "relu", "transpose", "matmul"));
}

TEST_P(LoweredFixtures, TiedWeightsKeepBothNames) {
  const ir::Graph graph = lower("tied_weights").value();
  const std::vector<ir::Value*> weights = graph.weights();
  ASSERT_EQ(weights.size(), 2U);
  EXPECT_NE(weights[0]->name(), weights[1]->name());
  EXPECT_EQ(weights[0]->weight(), weights[1]->weight());
}

TEST_P(LoweredFixtures, NestedInputsAreNamedByTheirPath) {
  const ir::Graph graph = lower("nested").value();
  std::vector<std::string> names;
  for (const ir::GraphInput& input : graph.inputs()) names.push_back(input.name);
  EXPECT_THAT(names, ElementsAre("batch.a", "batch.b[0]", "batch.b[1]", "pair[0]", "pair[1]", "point[0]",
                                 "point[1]", "scale", "mask"));
}

TEST_P(LoweredFixtures, WhatCannotBeLoweredIsSaid) {
  EXPECT_THAT(lower("control").status().message(), HasSubstr("control flow is not supported"));
  EXPECT_THAT(lower("fft").status().message(),
              HasSubstr("2 of 2 ops are not supported\n  aten.fft_rfft.default"));
  EXPECT_THAT(lower("key_value_cache").status().message(), HasSubstr("changes buffer 'keys'"));
  EXPECT_THAT(lower("non_tensors").status().message(), HasSubstr("tensors, ints and None are supported"));
  for (const char* name : {"control", "fft", "key_value_cache", "non_tensors"}) {
    EXPECT_EQ(lower(name).status().code(), Code::kUnsupported) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Versions, LoweredFixtures,
                         testing::Values("2.11.0", "2.12.1", "2.13.0", "2.14.1", "2.15.0"),
                         [](const auto& version) {
                           std::string name = version.param;
                           for (char& c : name) c = c == '.' ? '_' : c;
                           return name;
                         });

}  // namespace
}  // namespace headrace::frontend
