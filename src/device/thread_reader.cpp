// Reads by two threads that call pread, where io_uring is not to be had (sandboxes, old kernels).
#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <system_error>
#include <thread>

#include "core/error.h"
#include "core/trace.h"
#include "device/read_pieces.h"

namespace headrace {
namespace {

constexpr int kThreads = 2;

class ThreadReader : public FileReader {
 public:
  explicit ThreadReader(ReadFile file) : file_(std::move(file)) {}
  ~ThreadReader() override;
  Status start_threads();
  bool direct() const override {
    std::lock_guard lock(mutex_);
    return file_.direct();
  }
  std::string_view mechanism() const override { return "threads"; }
  Result<std::unique_ptr<ReadTicket>> start(Bytes offset, Bytes size, std::byte* out) override;

 private:
  class Ticket;
  void work();
  bool read_once(ReadPiece& piece, Status& failure);
  Status finish(const PieceList& list);

  mutable std::mutex mutex_;  // guards all below
  std::condition_variable queued_, finished_;
  ReadFile file_;
  std::deque<ReadPiece*> queue_;
  bool closing_ = false;
  std::vector<std::thread> threads_;
};

class ThreadReader::Ticket : public ReadTicket {
 public:
  Ticket(ThreadReader& reader, PieceList list) : reader_(reader), list_(std::move(list)) {
    for (ReadPiece& piece : list_.pieces) piece.list = &list_;
  }
  ~Ticket() override { (void)reader_.finish(list_); }
  Status wait() override { return reader_.finish(list_); }
  int64_t finished_ns() const override { return list_.finished_ns; }
  PieceList& list() { return list_; }

 private:
  ThreadReader& reader_;
  PieceList list_;
};

ThreadReader::~ThreadReader() {
  {
    std::lock_guard lock(mutex_);
    closing_ = true;
  }
  queued_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

Status ThreadReader::start_threads() {
  for (int i = 0; i < kThreads; ++i) {
    try {  // the library's only way to say so
      threads_.emplace_back([this] { work(); });
    } catch (const std::system_error& error) {
      return exhausted("cannot start a thread to read '{}': {}", file_.name(), error.what());
    }
  }
  return {};
}

Result<std::unique_ptr<ReadTicket>> ThreadReader::start(Bytes offset, Bytes size, std::byte* out) {
  HR_TRY(file_.check(offset, size, out));
  auto ticket = std::make_unique<Ticket>(*this, cut_into_pieces(file_, offset, size, out));
  {
    std::lock_guard lock(mutex_);
    for (ReadPiece& piece : ticket->list().pieces) queue_.push_back(&piece);
  }
  queued_.notify_all();
  return std::unique_ptr<ReadTicket>(std::move(ticket));
}

bool ThreadReader::read_once(ReadPiece& piece, Status& failure) {
  int fd = -1;
  {
    std::lock_guard lock(mutex_);
    fd = file_.fd();
  }
  const ssize_t got = pread(fd, piece.out + piece.done, static_cast<size_t>(piece.size - piece.done),
                            piece.offset + piece.done);
  std::lock_guard lock(mutex_);
  return take_answer(file_, piece, got < 0 ? -errno : got, failure);
}

void ThreadReader::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    queued_.wait(lock, [this] { return closing_ || !queue_.empty(); });
    if (queue_.empty()) return;
    ReadPiece& piece = *queue_.front();
    queue_.pop_front();
    lock.unlock();
    Status failure;
    while (!read_once(piece, failure)) {
    }
    lock.lock();
    file_.drop(piece.offset, piece.size);
    if (!failure.ok() && piece.list->status.ok()) piece.list->status = failure;
    if (--piece.list->left > 0) continue;
    piece.list->finished_ns = monotonic_ns();
    finished_.notify_all();
  }
}

Status ThreadReader::finish(const PieceList& list) {
  std::unique_lock lock(mutex_);
  finished_.wait(lock, [&list] { return list.left == 0; });
  return list.status;
}

}  // namespace

Result<std::unique_ptr<FileReader>> make_thread_reader(ReadFile file) {
  auto reader = std::make_unique<ThreadReader>(std::move(file));
  HR_TRY(reader->start_threads());
  return std::unique_ptr<FileReader>(std::move(reader));
}

}  // namespace headrace
