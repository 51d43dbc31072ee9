#include "device/fake/fake_queued_device.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <set>

#include "core/error.h"
#include "core/unique_fd.h"

namespace headrace::fake {
namespace {

template <class T>
T take(Result<T> result) {
  EXPECT_TRUE(result.ok()) << result.status().message();
  if (!result.ok()) std::abort();
  return *std::move(result);
}

class FakeQueues : public testing::Test {
 protected:
  FakeQueuedDevice device_{{.seed = 7, .eager = 0}};
  std::unique_ptr<WorkQueue> compute_ = take(device_.make_work_queue());
  std::unique_ptr<WorkQueue> copies_ = take(device_.make_work_queue());
  std::unique_ptr<Event> event_ = take(device_.make_event());
  std::unique_ptr<Event> back_ = take(device_.make_event());
  std::string log_;

  Status note(WorkQueue& queue, char letter) {
    return static_cast<FakeWorkQueue&>(queue).push("note", [this, letter]() -> Status {
      log_ += letter;
      return {};
    });
  }
  void expect_mistake(const Status& status, std::string_view text) {
    EXPECT_EQ(status.code(), Code::kInternal);
    EXPECT_EQ(status.message(), text);
    EXPECT_EQ(device_.failure().message(), text);
  }
};

TEST_F(FakeQueues, DoNothingBeforeTheyAreWaitedFor) {
  ASSERT_TRUE(note(*compute_, 'a').ok());
  EXPECT_EQ(log_, "");
  ASSERT_TRUE(compute_->synchronize().ok());
  EXPECT_EQ(log_, "a");
}

TEST_F(FakeQueues, KeepTheirOwnOrderAndThatOfEventsOnly) {
  std::set<std::string> seen;
  for (uint64_t seed = 0; seed < 100; ++seed) {
    FakeQueuedDevice device({.seed = seed, .eager = static_cast<int>(seed % 3 * 50)});
    auto a = take(device.make_work_queue()), b = take(device.make_work_queue());
    auto event = take(device.make_event());
    log_.clear();
    ASSERT_TRUE(note(*a, '1').ok() && a->record(*event).ok() && note(*a, '2').ok());
    ASSERT_TRUE(note(*b, 'x').ok() && b->wait(*event).ok() && note(*b, 'y').ok());
    ASSERT_TRUE(a->synchronize().ok() && b->synchronize().ok());
    EXPECT_LT(log_.find('1'), log_.find('2'));
    EXPECT_LT(log_.find('x'), log_.find('y'));
    EXPECT_LT(log_.find('1'), log_.find('y'));
    seen.insert(log_);
  }
  EXPECT_EQ(seen.size(), 5u);  // all orders that there are
}

TEST_F(FakeQueues, WaitForThePointRecordedLastAndNotForLaterOnes) {
  ASSERT_TRUE(note(*compute_, '1').ok() && compute_->record(*event_).ok());
  ASSERT_TRUE(copies_->wait(*event_).ok());
  ASSERT_TRUE(note(*copies_, '2').ok() && copies_->record(*back_).ok());
  ASSERT_TRUE(compute_->wait(*back_).ok() && compute_->record(*event_).ok());  // no deadlock with itself
  ASSERT_TRUE(event_->synchronize().ok());
  EXPECT_EQ(log_, "12");
}

TEST_F(FakeQueues, RunWhatAnEventNeedsAndTellItsTime) {
  ASSERT_TRUE(note(*copies_, '1').ok() && copies_->record(*event_).ok() && note(*copies_, '2').ok());
  const int64_t before = device_.now_ns();
  ASSERT_TRUE(event_->synchronize().ok());
  EXPECT_EQ(log_, "1");
  EXPECT_GE(device_.now_ns(), before + 1000);
}

TEST_F(FakeQueues, FindWaitsForEventsThatNobodyRecorded) {
  expect_mistake(compute_->wait(*event_), "a queue waits for an event that was never recorded");
  EXPECT_FALSE(compute_->synchronize().ok());  // until
  device_.heal();
  EXPECT_TRUE(compute_->synchronize().ok());
}

TEST_F(FakeQueues, FindWorkOnMemoryThatIsFreed) {
  auto a = take(device_.allocate(kib(4), "a")), b = take(device_.allocate(kib(4), "b"));
  ASSERT_TRUE(compute_->copy(b.data(), a.data(), kib(4)).ok());
  ASSERT_TRUE(compute_->synchronize().ok());
  ASSERT_TRUE(compute_->copy(b.data(), a.data(), kib(4)).ok());
  a = {};
  EXPECT_EQ(device_.used(), kib(4));
  const Status status = compute_->synchronize();
  expect_mistake(status, "copy 4.0 KiB: touches memory that was freed");
}

TEST_F(FakeQueues, FindCopiesPastTheirMemory) {
  auto a = take(device_.allocate(kib(4), "a")), b = take(device_.allocate(kib(8), "b"));
  ASSERT_TRUE(compute_->copy(a.data(), b.data(), kib(8)).ok());
  const Status status = compute_->synchronize();
  expect_mistake(status, "copy 8.0 KiB: goes past an end of the memory that it touches");
}

TEST_F(FakeQueues, FindKernelsOnMemoryThatIsFreed) {
  auto a = take(device_.allocate(kib(4), "a"));
  auto& queue = static_cast<FakeWorkQueue&>(*compute_);
  ASSERT_TRUE(queue.push("kernel", [] { return Status(); }, {{a.data() + 100, 4}}).ok());
  a = {};
  expect_mistake(compute_->synchronize(), "kernel: touches memory that was freed");
}

TEST_F(FakeQueues, CaptureBranchesAndDoThemInAnyOrderThatTheyAllow) {
  ASSERT_TRUE(compute_->begin_capture().ok());
  ASSERT_TRUE(note(*compute_, '1').ok() && compute_->record(*event_).ok() && copies_->wait(*event_).ok());
  ASSERT_TRUE(note(*copies_, 'a').ok() && note(*copies_, 'b').ok() && note(*compute_, '2').ok());
  ASSERT_TRUE(copies_->record(*back_).ok() && compute_->wait(*back_).ok() && note(*compute_, '3').ok());
  auto graph = take(compute_->end_capture());
  ASSERT_TRUE(compute_->synchronize().ok());
  EXPECT_EQ(log_, "");
  std::set<std::string> seen;
  for (int i = 0; i < 60; ++i) {
    log_.clear();
    ASSERT_TRUE(copies_->launch(*graph).ok());
    ASSERT_TRUE(copies_->synchronize().ok());
    seen.insert(log_);
  }
  EXPECT_EQ(seen, (std::set<std::string>{"1ab23", "1a2b3", "12ab3"}));
}

TEST_F(FakeQueues, ChangeCopiesOfLaunchesToComeOnly) {
  auto to = take(device_.allocate(kib(4), "to"));
  std::byte first[4] = {}, second[4] = {}, got_first[4] = {}, got_second[4] = {};
  std::memset(first, 1, 4);
  std::memset(second, 2, 4);
  ASSERT_TRUE(compute_->begin_capture().ok());
  const CopyIndex in = take(compute_->copy_changing(to.data(), first, {4}));
  const CopyIndex out = take(compute_->copy_changing(got_first, to.data(), {4}));
  auto graph = take(compute_->end_capture());
  ASSERT_TRUE(compute_->launch(*graph).ok());
  ASSERT_TRUE(graph->set_copy(in, to.data(), second).ok());
  ASSERT_TRUE(graph->set_copy(out, got_second, to.data()).ok());
  ASSERT_TRUE(compute_->launch(*graph).ok());
  ASSERT_TRUE(compute_->synchronize().ok());
  EXPECT_EQ(std::memcmp(got_first, first, 4), 0);
  EXPECT_EQ(std::memcmp(got_second, second, 4), 0);
  EXPECT_FALSE(graph->set_copy(2, got_second, to.data()).ok());
  EXPECT_EQ(take(compute_->copy_changing(to.data(), first, {4})), kNoCopy);  // not captured
  EXPECT_EQ(device_.captures(), 1);
  EXPECT_EQ(device_.launches(), 2);
  ASSERT_TRUE(compute_->synchronize().ok());
}

TEST_F(FakeQueues, FindCapturesThatAreNotJoined) {
  ASSERT_TRUE(compute_->begin_capture().ok());
  ASSERT_TRUE(compute_->record(*event_).ok() && copies_->wait(*event_).ok() && note(*copies_, 'a').ok());
  EXPECT_EQ(compute_->end_capture().status().message(),
            "a capture ends, and the queue that began it has not waited for all");
  ASSERT_TRUE(note(*copies_, 'b').ok() && copies_->synchronize().ok());  // it captures no more
  EXPECT_EQ(log_, "b");
}

TEST_F(FakeQueues, FindCapturesThatWaitForWhatIsOutside) {
  ASSERT_TRUE(copies_->record(*event_).ok());
  ASSERT_TRUE(compute_->begin_capture().ok());
  EXPECT_EQ(compute_->wait(*event_).message(),
            "a queue that captures waits for an event from outside the capture");
  EXPECT_EQ(compute_->end_capture().status().message(), "a capture ends that is broken");
  ASSERT_TRUE(compute_->begin_capture().ok() && compute_->record(*event_).ok());
  EXPECT_EQ(compute_->synchronize().message(), "the host waits for a queue that captures");
  EXPECT_EQ(event_->synchronize().message(), "the host waits for an event of a capture");
  EXPECT_FALSE(compute_->end_capture().ok());
  EXPECT_EQ(compute_->wait(*event_).message(), "a queue waits for an event of a capture that is over");
  EXPECT_TRUE(device_.failure().ok());
}

TEST_F(FakeQueues, FindGraphsThatOverlapThemselves) {
  ASSERT_TRUE(compute_->begin_capture().ok());
  ASSERT_TRUE(note(*compute_, 'a').ok());
  auto graph = take(compute_->end_capture());
  ASSERT_TRUE(compute_->launch(*graph).ok() && compute_->launch(*graph).ok());  // one after the other
  expect_mistake(copies_->launch(*graph),
                 "a captured run is launched on a queue while it goes on in another");
}

TEST_F(FakeQueues, TellAFailedCopyAtTheNextCall) {
  std::byte from[8] = {}, to[8] = {};
  device_.fail_copy(1);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(compute_->copy(to, from, {8}).ok());
  const Status status = compute_->synchronize();
  EXPECT_EQ(status.code(), Code::kUnavailable);
  EXPECT_EQ(status.message(), "copy 8 B: the fake device failed");
  EXPECT_EQ(device_.copies(), 1);
  EXPECT_FALSE(copies_->copy(to, from, {8}).ok());
  device_.heal();
  EXPECT_TRUE(copies_->copy(to, from, {8}).ok());
  ASSERT_TRUE(copies_->synchronize().ok());
}

TEST_F(FakeQueues, FailTheNthCallAndDoNothing) {
  device_.fail_call(1);
  EXPECT_TRUE(note(*compute_, 'a').ok());
  EXPECT_EQ(note(*compute_, 'b').message(), "note: the fake device failed");
  EXPECT_TRUE(note(*compute_, 'c').ok());
  ASSERT_TRUE(compute_->synchronize().ok());
  EXPECT_EQ(log_, "ac");
}

TEST_F(FakeQueues, HoldTheMemoryLimit) {
  device_.set_memory_limit(kib(12));
  auto a = take(device_.allocate(kib(8), "first"));
  EXPECT_EQ(device_.allocate(kib(8), "second").status().message(),
            "cannot allocate 8.0 KiB for second: 8.0 KiB in use, 12.0 KiB at most");
  EXPECT_TRUE(device_.owns(a.data() + kib(8).count - 1));
  EXPECT_FALSE(device_.owns(a.data() + kib(8).count));
  const std::byte* old = a.data();
  a = {};
  EXPECT_FALSE(device_.owns(old));
  EXPECT_EQ(device_.available(), kib(12));
  EXPECT_EQ(device_.peak(), kib(8));
}

class FakeFile : public FakeQueues {
 protected:
  FakeFile() {
    char name[] = "fake_queued_XXXXXX";
    fd_.reset(mkstemp(name));
    unlink(name);
    for (size_t i = 0; i < bytes_.size(); ++i) bytes_[i] = static_cast<std::byte>(i / 512 + i % 7);
    EXPECT_EQ(pwrite(fd_.get(), bytes_.data(), bytes_.size(), 0), static_cast<ssize_t>(bytes_.size()));
  }
  bool same(const std::byte* data, int64_t offset, int64_t size) const {
    return std::memcmp(data, bytes_.data() + offset, static_cast<size_t>(size)) == 0;
  }
  UniqueFd fd_;
  std::vector<std::byte> bytes_ = std::vector<std::byte>(200000);
};

TEST_F(FakeFile, IsCopiedFromPinnedPagesInsideACapture) {
  auto source = take(device_.open_source(fd_.get(), {4096}, {195904}, gib(1), "a.engine"));
  EXPECT_TRUE(source->capturable());
  EXPECT_EQ(source->host_bytes(), Bytes{196608});
  EXPECT_TRUE(same(source->visible({4096}), 8192, 100));
  EXPECT_EQ(source->visible({196608}), nullptr);
  auto to = take(device_.allocate({196608}, "to"));
  ASSERT_TRUE(compute_->begin_capture().ok());
  ASSERT_TRUE(source->copy({0}, {196608}, to.data(), *compute_).ok());
  auto graph = take(compute_->end_capture());
  ASSERT_TRUE(compute_->launch(*graph).ok());
  EXPECT_FALSE(same(to.data(), 4096, 195904));
  ASSERT_TRUE(compute_->synchronize().ok());
  EXPECT_TRUE(same(to.data(), 4096, 195904));
}

TEST_F(FakeFile, IsCopiedThroughARingAboveTheHostLimit) {
  auto source = take(device_.open_source(fd_.get(), {0}, {200000}, kib(100), "a.engine"));
  EXPECT_FALSE(source->capturable());
  EXPECT_EQ(source->visible({0}), nullptr);
  EXPECT_EQ(source->host_bytes(), kib(64));
  auto to = take(device_.allocate({200704}, "to"));
  ASSERT_TRUE(source->copy({0}, {200704}, to.data(), *copies_).ok());
  ASSERT_TRUE(copies_->synchronize().ok());
  EXPECT_TRUE(same(to.data(), 0, 200000));
  device_.fail_read(0);
  EXPECT_EQ(source->copy({0}, {4096}, to.data(), *copies_).message(),
            "read 'a.engine': the fake device failed");
  ASSERT_EQ(ftruncate(fd_.get(), 5000), 0);
  EXPECT_EQ(source->copy({8192}, {4096}, to.data(), *copies_).code(), Code::kCorrupt);
  ASSERT_TRUE(compute_->begin_capture().ok());
  expect_mistake(source->copy({0}, {4096}, to.data(), *compute_),
                 "a copy of 'a.engine' through a pinned ring cannot be captured");
}

TEST_F(FakeFile, MustStayOpenUntilItIsCopied) {
  auto source = take(device_.open_source(fd_.get(), {0}, {8192}, gib(1), "a.engine"));
  auto to = take(device_.allocate({8192}, "to"));
  ASSERT_TRUE(source->copy({0}, {8192}, to.data(), *copies_).ok());
  source.reset();
  expect_mistake(copies_->synchronize(), "copy from 'a.engine': the source was closed before");
}

TEST_F(FakeFile, IsReadInTicketsThatFailAlone) {
  auto reader = take(device_.open_reader(fd_.get(), "a.engine"));
  auto to = take(device_.allocate({200704}, "to"));
  device_.fail_read(1);
  std::vector<std::unique_ptr<ReadTicket>> tickets;
  for (int64_t at = 0; at < 200704; at += 50176) {
    tickets.push_back(take(reader->start({at / 4096 * 4096}, {53248}, to.data() + at / 4096 * 4096)));
  }
  int failed = 0;
  for (auto& ticket : tickets) failed += ticket->wait().ok() ? 0 : 1;
  EXPECT_EQ(failed, 1);
  EXPECT_TRUE(device_.failure().ok());
  EXPECT_TRUE(take(reader->start({0}, {200704}, to.data()))->wait().ok());
  EXPECT_TRUE(same(to.data(), 0, 200000));
  EXPECT_EQ(take(reader->start({200704}, {4096}, to.data()))->wait().code(), Code::kCorrupt);
}

TEST_F(FakeQueues, ShareMemoryThatGrowsWhereItIs) {
  auto range = device_.make_growable("the arena");
  ASSERT_TRUE(range->resize({1}).ok());
  std::byte* const at = range->data();
  EXPECT_EQ(range->size(), device_.growth_unit());
  ASSERT_TRUE(range->resize(kib(64)).ok());
  EXPECT_EQ(range->data(), at);
  EXPECT_EQ(device_.used(), kib(64));
  EXPECT_TRUE(device_.owns(at + kib(64).count - 1));
  EXPECT_FALSE(device_.owns(at + kib(64).count));
  device_.fail_allocation(0);
  EXPECT_EQ(range->resize(kib(128)).code(), Code::kExhausted);
  EXPECT_EQ(range->size(), kib(64));

  ASSERT_TRUE(compute_->copy(at, at + kib(32).count, kib(16)).ok());
  ASSERT_TRUE(range->resize(kib(48)).ok());  // no work uses what goes
  ASSERT_TRUE(compute_->synchronize().ok());
  ASSERT_TRUE(compute_->copy(at, at + kib(32).count, kib(16)).ok());
  ASSERT_TRUE(range->resize(kib(16)).ok());
  expect_mistake(compute_->synchronize(), "the arena shrinks under work that is not over");
  device_.heal();
  ASSERT_TRUE(compute_->copy(at, at + kib(32).count, kib(16)).ok());
  expect_mistake(compute_->synchronize(),
                 "copy 16.0 KiB: touches reserved addresses where there is no memory");
  device_.heal();
  ASSERT_TRUE(range->resize({}).ok());
  EXPECT_EQ(device_.used(), Bytes{});
}

}  // namespace
}  // namespace headrace::fake
