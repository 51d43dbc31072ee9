#include "cli/npy.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <limits>
#include <memory>
#include <optional>

#include "core/error.h"

namespace headrace::cli {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr size_t kDataAlignment = 64;

struct Descr {
  std::string_view text;
  DType dtype;
};
// The first row of a dtype is the one that is written.
constexpr std::array<Descr, 12> kDescrs = {{{"|b1", DType::kBool},
                                            {"|u1", DType::kU8},
                                            {"|i1", DType::kI8},
                                            {"<i2", DType::kI16},
                                            {"<i4", DType::kI32},
                                            {"<i8", DType::kI64},
                                            {"<f2", DType::kF16},
                                            {"<f4", DType::kF32},
                                            {"<f8", DType::kF64},
                                            {"<u2", DType::kBF16},
                                            {"|V2", DType::kBF16},
                                            {"<V2", DType::kBF16}}};

// Reads the dictionary of a header, a Python literal: {'descr': '<f4', 'fortran_order': False, 'shape':
// (3,)}.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  bool take(char c) {
    skip_spaces();
    if (text_.empty() || text_.front() != c) return false;
    text_.remove_prefix(1);
    return true;
  }
  bool take_word(std::string_view word) {
    skip_spaces();
    if (!text_.starts_with(word)) return false;
    text_.remove_prefix(word.size());
    return true;
  }
  std::optional<std::string_view> string() {
    skip_spaces();
    if (text_.empty() || (text_.front() != '\'' && text_.front() != '"')) return std::nullopt;
    const size_t end = text_.find(text_.front(), 1);
    if (end == std::string_view::npos) return std::nullopt;
    const std::string_view value = text_.substr(1, end - 1);
    text_.remove_prefix(end + 1);
    return value;
  }
  std::optional<int64_t> integer() {
    skip_spaces();
    int64_t value = 0;
    const auto [end, error] = std::from_chars(text_.data(), text_.data() + text_.size(), value);
    if (error != std::errc()) return std::nullopt;
    text_.remove_prefix(static_cast<size_t>(end - text_.data()));
    take_word("L");  // written by Python 2
    return value;
  }
  bool at_end() { return skip_spaces(), text_.empty(); }

 private:
  void skip_spaces() {
    while (!text_.empty() && (text_.front() == ' ' || text_.front() == '\n')) text_.remove_prefix(1);
  }
  std::string_view text_;
};

Result<DType> dtype_of(std::string_view descr, std::string_view what) {
  for (const Descr& row : kDescrs) {
    if (row.text == descr) return row.dtype;
  }
  if (descr.size() == 3 && descr.front() == '=') {
    for (const Descr& row : kDescrs) {
      if (row.text.substr(1) == descr.substr(1)) return row.dtype;
    }
  }
  if (descr.starts_with('>')) {
    return unsupported("{}: its elements are big-endian ('{}'); save it little-endian, as a.astype('<{}')",
                       what, descr, descr.substr(1));
  }
  return unsupported(
      "{}: elements of type '{}' cannot be an input; bool, u1, i1, i2, i4, i8, f2, f4, f8 can, and u2 or V2 "
      "as "
      "bf16",
      what, descr);
}

std::optional<std::vector<int64_t>> parse_shape(Scanner& scanner) {
  std::vector<int64_t> shape;
  if (!scanner.take('(')) return std::nullopt;
  while (!scanner.take(')')) {
    const std::optional<int64_t> size = scanner.integer();
    if (!size || *size < 0) return std::nullopt;
    shape.push_back(*size);
    if (!scanner.take(',')) {
      if (!scanner.take(')')) return std::nullopt;
      break;
    }
  }
  return shape;
}

Result<NpyHeader> parse_dictionary(std::string_view text, std::string_view what) {
  const auto malformed = [&] {
    return corrupt("{}: its .npy header is malformed: {}", what, text.substr(0, 120));
  };
  Scanner scanner(text);
  NpyHeader header;
  bool has_descr = false, has_order = false, has_shape = false;
  if (!scanner.take('{')) return malformed();
  while (!scanner.take('}')) {
    const std::optional<std::string_view> key = scanner.string();
    if (!key || !scanner.take(':')) return malformed();
    if (*key == "descr") {
      const std::optional<std::string_view> descr = scanner.string();
      if (!descr) return unsupported("{}: arrays of records cannot be an input; save plain arrays", what);
      HR_ASSIGN(header.dtype, dtype_of(*descr, what));
      has_descr = true;
    } else if (*key == "fortran_order") {
      header.fortran_order = scanner.take_word("True");
      if (!header.fortran_order && !scanner.take_word("False")) return malformed();
      has_order = true;
    } else if (*key == "shape") {
      std::optional<std::vector<int64_t>> shape = parse_shape(scanner);
      if (!shape) return malformed();
      header.shape = *std::move(shape);
      has_shape = true;
    } else {
      return malformed();
    }
    if (!scanner.take(',') && !scanner.take('}')) return malformed();
    if (scanner.at_end()) break;
  }
  if (!has_descr || !has_order || !has_shape || !scanner.at_end()) return malformed();
  return header;
}

// The bytes of the elements, or nothing where they exceed what can be addressed.
std::optional<size_t> element_bytes(const NpyHeader& header) {
  int64_t bytes = dtype_size(header.dtype);
  bool empty = false;
  for (const int64_t size : header.shape) {
    if (size == 0) empty = true;
    if (__builtin_mul_overflow(bytes, std::max<int64_t>(size, 1), &bytes)) return std::nullopt;
  }
  return empty ? 0 : static_cast<size_t>(bytes);
}

std::vector<int64_t> strides_of(const NpyHeader& header) {
  if (!header.fortran_order) return {};
  std::vector<int64_t> strides;
  int64_t stride = 1;
  for (const int64_t size : header.shape) strides.push_back(stride), stride *= std::max<int64_t>(size, 1);
  return strides;
}

}  // namespace

Result<NpyHeader> parse_npy_header(std::span<const std::byte> bytes, std::string_view what) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (!text.starts_with(kMagic)) return corrupt("{}: it is no .npy array; write it with numpy.savez", what);
  if (text.size() < 12) return corrupt("{}: its .npy header is cut off", what);
  const int version = static_cast<uint8_t>(text[6]);
  if (version < 1 || version > 3) return unsupported("{}: .npy version {}; 1 to 3 are read", what, version);
  const size_t length_bytes = version == 1 ? 2 : 4;
  size_t length = 0;
  for (size_t i = 0; i < length_bytes; ++i) length |= size_t{static_cast<uint8_t>(text[8 + i])} << (8 * i);
  if (length > text.size() - 8 - length_bytes) return corrupt("{}: its .npy header is cut off", what);
  HR_ASSIGN(NpyHeader header, parse_dictionary(text.substr(8 + length_bytes, length), what));
  header.data_offset = 8 + length_bytes + length;
  if (!element_bytes(header)) return corrupt("{}: the sizes in its .npy header overflow", what);
  return header;
}

Result<Tensor> parse_npy(const Tensor& storage, std::string_view what) {
  const std::span bytes(storage.data(), static_cast<size_t>(storage.size().count));
  HR_ASSIGN(const NpyHeader header, parse_npy_header(bytes, what));
  const size_t wanted = *element_bytes(header), found = bytes.size() - header.data_offset;
  if (wanted != found) {
    return corrupt("{}: its header asks for {} bytes of {} elements, {} are there", what, wanted,
                   dtype_name(header.dtype), found);
  }
  std::shared_ptr<void> owner = std::make_shared<Tensor>(storage);
  std::byte* data = storage.data() + header.data_offset;
  if (reinterpret_cast<uintptr_t>(data) % static_cast<uintptr_t>(dtype_size(header.dtype)) != 0) {
    HR_ASSIGN(const Tensor aligned, Tensor::make(DType::kU8, {static_cast<int64_t>(wanted)}));
    std::memcpy(aligned.data(), data, wanted);
    owner = std::make_shared<Tensor>(aligned), data = aligned.data();
  }
  if (header.dtype == DType::kBool) {
    for (std::byte& value : std::span(data, wanted)) value = std::byte{value != std::byte{0}};
  }
  return Tensor::share(std::move(owner), data, header.dtype, header.shape, strides_of(header));
}

std::string npy_header(DType dtype, std::span<const int64_t> shape) {
  std::string_view descr;
  for (const Descr& row : kDescrs) {
    if (row.dtype == dtype && descr.empty()) descr = row.text;
  }
  std::string sizes;
  for (const int64_t size : shape) sizes += fmt::format("{}, ", size);
  if (shape.size() > 1) sizes.resize(sizes.size() - 2);
  if (shape.size() == 1) sizes.pop_back();
  std::string dictionary =
      fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}), }}", descr, sizes);
  // Version 2 for headers that a 16-bit length cannot tell; no tensor of ours has so many dimensions.
  const size_t unpadded = kMagic.size() + 4 + dictionary.size() + 1;
  dictionary.append((kDataAlignment - unpadded % kDataAlignment) % kDataAlignment, ' ');
  dictionary += '\n';
  std::string header(kMagic);
  header += {'\x01', '\x00', static_cast<char>(dictionary.size() & 0xff),
             static_cast<char>(dictionary.size() >> 8)};
  return header + dictionary;
}

}  // namespace headrace::cli
