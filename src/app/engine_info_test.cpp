#include <gtest/gtest.h>

#include <headrace/headrace.h>
#include "engine/testing.h"

namespace headrace {
namespace {

// An engine of one weight for a machine that there never was.
Plan plan_for(const std::string& backend, const std::string& fingerprint) {
  Plan plan;
  plan.backend = backend;
  plan.fingerprint = fingerprint;
  plan.symbols = {{"batch", 1, 2, 8}};
  plan.inputs.push_back({InputKind::kTensor, "x", DType::kF32, {Dim::symbol("batch"), 4}, 0, "", ""});
  plan.buffers.push_back({BufferKind::kInput, Dim::symbol("batch") * Dim(16), 0, kNone, kNone});
  plan.outputs.push_back({OutputKind::kNoneValue, "nothing", DType::kF32, {}, kNone, Dim(0)});
  Weight weight;
  weight.name = "w";
  weight.dtype = DType::kU8;
  weight.shape = {100'000};
  weight.stored = weight.resident = Bytes{100'000};
  weight.group = 0;
  plan.weights.push_back(std::move(weight));
  plan.groups = {{Bytes{0}, Bytes{100'000}, true}};
  return plan;
}

TEST(EngineInfo, ReadsEnginesThatThisMachineCannotRun) {
  const testing::TemporaryFolder folder;
  const auto path = folder.path() / "m.engine";
  const Plan plan = plan_for("cuda", "cuda sm_90 cublasLt 12");
  const std::vector<std::vector<std::byte>> weights = {std::vector<std::byte>(100'000)};
  ASSERT_TRUE(testing::write_engine(path, plan, weights, "graph()").ok());

  const Result<EngineInfo> info = inspect_engine(path);
  ASSERT_TRUE(info.ok()) << info.status().message();
  EXPECT_EQ(info->backend(), "cuda");
  EXPECT_EQ(info->fingerprint(), "cuda sm_90 cublasLt 12");
  EXPECT_EQ(info->streamable(), Bytes{100'000});
  EXPECT_EQ(info->path(), path);
  ASSERT_EQ(info->inputs().size(), 1u);
  EXPECT_EQ(info->inputs()[0].shape, (std::vector<std::string>{"batch", "4"}));
  ASSERT_EQ(info->outputs().size(), 1u);
  EXPECT_EQ(info->outputs()[0].constant, "null");
  ASSERT_EQ(info->profile().size(), 1u);
  EXPECT_EQ(info->profile()[0].max, 8);
  EXPECT_EQ(info->graph_text().value(), "graph()");
  EXPECT_NE(info->plan_text().find("plan for cuda (cuda sm_90 cublasLt 12)"), std::string::npos);
  EXPECT_NE(info->weights_text().find("whole"), std::string::npos);
}

TEST(EngineInfo, SaysWhatIsWrongWithAFileThatIsNoEngine) {
  const testing::TemporaryFolder folder;
  EXPECT_EQ(inspect_engine(folder.path() / "none").status().code(), Code::kNotFound);
}

}  // namespace
}  // namespace headrace
