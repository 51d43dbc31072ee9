// These need a GPU; elsewhere they are skipped.
#include <fcntl.h>
#include <unistd.h>

#include <cstring>
#include <random>
#include <string>
#include <thread>

#include "core/unique_fd.h"
#include "device/cuda/cuda_file.h"
#include "device/cuda/test_device.h"

namespace headrace::cuda {
namespace {

// A file of `size` bytes; empty pages but for what is written.
class TestFile {
 public:
  explicit TestFile(Bytes size) {
    char name[] = "cuda_file_XXXXXX";
    fd_.reset(mkstemp(name));
    unlink(name);
    EXPECT_EQ(ftruncate(fd_.get(), size.count), 0);
  }
  int fd() const { return fd_.get(); }
  void write(Bytes offset, const std::vector<std::byte>& data) const {
    EXPECT_EQ(pwrite(fd_.get(), data.data(), data.size(), offset.count), static_cast<ssize_t>(data.size()));
  }

 private:
  UniqueFd fd_;
};

std::vector<std::byte> random_bytes(size_t size, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<std::byte> data(size);
  for (std::byte& byte : data) byte = static_cast<std::byte>(random());
  return data;
}

class CudaFile : public CudaTest {
 protected:
  std::vector<std::byte> read_back(const std::byte* from, Bytes size) {
    std::vector<std::byte> got(static_cast<size_t>(size.count));
    EXPECT_OK(queue_->copy(got.data(), from, size));
    EXPECT_OK(queue_->synchronize());
    return got;
  }
  const std::vector<std::byte> data_ = random_bytes(5000000, 1);
  const Bytes size_ = {static_cast<int64_t>(data_.size())};
};

TEST_F(CudaFile, IsCopiedFromWhereItIsRegistered) {
  const TestFile file(kib(64) + size_);
  file.write(kib(64), data_);
  auto source = take(device_->open_source(file.fd(), kib(64), size_, gib(1), "a.engine"));
  EXPECT_EQ(source->mechanism(), "registered map");
  EXPECT_TRUE(source->capturable());
  EXPECT_EQ(source->host_bytes().count % 4096, 0);
  EXPECT_GE(source->host_bytes(), size_);
  const Bytes whole = {(size_.count + 4095) / 4096 * 4096};
  auto to = take(device_->allocate(whole, "to"));
  ASSERT_OK(source->copy({}, whole, to.data(), *queue_));  // may pass the end by less than a page
  EXPECT_EQ(read_back(to.data(), size_), data_);
  ASSERT_OK(source->copy({8192}, {4096}, to.data(), *queue_));
  EXPECT_EQ(std::memcmp(read_back(to.data(), {4096}).data(), data_.data() + 8192, 4096), 0);
  EXPECT_EQ(source->copy(whole, {4096}, to.data(), *queue_).code(), Code::kInternal);
}

TEST_F(CudaFile, IsReadInPlaceByTheDevice) {
  const TestFile file(kib(64) + size_);
  file.write(kib(64), data_);
  auto source = take(device_->open_source(file.fd(), kib(64), size_, gib(1), "a.engine"));
  ASSERT_NE(source->visible({}), nullptr);
  EXPECT_EQ(source->visible({12345}), source->visible({}) + 12345);
  EXPECT_EQ(source->visible(source->host_bytes()), nullptr);
  auto to = take(device_->allocate(mib(4), "to"));
  ASSERT_OK(queue_->copy(to.data(), source->visible({12345}), mib(4)));
  EXPECT_EQ(std::memcmp(read_back(to.data(), mib(4)).data(), data_.data() + 12345, mib(4).count), 0);
}

TEST_F(CudaFile, IsCopiedInsideAGraphAgainAndAgain) {
  const TestFile file(size_);
  file.write({}, data_);
  auto source = take(device_->open_source(file.fd(), {}, size_, gib(1), "a.engine"));
  auto to = take(device_->allocate(size_, "to"));
  auto side = take(device_->make_work_queue());
  auto forked = take(device_->make_event()), joined = take(device_->make_event());
  ASSERT_OK(queue_->begin_capture());
  ASSERT_OK(queue_->record(*forked));
  ASSERT_OK(side->wait(*forked));
  ASSERT_OK(source->copy({}, size_, to.data(), *side));
  ASSERT_OK(side->record(*joined));
  ASSERT_OK(queue_->wait(*joined));
  auto graph = take(queue_->end_capture());
  const std::vector<std::byte> zeros(data_.size());
  for (int i = 0; i < 3; ++i) {
    ASSERT_OK(queue_->copy(to.data(), zeros.data(), size_));
    ASSERT_OK(queue_->launch(*graph));
    EXPECT_EQ(read_back(to.data(), size_), data_);
  }
}

TEST_F(CudaFile, IsCopiedAcrossThePiecesThatArePinned) {
  const auto data = random_bytes(1 << 20, 2);
  const TestFile file(gib(1) + mib(8));
  const Bytes at = gib(1) - kib(512) + kib(64);  // the piece ends in the middle
  file.write(at, data);
  auto source = take(device_->open_source(file.fd(), kib(64), gib(1) + mib(7), gib(4), "large.engine"));
  EXPECT_EQ(source->mechanism(), "registered map");
  auto to = take(device_->allocate(mib(1), "to"));
  ASSERT_OK(source->copy(at - kib(64), mib(1), to.data(), *queue_));
  EXPECT_EQ(read_back(to.data(), mib(1)), data);
}

TEST_F(CudaFile, GoesThroughARingWhereLessMayBePinned) {
  const TestFile file(kib(64) + size_);
  file.write(kib(64), data_);
  auto source = take(device_->open_source(file.fd(), kib(64), size_, mib(1), "a.engine"));
  EXPECT_EQ(source->mechanism(), "pinned ring of 1.0 MiB (1.0 MiB are allowed to be pinned)");
  EXPECT_FALSE(source->capturable());
  EXPECT_EQ(source->visible({}), nullptr);
  EXPECT_EQ(source->host_bytes(), mib(1));
  auto to = take(device_->allocate({size_.count + 4096}, "to"));
  for (int i = 0; i < 3; ++i) {
    ASSERT_OK(source->copy({}, {(size_.count + 4095) / 4096 * 4096}, to.data(), *queue_));
    EXPECT_EQ(read_back(to.data(), size_), data_);
  }
  ASSERT_OK(queue_->begin_capture());
  EXPECT_EQ(source->copy({}, {4096}, to.data(), *queue_).message(),
            "a copy of 'a.engine' through a pinned ring cannot be captured");
  (void)queue_->end_capture();
}

TEST_F(CudaFile, GoesThroughOneRingForManyThreadsAtOnce) {
  const TestFile file(size_);
  file.write({}, data_);
  auto source = take(device_->open_source(file.fd(), {}, size_, mib(1), "a.engine"));
  const Bytes whole = {(size_.count + 4095) / 4096 * 4096};
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&] {
      auto queue = take(device_->make_work_queue());
      auto to = take(device_->allocate(whole, "to"));
      std::vector<std::byte> got(data_.size());
      for (int i = 0; i < 5; ++i) {
        EXPECT_OK(source->copy({}, whole, to.data(), *queue));
        EXPECT_OK(queue->copy(got.data(), to.data(), size_));
        EXPECT_OK(queue->synchronize());
        EXPECT_EQ(got, data_);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_F(CudaFile, IsRefusedWhenItIsShort) {
  const TestFile file(mib(1));
  const auto source = device_->open_source(file.fd(), kib(64), mib(1), gib(1), "a.engine");
  ASSERT_FALSE(source.ok());
  EXPECT_EQ(source.status().code(), Code::kCorrupt);
  EXPECT_EQ(
      source.status().message(),
      "read 'a.engine': the file is shorter than when it was opened: it ends at 1048576 of 1114112 bytes");
  auto ring = take(device_->open_source(file.fd(), {}, mib(1), kib(512), "a.engine"));
  auto to = take(device_->allocate(mib(1), "to"));
  ASSERT_EQ(ftruncate(file.fd(), 100000), 0);
  EXPECT_EQ(ring->copy({}, mib(1), to.data(), *queue_).code(), Code::kCorrupt);
  EXPECT_OK(queue_->synchronize());
}

TEST_F(CudaFile, NeedsSomeHostMemory) {
  const TestFile file(mib(1));
  const auto source = device_->open_source(file.fd(), {}, mib(1), kib(100), "a.engine");
  ASSERT_FALSE(source.ok());
  EXPECT_EQ(source.status().code(), Code::kExhausted);
  EXPECT_EQ(source.status().message(),
            "cannot pin 256.0 KiB of host memory to copy 'a.engine' through: 100.0 KiB are allowed");
}

TEST_F(CudaFile, IsReadInTickets) {
  const auto data = random_bytes(1 << 20, 3);
  const TestFile file(mib(600) + Bytes{100});
  const Bytes across = mib(256) - kib(512);  // two windows
  file.write(across, data);
  file.write(mib(600), std::vector<std::byte>(100, std::byte{42}));
  auto reader = take(device_->open_reader(file.fd(), "a.engine"));
  auto to = take(device_->allocate(mib(3), "to"));
  {
    auto first = take(reader->start(across, mib(1), to.data()));
    auto second = take(reader->start(mib(600), {4096}, to.data() + mib(1).count));
    auto third = take(reader->start(across + kib(4), {4096}, to.data() + mib(2).count));
    ASSERT_OK(third->wait());
    ASSERT_OK(second->wait());
    ASSERT_OK(first->wait());
  }
  EXPECT_EQ(reader->mechanism(), "registered map");
  EXPECT_EQ(read_back(to.data(), mib(1)), data);
  EXPECT_EQ(read_back(to.data() + mib(1).count, {100}), std::vector<std::byte>(100, std::byte{42}));
  EXPECT_EQ(std::memcmp(read_back(to.data() + mib(2).count, {4096}).data(), data.data() + 4096, 4096), 0);
  EXPECT_EQ(reader->start(mib(601), {4096}, to.data()).status().code(), Code::kCorrupt);
  EXPECT_EQ(reader->start({1}, {4096}, to.data()).status().code(), Code::kInternal);
}

}  // namespace
}  // namespace headrace::cuda
