// The writer. Large pieces go to the file as they come; small ones pass through a buffer. Their way from the
// page cache to the disk is started at once, and waited for a window behind, so that the sync at the end is
// short and a huge file does not push everything else out of memory.
#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <deque>
#include <optional>
#include <utility>

#include "core/error.h"
#include "core/file.h"
#include "core/hash.h"
#include "core/units.h"
#include "engine/engine_file.h"
#include "engine/engine_format.h"
#include "engine/sizes.h"

namespace headrace {
namespace {

constexpr size_t kBuffer = 4 << 20;
constexpr size_t kDirect = 1 << 20;  // pieces at least this large are not copied
constexpr int64_t kPadding = 64;     // weights start at multiples of it
constexpr Bytes kWindow = mib(64);   // written, and perhaps not yet on the disk

}  // namespace

struct EngineWriter::State {
  State(std::filesystem::path to, Plan what, AtomicFile into)
      : path(std::move(to)), plan(std::move(what)), file(std::move(into)) {
    origin = weights_begin(plan);
    length = weights_length(plan);
  }

  // Takes the room of all weights, so that a full disk shows before the work. What is left out reads as
  // zeros.
  Status reserve() const {
    const Bytes size = origin + length;
    int result = 0;
    do result = ::fallocate(file.fd(), 0, 0, size.count);
    while (result != 0 && errno == EINTR);
    if (result != 0 && errno == EOPNOTSUPP) result = ::ftruncate(file.fd(), size.count);
    if (result == 0) return {};
    const int error = errno;
    const std::string what = fmt::format("write '{}' of {}", path.string(), to_text(size));
    struct statvfs disk {};
    if (error == ENOSPC && ::fstatvfs(file.fd(), &disk) == 0) {
      const Bytes free = {static_cast<int64_t>(disk.f_bavail) * static_cast<int64_t>(disk.f_frsize)};
      return exhausted("{}: the disk has only {} free; free space or choose another folder", what,
                       to_text(free));
    }
    return errno_status(error, what);
  }

  Status write_out(Bytes offset, std::span<const std::byte> bytes) {
    HR_TRY(file.write_at(offset, bytes));
    const Bytes size = {static_cast<int64_t>(bytes.size())};
    HR_TRY(sync(offset, size, SYNC_FILE_RANGE_WRITE));
    under_way.emplace_back(offset, size);
    in_window += size;
    while (in_window > kWindow) {
      const auto [begin, count] = under_way.front();
      under_way.pop_front();
      in_window -= count;
      HR_TRY(sync(begin, count,
                  SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER));
      ::posix_fadvise(file.fd(), begin.count, count.count, POSIX_FADV_DONTNEED);
    }
    return {};
  }

  Status sync(Bytes offset, Bytes size, unsigned flags) const {
    if (::sync_file_range(file.fd(), offset.count, size.count, flags) == 0) return {};
    // A file system that cannot: the sync at the end does it all.
    if (errno == ENOSYS || errno == EINVAL || errno == ESPIPE) return {};
    return errno_status(errno, fmt::format("write '{}'", path.string()));
  }

  Status flush() {
    if (buffer.empty()) return {};
    HR_TRY(write_out(buffer_begin, buffer));
    buffer.clear();
    return {};
  }

  Status put(Bytes offset, std::span<const std::byte> bytes) {
    const Bytes end = buffer_begin + Bytes{static_cast<int64_t>(buffer.size())};
    const int64_t gap = buffer.empty() ? -1 : (offset - end).count;  // padding, where they follow each other
    // A larger gap could hold a weight of another group, written before.
    const bool follows = gap >= 0 && gap < kPadding;
    if (!follows || buffer.size() + static_cast<size_t>(gap) + bytes.size() > kBuffer) HR_TRY(flush());
    if (bytes.size() >= kDirect) {
      HR_TRY(flush());
      return write_out(offset, bytes);
    }
    if (buffer.empty()) {
      buffer.reserve(kBuffer);
      buffer_begin = offset;
    } else {
      buffer.resize(buffer.size() + static_cast<size_t>(gap));
    }
    buffer.insert(buffer.end(), bytes.begin(), bytes.end());
    return {};
  }

  std::filesystem::path path;
  Plan plan;
  AtomicFile file;
  Bytes origin, length;  // of the weights
  // The weight that is next, or half written.
  size_t next = 0;
  Bytes next_done;
  std::optional<Checksum> sum;
  // Bytes not yet in the file.
  std::vector<std::byte> buffer;
  Bytes buffer_begin;
  std::deque<std::pair<Bytes, Bytes>> under_way;  // offset and size
  Bytes in_window;
};

EngineWriter::EngineWriter(std::unique_ptr<State> state) : state_(std::move(state)) {}
EngineWriter::EngineWriter(EngineWriter&&) noexcept = default;
EngineWriter& EngineWriter::operator=(EngineWriter&&) noexcept = default;
EngineWriter::~EngineWriter() = default;

Result<EngineWriter> EngineWriter::create(const std::filesystem::path& path, Plan plan) {
  const std::string what = fmt::format("write '{}'", path.string());
  // A plan that no reader would take in must not cost a run over all weights first.
  const Status status = headrace::verify(plan);
  if (!status.ok()) return internal_error("{}: the plan is wrong: {}", what, status.message());
  if (plan.groups.empty() && !plan.weights.empty())
    return invalid_argument("{}: the plan's weights have no groups yet", what);
  const Result<std::vector<std::byte>> metadata = encode_metadata(plan);
  if (!metadata.ok()) return metadata.status().with_context(what);
  HR_ASSIGN(AtomicFile file, AtomicFile::create(path));
  auto state = std::make_unique<State>(path, std::move(plan), std::move(file));
  HR_TRY(state->reserve());
  return EngineWriter(std::move(state));
}

Status EngineWriter::append_part(std::span<const std::byte> bytes) {
  State& state = *state_;
  if (state.next >= state.plan.weights.size())
    return internal_error("write '{}': more than its {} weights", state.path.string(), state.next);
  Weight& weight = state.plan.weights[state.next];
  const Bytes done = state.next_done + Bytes{static_cast<int64_t>(bytes.size())};
  if (done > weight.stored)
    return internal_error("write '{}': weight '{}' has {} bytes, {} were given", state.path.string(),
                          weight.name, weight.stored.count, done.count);
  if (!state.sum) state.sum.emplace();
  state.sum->update(bytes);
  const Bytes group = state.plan.groups[static_cast<size_t>(weight.group)].offset;
  if (!bytes.empty()) HR_TRY(state.put(state.origin + group + weight.offset + state.next_done, bytes));
  state.next_done = done;
  if (done == weight.stored) {
    weight.checksum = state.sum->digest();
    state.sum.reset();
    state.next_done = {};
    ++state.next;
  }
  return {};
}

Status EngineWriter::append_weight(std::span<const std::byte> bytes) {
  const State& state = *state_;
  if (state.next < state.plan.weights.size() &&
      (state.next_done != Bytes{} ||
       Bytes{static_cast<int64_t>(bytes.size())} != state.plan.weights[state.next].stored)) {
    const Weight& weight = state.plan.weights[state.next];
    return internal_error("write '{}': weight '{}' has {} bytes, {} were given", state.path.string(),
                          weight.name, weight.stored.count, bytes.size());
  }
  return append_part(bytes);
}

Result<Bytes> EngineWriter::commit(std::string_view graph) {
  State& state = *state_;
  if (state.next != state.plan.weights.size())
    return internal_error("write '{}': {} of {} weights were given", state.path.string(), state.next,
                          state.plan.weights.size());
  HR_TRY(state.flush());
  HR_ASSIGN(const std::vector<std::byte> metadata, encode_metadata(state.plan));
  Bytes end = state.origin + state.length;
  for (const auto part : {std::span<const std::byte>(metadata), std::as_bytes(std::span(graph))}) {
    if (static_cast<int64_t>(part.size()) > kMaxMetadata)
      return unsupported("write '{}': its metadata or graph has {} bytes; an engine file holds up to {}",
                         state.path.string(), part.size(), kMaxMetadata);
    HR_TRY(state.file.write_at(end, part));
    end += Bytes{static_cast<int64_t>(part.size())};
  }
  HR_TRY(state.file.write_at(Bytes{0}, encode_header(state.origin, state.length, metadata, graph)));
  HR_TRY(state.file.commit());
  return end;
}

}  // namespace headrace
