// .npz files: named arrays, as numpy.savez and numpy.savez_compressed write them.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include <headrace/headrace.h>

namespace headrace::cli {

// The arrays in the order of the archive. Errors name the file and the entry: kNotFound, kCorrupt,
// kUnsupported (a dtype that no engine takes, an encrypted entry, a compression other than deflate).
Result<std::vector<NamedTensor>> read_npz(const std::filesystem::path& path);

// Writes the arrays, stored; bf16 ones as f4, for NumPy has no bf16. Nothing appears under `path` unless all
// went well.
Status write_npz(const std::filesystem::path& path, std::span<const NamedTensor> arrays);

}  // namespace headrace::cli
