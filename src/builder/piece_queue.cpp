#include "builder/piece_queue.h"

#include <utility>

#include "core/error.h"

namespace headrace {
namespace {

Bytes size_of(const std::vector<std::byte>& piece) { return {static_cast<int64_t>(piece.size())}; }

}  // namespace

Status PieceQueue::push(std::vector<std::byte>& piece) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return cancelled_ || held_ == Bytes{} || held_ + size_of(piece) <= limit_; });
  if (cancelled_) return unavailable("cancelled");
  held_ += size_of(piece);
  pieces_.push_back(std::move(piece));
  piece = {};
  if (!spare_.empty()) {
    piece = std::move(spare_.back());
    spare_.pop_back();
  }
  changed_.notify_all();
  return {};
}

void PieceQueue::finish(Status status) {
  const std::lock_guard lock(mutex_);
  finished_ = true;
  status_ = std::move(status);
  changed_.notify_all();
}

Result<std::optional<std::vector<std::byte>>> PieceQueue::take(std::vector<std::byte> used) {
  std::unique_lock lock(mutex_);
  held_ -= size_of(used);
  // One spare: a large one is worth its memory only while pieces of its kind follow each other.
  if (used.capacity() > 0 && Bytes{static_cast<int64_t>(used.capacity())} <= limit_ && spare_.empty())
    spare_.push_back(std::move(used));
  changed_.notify_all();
  changed_.wait(lock, [&] { return finished_ || !pieces_.empty(); });
  if (!pieces_.empty()) {
    std::optional<std::vector<std::byte>> piece = std::move(pieces_.front());
    pieces_.pop_front();
    return piece;
  }
  if (!status_.ok()) return status_;
  return std::optional<std::vector<std::byte>>();
}

void PieceQueue::cancel() {
  const std::lock_guard lock(mutex_);
  cancelled_ = true;
  changed_.notify_all();
}

}  // namespace headrace
