// The front end's doors: a .pt2 archive in, a Graph and a reader of its weights out.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <headrace/bytes.h>
#include <headrace/status.h>
#include "core/unique_fd.h"
#include "frontend/exported_program.h"
#include "ir/graph.h"

namespace headrace::frontend {

// A .pt2 archive: a zip of stored entries. Entries are referenced in place; nothing is extracted.
// Threads: const after open; reads may overlap.
class Archive {
 public:
  // Errors: kNotFound, kCorrupt (not a zip, truncated, an entry outside the file), kUnsupported (encrypted,
  // compressed).
  static Result<std::shared_ptr<const Archive>> open(const std::filesystem::path& path);

  // Names without the root folder: "models/model.json".
  bool contains(std::string_view entry) const;
  Result<Bytes> size(std::string_view entry) const;
  // CRC-32 of its bytes, as the archive's directory says; 0 where its writer counted none.
  Result<uint32_t> crc(std::string_view entry) const;
  Status read(std::string_view entry, Bytes offset, std::span<std::byte> out) const;
  Result<std::string> read_text(std::string_view entry) const;
  std::vector<std::string> names() const;  // sorted
  const std::filesystem::path& path() const { return path_; }

 private:
  struct Entry {
    Bytes offset, size;
    uint32_t crc = 0;
  };
  std::filesystem::path path_;
  UniqueFd fd_;
  std::map<std::string, Entry, std::less<>> entries_;
};

// The program of an archive. Errors: kCorrupt, kUnsupported (newer schema major, pickled, sparse or quantised
// tensors, several models), each with what, found and do.
Result<ExportedProgram> read_program(const Archive& archive);
// model.json and the two config files as texts; what read_program calls, and the fuzzer.
Result<ExportedProgram> parse_program(std::string_view model_json, std::string_view weights_config,
                                      std::string_view constants_config);

// Reads bytes of a storage: for literals (small integer and bool constants, whose values become part of the
// graph).
using StorageReader =
    std::function<Status(const std::string& storage, Bytes offset, std::span<std::byte> out)>;

// One unsupported op, all its nodes together.
struct UnsupportedOp {
  std::string target;  // "aten.fft_rfft.default"
  int nodes = 0;
  ir::SourceNote first;
  std::string why;
};

// ATen -> IR, through the one lowering table. Errors: kUnsupported with the report of every op that it cannot
// lower (op, count, first node, source line, why), all at once.
Result<ir::Graph> lower_program(const ExportedProgram& program, const StorageReader& read);

// Conditions on the inputs' sizes that the export states, as written, which the front end cannot read: the
// graph's guards lack them.
std::vector<std::string> conditions_not_read(const ExportedProgram& program);

// For `headrace compile --report` and the docs: the overloads that the table has ("aten.add.Tensor").
std::vector<std::string> supported_overloads();

}  // namespace headrace::frontend
