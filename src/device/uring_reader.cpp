// Reads through io_uring: many pieces in flight, no thread of ours.
#include <liburing.h>

#include <cerrno>
#include <chrono>
#include <deque>
#include <thread>

#include "core/error.h"
#include "core/trace.h"
#include "device/read_pieces.h"

namespace headrace {
namespace {

constexpr unsigned kDepth = 128;

class Ring {  // owns one io_uring
 public:
  Ring() = default;
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;
  ~Ring() {
    if (open_) io_uring_queue_exit(&ring_);
  }
  bool open() {
    open_ = io_uring_queue_init(kDepth, &ring_, 0) == 0;
    if (!open_) return false;
    io_uring_probe* probe = io_uring_get_probe_ring(&ring_);
    const bool reads = probe && io_uring_opcode_supported(probe, IORING_OP_READ);
    if (probe) io_uring_free_probe(probe);
    return reads;
  }
  io_uring* get() { return &ring_; }

 private:
  io_uring ring_ = {};
  bool open_ = false;
};

class UringReader : public FileReader {
 public:
  bool open() { return ring_.open(); }
  void take(ReadFile file) { file_ = std::move(file); }
  ~UringReader() override {
    while (in_flight_ > 0 && reap(true).ok()) {
    }
  }
  bool direct() const override { return file_.direct(); }
  std::string_view mechanism() const override { return "io_uring"; }
  Result<std::unique_ptr<ReadTicket>> start(Bytes offset, Bytes size, std::byte* out) override;
  void poll() override;

 private:
  class Ticket;
  Status finish(PieceList& list);
  Status submit();
  Status flush();
  Status reap(bool wait);
  void complete(ReadPiece& piece, int64_t answer);

  ReadFile file_;
  Ring ring_;
  std::deque<ReadPiece*> waiting_;  // not yet given to the kernel
  unsigned in_flight_ = 0;
};

class UringReader::Ticket : public ReadTicket {
 public:
  Ticket(UringReader& reader, PieceList list) : reader_(reader), list_(std::move(list)) {
    for (ReadPiece& piece : list_.pieces) piece.list = &list_;
  }
  // Never before the last piece: the kernel writes into the caller's memory, and finds its way by list_.
  ~Ticket() override {
    while (list_.left > 0) (void)reader_.finish(list_);
  }
  Status wait() override { return reader_.finish(list_); }
  int64_t finished_ns() const override { return list_.finished_ns; }
  PieceList& list() { return list_; }

 private:
  UringReader& reader_;
  PieceList list_;
};

Result<std::unique_ptr<ReadTicket>> UringReader::start(Bytes offset, Bytes size, std::byte* out) {
  HR_TRY(file_.check(offset, size, out));
  auto ticket = std::make_unique<Ticket>(*this, cut_into_pieces(file_, offset, size, out));
  for (ReadPiece& piece : ticket->list().pieces) waiting_.push_back(&piece);
  HR_TRY(reap(false));  // makes room for more
  HR_TRY(submit());
  return std::unique_ptr<ReadTicket>(std::move(ticket));
}

void UringReader::poll() {
  if (in_flight_ == 0 && waiting_.empty()) return;
  (void)reap(false);
  (void)submit();  // what it could not do, and why, shows in the next wait
}

// One at a time: entries that are submitted together are merged by the kernel into larger requests, which
// cost a tenth of the rate (measured).
Status UringReader::submit() {
  HR_TRY(flush());
  while (!waiting_.empty() && in_flight_ < kDepth && io_uring_sq_ready(ring_.get()) == 0) {
    io_uring_sqe* entry = io_uring_get_sqe(ring_.get());
    if (!entry) break;
    ReadPiece* piece = waiting_.front();
    waiting_.pop_front();
    io_uring_prep_read(entry, file_.fd(), piece->out + piece->done,
                       static_cast<unsigned>(piece->size - piece->done),
                       static_cast<uint64_t>(piece->offset + piece->done));
    io_uring_sqe_set_data(entry, piece);
    ++in_flight_;
    HR_TRY(flush());
  }
  return {};
}

Status UringReader::flush() {
  while (io_uring_sq_ready(ring_.get()) > 0) {
    const int answer = io_uring_submit(ring_.get());
    if (answer >= 0 || answer == -EINTR) continue;
    if (answer == -EAGAIN || answer == -EBUSY) break;  // later: entries stay in the ring
    return errno_status(-answer, fmt::format("read '{}'", file_.name()));
  }
  return {};
}

void UringReader::complete(ReadPiece& piece, int64_t answer) {
  --in_flight_;
  Status failure;
  if (!take_answer(file_, piece, answer, failure)) {
    waiting_.push_front(&piece);
    return;
  }
  if (!failure.ok() && piece.list->status.ok()) piece.list->status = failure;
  file_.drop(piece.offset, piece.size);
  if (--piece.list->left == 0) piece.list->finished_ns = monotonic_ns();
}

Status UringReader::reap(bool wait) {
  io_uring_cqe* entry = nullptr;
  if (wait) {
    const int answer = io_uring_submit_and_wait(ring_.get(), 1);
    if (answer == -EAGAIN || answer == -EBUSY) {  // the kernel is short of memory for requests
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    } else if (answer < 0 && answer != -EINTR) {
      return errno_status(-answer, fmt::format("wait for '{}'", file_.name()));
    }
  }
  while (io_uring_peek_cqe(ring_.get(), &entry) == 0 && entry) {
    auto* piece = static_cast<ReadPiece*>(io_uring_cqe_get_data(entry));
    const int64_t answer = entry->res;
    io_uring_cqe_seen(ring_.get(), entry);
    complete(*piece, answer);
  }
  return {};
}

Status UringReader::finish(PieceList& list) {
  while (list.left > 0) {
    HR_TRY(submit());
    HR_TRY(reap(true));
  }
  HR_TRY(submit());
  return list.status;
}

}  // namespace

std::unique_ptr<FileReader> make_uring_reader(ReadFile& file) {
  auto reader = std::make_unique<UringReader>();
  if (!reader->open()) return nullptr;
  reader->take(std::move(file));
  return reader;
}

}  // namespace headrace
