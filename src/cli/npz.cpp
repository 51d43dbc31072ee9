#include "cli/npz.h"

#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <optional>

#include "cli/npy.h"
#include "core/error.h"
#include "core/file.h"
#include "core/half.h"

namespace headrace::cli {
namespace {

constexpr uint32_t kLocalSignature = 0x04034b50, kEntrySignature = 0x02014b50, kEndSignature = 0x06054b50;
constexpr uint32_t kEnd64Signature = 0x06064b50, kLocatorSignature = 0x07064b50;
constexpr size_t kLocalSize = 30, kEntrySize = 46, kEndSize = 22, kEnd64Size = 56, kLocatorSize = 20;
constexpr int kStored = 0, kDeflated = 8;
// Deflate cannot do better, so a larger claim is a lie that must not size a buffer.
constexpr uint64_t kMostInflation = 1032;

uint64_t load(std::span<const std::byte> bytes, size_t at, size_t size) {
  uint64_t value = 0;
  for (size_t i = 0; i < size; ++i) value |= std::to_integer<uint64_t>(bytes[at + i]) << (8 * i);
  return value;
}
void store(std::string& out, uint64_t value, size_t size) {
  for (size_t i = 0; i < size; ++i) out += static_cast<char>(value >> (8 * i));
}

struct Entry {
  std::string name;
  int method = kStored;
  bool encrypted = false;
  uint32_t crc = 0;
  uint64_t stored_size = 0, size = 0, offset = 0;
};

std::vector<std::byte> to_vector(const Tensor& bytes) {
  return std::vector<std::byte>(bytes.data(), bytes.data() + bytes.size().count);
}

class Reader {
 public:
  Reader(int fd, uint64_t size, const std::filesystem::path& path) : fd_(fd), size_(size), path_(path) {}

  Result<std::vector<Entry>> entries() const;
  Result<Tensor> extract(const Entry& entry) const;

 private:
  struct Directory {
    uint64_t offset = 0, size = 0;
  };
  Status wrong(std::string_view what) const {
    return corrupt("'{}' is no sound .npz archive: {}; write it again with numpy.savez", path_.string(),
                   what);
  }
  Result<Tensor> read(uint64_t offset, uint64_t size) const {
    if (offset > size_ || size > size_ - offset) return wrong("a part lies beyond the end of the file");
    HR_ASSIGN(const Tensor out, Tensor::make(DType::kU8, {static_cast<int64_t>(size)}));
    HR_TRY(read_exactly(fd_, Bytes{static_cast<int64_t>(offset)}, std::span(out.data(), size), path_));
    return out;
  }
  Result<Directory> directory() const;
  Result<Tensor> inflated(const Entry& entry, const Tensor& stored) const;

  int fd_;
  uint64_t size_;
  const std::filesystem::path& path_;
};

Result<Reader::Directory> Reader::directory() const {
  if (size_ < kEndSize) return wrong(size_ == 0 ? "it is empty" : "it is too short");
  const uint64_t tail_size = std::min<uint64_t>(size_, kEndSize + 0xffff + kLocatorSize);
  HR_ASSIGN(const Tensor tail_bytes, read(size_ - tail_size, tail_size));
  const std::vector<std::byte> tail = to_vector(tail_bytes);
  for (size_t at = tail.size() - kEndSize + 1; at-- > 0;) {
    if (load(tail, at, 4) != kEndSignature || at + kEndSize + load(tail, at + 20, 2) != tail.size()) continue;
    Directory found{load(tail, at + 16, 4), load(tail, at + 12, 4)};
    if (at >= kLocatorSize && load(tail, at - kLocatorSize, 4) == kLocatorSignature) {
      HR_ASSIGN(const Tensor end_bytes, read(load(tail, at - kLocatorSize + 8, 8), kEnd64Size));
      const std::vector<std::byte> end = to_vector(end_bytes);
      if (load(end, 0, 4) != kEnd64Signature) return wrong("its zip64 directory is damaged");
      found = {load(end, 48, 8), load(end, 40, 8)};
    }
    return found;
  }
  return wrong("it has no zip directory (cut off, or another kind of file)");
}

// Replaces the sizes that did not fit 32 bits by those of the zip64 field among the extra fields.
bool widen_sizes(Entry& entry, std::span<const std::byte> extra) {
  constexpr uint64_t kWide = 0xffffffff;
  if (entry.size != kWide && entry.stored_size != kWide && entry.offset != kWide) return true;
  for (size_t at = 0; at + 4 <= extra.size();) {
    const size_t id = load(extra, at, 2), length = load(extra, at + 2, 2);
    at += 4;
    if (length > extra.size() - at) return false;
    if (id == 1) {
      size_t next = at;
      for (uint64_t* field : {&entry.size, &entry.stored_size, &entry.offset}) {
        if (*field != kWide) continue;
        if (next + 8 > at + length) return false;
        *field = load(extra, next, 8), next += 8;
      }
      return true;
    }
    at += length;
  }
  return false;
}

Result<std::vector<Entry>> Reader::entries() const {
  HR_ASSIGN(const Directory place, directory());
  HR_ASSIGN(const Tensor directory_bytes, read(place.offset, place.size));
  const std::span<const std::byte> bytes(directory_bytes.data(), place.size);
  std::vector<Entry> entries;
  for (size_t at = 0; at < bytes.size();) {
    if (bytes.size() - at < kEntrySize || load(bytes, at, 4) != kEntrySignature) {
      return wrong("its directory is damaged");
    }
    const size_t name = load(bytes, at + 28, 2), extra = load(bytes, at + 30, 2),
                 comment = load(bytes, at + 32, 2);
    if (bytes.size() - at - kEntrySize < name + extra + comment) return wrong("its directory is damaged");
    Entry entry;
    entry.encrypted = (load(bytes, at + 8, 2) & 1) != 0;
    entry.method = static_cast<int>(load(bytes, at + 10, 2));
    entry.crc = static_cast<uint32_t>(load(bytes, at + 16, 4));
    entry.stored_size = load(bytes, at + 20, 4), entry.size = load(bytes, at + 24, 4);
    entry.offset = load(bytes, at + 42, 4);
    entry.name.assign(reinterpret_cast<const char*>(bytes.data() + at + kEntrySize), name);
    if (!widen_sizes(entry, bytes.subspan(at + kEntrySize + name, extra)))
      return wrong("a zip64 field is damaged");
    entries.push_back(std::move(entry));
    at += kEntrySize + name + extra + comment;
  }
  return entries;
}

Result<Tensor> Reader::inflated(const Entry& entry, const Tensor& stored) const {
  if (entry.size / kMostInflation > entry.stored_size) return wrong("an entry claims more than it can hold");
  HR_ASSIGN(const Tensor out, Tensor::make(DType::kU8, {static_cast<int64_t>(entry.size)}));
  z_stream stream{};
  if (inflateInit2(&stream, -MAX_WBITS) != Z_OK) return exhausted("zlib could not start: out of memory");
  uint64_t taken = 0, given = 0;
  int result = Z_OK;
  constexpr uint64_t kStep = 1 << 30;  // zlib counts in 32 bits
  while (result == Z_OK) {
    stream.next_in = reinterpret_cast<Bytef*>(stored.data() + taken);
    stream.avail_in = static_cast<uInt>(std::min(kStep, entry.stored_size - taken));
    stream.next_out = reinterpret_cast<Bytef*>(out.data() + given);
    stream.avail_out = static_cast<uInt>(std::min(kStep, entry.size - given));
    const uInt in = stream.avail_in, room = stream.avail_out;
    result = inflate(&stream, Z_NO_FLUSH);
    taken += in - stream.avail_in, given += room - stream.avail_out;
    if (result == Z_OK && in == stream.avail_in && room == stream.avail_out) result = Z_DATA_ERROR;
  }
  inflateEnd(&stream);
  if (result != Z_STREAM_END || given != entry.size) return wrong("an entry does not decompress");
  return out;
}

Result<Tensor> Reader::extract(const Entry& entry) const {
  if (entry.encrypted) return unsupported("'{}': entry '{}' is encrypted", path_.string(), entry.name);
  if (entry.method != kStored && entry.method != kDeflated) {
    return unsupported("'{}': entry '{}' is compressed by method {}; stored and deflated are read",
                       path_.string(), entry.name, entry.method);
  }
  HR_ASSIGN(const Tensor local_bytes, read(entry.offset, kLocalSize));
  const std::span<const std::byte> local(local_bytes.data(), kLocalSize);
  if (load(local, 0, 4) != kLocalSignature) return wrong("an entry's header is damaged");
  const uint64_t data = entry.offset + kLocalSize + load(local, 26, 2) + load(local, 28, 2);
  HR_ASSIGN(Tensor bytes, read(data, entry.stored_size));
  if (entry.method == kDeflated) {
    HR_ASSIGN(bytes, inflated(entry, bytes));
  } else if (entry.size != entry.stored_size) {
    return wrong("an entry's sizes differ");
  }
  if (crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), entry.size) != entry.crc) {
    return wrong("the checksum of entry '" + entry.name + "' is wrong");
  }
  return bytes;
}

// Writes a zip whose every size has a zip64 field, so that there is one way through for any size.
class Writer {
 public:
  explicit Writer(AtomicFile& file) : file_(file) {}

  Status add(const std::string& name, std::string_view header, std::span<const std::byte> data) {
    uLong crc = crc32_z(0, reinterpret_cast<const Bytef*>(header.data()), header.size());
    crc = crc32_z(crc, reinterpret_cast<const Bytef*>(data.data()), data.size());
    const uint64_t size = header.size() + data.size(), offset = at_;
    std::string local;
    store(local, kLocalSignature, 4);
    add_common(local, crc, name);
    store(local, 20, 2);  // of extra fields
    local += name;
    store(local, 1, 2), store(local, 16, 2), store(local, size, 8), store(local, size, 8);
    HR_TRY(append(local));
    HR_TRY(append(header));
    HR_TRY(append(data));

    store(directory_, kEntrySignature, 4), store(directory_, 45, 2);
    add_common(directory_, crc, name);
    store(directory_, 28, 2);                                                      // of extra fields
    store(directory_, 0, 2), store(directory_, 0, 2), store(directory_, 0, 2);     // comment, disk, kind
    store(directory_, uint64_t{0644} << 16, 4), store(directory_, 0xffffffff, 4);  // mode, offset
    directory_ += name;
    store(directory_, 1, 2), store(directory_, 24, 2);
    store(directory_, size, 8), store(directory_, size, 8), store(directory_, offset, 8);
    ++count_;
    return {};
  }

  Status finish() {
    const uint64_t begin = at_;
    std::string end;
    store(end, kEnd64Signature, 4), store(end, kEnd64Size - 12, 8), store(end, 45, 2), store(end, 45, 2);
    store(end, 0, 4), store(end, 0, 4), store(end, count_, 8), store(end, count_, 8);
    store(end, directory_.size(), 8), store(end, begin, 8);
    store(end, kLocatorSignature, 4), store(end, 0, 4), store(end, begin + directory_.size(), 8),
        store(end, 1, 4);
    store(end, kEndSignature, 4), store(end, 0xffff, 2), store(end, 0xffff, 2);
    store(end, 0xffff, 2), store(end, 0xffff, 2), store(end, 0xffffffff, 4), store(end, 0xffffffff, 4);
    store(end, 0, 2);
    HR_TRY(append(directory_));
    return append(end);
  }

 private:
  // From "version needed" to the length of the name; the sizes stand in the zip64 field.
  static void add_common(std::string& out, uLong crc, const std::string& name) {
    store(out, 45, 2), store(out, 0x800, 2), store(out, kStored, 2);  // names are UTF-8
    store(out, 0, 2), store(out, (1 << 5) | 1, 2);                    // 1980-01-01: same arrays, same bytes
    store(out, crc, 4), store(out, 0xffffffff, 4), store(out, 0xffffffff, 4), store(out, name.size(), 2);
  }
  Status append(std::span<const std::byte> bytes) {
    HR_TRY(file_.write_at(Bytes{static_cast<int64_t>(at_)}, bytes));
    at_ += bytes.size();
    return {};
  }
  Status append(std::string_view text) { return append(std::as_bytes(std::span(text.data(), text.size()))); }

  AtomicFile& file_;
  uint64_t at_ = 0, count_ = 0;
  std::string directory_;
};

// The tensor row-major, and f32 where it is bf16.
Result<Tensor> writable(const Tensor& source) {
  if (source.is_row_major() && source.dtype() != DType::kBF16) return source;
  const bool widen = source.dtype() == DType::kBF16;
  HR_ASSIGN(Tensor out, Tensor::make(widen ? DType::kF32 : source.dtype(), source.shape()));
  const size_t element = static_cast<size_t>(dtype_size(source.dtype()));
  std::vector<int64_t> index(source.shape().size(), 0);
  for (int64_t i = 0; i < source.elements(); ++i) {
    int64_t from = 0;
    for (size_t d = 0; d < index.size(); ++d) from += index[d] * source.strides()[d];
    if (widen) {
      out.as<float>()[i] = bf16_to_float(source.as<uint16_t>()[from]);
    } else {
      std::memcpy(out.data() + i * element, source.data() + from * element, element);
    }
    for (size_t d = index.size(); d-- > 0 && ++index[d] == source.shape()[d];) index[d] = 0;
  }
  return out;
}

}  // namespace

Result<std::vector<NamedTensor>> read_npz(const std::filesystem::path& path) {
  HR_ASSIGN(const UniqueFd fd, open_for_reading(path));
  HR_ASSIGN(const Bytes size, file_size(fd.get(), path));
  const Reader reader(fd.get(), static_cast<uint64_t>(size.count), path);
  HR_ASSIGN(const std::vector<Entry> entries, reader.entries());
  std::vector<NamedTensor> arrays;
  for (const Entry& entry : entries) {
    HR_ASSIGN(const Tensor bytes, reader.extract(entry));
    std::string name = entry.name;
    if (name.ends_with(".npy")) name.resize(name.size() - 4);
    HR_ASSIGN(Tensor array, parse_npy(bytes, fmt::format("'{}' in '{}'", name, path.string())));
    arrays.push_back({std::move(name), std::move(array)});
  }
  return arrays;
}

Status write_npz(const std::filesystem::path& path, std::span<const NamedTensor> arrays) {
  HR_ASSIGN(AtomicFile file, AtomicFile::create(path));
  Writer writer(file);
  for (const NamedTensor& array : arrays) {
    HR_ASSIGN(const Tensor values, writable(array.tensor));
    const std::span bytes(values.data(), static_cast<size_t>(values.size().count));
    HR_TRY(writer.add(array.name + ".npy", npy_header(values.dtype(), values.shape()), bytes));
  }
  HR_TRY(writer.finish());
  return file.commit();
}

}  // namespace headrace::cli
