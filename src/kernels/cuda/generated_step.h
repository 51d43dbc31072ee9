// The steps "generated": how lowering/cuda says, in a step's attributes, which kernel of Plan::code runs and
// how it is launched. Both halves include this.
//
// Operands are the step's inputs, then its outputs, in GeneratedArgs::tensors.
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace headrace::cuda {

inline constexpr std::string_view kGenerated = "generated";  // Step::kernel

// --- Attributes.
inline constexpr std::string_view kFunction = "function";  // text: its name in the module
inline constexpr std::string_view kModule = "module";      // int: which binary of Plan::code
inline constexpr std::string_view kRule = "rule";          // text: one of the rules below
inline constexpr std::string_view kNumbers = "numbers";    // dims: GeneratedHead::numbers
inline constexpr std::string_view kIndexBits =
    "index_bits";                                        // int, 32 or 64: offsets must fit below half of it
inline constexpr std::string_view kWidth = "width";      // int: elements a vector
inline constexpr std::string_view kUniform = "uniform";  // ints: operands that a vector must not step along
inline constexpr std::string_view kAligned = "aligned";  // ints: numbers that vectors must divide
inline constexpr std::string_view kVectors =
    "vectors";  // ints: operands whose last dimension is read in vectors (each, grid)
inline constexpr std::string_view kPerThread =
    "per_thread";  // ints, by dimension of the result: elements that a thread makes (each); sizes count them
inline constexpr std::string_view kOuter = "outer";                  // int: how many dimensions say which row
inline constexpr std::string_view kThreads = "threads";              // ints: of a block, x and y
inline constexpr std::string_view kRowsPerBlock = "rows_per_block";  // int
inline constexpr std::string_view kRowWidth = "row_width";           // int: neighbouring rows a vector (rows)
inline constexpr std::string_view kBlocks = "blocks";                // dim
inline constexpr std::string_view kStaying = "staying";  // int: blocks of a multiprocessor, which stay and
                                                         // walk the work of the others (grid); 0: all run
inline constexpr std::string_view kShared = "shared";    // int: bytes that the launch gives a block (grid)
inline constexpr std::string_view kNotEmpty =
    "not_empty";  // text: what is asked of rows, which must have columns

// --- Rules: what sizes are, and how many blocks run.
// Sizes of the first result; operands broadcast to them; dimensions in the order of the result's memory,
// joined where they can be; a thread an element, or a vector of the innermost dimension.
inline constexpr std::string_view kElementsRule = "elements";
// The same, in tiles of 32 × 32 of the result's and the operand's fastest dimensions: numbers 0 and 1.
inline constexpr std::string_view kTilesRule = "tiles";
// Sizes of the first operand, others broadcast; joined before and after `outer`.
inline constexpr std::string_view kRowsRule = "rows";
// Sizes of the first result, in tiles; strides as they are; a thread a tile.
inline constexpr std::string_view kEachRule = "each";
// The same, but as many blocks as the attribute says.
inline constexpr std::string_view kGridRule = "grid";

inline constexpr int kGeneratedOperands = 40;  // at most: what fits into a launch's arguments
inline constexpr int64_t kTileSide = 32;
inline constexpr int64_t kTileRows = 8;

// --- Plan::code: "HRCUBIN1", the number of binaries, then the size of each and its bytes; numbers are
// 64-bit, little-endian.
inline constexpr std::string_view kCodeMagic = "HRCUBIN1";

inline std::vector<std::byte> pack_code(std::span<const std::vector<std::byte>> binaries) {
  std::vector<std::byte> code;
  const auto add = [&](const void* from, size_t size) {
    const auto* bytes = static_cast<const std::byte*>(from);
    code.insert(code.end(), bytes, bytes + size);
  };
  const auto add_number = [&](uint64_t number) { add(&number, sizeof(number)); };
  add(kCodeMagic.data(), kCodeMagic.size());
  add_number(binaries.size());
  for (const std::vector<std::byte>& binary : binaries) {
    add_number(binary.size());
    add(binary.data(), binary.size());
  }
  return code;
}

// nullopt where it is malformed.
inline std::optional<std::vector<std::span<const std::byte>>> unpack_code(std::span<const std::byte> code) {
  const auto take = [&](void* to, size_t size) {
    if (code.size() < size) return false;
    std::memcpy(to, code.data(), size);
    code = code.subspan(size);
    return true;
  };
  char magic[kCodeMagic.size()];
  uint64_t count = 0;
  if (!take(magic, sizeof(magic)) || std::string_view(magic, sizeof(magic)) != kCodeMagic)
    return std::nullopt;
  if (!take(&count, sizeof(count)) || count > code.size()) return std::nullopt;
  std::vector<std::span<const std::byte>> binaries;
  for (uint64_t i = 0; i < count; ++i) {
    uint64_t size = 0;
    if (!take(&size, sizeof(size)) || size > code.size()) return std::nullopt;
    binaries.push_back(code.first(size));
    code = code.subspan(size);
  }
  return binaries;
}

}  // namespace headrace::cuda
