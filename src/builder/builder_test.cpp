#include "builder/builder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "core/error.h"
#include "core/file.h"
#include "core/host.h"
#include "engine/testing.h"
#include "weights/memory_reader.h"

namespace headrace {
namespace {

using ::testing::HasSubstr;
using testing::TemporaryFolder;

// Storages of any size from nothing: byte i of every storage is i % 251.
class SplatReader : public WeightSourceReader {
 public:
  explicit SplatReader(std::map<std::string, int64_t> sizes) : sizes_(std::move(sizes)) {}
  Result<Bytes> size(const std::string& storage) const override {
    const auto found = sizes_.find(storage);
    if (found == sizes_.end()) return not_found("there is no storage '{}'", storage);
    return Bytes{found->second};
  }
  Status read(const std::string& storage, Bytes offset, std::span<std::byte> out) const override {
    if (storage == broken) return unavailable("the disk is on fire");
    for (size_t i = 0; i < out.size(); ++i) out[i] = at(offset.count + static_cast<int64_t>(i));
    return {};
  }
  static std::byte at(int64_t index) { return static_cast<std::byte>(index % 251); }
  std::string broken;

 private:
  std::map<std::string, int64_t> sizes_;
};

class ReversingPacker : public Packer {
 public:
  Result<Bytes> choose(RecipeStep& step) const override { return packed_size(step); }
  Result<Bytes> packed_size(const RecipeStep& step) const override {
    return *checked_bytes(step.dtype, step.shape) + Bytes{5};
  }
  Status pack(const RecipeStep&, std::span<const std::byte> input, std::span<std::byte> out) const override {
    std::reverse_copy(input.begin(), input.end(), out.begin());
    std::fill(out.begin() + static_cast<std::ptrdiff_t>(input.size()), out.end(), std::byte{9});
    return {};
  }
};

struct Request {
  int64_t bytes;
  WeightUse use = WeightUse::kWhole;
  bool packed = false;
};

Plan plan_of(const std::vector<Request>& requests) {
  Plan plan;
  plan.backend = "test";
  for (const Request& request : requests) {
    const auto index = static_cast<int>(plan.weights.size());
    const Sizes shape = {request.bytes};
    plan.sources.push_back(
        {fmt::format("source{}", index), fmt::format("s{}", index), DType::kU8, shape, {1}, 0});
    Weight weight;
    weight.name = fmt::format("w{}", index);
    weight.dtype = DType::kU8;
    weight.shape = shape;
    weight.use = request.use;
    weight.stored = {request.bytes};
    weight.recipe.push_back({RecipeOp::kSource, {}, index, DType::kU8, shape, {}});
    if (request.packed) {
      weight.recipe.push_back(
          {RecipeOp::kPack, {0}, kNone, DType::kU8, shape, {{"layout", std::string("r")}}});
      weight.stored += Bytes{5};
    }
    weight.resident = weight.stored;
    plan.weights.push_back(std::move(weight));
  }
  assign_groups(plan);
  return plan;
}

SplatReader reader_for(const Plan& plan) {
  std::map<std::string, int64_t> sizes;
  for (const SourceWeight& source : plan.sources) sizes[source.storage] = source.shape[0];
  return SplatReader(std::move(sizes));
}

TEST(AssignGroups, JoinsSmallWeightsAndKeepsLargeOnesAlone) {
  const int64_t mb = 1 << 20;
  const Plan plan = plan_of({{2 * mb},
                             {100},
                             {1 * mb},
                             {9 * mb},
                             {64 << 10},
                             {(64 << 10) - 1},
                             {3 * mb, WeightUse::kRows},
                             {3 * mb},
                             {2 * mb},
                             {200, WeightUse::kRows},
                             {70000}});
  ASSERT_TRUE(verify(plan).ok()) << verify(plan).message();
  std::vector<int32_t> groups;
  for (const Weight& weight : plan.weights) groups.push_back(weight.group);
  EXPECT_EQ(groups, (std::vector<int32_t>{0, 1, 0, 2, 3, 1, 4, 3, 3, 5, 6}));
  std::vector<bool> streamable;
  for (const WeightGroup& group : plan.groups) streamable.push_back(group.streamable);
  EXPECT_EQ(streamable, (std::vector<bool>{true, false, true, true, true, false, true}));
}

TEST(AssignGroups, AlignsEveryWeightAndGroup) {
  const Plan plan = plan_of({{100000}, {70001}, {int64_t{65} << 20}, {70003}, {int64_t{64} << 20}});
  ASSERT_TRUE(verify(plan).ok()) << verify(plan).message();
  for (const Weight& weight : plan.weights) EXPECT_EQ(weight.offset.count % 64, 0);
  for (const WeightGroup& group : plan.groups) {
    EXPECT_EQ(group.offset.count % kWeightAlignment.count, 0);
    if (group.size >= mib(64)) {
      EXPECT_EQ(group.offset.count % (2 << 20), 0);
    }
  }
}

TEST(BuildEngine, WritesWhatTheRecipesMake) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "a.engine";
  const Plan plan = plan_of({{5},
                             {100000, WeightUse::kWhole, true},
                             {0},
                             {21 << 20},
                             {int64_t{65} << 20, WeightUse::kRows},
                             {18 << 20, WeightUse::kWhole, true},
                             {300}});
  const ReversingPacker packer;
  Trace trace;
  int64_t last = -1;
  const Progress progress = [&](const ProgressEvent& event) {
    EXPECT_EQ(event.phase, "write weights");
    EXPECT_GE(event.done, last);
    last = event.done;
    return true;
  };
  const auto report = build_engine(plan, reader_for(plan), &packer, nullptr, path, progress, &trace);
  ASSERT_TRUE(report.ok()) << report.status().message();
  EXPECT_EQ(report->weights.count, last);
  EXPECT_EQ(report->file.count, static_cast<int64_t>(std::filesystem::file_size(path)));
  EXPECT_THAT(trace.json(), HasSubstr("w5"));
  const auto file = EngineFile::open(path);
  ASSERT_TRUE(file.ok()) << file.status().message();
  EXPECT_TRUE(file->verify().ok()) << file->verify().message();
  for (size_t i = 0; i < plan.weights.size(); ++i) {
    const Weight& weight = file->plan().weights[i];
    std::vector<std::byte> expected(static_cast<size_t>(plan.sources[i].shape[0]));
    for (size_t j = 0; j < expected.size(); ++j) expected[j] = SplatReader::at(static_cast<int64_t>(j));
    if (weight.recipe.size() == 2) {
      std::reverse(expected.begin(), expected.end());
      expected.resize(expected.size() + 5, std::byte{9});
    }
    std::vector<std::byte> found(expected.size());
    const Bytes at =
        file->weights_offset() + plan.groups[static_cast<size_t>(weight.group)].offset + weight.offset;
    ASSERT_TRUE(read_exactly(file->fd(), at, found, path).ok());
    EXPECT_TRUE(found == expected) << weight.name;
  }
}

TEST(BuildEngine, MakesTheSameBytesTwice) {
  const TemporaryFolder folder;
  const Plan plan = plan_of({{5}, {100000, WeightUse::kWhole, true}, {9 << 20}, {300}});
  const ReversingPacker packer;
  for (const char* name : {"a", "b"})
    ASSERT_TRUE(
        build_engine(plan, reader_for(plan), &packer, nullptr, folder.path() / name, {}, nullptr).ok());
  const auto a = read_text_file(folder.path() / "a"), b = read_text_file(folder.path() / "b");
  ASSERT_TRUE(a.ok() && b.ok());
  EXPECT_TRUE(*a == *b);
}

TEST(BuildEngine, NeedsMemoryForAFewPiecesOnly) {
  const TemporaryFolder folder;
  const Plan plan = plan_of({{100 << 20, WeightUse::kRows}, {70 << 20}});
  const Bytes before = process_anonymous();
  Bytes most = before;
  const Progress progress = [&](const ProgressEvent&) {
    most = std::max(most, process_anonymous());
    return true;
  };
  const auto path = folder.path() / "a.engine";
  ASSERT_TRUE(build_engine(plan, reader_for(plan), nullptr, nullptr, path, progress, nullptr).ok());
  EXPECT_LT(most - before, mib(48));
}

TEST(BuildEngine, LeavesTheOldFileWhenCancelled) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "a.engine";
  ASSERT_TRUE(write_text_file(path, "old").ok());
  const Plan plan = plan_of({{30 << 20}, {30 << 20}});
  const SplatReader reader = reader_for(plan);
  for (const int64_t after : {int64_t{0}, int64_t{1}, int64_t{31} << 20}) {
    const Progress progress = [&](const ProgressEvent& event) { return event.done < after; };
    const auto report = build_engine(plan, reader, nullptr, nullptr, path, progress, nullptr);
    EXPECT_EQ(report.status().code(), Code::kUnavailable);
    EXPECT_EQ(report.status().message(), "cancelled");
    EXPECT_EQ(*read_text_file(path), "old");
  }
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
}

TEST(BuildEngine, NamesTheWeightThatCannotBeMade) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "a.engine";
  const Plan plan = plan_of({{30 << 20}, {3000}, {30 << 20, WeightUse::kWhole, true}});
  SplatReader reader = reader_for(plan);
  reader.broken = "s1";
  const ReversingPacker packer;
  Status status = build_engine(plan, reader, &packer, nullptr, path, {}, nullptr).status();
  EXPECT_EQ(status.code(), Code::kUnavailable);
  EXPECT_EQ(status.message(), "weight 'w1': source weight 'source1': the disk is on fire");
  reader.broken.clear();
  status = build_engine(plan, reader, nullptr, nullptr, path, {}, nullptr).status();
  EXPECT_EQ(status.message(), "weight 'w2': its recipe packs, and this back end has no packer");
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(BuildEngine, SaysWhichFolderIsMissing) {
  const Plan plan = plan_of({{3000}});
  const Status status =
      build_engine(plan, reader_for(plan), nullptr, nullptr, "/no/such/a.engine", {}, nullptr).status();
  EXPECT_EQ(status.code(), Code::kNotFound);
  EXPECT_THAT(status.message(), HasSubstr("/no/such/a.engine"));
}

}  // namespace
}  // namespace headrace
