// What must hold when writing goes wrong.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "core/file.h"
#include "core/hash.h"
#include "engine/testing.h"

namespace headrace {
namespace {

using ::testing::HasSubstr;
using testing::TemporaryFolder;
using testing::write_engine;

// One group of weights of these sizes.
Plan plan_of(const std::vector<int64_t>& sizes) {
  Plan plan;
  plan.backend = "test";
  WeightGroup group;
  for (const int64_t size : sizes) {
    Weight weight;
    weight.name = "w" + std::to_string(plan.weights.size());
    weight.dtype = DType::kU8;
    weight.shape = {size};
    weight.stored = weight.resident = {size};
    weight.group = 0;
    weight.offset = align_up(group.size, Bytes{64});
    group.size = weight.offset + weight.stored;
    plan.weights.push_back(std::move(weight));
  }
  if (!sizes.empty()) plan.groups.push_back(group);
  return plan;
}

std::vector<std::vector<std::byte>> filled(const Plan& plan) {
  std::vector<std::vector<std::byte>> weights;
  for (const Weight& weight : plan.weights)
    weights.emplace_back(static_cast<size_t>(weight.stored.count),
                         static_cast<std::byte>(weights.size() + 1));
  return weights;
}

std::ptrdiff_t files_in(const std::filesystem::path& folder) {
  return std::distance(std::filesystem::directory_iterator(folder), {});
}

TEST(EngineWriter, WritesPlansWithoutWeights) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "a.engine";
  ASSERT_TRUE(write_engine(path, plan_of({}), {}).ok());
  const auto file = EngineFile::open(path);
  ASSERT_TRUE(file.ok()) << file.status().message();
  EXPECT_TRUE(file->verify().ok());
}

TEST(EngineWriter, TakesAWeightInParts) {
  const TemporaryFolder folder;
  const Plan plan = plan_of({0, 10, 5 << 20, 0, 3});
  const auto weights = filled(plan);
  ASSERT_TRUE(write_engine(folder.path() / "whole", plan, weights).ok());
  auto writer = EngineWriter::create(folder.path() / "parts", plan);
  ASSERT_TRUE(writer.ok());
  for (const std::vector<std::byte>& bytes : weights) {
    if (bytes.empty()) {
      ASSERT_TRUE(writer->append_part({}).ok());
    }
    for (size_t at = 0; at < bytes.size(); at += 999999) {
      const size_t size = std::min<size_t>(999999, bytes.size() - at);
      ASSERT_TRUE(writer->append_part(std::span(bytes).subspan(at, size)).ok());
    }
  }
  ASSERT_TRUE(writer->commit().ok());
  EXPECT_TRUE(*read_text_file(folder.path() / "whole") == *read_text_file(folder.path() / "parts"));
}

// The group of small weights stays open while others come and go.
TEST(EngineWriter, KeepsWeightsOfGroupsThatTakeTurns) {
  const TemporaryFolder folder;
  Plan plan = plan_of({100, 80, 90, 70});
  plan.groups = {{Bytes{0}, Bytes{192 + 90}, true}, {Bytes{4096}, Bytes{192 + 70}, true}};
  for (size_t i = 0; i < 4; ++i) {
    plan.weights[i].group = i % 2;
    plan.weights[i].offset = {i < 2 ? 0 : 192};
  }
  const auto path = folder.path() / "a.engine";
  ASSERT_TRUE(write_engine(path, plan, filled(plan)).ok());
  const auto file = EngineFile::open(path);
  ASSERT_TRUE(file.ok()) << file.status().message();
  EXPECT_TRUE(file->verify().ok()) << file->verify().message();
}

TEST(EngineWriter, LeavesNothingWithoutCommit) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "a.engine";
  const Plan plan = plan_of({10, 3 << 20});
  for (size_t count = 0; count <= 2; ++count) {
    auto writer = EngineWriter::create(path, plan);
    ASSERT_TRUE(writer.ok());
    const auto weights = filled(plan);
    for (size_t i = 0; i < count; ++i) ASSERT_TRUE(writer->append_weight(weights[i]).ok());
  }
  EXPECT_EQ(files_in(folder.path()), 0);
}

TEST(EngineWriter, RefusesWrongSizesAndCounts) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "a.engine";
  const Plan plan = plan_of({10, 20});
  const std::vector<std::byte> bytes(20);
  auto writer = EngineWriter::create(path, plan);
  ASSERT_TRUE(writer.ok());
  EXPECT_THAT(writer->append_weight(bytes).message(), HasSubstr("weight 'w0' has 10 bytes, 20 were given"));
  ASSERT_TRUE(writer->append_weight(std::span(bytes).first(10)).ok());
  EXPECT_THAT(writer->commit().status().message(), HasSubstr("1 of 2 weights were given"));
  ASSERT_TRUE(writer->append_part(std::span(bytes).first(10)).ok());
  EXPECT_FALSE(writer->append_weight(std::span(bytes).first(10)).ok());
  EXPECT_FALSE(writer->append_part(std::span(bytes).first(11)).ok());
  ASSERT_TRUE(writer->append_part(std::span(bytes).first(10)).ok());
  EXPECT_FALSE(writer->append_weight({}).ok());
  EXPECT_TRUE(writer->commit().ok());
}

TEST(EngineWriter, RefusesAPlanWithoutGroups) {
  const TemporaryFolder folder;
  Plan plan = plan_of({10});
  plan.groups.clear();
  plan.weights[0].group = kNone;
  const Status status = EngineWriter::create(folder.path() / "a", plan).status();
  EXPECT_EQ(status.code(), Code::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("no groups"));
}

TEST(EngineWriter, RefusesSizesThatNoReaderCouldRead) {
  const TemporaryFolder folder;
  Plan plan = plan_of({});
  Dim large(1);
  for (int i = 0; i < 200; ++i) {
    plan.symbols.push_back({"a_symbol_with_a_long_name_" + std::to_string(i), 1, 1, 1});
    large = large + Dim::symbol(plan.symbols.back().name);
  }
  plan.guards.push_back({large, Dim(7), Relation::kGt});
  const Status status = EngineWriter::create(folder.path() / "a", plan).status();
  EXPECT_EQ(status.code(), Code::kUnsupported);
  EXPECT_THAT(status.message(), HasSubstr("too complex"));
}

TEST(EngineWriter, SaysWhyATargetCannotBeWritten) {
  const Plan plan = plan_of({10});
  EXPECT_EQ(EngineWriter::create("/no/such/folder/a", plan).status().code(), Code::kNotFound);
  const Status special = EngineWriter::create("/proc/a.engine", plan).status();
  EXPECT_FALSE(special.ok());
  EXPECT_THAT(special.message(), HasSubstr("/proc/a.engine"));
}

// In a process of its own: the limit holds for all of it.
int write_with_limit(const std::filesystem::path& path, rlim_t limit) {
  const pid_t child = ::fork();
  if (child == 0) {
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit most{limit, limit};
    ::setrlimit(RLIMIT_FSIZE, &most);
    const Plan plan = plan_of({100, 3 << 20, 4000});
    const auto result = write_engine(path, plan, filled(plan));
    const bool named = result.status().message().find(path.string()) != std::string::npos;
    ::_exit(result.ok() ? 0 : result.status().code() == Code::kExhausted && named ? 1 : 2);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(EngineWriter, ReportsAFullDiskAndKeepsTheOldFile) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "a.engine";
  ASSERT_TRUE(write_text_file(path, "old").ok());
  const int64_t weights_end = 4096 + (3 << 20) + 8192;
  for (const int64_t limit :
       {int64_t{0}, int64_t{5000}, int64_t{1} << 20, weights_end - 4096, weights_end + 10}) {
    EXPECT_EQ(write_with_limit(path, static_cast<rlim_t>(limit)), 1) << limit;
    EXPECT_EQ(*read_text_file(path), "old");
    EXPECT_EQ(files_in(folder.path()), 1);
  }
  EXPECT_EQ(write_with_limit(path, 8 << 20), 0);
}

TEST(EngineWriter, ShowsTheOldFileOrTheWholeNewOneWhenKilled) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "a.engine";
  const Plan plan = plan_of({100, 2 << 20, 4000, 1 << 20});
  const auto weights = filled(plan);
  int missing = 0, whole = 0;
  for (int round = 0; round < 40; ++round) {
    std::filesystem::remove(path);
    const pid_t child = ::fork();
    if (child == 0) {
      (void)write_engine(path, plan, weights);
      ::_exit(0);
    }
    ::usleep(static_cast<useconds_t>(round * 1000));
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    if (!std::filesystem::exists(path)) {
      ++missing;
      continue;
    }
    ++whole;
    const auto file = EngineFile::open(path);
    ASSERT_TRUE(file.ok()) << file.status().message();
    EXPECT_TRUE(file->verify().ok());
  }
  EXPECT_EQ(missing + whole, 40);
  EXPECT_GT(missing, 0);
}

}  // namespace
}  // namespace headrace
