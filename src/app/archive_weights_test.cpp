#include "app/archive_weights.h"

#include <gmock/gmock.h>

#include "frontend/test_zip.h"

namespace headrace::app {
namespace {

using frontend::TestFile;
using ::testing::HasSubstr;

Plan plan_of(const std::vector<std::string>& storages) {
  Plan plan;
  for (const std::string& storage : storages)
    plan.sources.push_back({"name of " + storage, storage, DType::kU8, {2}, {1}, 0});
  return plan;
}

std::string zip(uint32_t crc_a, uint32_t crc_b, const std::string& bytes_b = "bb") {
  return frontend::make_zip(
      {{"m/a", "aa", 0x808, 0, crc_a}, {"m/b", bytes_b, 0x808, 0, crc_b}, {"m/empty", ""}});
}

Status check(const Plan& plan, const std::string& archive) {
  const TestFile file(archive);
  return check_marks(plan, *frontend::Archive::open(file.path()).value());
}

Plan marked(Plan plan, const std::string& archive) {
  const TestFile file(archive);
  const Status status = mark_sources(plan, *frontend::Archive::open(file.path()).value());
  EXPECT_TRUE(status.ok()) << status.message();
  return plan;
}

TEST(StorageMarks, KnowAnArchiveAgain) {
  const Plan plan = marked(plan_of({"b", "a", "empty"}), zip(1, 2));
  ASSERT_TRUE(plan.sources[0].mark.has_value());
  EXPECT_EQ(*plan.sources[0].mark, (StorageMark{Bytes{2}, 2}));
  EXPECT_TRUE(check(plan, zip(1, 2)).ok());
  const Plan one = marked(plan_of({"a"}), zip(1, 2));
  EXPECT_TRUE(check(one, zip(1, 3)).ok()) << "what the engine does not use may differ";
}

TEST(StorageMarks, NameTheFirstStorageThatDiffers) {
  const Plan plan = marked(plan_of({"a", "b"}), zip(1, 2));
  const Status crc = check(plan, zip(1, 3)), size = check(plan, zip(1, 2, "bbb"));
  EXPECT_EQ(crc.code(), Code::kIncompatible);
  EXPECT_EQ(crc.message(),
            "it is another model: its 'b' (name of b) has 2 bytes with the CRC-32 00000003, and the engine "
            "was made "
            "of 2 with 00000002");
  EXPECT_THAT(size.message(), HasSubstr("its 'b' (name of b) has 3 bytes"));
  const Status missing = check(plan, frontend::make_zip({{"m/a", "aa", 0x808, 0, 1}}));
  EXPECT_EQ(missing.message(), "it is another model: it has no 'b' (name of b)");
}

TEST(StorageMarks, AreNotMadeOfAnArchiveWithoutChecksums) {
  const Plan plan = marked(plan_of({"a", "b"}), zip(1, 0));
  EXPECT_TRUE(plan.sources[0].mark.has_value());
  EXPECT_FALSE(plan.sources[1].mark.has_value());
  EXPECT_THAT(check(plan, zip(1, 0)).message(),
              HasSubstr("does not say by which bytes 'b' (name of b) is known"));
  const Plan both = marked(plan_of({"a", "b"}), zip(1, 2));
  EXPECT_THAT(check(both, zip(1, 0)).message(), HasSubstr("it has no checksum of 'b'"));
}

TEST(StorageMarks, NeedEveryStorage) {
  const TestFile file(zip(1, 2));
  Plan plan = plan_of({"c"});
  EXPECT_EQ(mark_sources(plan, *frontend::Archive::open(file.path()).value()).code(), Code::kNotFound);
}

}  // namespace
}  // namespace headrace::app
