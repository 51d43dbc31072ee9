// The engine file: all that the building half and the running half share. docs/engine_format.md draws its
// bytes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <headrace/bytes.h>
#include <headrace/status.h>
#include "core/unique_fd.h"
#include "engine/plan.h"

namespace headrace {

// An engine file that is open for reading. The metadata has been read with system calls, checked against its
// checksum and taken in; weights and the graph are read later, never through a map (a file that shrinks would
// kill the process): weights from fd() at weights_offset().
//
// Threads: const after open; safe to share.
class EngineFile {
 public:
  // Errors: kNotFound, kCorrupt (what and where), kIncompatible (version, byte order), kExhausted
  // (descriptors).
  static Result<EngineFile> open(const std::filesystem::path& path);
  // The same, of bytes already in memory; for the fuzzer. Only metadata is looked at.
  static Result<Plan> parse(std::span<const std::byte> bytes);

  const Plan& plan() const { return *plan_; }
  std::shared_ptr<const Plan> shared_plan() const { return plan_; }
  const std::filesystem::path& path() const { return path_; }
  int fd() const { return fd_.get(); }
  Bytes weights_offset() const { return weights_offset_; }
  Bytes size() const { return size_; }
  const std::string& toolchain() const { return toolchain_; }  // who wrote it, for people

  // The graph that the plan was made of, as its writer printed it; for people and tools, nothing runs by it.
  // Empty where the writer gave none. Errors: kCorrupt.
  Result<std::string> graph_text() const;

  // Reads every byte and checks it. `progress(done, total)` may be empty; false from it cancels.
  // Errors: kCorrupt names the first weight or section that is wrong.
  Status verify(const std::function<bool(Bytes done, Bytes total)>& progress = {}) const;

 private:
  std::filesystem::path path_;
  UniqueFd fd_;
  std::shared_ptr<const Plan> plan_;
  Bytes weights_offset_;
  Bytes size_;
  Bytes graph_offset_, graph_size_;
  uint64_t graph_checksum_ = 0;
  std::string toolchain_;
};

// Writes an engine file: to a temporary name beside `path`, synced and renamed by commit(). Destroyed before
// commit, or killed at any moment, it leaves nothing under `path` (an existing file there stays as it was).
//
// Order: create; append_weight (or append_part) for each weight of the plan, in order; commit. Weights stream
// through a bounded buffer. After an error only destroying it is left.
class EngineWriter {
 public:
  // The plan must have groups and weight offsets; checksums are filled in by commit.
  // Errors: kUnavailable / kExhausted / kInvalidArgument with path and reason (read-only, no such folder,
  // disk full).
  static Result<EngineWriter> create(const std::filesystem::path& path, Plan plan);
  EngineWriter(EngineWriter&&) noexcept;
  EngineWriter& operator=(EngineWriter&&) noexcept;
  ~EngineWriter();

  // The bytes of the next weight; REQUIRES: bytes.size() == its stored size.
  Status append_weight(std::span<const std::byte> bytes);
  // The next bytes of the next weight, for one that is never whole in memory; it ends with its last byte. An
  // empty weight takes one empty part.
  Status append_part(std::span<const std::byte> bytes);
  // Writes metadata and the text of the graph (may be empty), syncs, renames. Returns the size of the file.
  Result<Bytes> commit(std::string_view graph = {});

 private:
  struct State;
  explicit EngineWriter(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace headrace
