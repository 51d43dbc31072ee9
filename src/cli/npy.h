// The .npy form of one array: what numpy.save writes.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <headrace/status.h>
#include <headrace/tensor.h>

namespace headrace::cli {

// What an .npy header says. Two-byte unsigned and void elements (u2, V2) are taken as bf16, for which NumPy
// has no dtype of its own.
struct NpyHeader {
  DType dtype = DType::kF32;
  bool fortran_order = false;
  std::vector<int64_t> shape;
  size_t data_offset = 0;  // of the first element
};

// Errors, naming `what`: kCorrupt (not an .npy, cut off, sizes that overflow), kUnsupported (a dtype that no
// engine takes, big-endian elements, a later version).
Result<NpyHeader> parse_npy_header(std::span<const std::byte> bytes, std::string_view what);

// The array in `storage` (one byte an element), sharing its memory. Errors: as above; kCorrupt where the
// elements are fewer or more than the shape says.
Result<Tensor> parse_npy(const Tensor& storage, std::string_view what);

// The header for a row-major array of this dtype; its length is a multiple of 64. bf16 has no form here:
// widen first.
std::string npy_header(DType dtype, std::span<const int64_t> shape);

}  // namespace headrace::cli
