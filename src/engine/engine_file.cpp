#include "engine/engine_file.h"

#include <fcntl.h>

#include <algorithm>

#include "core/error.h"
#include "core/file.h"
#include "core/hash.h"
#include "engine/engine_format.h"

namespace headrace {
namespace {

constexpr Bytes kPiece = mib(4);  // of one read
constexpr const char kDamagedGraph[] = "its graph is damaged: the checksum does not match";

std::string named(const std::filesystem::path& path) {
  return fmt::format("engine file '{}'", path.string());
}

Result<Metadata> take_in(const EngineHeader& header, std::span<const std::byte> bytes) {
  if (checksum(bytes) != header.metadata_checksum)
    return corrupt("its metadata is damaged: the checksum does not match");
  HR_ASSIGN(Metadata metadata, decode_metadata(bytes));
  const Plan& plan = metadata.plan;
  if (plan.groups.empty() && !plan.weights.empty()) return corrupt("its weights lie nowhere");
  if (weights_length(plan).count != header.weights_size || weights_begin(plan).count != header.weights_offset)
    return corrupt("its weights take {} bytes at {} and should take {} at {}", header.weights_size,
                   header.weights_offset, weights_length(plan).count, weights_begin(plan).count);
  return metadata;
}

std::span<const std::byte> part(std::span<const std::byte> bytes, int64_t offset, int64_t size) {
  return bytes.subspan(static_cast<size_t>(offset), static_cast<size_t>(size));
}

}  // namespace

Result<Plan> EngineFile::parse(std::span<const std::byte> bytes) {
  const Bytes size = {static_cast<int64_t>(bytes.size())};
  HR_ASSIGN(const EngineHeader header,
            decode_header(bytes.first(static_cast<size_t>(std::min(size, kHeaderPage).count)), size));
  HR_ASSIGN(Metadata metadata, take_in(header, part(bytes, header.metadata_offset, header.metadata_size)));
  return std::move(metadata.plan);
}

Result<EngineFile> EngineFile::open(const std::filesystem::path& path) {
  EngineFile file;
  file.path_ = path;
  HR_ASSIGN(file.fd_, open_for_reading(path));
  HR_ASSIGN(file.size_, file_size(file.fd(), path));
  std::vector<std::byte> page(static_cast<size_t>(std::min(file.size_, kHeaderPage).count));
  HR_TRY(read_exactly(file.fd(), Bytes{0}, page, path));
  const auto run = [&]() -> Status {
    HR_ASSIGN(const EngineHeader header, decode_header(page, file.size_));
    std::vector<std::byte> bytes(static_cast<size_t>(header.metadata_size));
    HR_TRY(read_exactly(file.fd(), Bytes{header.metadata_offset}, bytes, path));
    HR_ASSIGN(Metadata metadata, take_in(header, bytes));
    file.weights_offset_ = {header.weights_offset};
    file.graph_offset_ = {header.metadata_offset + header.metadata_size};
    file.graph_size_ = {header.graph_size};
    file.graph_checksum_ = header.graph_checksum;
    file.plan_ = std::make_shared<const Plan>(std::move(metadata.plan));
    file.toolchain_ = std::move(metadata.toolchain);
    return {};
  };
  HR_TRY(run().with_context(named(path)));
  return file;
}

Result<std::string> EngineFile::graph_text() const {
  std::string text(static_cast<size_t>(graph_size_.count), '\0');
  const auto bytes = std::as_writable_bytes(std::span(text));
  HR_TRY(read_exactly(fd_.get(), graph_offset_, bytes, path_));
  if (checksum(bytes) != graph_checksum_) return corrupt(kDamagedGraph).with_context(named(path_));
  return text;
}

namespace {

// Reads a file from the start to the end, in pieces.
class Verification {
 public:
  Verification(const EngineFile& file, const std::function<bool(Bytes, Bytes)>& progress)
      : file_(file), progress_(progress), buffer_(static_cast<size_t>(kPiece.count)) {}

  Status run() {
    HR_ASSIGN(const Bytes size, file_size(file_.fd(), file_.path()));
    if (size != file_.size())
      return corrupt("it has {} bytes now, and had {} when it was opened", size.count, file_.size().count);
    ::posix_fadvise(file_.fd(), 0, 0, POSIX_FADV_SEQUENTIAL);
    std::vector<std::byte> page(static_cast<size_t>(kHeaderPage.count));
    HR_TRY(read_exactly(file_.fd(), Bytes{0}, page, file_.path()));
    HR_ASSIGN(const EngineHeader header, decode_header(page, size));
    at_ = kHeaderPage;
    for (const Weight* weight : in_file_order()) {
      HR_TRY(check_zeros(begin(*weight)));
      HR_ASSIGN(const uint64_t found, hash(weight->stored));
      if (found != weight->checksum)
        return corrupt("weight '{}' is damaged: the checksum of its {} bytes at {} does not match",
                       weight->name, weight->stored.count, begin(*weight).count);
    }
    HR_TRY(check_zeros(Bytes{header.metadata_offset}));
    HR_ASSIGN(const uint64_t found, hash(Bytes{header.metadata_size}));
    if (found != header.metadata_checksum)
      return corrupt("its metadata is damaged: the checksum does not match");
    HR_ASSIGN(const uint64_t graph, hash(Bytes{header.graph_size}));
    if (graph != header.graph_checksum) return corrupt(kDamagedGraph);
    return {};
  }

 private:
  Bytes begin(const Weight& weight) const {
    return file_.weights_offset() + file_.plan().groups[static_cast<size_t>(weight.group)].offset +
           weight.offset;
  }

  std::vector<const Weight*> in_file_order() const {
    std::vector<const Weight*> weights;
    for (const Weight& weight : file_.plan().weights) weights.push_back(&weight);
    std::stable_sort(weights.begin(), weights.end(), [this](const Weight* a, const Weight* b) {
      // An empty weight may begin where another does.
      return std::pair(begin(*a), a->stored) < std::pair(begin(*b), b->stored);
    });
    return weights;
  }

  // The next bytes, at most a piece of them, of what ends at `end`.
  Result<std::span<const std::byte>> next(Bytes end) {
    const auto bytes = std::span(buffer_).first(static_cast<size_t>(std::min(kPiece, end - at_).count));
    HR_TRY(read_exactly(file_.fd(), at_, bytes, file_.path()));
    at_ += Bytes{static_cast<int64_t>(bytes.size())};
    if (progress_ && !progress_(at_, file_.size())) return unavailable("cancelled");
    return std::span<const std::byte>(bytes);
  }

  Status check_zeros(Bytes end) {
    while (at_ < end) {
      const Bytes from = at_;
      HR_ASSIGN(const std::span<const std::byte> bytes, next(end));
      if (std::any_of(bytes.begin(), bytes.end(), [](std::byte byte) { return byte != std::byte{0}; }))
        return corrupt("the padding between {} and {} is damaged: it is not zero", from.count, at_.count);
    }
    return {};
  }

  Result<uint64_t> hash(Bytes size) {
    Checksum sum;
    for (const Bytes end = at_ + size; at_ < end;) {
      HR_ASSIGN(const std::span<const std::byte> bytes, next(end));
      sum.update(bytes);
    }
    return sum.digest();
  }

  const EngineFile& file_;
  const std::function<bool(Bytes, Bytes)>& progress_;
  std::vector<std::byte> buffer_;
  Bytes at_;
};

}  // namespace

Status EngineFile::verify(const std::function<bool(Bytes done, Bytes total)>& progress) const {
  return Verification(*this, progress).run().with_context(named(path_));
}

}  // namespace headrace
