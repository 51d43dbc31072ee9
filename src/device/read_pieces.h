// What the file readers share: the open file, and large reads cut into pieces that are in flight together.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <headrace/bytes.h>
#include <headrace/status.h>
#include "core/unique_fd.h"
#include "device/device.h"

namespace headrace {

// The file of a reader: opened again for O_DIRECT where the file system takes that, else the borrowed
// descriptor.
class ReadFile {
 public:
  // Errors: kUnavailable, kExhausted (descriptors).
  static Result<ReadFile> open(int fd, std::string_view name);
  int fd() const { return direct() ? direct_.get() : borrowed_; }
  bool direct() const { return direct_.valid() && !refused_; }
  // Stays open: another thread may be reading from it.
  void give_up_direct() { refused_ = true; }
  Bytes size() const { return size_; }
  const std::string& name() const { return name_; }
  // Buffered reads leave nothing behind in the page cache.
  void drop(int64_t offset, int64_t size) const;
  Status check(Bytes offset, Bytes size, const std::byte* out) const;  // the rules of FileReader::start

 private:
  int borrowed_ = -1;
  UniqueFd direct_;
  bool refused_ = false;  // the file system takes O_DIRECT at open, but not our alignment
  Bytes size_;
  std::string name_;
};

struct ReadPiece {
  struct PieceList* list = nullptr;
  int64_t offset = 0;
  std::byte* out = nullptr;
  int64_t size = 0;
  int64_t needed = 0;  // less than size where the file ends inside the piece
  int64_t done = 0;
};

// One read: its pieces, how many are still to finish, and the first error.
struct PieceList {
  std::vector<ReadPiece> pieces;
  int64_t left = 0;
  int64_t finished_ns = 0;
  Status status;
};
PieceList cut_into_pieces(const ReadFile& file, Bytes offset, Bytes size, std::byte* out);

// Takes in what the kernel answered (bytes, or -errno) for a piece. True: the piece is finished, `failure`
// says how; false: ask again for the rest.
bool take_answer(ReadFile& file, ReadPiece& piece, int64_t answer, Status& failure);

// nullptr where the kernel or a sandbox does not offer io_uring; the file is then untouched.
std::unique_ptr<FileReader> make_uring_reader(ReadFile& file);
Result<std::unique_ptr<FileReader>> make_thread_reader(ReadFile file);

}  // namespace headrace
