#include "frontend/lower_inputs.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "frontend/io_names.h"

namespace headrace::frontend {
namespace {

using Kind = InputSpecEntry::Kind;

__extension__ using Wide = __int128;

constexpr Bytes kLargestLiteral = kib(64);

Result<Sizes> constants(const std::vector<Dim>& dims, const std::string& name) {
  Sizes sizes;
  for (const Dim& dim : dims) {
    if (!dim.is_constant()) return corrupt("tensor '{}' is stored, but its size {} varies", name, dim.text());
    sizes.push_back(dim.constant());
  }
  return sizes;
}

// A stored tensor with its numbers known.
struct Stored {
  DType dtype;
  Sizes sizes;
  ir::WeightSource source;
};

Result<Stored> stored_tensor(const ExportedProgram& program, const std::string& name) {
  const PayloadEntry* entry = nullptr;
  for (const auto* list : {&program.weights, &program.constants}) {
    const auto found = list->find(name);
    if (!entry && found != list->end()) entry = &found->second;
  }
  if (!entry) return corrupt("the archive lacks the elements of '{}'", name);
  const TensorMeta& meta = entry->meta;
  if (!meta.unsupported_dtype.empty())
    return unsupported("'{}' has elements of type {}, which is not supported", name, meta.unsupported_dtype);
  Stored stored{meta.dtype, {}, {entry->storage, 0, {}}};
  HR_ASSIGN(stored.sizes, constants(meta.sizes, name));
  HR_ASSIGN(stored.source.strides, constants(meta.strides, name));
  HR_ASSIGN(const Sizes offset, constants({meta.storage_offset}, name));
  stored.source.offset = offset.front();
  return stored;
}

Bytes size_of(const Stored& stored) {
  int64_t bytes = dtype_size(stored.dtype);
  for (const int64_t size : stored.sizes) {
    if (__builtin_mul_overflow(bytes, size, &bytes)) return {INT64_MAX};
  }
  return {bytes};
}

// The elements in row-major order. Small: kLargestLiteral.
Result<std::vector<std::byte>> elements_of(const Stored& stored, const StorageReader& read,
                                           const std::string& name) {
  const int64_t width = dtype_size(stored.dtype), count = size_of(stored).count / width;
  std::vector<std::byte> bytes(static_cast<size_t>(count * width));
  if (count == 0) return bytes;
  Wide last = stored.source.offset;
  for (size_t i = 0; i < stored.sizes.size(); ++i) {
    if (stored.source.strides[i] < 0) return corrupt("tensor '{}' has a negative stride", name);
    last += static_cast<Wide>(stored.sizes[i] - 1) * stored.source.strides[i];
  }
  const Wide span = last - stored.source.offset + 1;
  if (stored.source.offset < 0 || last > INT64_MAX / width - 1)
    return corrupt("tensor '{}' lies outside its storage", name);
  // A literal spread thinly over a large storage is read element by element.
  const bool at_once = span * width <= 16 * kLargestLiteral.count;
  std::vector<std::byte> storage(at_once ? static_cast<size_t>(span * width) : 0);
  if (at_once) HR_TRY(read(stored.source.storage, {stored.source.offset * width}, storage));
  Sizes index(stored.sizes.size(), 0);
  for (int64_t i = 0; i < count; ++i) {
    int64_t at = 0;
    for (size_t d = 0; d < index.size(); ++d) at += index[d] * stored.source.strides[d];
    const std::span<std::byte> out(bytes.data() + i * width, static_cast<size_t>(width));
    if (at_once) {
      std::copy_n(storage.data() + at * width, width, out.data());
    } else {
      HR_TRY(read(stored.source.storage, {(stored.source.offset + at) * width}, out));
    }
    for (size_t d = index.size(); d-- > 0;) {
      if (++index[d] < stored.sizes[d]) break;
      index[d] = 0;
    }
  }
  return bytes;
}

// Small integers, masks and lifted constants are part of the graph; what training makes is not.
bool is_literal(const InputSpecEntry& entry, const Stored& stored) {
  if (entry.kind == Kind::kParameter) return false;
  if (stored.sizes.empty()) return true;
  const bool constant = !is_float(stored.dtype) || entry.kind == Kind::kTensorConstant;
  return constant && size_of(stored) <= kLargestLiteral;
}

class Inputs {
 public:
  Inputs(const ExportedProgram& program, const StorageReader& read, ir::Graph& graph, ValuesByName& values)
      : program_(program), read_(read), graph_(graph), values_(values) {}

  Status run() {
    std::vector<std::string> names = input_names(program_);
    const auto from_user = std::count_if(program_.inputs.begin(), program_.inputs.end(), is_of_user);
    if (names.size() != static_cast<size_t>(from_user)) names.assign(static_cast<size_t>(from_user), "");
    // The user's come first, so that a weight of the same name is the one to be renamed.
    auto name = names.begin();
    for (const InputSpecEntry& entry : program_.inputs) {
      if (is_of_user(entry)) HR_TRY(user_input(entry, *name++));
    }
    for (const InputSpecEntry& entry : program_.inputs) {
      if (!is_of_user(entry)) HR_TRY(constant_tensor(entry));
    }
    return {};
  }

 private:
  static bool is_of_user(const InputSpecEntry& entry) {
    return entry.kind == Kind::kUserInput || entry.kind == Kind::kConstantInput;
  }

  Status constant_tensor(const InputSpecEntry& entry) {
    if (entry.kind == Kind::kCustomObject || entry.kind == Kind::kToken) {
      return unsupported("the model holds the custom object '{}'; only tensors and numbers are supported",
                         entry.target);
    }
    const auto* placeholder = std::get_if<TensorName>(&entry.argument);
    if (!placeholder) return corrupt("'{}' is a parameter or buffer, but no tensor", entry.target);
    HR_ASSIGN(Stored stored, stored_tensor(program_, entry.target));
    const ir::Type type{stored.dtype, to_shape(std::span<const int64_t>(stored.sizes))};
    ir::Value*& value = values_[placeholder->name];
    if (is_literal(entry, stored)) {
      HR_ASSIGN(std::vector<std::byte> bytes, elements_of(stored, read_, entry.target));
      value = graph_.add_literal(entry.target, type, std::move(bytes));
    } else {
      value = graph_.add_weight(entry.target, type, std::move(stored.source));
    }
    return {};
  }

  Status user_input(const InputSpecEntry& entry, std::string name) {
    if (const auto* tensor = std::get_if<TensorName>(&entry.argument)) {
      return user_tensor(tensor->name, name.empty() ? tensor->name : name);
    }
    if (const auto* number = std::get_if<SymName>(&entry.argument)) {
      return user_number(number->name, name.empty() ? number->name : name);
    }
    graph_.add_constant_input(name.empty() ? entry.target : name, json_text(entry.argument));
    return {};
  }

  Status user_tensor(const std::string& placeholder, const std::string& name) {
    const auto meta = program_.tensors.find(placeholder);
    if (meta == program_.tensors.end()) return corrupt("input '{}' has no description", placeholder);
    const TensorMeta& m = meta->second;
    if (!m.unsupported_dtype.empty())
      return unsupported("input '{}' has elements of type {}, which is not supported", name,
                         m.unsupported_dtype);
    if (m.layout != "strided")
      return unsupported("input '{}' is a {} tensor; only dense ones are supported", name, m.layout);
    values_[placeholder] = graph_.add_input(name, {m.dtype, m.sizes});
    return {};
  }

  Status user_number(const std::string& placeholder, const std::string& name) {
    const auto found = program_.sym_ints.find(placeholder);
    if (found == program_.sym_ints.end())
      return unsupported("input '{}' is a number that is no int; only ints can vary", name);
    const Dim& dim = found->second;
    if (dim.is_constant()) {
      graph_.add_constant_input(name, std::to_string(dim.constant()));
    } else if (dim.kind() == Dim::Kind::kSymbol) {
      graph_.add_number_input(name, dim.name());
    } else {
      return unsupported("input '{}' is {}; an int that varies must be a symbol alone", name, dim.text());
    }
    return {};
  }

  const ExportedProgram& program_;
  const StorageReader& read_;
  ir::Graph& graph_;
  ValuesByName& values_;
};

std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    if (static_cast<unsigned char>(c) < 0x20) {
      result += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      result += c;
    }
  }
  return result + '"';
}

}  // namespace

std::string json_text(const Argument& argument) {
  if (const auto* number = std::get_if<int64_t>(&argument)) return std::to_string(*number);
  if (const auto* flag = std::get_if<bool>(&argument)) return *flag ? "true" : "false";
  if (const auto* text = std::get_if<std::string>(&argument)) return quoted(*text);
  if (const auto* number = std::get_if<double>(&argument)) {
    if (std::isnan(*number)) return "\"NaN\"";
    if (std::isinf(*number)) return *number > 0 ? "\"Infinity\"" : "\"-Infinity\"";
    const std::string text = fmt::format("{}", *number);
    return text.find_first_of(".e") == std::string::npos ? text + ".0" : text;
  }
  return "null";
}

Status lower_inputs(const ExportedProgram& program, const StorageReader& read, ir::Graph& graph,
                    ValuesByName& values) {
  return Inputs(program, read, graph, values).run();
}

}  // namespace headrace::frontend
