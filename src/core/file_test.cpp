#include "core/file.h"

#include <gtest/gtest.h>

#include "core/host.h"
#include "core/trace.h"

namespace headrace {
namespace {

namespace fs = std::filesystem;

class FileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("headrace_file_test_" + std::to_string(::getpid()));
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }
  size_t entries() const {
    return static_cast<size_t>(std::distance(fs::directory_iterator(folder_), fs::directory_iterator()));
  }
  fs::path folder_;
};

TEST_F(FileTest, NothingAppearsBeforeCommit) {
  const std::string text = "bytes";
  {
    Result<AtomicFile> file = AtomicFile::create(folder_ / "a");
    ASSERT_TRUE(file.ok());
    ASSERT_TRUE(file->write_at(Bytes{0}, std::as_bytes(std::span(text))).ok());
    EXPECT_FALSE(fs::exists(folder_ / "a"));
  }
  EXPECT_EQ(entries(), 0u);
}

TEST_F(FileTest, CommitReplacesTheOldFileWhole) {
  ASSERT_TRUE(write_text_file(folder_ / "a", "old").ok());
  ASSERT_TRUE(write_text_file(folder_ / "a", "newer", Durable::no).ok());
  EXPECT_EQ(*read_text_file(folder_ / "a"), "newer");
  ASSERT_TRUE(write_text_file(folder_ / "a", "new text").ok());
  EXPECT_EQ(read_text_file(folder_ / "a").value(), "new text");
  EXPECT_EQ(entries(), 1u);
}

TEST_F(FileTest, ErrorsNameThePathAndTheReason) {
  EXPECT_EQ(open_for_reading(folder_ / "absent").status().code(), Code::kNotFound);
  EXPECT_EQ(open_for_reading(folder_).status().code(), Code::kInvalidArgument);
  EXPECT_EQ(write_text_file(folder_ / "no" / "folder", "x").code(), Code::kNotFound);
  ASSERT_TRUE(write_text_file(folder_ / "short", "abc").ok());
  const UniqueFd fd = open_for_reading(folder_ / "short").value();
  std::byte bytes[8];
  const Status status = read_exactly(fd.get(), Bytes{1}, bytes, folder_ / "short");
  EXPECT_EQ(status.code(), Code::kCorrupt);
  EXPECT_NE(status.message().find("is too short: 8 bytes wanted at 1, 2 found"), std::string::npos);
}

TEST(Host, TheKernelGivesSensibleFigures) {
  EXPECT_GE(usable_cpus(), 1);
  EXPECT_GT(process_resident(), mib(1));
  EXPECT_GE(process_peak(), process_resident() - mib(4));
  EXPECT_GT(host_memory_available(), mib(16));
}

TEST(Trace, EventsAreWrittenAsJson) {
  Trace trace;
  trace.add(TraceTrack::kRead, "layer \"1\"", 1000, 3000, 42);
  EXPECT_NE(trace.json().find(R"("name":"layer \"1\"","ts":1.000,"dur":2.000,"args":{"bytes":42}})"),
            std::string::npos);
}

}  // namespace
}  // namespace headrace
