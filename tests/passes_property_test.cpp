// A property: whatever passes run, a graph computes what it computed before.
#include <gtest/gtest.h>

#include "pass_options.h"
#include "passes/passes.h"
#include "random_graph.h"

namespace headrace::passes {
namespace {

constexpr uint32_t kSeeds = 60;

PassOptions all_on() {
  PassOptions options = testing::all_passes_on();
  options.preferences.max_pointwise_inputs = 6;  // so that chains reach it
  return options;
}

template <class Change>
void expect_same(uint32_t seed, double tolerance, Change change) {
  testing::RandomGraph made = testing::random_graph(seed);
  const auto before = testing::run_graph(made.graph, made.given, {{"s0", 2}});
  ASSERT_TRUE(before.ok()) << "seed " << seed << ": " << before.status().message();
  const std::string text = ir::print(made.graph);
  const Status status = change(made.graph);
  ASSERT_TRUE(status.ok()) << "seed " << seed << ": " << status.message() << "\n" << text;
  const Status valid = ir::verify(made.graph);
  ASSERT_TRUE(valid.ok()) << "seed " << seed << ": " << valid.message() << "\n" << text;
  const auto after = testing::run_graph(made.graph, made.given, {{"s0", 2}});
  ASSERT_TRUE(after.ok()) << "seed " << seed << ": " << after.status().message() << "\n"
                          << ir::print(made.graph);
  ASSERT_EQ(before->size(), after->size());
  for (size_t i = 0; i < before->size(); ++i)
    EXPECT_LE(testing::difference((*before)[i], (*after)[i]), tolerance)
        << "seed " << seed << ", output " << i << "\n"
        << text << "becomes\n"
        << ir::print(made.graph);
}

Status run_all(ir::Graph& graph, const PassOptions& options) { return run_passes(graph, options).status(); }

TEST(Passes, KeepWhatAGraphComputes) {
  for (uint32_t seed = 0; seed < kSeeds && !HasFailure(); ++seed)
    expect_same(seed, 2e-4, [](ir::Graph& graph) { return run_all(graph, all_on()); });
}

TEST(Passes, KeepWhatAGraphComputesWhenEachRunsAlone) {
  for (const PassInfo& pass : all_passes()) {
    for (uint32_t seed = 0; seed < kSeeds && !HasFailure(); ++seed) {
      expect_same(seed, 2e-4, [&](ir::Graph& graph) {
        const PassOptions options = all_on();
        return pass.run(graph, PassContext{options}).status();
      });
    }
    ASSERT_FALSE(HasFailure()) << "pass " << pass.name;
  }
}

TEST(Passes, KeepWhatAGraphComputesWithEachSwitchedOff) {
  for (const PassInfo& pass : all_passes()) {
    for (uint32_t seed = 0; seed < kSeeds / 2 && !HasFailure(); ++seed) {
      expect_same(seed, 2e-4, [&](ir::Graph& graph) {
        PassOptions options = all_on();
        options.off = {std::string(pass.name)};
        return run_all(graph, options);
      });
    }
    ASSERT_FALSE(HasFailure()) << "without pass " << pass.name;
  }
}

TEST(Passes, StayNearInBf16) {
  for (uint32_t seed = 0; seed < kSeeds && !HasFailure(); ++seed) {
    expect_same(seed, 0.15, [](ir::Graph& graph) {
      PassOptions options = all_on();
      options.precision = Precision::kBF16;
      return run_all(graph, options);
    });
  }
}

TEST(Passes, RefuseToSwitchOffAPassThatIsNone) {
  ir::Graph graph;
  PassOptions options;
  options.off = {"fuse_all"};
  const Status status = run_all(graph, options);
  EXPECT_EQ(status.code(), Code::kInvalidArgument);
  EXPECT_EQ(status.message().find(
                "there is no pass 'fuse_all' to switch off; the passes are eliminate_dead_code, simplify"),
            0u)
      << status.message();
}

TEST(Passes, AreTimedOnceEachByName) {
  testing::RandomGraph made = testing::random_graph(3);
  const auto times = run_passes(made.graph, all_on());
  ASSERT_TRUE(times.ok()) << times.status().message();
  ASSERT_EQ(times->size(), all_passes().size());
  for (size_t i = 0; i < times->size(); ++i) EXPECT_EQ((*times)[i].name, all_passes()[i].name);
}

}  // namespace
}  // namespace headrace::passes
