#include <gmock/gmock.h>

#include <headrace/headrace.h>
#include "app/backends.h"
#include "core/file.h"
#include "engine/testing.h"

namespace headrace {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

// An engine without weights, of one step, for a CPU that there never was.
Plan plan_of(const std::string& kernel = "iota") {
  Plan plan;
  plan.backend = "cpu";
  plan.fingerprint = "cpu abacus onednn 0.1";
  plan.buffers.push_back({BufferKind::kOutput, Dim(32), 0, kNone, kNone});
  plan.tensors.push_back({DType::kI64, {Dim(4)}, {Dim(1)}, Dim(0), 0});
  plan.steps.push_back({kernel, "node", {}, {0}, {{"start", Dim(0)}}});
  plan.outputs.push_back({OutputKind::kTensor, "y", DType::kI64, {Dim(4)}, 0, Dim(0)});
  return plan;
}

class Repack : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!app::make_run_backend("cpu", 0, nullptr).ok()) GTEST_SKIP() << "this build has no cpu back end";
  }
  fs::path write(const Plan& plan) const {
    const fs::path path = folder_.path() / "m.engine";
    const Result<Bytes> written = testing::write_engine(path, plan, {}, "graph()");
    EXPECT_TRUE(written.ok()) << written.status().message();
    return path;
  }
  testing::TemporaryFolder folder_;
};

TEST_F(Repack, NeedsNoArchiveWhereThereAreNoWeights) {
  const fs::path path = write(plan_of());
  const Result<Engine> engine = Engine::open(path);
  ASSERT_TRUE(engine.ok()) << engine.status().message();
  const std::string here = app::make_run_backend("cpu", 0, nullptr).value().fingerprint;
  EXPECT_EQ(engine->info().fingerprint(), here);
  EXPECT_EQ(engine->graph_text().value(), "graph()");
  EXPECT_EQ(inspect_engine(path).value().fingerprint(), here) << "the file was not replaced";
}

TEST_F(Repack, LeavesAnEngineWhoseStepsDoNotRunHere) {
  const fs::path path = write(plan_of("abacus_matmul"));
  const std::string before = read_text_file(path).value();
  const Status status = Engine::open(path).status();
  EXPECT_EQ(status.code(), Code::kIncompatible);
  EXPECT_THAT(status.message(),
              HasSubstr("was made for 'cpu abacus onednn 0.1', and its steps do not run on 'cpu "));
  EXPECT_THAT(status.message(), HasSubstr("abacus_matmul"));
  EXPECT_THAT(status.message(), HasSubstr("compile the model again here"));
  EXPECT_TRUE(read_text_file(path).value() == before);
}

TEST_F(Repack, LeavesTheOldEngineWhenCancelled) {
  const fs::path path = write(plan_of());
  const std::string before = read_text_file(path).value();
  OpenOptions options;
  options.progress = [](const ProgressEvent& event) {
    EXPECT_EQ(event.phase, "pack again");
    return false;
  };
  const Status status = Engine::open(path, options).status();
  EXPECT_EQ(status.code(), Code::kUnavailable);
  EXPECT_THAT(status.message(), HasSubstr("cancelled"));
  EXPECT_TRUE(read_text_file(path).value() == before);
}

}  // namespace
}  // namespace headrace
