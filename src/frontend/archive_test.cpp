#include <fcntl.h>
#include <gmock/gmock.h>

#include "core/error.h"
#include "frontend/frontend.h"
#include "frontend/test_zip.h"

namespace headrace::frontend {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const std::vector<TestEntry> kEntries = {{"m/data/weights/weight_0", "abcdefgh", 0x808, 0, 0xaeef2a50},
                                         {"m/models/model.json", "{}"},
                                         {"m/empty", "", 0x800}};

Status open_status(std::string_view bytes) {
  const TestFile file(bytes);
  return Archive::open(file.path()).status();
}

std::string read_all(const Archive& archive, std::string_view entry) {
  return archive.read_text(entry).value();
}

TEST(Archive, ReadsStoredEntriesInPlaceWithAndWithoutZip64Records) {
  for (const bool zip64 : {false, true}) {
    const TestFile file(make_zip(kEntries, zip64));
    const auto archive = Archive::open(file.path()).value();
    EXPECT_THAT(archive->names(), ElementsAre("data/weights/weight_0", "empty", "models/model.json"));
    EXPECT_EQ(read_all(*archive, "models/model.json"), "{}");
    EXPECT_EQ(read_all(*archive, "empty"), "");
    std::string middle(3, ' ');
    EXPECT_TRUE(
        archive->read("data/weights/weight_0", Bytes{2}, std::as_writable_bytes(std::span(middle))).ok());
    EXPECT_EQ(middle, "cde");
    EXPECT_EQ(archive->size("data/weights/weight_0").value(), Bytes{8});
    EXPECT_EQ(archive->crc("data/weights/weight_0").value(), 0xaeef2a50u);
    EXPECT_EQ(archive->crc("empty").value(), 0u);
    EXPECT_EQ(archive->crc("nothing").status().code(), Code::kNotFound);
  }
}

TEST(Archive, KeepsTheRootOfARenamedFileAndAcceptsACommentAtTheEnd) {
  std::string bytes = make_zip(kEntries, false);
  bytes[bytes.size() - 2] = 5;
  const TestFile file(bytes + "hello", "renamed.pt2");
  const auto archive = Archive::open(file.path());
  ASSERT_TRUE(archive.ok()) << archive.status().message();
  EXPECT_TRUE((*archive)->contains("models/model.json"));
}

TEST(Archive, RefusesReadsOutsideAnEntry) {
  const TestFile file(make_zip(kEntries));
  const auto archive = Archive::open(file.path()).value();
  std::string out(4, ' ');
  const auto into = std::as_writable_bytes(std::span(out));
  EXPECT_EQ(archive->read("data/weights/weight_0", Bytes{5}, into).code(), Code::kCorrupt);
  EXPECT_EQ(archive->read("data/weights/weight_0", Bytes{-1}, into).code(), Code::kCorrupt);
  EXPECT_EQ(archive->read("data/weights/weight_0", Bytes{INT64_MAX}, into).code(), Code::kCorrupt);
  EXPECT_EQ(archive->read("nothing", Bytes{0}, into).code(), Code::kNotFound);
}

TEST(Archive, ReportsAMissingFileAndAFolder) {
  const Status missing = Archive::open("/nowhere/m.pt2").status();
  EXPECT_EQ(missing.code(), Code::kNotFound);
  EXPECT_THAT(missing.message(), HasSubstr("/nowhere/m.pt2"));
  EXPECT_EQ(Archive::open("/tmp").status().code(), Code::kInvalidArgument);
}

struct BadZip {
  std::string_view what;
  std::string bytes;
  Code code;
  std::string_view message;
};

std::vector<BadZip> bad_zips() {
  std::vector<BadZip> cases;
  const std::string good = make_zip(kEntries), old = make_zip(kEntries, false);
  const auto with = [](size_t index, auto&& change, bool zip64 = true) {
    std::vector<TestEntry> entries = kEntries;
    change(entries[index]);
    return make_zip(entries, zip64);
  };
  cases.push_back({"empty", "", Code::kCorrupt, "it is empty"});
  cases.push_back({"text", "hello, world: no zip file here", Code::kCorrupt, "no zip file; give what"});
  cases.push_back({"one byte", "P", Code::kCorrupt, "no zip file"});
  cases.push_back(
      {"cut short", good.substr(0, good.size() / 2), Code::kCorrupt, "cut short; copy or save it again"});
  cases.push_back({"no end", good.substr(0, good.size() - 1), Code::kCorrupt, "cut short"});
  cases.push_back({"no entries", make_zip({}), Code::kCorrupt, "no entries"});
  cases.push_back({"start lost", good.substr(100), Code::kCorrupt, "damaged"});
  cases.push_back({"start lost, no zip64", old.substr(100), Code::kCorrupt, "directory"});
  cases.push_back({"encrypted", with(0, [](TestEntry& e) { e.flags |= 1; }), Code::kUnsupported,
                   "entry 'm/data/weights/weight_0' is encrypted; decrypt the archive"});
  cases.push_back({"compressed", with(1, [](TestEntry& e) { e.method = 8; }), Code::kUnsupported,
                   "entry 'm/models/model.json' is compressed (zip method 8)"});
  cases.push_back({"too long", with(0, [](TestEntry& e) { e.claimed_size = 1 << 20; }), Code::kCorrupt,
                   "entry 'm/data/weights/weight_0' (1048576 bytes, header at byte 0) does not lie before"});
  cases.push_back({"size near 2^64", with(0, [](TestEntry& e) { e.claimed_size = UINT64_MAX; }),
                   Code::kCorrupt, "does not lie before"});
  cases.push_back({"offset outside", with(1, [](TestEntry& e) { e.claimed_offset = 1 << 20; }),
                   Code::kCorrupt, "does not lie before"});
  cases.push_back({"offset near 2^64", with(1, [](TestEntry& e) { e.claimed_offset = UINT64_MAX - 10; }),
                   Code::kCorrupt, "does not lie before"});
  cases.push_back({"offset at no entry", with(1, [](TestEntry& e) { e.claimed_offset = 7; }), Code::kCorrupt,
                   "no entry starts"});
  cases.push_back(
      {"same place", with(1, [](TestEntry& e) { e.claimed_offset = 0; }), Code::kCorrupt, "overlap"});
  cases.push_back(
      {"overlap", with(0, [](TestEntry& e) { e.claimed_size = 100; }), Code::kCorrupt, "overlap"});
  cases.push_back({"same name", with(1, [](TestEntry& e) { e.name = kEntries[0].name; }), Code::kCorrupt,
                   "two entries 'm/data/weights/weight_0'"});
  std::string many = old;
  many[many.size() - 12] = '\xff';  // the count of entries
  cases.push_back({"too many entries", many, Code::kCorrupt, "claims 255 entries"});
  std::string split = old;
  split[split.size() - 18] = 1;  // the number of this disk
  cases.push_back({"split", split, Code::kUnsupported, "split zip"});
  return cases;
}

TEST(Archive, RefusesBadZipsWithATypedErrorThatNamesTheFile) {
  for (const BadZip& bad : bad_zips()) {
    SCOPED_TRACE(bad.what);
    const Status status = open_status(bad.bytes);
    EXPECT_EQ(status.code(), bad.code);
    EXPECT_THAT(status.message(), HasSubstr(bad.message));
    EXPECT_THAT(status.message(), HasSubstr("test.pt2"));
  }
}

TEST(Archive, AcceptsCompressedEntriesOfTheUsersOwn) {
  std::vector<TestEntry> entries = kEntries;
  entries.push_back({"m/extra/notes.txt", "zzz", 0, 8});
  EXPECT_TRUE(open_status(make_zip(entries)).ok());
}

// Cut anywhere, or with any byte of its records changed, a file gives an archive or an error and no crash.
TEST(Archive, SurvivesEveryTruncationAndEveryChangedByte) {
  const std::string good = make_zip(kEntries);
  for (size_t size = 0; size < good.size(); ++size) {
    EXPECT_EQ(open_status(good.substr(0, size)).code(), Code::kCorrupt) << size;
  }
  for (size_t at = 0; at < good.size(); ++at) {
    std::string changed = good;
    changed[at] = static_cast<char>(changed[at] ^ 0xff);
    const TestFile file(changed);
    const auto archive = Archive::open(file.path());
    if (!archive.ok()) continue;
    for (const std::string& name : (*archive)->names()) EXPECT_TRUE((*archive)->read_text(name).ok()) << at;
  }
}

TEST(Archive, ReadsEntriesBeyondFourGiB) {
  const TestFile file("");
  const int fd = ::open(file.path().c_str(), O_WRONLY | O_CLOEXEC);
  ASSERT_GE(fd, 0);
  const TestEntry large{"m/data/weights/weight_0", ""}, small{"m/models/model.json", "{\"far\": 1}"};
  const uint64_t size = (uint64_t{5} << 30) + 3;
  const std::string first = local_header(large, 4), second = local_header(small, 8) + small.bytes;
  const uint64_t second_at = first.size() + size, directory_at = second_at + second.size();
  const std::string directory =
      central_record(large, 0, size, true) + central_record(small, second_at, small.bytes.size(), true);
  const std::string tail = "end" + second + directory + end_records(directory_at, directory.size(), 2, true);
  // Everything between is a hole, so the file takes a few KiB of disk.
  ASSERT_EQ(::pwrite(fd, first.data(), first.size(), 0), static_cast<ssize_t>(first.size()));
  ASSERT_EQ(::pwrite(fd, tail.data(), tail.size(), static_cast<off_t>(second_at - 3)),
            static_cast<ssize_t>(tail.size()));
  ::close(fd);
  const auto archive = Archive::open(file.path());
  ASSERT_TRUE(archive.ok()) << archive.status().message();
  EXPECT_EQ((*archive)->size("data/weights/weight_0").value(), Bytes{static_cast<int64_t>(size)});
  std::string end(4, ' ');
  ASSERT_TRUE((*archive)
                  ->read("data/weights/weight_0", Bytes{static_cast<int64_t>(size) - 4},
                         std::as_writable_bytes(std::span(end)))
                  .ok());
  EXPECT_EQ(end, std::string("\0end", 4));
  EXPECT_EQ(read_all(**archive, "models/model.json"), small.bytes);
}

}  // namespace
}  // namespace headrace::frontend
