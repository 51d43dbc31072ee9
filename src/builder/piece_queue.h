// PieceQueue: bytes of weights on their way from the thread that makes them to the one that writes them.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <optional>
#include <vector>

#include <headrace/bytes.h>
#include <headrace/status.h>

namespace headrace {

// Holds at most `limit` bytes, or one piece where that is larger. Memory goes round: push takes a piece and
// leaves a used vector in its place.
// Threads: one pushes and finishes, one takes and cancels.
class PieceQueue {
 public:
  explicit PieceQueue(Bytes limit) : limit_(limit) {}

  // Waits for room. Errors: kUnavailable after cancel().
  Status push(std::vector<std::byte>& piece);
  // No more will come, because all is made or because of an error.
  void finish(Status status);
  // The next piece; nothing after the last. Errors: finish's. Gives back `used`, the piece before it.
  Result<std::optional<std::vector<std::byte>>> take(std::vector<std::byte> used);
  void cancel();

 private:
  const Bytes limit_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::vector<std::byte>> pieces_;
  Bytes held_;  // in pieces_, and in the one last taken
  std::vector<std::vector<std::byte>> spare_;
  bool finished_ = false, cancelled_ = false;
  Status status_;
};

}  // namespace headrace
