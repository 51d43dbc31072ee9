#include "core/error.h"
#include "core/file.h"
#include "frontend/frontend.h"
#include "frontend/zip.h"

namespace headrace::frontend {
namespace {

constexpr Bytes kLargestText = mib(1024);

// Entries of the user's own ("extra/") may be stored in any way: nothing here reads them.
Status check_storage(const ZipEntry& entry, std::string_view name) {
  if (name.starts_with("extra/")) return {};
  if (is_encrypted(entry)) {
    return unsupported("entry '{}' is encrypted; decrypt the archive, or save the program again", entry.name);
  }
  if (is_compressed(entry)) {
    return unsupported(
        "entry '{}' is compressed (zip method {}); torch.export.save stores entries as they are: "
        "save the program again, or repack the archive with 'zip -0'",
        entry.name, entry.method);
  }
  return {};
}

}  // namespace

Result<std::shared_ptr<const Archive>> Archive::open(const std::filesystem::path& path) {
  const std::string context = fmt::format("archive '{}'", path.string());
  auto archive = std::make_shared<Archive>();
  HR_ASSIGN(archive->fd_, open_for_reading(path));
  archive->path_ = path;
  HR_ASSIGN(const Bytes size, file_size(archive->fd_.get(), path));
  const auto read_at = [&](Bytes offset, std::span<std::byte> out) {
    return read_exactly(archive->fd_.get(), offset, out, path);
  };
  Result<std::vector<ZipEntry>> entries = read_zip_directory(size, read_at);
  if (!entries.ok()) return entries.status().with_context(context);
  if (entries->empty()) return corrupt("{}: it has no entries", context);
  // The root is the name of the file when it was saved; a renamed file keeps it.
  const std::string first = entries->front().name;
  const std::string root = first.substr(0, first.find('/') + 1);  // npos + 1 is 0: no root
  for (const ZipEntry& entry : *entries) {
    if (!entry.name.starts_with(root)) continue;
    const std::string name = entry.name.substr(root.size());
    HR_TRY(check_storage(entry, name).with_context(context));
    archive->entries_[name] = {entry.offset, entry.size, entry.crc};
  }
  return std::shared_ptr<const Archive>(std::move(archive));
}

bool Archive::contains(std::string_view entry) const { return entries_.find(entry) != entries_.end(); }

Result<Bytes> Archive::size(std::string_view entry) const {
  const auto found = entries_.find(entry);
  if (found == entries_.end()) return not_found("archive '{}' has no entry '{}'", path_.string(), entry);
  return found->second.size;
}

Result<uint32_t> Archive::crc(std::string_view entry) const {
  HR_TRY(size(entry).status());
  return entries_.find(entry)->second.crc;
}

Status Archive::read(std::string_view entry, Bytes offset, std::span<std::byte> out) const {
  HR_ASSIGN(const Bytes size, this->size(entry));
  const auto count = static_cast<int64_t>(out.size());
  if (offset.count < 0 || offset > size || count > (size - offset).count) {
    return corrupt("archive '{}', entry '{}': {} bytes at byte {} were asked for, but it has {}",
                   path_.string(), entry, count, offset.count, size.count);
  }
  return read_exactly(fd_.get(), entries_.find(entry)->second.offset + offset, out, path_);
}

Result<std::string> Archive::read_text(std::string_view entry) const {
  HR_ASSIGN(const Bytes size, this->size(entry));
  if (size > kLargestText) {
    return unsupported("archive '{}', entry '{}': it has {} bytes; texts may have up to {}", path_.string(),
                       entry, size.count, kLargestText.count);
  }
  std::string text(static_cast<size_t>(size.count), '\0');
  HR_TRY(read(entry, Bytes{0}, std::as_writable_bytes(std::span(text))));
  return text;
}

std::vector<std::string> Archive::names() const {
  std::vector<std::string> names;
  for (const auto& [name, entry] : entries_) names.push_back(name);
  return names;
}

}  // namespace headrace::frontend
