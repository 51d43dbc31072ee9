#include "device/device.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "core/host.h"
#include "core/unique_fd.h"
#include "device/fake/fake_device.h"
#include "device/read_pieces.h"

namespace headrace {
namespace {

namespace fs = std::filesystem;

// A file of `size` bytes whose every 8 bytes tell where they are.
class TestFile {
 public:
  explicit TestFile(int64_t size) : words_(static_cast<size_t>((size + 7) / 8)), size_(size) {
    char name[] = "device_test_XXXXXX";  // in the build folder: /tmp may be a file system without O_DIRECT
    fd_.reset(mkstemp(name));
    path_ = fs::absolute(name);
    for (size_t i = 0; i < words_.size(); ++i) words_[i] = i * 0x9e3779b97f4a7c15ull;
    EXPECT_EQ(pwrite(fd_.get(), words_.data(), static_cast<size_t>(size), 0), size);
  }
  ~TestFile() { fs::remove(path_); }
  int fd() const { return fd_.get(); }
  const fs::path& path() const { return path_; }
  bool same(const std::byte* got, int64_t offset, int64_t size) const {
    return std::memcmp(got, reinterpret_cast<const std::byte*>(words_.data()) + offset,
                       static_cast<size_t>(std::min(size, size_ - offset))) == 0;
  }

 private:
  std::vector<uint64_t> words_;
  int64_t size_;
  UniqueFd fd_;
  fs::path path_;
};

std::unique_ptr<FileReader> open_reader(std::string_view mechanism, int fd) {
  auto file = ReadFile::open(fd, "test.engine");
  EXPECT_TRUE(file.ok());
  if (mechanism.ends_with("buffered")) file->give_up_direct();  // as where a file system refuses it
  if (mechanism.starts_with("io_uring")) return make_uring_reader(*file);
  auto reader = make_thread_reader(*std::move(file));
  EXPECT_TRUE(reader.ok());
  return *std::move(reader);
}

class Reader : public testing::TestWithParam<const char*> {};

TEST_P(Reader, ReadsManyOverlappingRangesAtOnce) {
  constexpr int64_t kSize = (int64_t{5} << 20) + 1234;
  const TestFile file(kSize);
  auto reader = open_reader(GetParam(), file.fd());
  if (!reader) GTEST_SKIP() << "this kernel has no io_uring";
  auto device = make_host_device();
  const int64_t whole = (kSize + 4095) / 4096 * 4096;
  auto memory = device->allocate({3 * whole}, "test");
  ASSERT_TRUE(memory.ok());
  std::vector<std::unique_ptr<ReadTicket>> tickets;
  for (int i = 0; i < 2; ++i) {
    auto ticket = reader->start({0}, {whole}, memory->data() + i * whole);
    ASSERT_TRUE(ticket.ok()) << ticket.status().message();
    tickets.push_back(*std::move(ticket));
  }
  for (int64_t at = 0; at < whole; at += 4096) {
    auto ticket = reader->start({at}, {4096}, memory->data() + 2 * whole + at);
    ASSERT_TRUE(ticket.ok());
    tickets.push_back(*std::move(ticket));
  }
  while (!tickets.empty()) {  // backwards: the last started is waited for first
    ASSERT_TRUE(tickets.back()->wait().ok());
    tickets.pop_back();
  }
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(file.same(memory->data() + i * whole, 0, kSize)) << i;
}

TEST_P(Reader, SaysSoWhenTheFileShrank) {
  const TestFile file(1 << 20);
  auto reader = open_reader(GetParam(), file.fd());
  if (!reader) GTEST_SKIP() << "this kernel has no io_uring";
  auto device = make_host_device();
  auto memory = device->allocate({1 << 20}, "test");
  ASSERT_EQ(ftruncate(file.fd(), 100000), 0);
  auto ticket = reader->start({0}, {1 << 20}, memory->data());
  ASSERT_TRUE(ticket.ok());
  const Status status = (*ticket)->wait();
  EXPECT_EQ(status.code(), Code::kCorrupt);
  EXPECT_NE(status.message().find("read 'test.engine': the file is shorter than when it was opened"),
            std::string::npos)
      << status.message();
}

TEST_P(Reader, RefusesRangesPastTheEnd) {
  const TestFile file(10000);
  auto reader = open_reader(GetParam(), file.fd());
  if (!reader) GTEST_SKIP() << "this kernel has no io_uring";
  auto device = make_host_device();
  auto memory = device->allocate({16384}, "test");
  EXPECT_TRUE(reader->start({0}, {12288}, memory->data()).ok());
  EXPECT_EQ(reader->start({0}, {16384}, memory->data()).status().code(), Code::kCorrupt);
  EXPECT_EQ(reader->start({1}, {4096}, memory->data()).status().code(), Code::kInternal);
}

TEST_P(Reader, ReadsAFileThatWasRemovedWhileOpen) {
  const TestFile file(8192);
  auto reader = open_reader(GetParam(), file.fd());
  if (!reader) GTEST_SKIP() << "this kernel has no io_uring";
  fs::remove(file.path());
  auto device = make_host_device();
  auto memory = device->allocate({8192}, "test");
  auto ticket = reader->start({0}, {8192}, memory->data());
  ASSERT_TRUE(ticket.ok());
  EXPECT_TRUE((*ticket)->wait().ok());
  EXPECT_TRUE(file.same(memory->data(), 0, 8192));
}

INSTANTIATE_TEST_SUITE_P(Mechanisms, Reader,
                         testing::Values("io_uring", "threads", "io_uring, buffered", "threads, buffered"));

TEST(HostDevice, SaysSoWhenDescriptorsRunOut) {
  const TestFile file(4096);
  rlimit before = {};
  getrlimit(RLIMIT_NOFILE, &before);
  rlimit tight = before;
  tight.rlim_cur = static_cast<rlim_t>(file.fd()) + 1;
  setrlimit(RLIMIT_NOFILE, &tight);
  auto device = make_host_device();
  auto reader = device->open_reader(file.fd(), "a.engine");
  setrlimit(RLIMIT_NOFILE, &before);
  ASSERT_FALSE(reader.ok());
  EXPECT_EQ(reader.status().code(), Code::kExhausted);
  EXPECT_NE(reader.status().message().find("a.engine"), std::string::npos) << reader.status().message();
}

TEST(HostDevice, GivesFreedMemoryBackToTheKernel) {
  auto device = make_host_device();
  const Bytes before = process_resident();
  {
    auto memory = device->allocate(mib(64), "test");
    ASSERT_TRUE(memory.ok());
    std::memset(memory->data(), 1, static_cast<size_t>(mib(64).count));
    EXPECT_EQ(device->used(), mib(64));
    EXPECT_GE(process_resident(), before + mib(60));
    Allocation moved = std::move(*memory);
    EXPECT_EQ(memory->data(), nullptr);
    EXPECT_EQ(device->used(), mib(64));
  }
  EXPECT_EQ(device->used(), Bytes{0});
  EXPECT_EQ(device->peak(), mib(64));
  EXPECT_LE(process_resident(), before + mib(4));
}

TEST(HostDevice, RefusesMoreThanThereIs) {
  auto device = make_host_device();
  auto memory = device->allocate(gib(1 << 20), "the arena");
  ASSERT_FALSE(memory.ok());
  EXPECT_EQ(memory.status().code(), Code::kExhausted);
  EXPECT_NE(memory.status().message().find("the arena"), std::string::npos);
  EXPECT_EQ(device->used(), Bytes{0});
}

TEST(FakeDevice, HoldsItsLimitAndFailsWhereItIsTold) {
  fake::FakeDevice device({.memory_limit = kib(12)});
  auto first = device.allocate(kib(8), "first");
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(device.allocate(kib(8), "second").status().message(),
            "cannot allocate 8.0 KiB for second: 8.0 KiB in use, 12.0 KiB at most");
  device.fail_allocation(1);
  EXPECT_TRUE(device.allocate(kib(4), "a").ok());
  EXPECT_EQ(device.allocate(kib(4), "b").status().code(), Code::kExhausted);
  EXPECT_TRUE(device.allocate(kib(4), "c").ok());
  EXPECT_EQ(device.peak(), kib(12));
}

TEST(FakeDevice, FailsTheNthReadAndNoOther) {
  const TestFile file(16384);
  fake::FakeDevice device;
  auto memory = device.allocate({16384}, "test");
  auto reader = device.open_reader(file.fd(), "x.engine");
  ASSERT_TRUE(reader.ok());
  device.fail_read(2);
  for (int i = 0; i < 4; ++i) {
    auto ticket = (*reader)->start({4096 * i}, {4096}, memory->data() + 4096 * i);
    ASSERT_TRUE(ticket.ok());
    EXPECT_EQ((*ticket)->wait().ok(), i != 2) << i;
  }
  EXPECT_EQ(device.reads(), 4);
  EXPECT_GE(device.now_ns(), 4000000);
}

}  // namespace
}  // namespace headrace
