#include "frontend/program_values.h"

#include <algorithm>
#include <array>

#include "frontend/sympy.h"

namespace headrace::frontend {
namespace {

struct ScalarType {
  int64_t number;  // of torch.export's schema, which is not c10's
  std::string_view name;
};
constexpr ScalarType kUnsupportedTypes[] = {
    {9, "c32"},         {10, "c64"},        {11, "c128"},      {28, "u16"}, {29, "f8e4m3fn"}, {30, "f8e5m2"},
    {31, "f8e4m3fnuz"}, {32, "f8e5m2fnuz"}, {33, "f8e8m0fnu"}, {34, "u32"}, {35, "u64"},
};

std::optional<DType> scalar_type(int64_t number) {
  switch (number) {
    case 1: return DType::kU8;
    case 2: return DType::kI8;
    case 3: return DType::kI16;
    case 4: return DType::kI32;
    case 5: return DType::kI64;
    case 6: return DType::kF16;
    case 7: return DType::kF32;
    case 8: return DType::kF64;
    case 12: return DType::kBool;
    case 13: return DType::kBF16;
    default: return std::nullopt;
  }
}

std::string unsupported_name(int64_t number) {
  for (const ScalarType& type : kUnsupportedTypes) {
    if (type.number == number) return std::string(type.name);
  }
  return fmt::format("scalar type {}", number);
}

std::string layout_name(int64_t number) {
  constexpr std::array<std::string_view, 8> kNames = {"unknown",    "sparse_coo", "sparse_csr", "sparse_csc",
                                                      "sparse_bsr", "sparse_bsc", "mkldnn",     "strided"};
  if (number < 0 || number >= static_cast<int64_t>(kNames.size())) return fmt::format("layout {}", number);
  return std::string(kNames[static_cast<size_t>(number)]);
}

std::string memory_format_name(int64_t number) {
  constexpr std::array<std::string_view, 5> kNames = {"unknown", "contiguous", "channels_last",
                                                      "channels_last_3d", "preserve"};
  if (number < 0 || number >= static_cast<int64_t>(kNames.size()))
    return fmt::format("memory format {}", number);
  return std::string(kNames[static_cast<size_t>(number)]);
}

std::string device_name(const Json& json) {
  const std::string type(json["type"].text("cpu"));
  const Json index = json["index"];
  return index.present() ? fmt::format("{}:{}", type, index.integer()) : type;
}

Argument named(NamedConstant::Kind kind, std::string text) { return NamedConstant{kind, std::move(text)}; }

// {"as_tensor": {"name": …}} or {"as_none": true}.
std::optional<TensorName> optional_tensor(const Json& json) {
  const auto [tag, value] = json.one_of();
  if (tag == "as_tensor") return read_tensor_name(value);
  return std::nullopt;
}

template <class T, class F>
Argument list(const Json& json, F&& read_item) {
  std::vector<T> items;
  json.each_item([&](const Json& item) { items.push_back(read_item(item)); });
  return items;
}

// A symbolic number: a value's name, or a plain number.
Argument sym_scalar(const Json& json) {
  const auto [tag, value] = json.one_of();
  if (tag == "as_name") return SymName{std::string(value.text())};
  if (tag == "as_int") return value.integer();
  if (tag == "as_float") return value.number();
  if (tag == "as_bool") return value.flag();
  return named(NamedConstant::Kind::kOther, fmt::format("{}: {}", tag, value.json_text()));
}

IntOrSym int_or_sym(const Json& json) {
  const auto [tag, value] = json.one_of();
  if (tag == "as_name") return SymName{std::string(value.text())};
  return value.integer();
}

struct Tag {
  std::string_view name;
  Argument (*read)(const Json& value);
};
constexpr Tag kTags[] = {
    {"as_none", [](const Json&) -> Argument { return NoneArgument{}; }},
    {"as_tensor", [](const Json& v) -> Argument { return read_tensor_name(v); }},
    {"as_tensors", [](const Json& v) { return list<std::optional<TensorName>>(v, read_tensor_name); }},
    {"as_optional_tensors",
     [](const Json& v) { return list<std::optional<TensorName>>(v, optional_tensor); }},
    {"as_optional_tensor",
     [](const Json& v) -> Argument {
       if (auto tensor = optional_tensor(v)) return *tensor;
       return NoneArgument{};
     }},
    {"as_int", [](const Json& v) -> Argument { return v.integer(); }},
    {"as_ints", [](const Json& v) { return list<IntOrSym>(v, [](const Json& i) { return i.integer(); }); }},
    {"as_float", [](const Json& v) -> Argument { return v.number(); }},
    {"as_floats", [](const Json& v) { return list<double>(v, [](const Json& i) { return i.number(); }); }},
    {"as_bool", [](const Json& v) -> Argument { return v.flag(); }},
    {"as_bools", [](const Json& v) { return list<bool>(v, [](const Json& i) { return i.flag(); }); }},
    {"as_string", [](const Json& v) -> Argument { return std::string(v.text()); }},
    {"as_sym_int", sym_scalar},
    {"as_sym_float", sym_scalar},
    {"as_sym_bool", sym_scalar},
    {"as_sym_ints", [](const Json& v) { return list<IntOrSym>(v, int_or_sym); }},
    {"as_scalar_type",
     [](const Json& v) -> Argument {
       if (const auto dtype = scalar_type(v.integer())) return *dtype;
       return named(NamedConstant::Kind::kOther, unsupported_name(v.integer()));
     }},
    {"as_memory_format",
     [](const Json& v) {
       return named(NamedConstant::Kind::kMemoryFormat, memory_format_name(v.integer()));
     }},
    {"as_layout",
     [](const Json& v) { return named(NamedConstant::Kind::kLayout, layout_name(v.integer())); }},
    {"as_device", [](const Json& v) { return named(NamedConstant::Kind::kDevice, device_name(v)); }},
    {"as_graph",
     [](const Json& v) { return named(NamedConstant::Kind::kGraph, std::string(v["name"].text())); }},
    {"as_custom_obj",
     [](const Json& v) { return named(NamedConstant::Kind::kCustomObject, std::string(v["name"].text())); }},
};

}  // namespace

TensorName read_tensor_name(const Json& json) { return {std::string(json["name"].text())}; }

Argument read_argument(const Json& json) {
  const auto [tag, value] = json.one_of();
  for (const Tag& known : kTags) {
    if (known.name == tag) return known.read(value);
  }
  return named(NamedConstant::Kind::kOther, fmt::format("{}: {}", tag, value.json_text()));
}

Dim read_sym_int(const Json& json, ProgramReader& reader) {
  const auto [tag, value] = json.one_of();
  if (tag != "as_expr") return value.integer();
  const std::string_view text = value["expr_str"].text();
  const auto known = reader.sizes.find(text);
  if (known != reader.sizes.end()) return known->second.dim;
  Result<Dim> dim = parse_sympy(text);
  if (!dim.ok()) {
    reader.errors.note(dim.status());
    return 0;
  }
  ProgramReader::Size size{*dim, std::nullopt};
  if (const Json hint = value["hint"]["as_int"]; hint.present()) size.hint = hint.integer();
  reader.sizes.emplace(std::string(text), std::move(size));
  return *dim;
}

TensorMeta read_tensor_meta(const Json& json, ProgramReader& reader) {
  TensorMeta meta;
  const int64_t number = json["dtype"].integer();
  if (const auto dtype = scalar_type(number)) {
    meta.dtype = *dtype;
  } else {
    meta.unsupported_dtype = unsupported_name(number);
  }
  json["sizes"].each_item([&](const Json& size) { meta.sizes.push_back(read_sym_int(size, reader)); });
  json["strides"].each_item(
      [&](const Json& stride) { meta.strides.push_back(read_sym_int(stride, reader)); });
  if (const Json offset = json["storage_offset"]; offset.present()) {
    meta.storage_offset = read_sym_int(offset, reader);
  }
  meta.layout = layout_name(json["layout"].integer(7));
  meta.device = device_name(json["device"]);
  if (meta.layout == "strided" && meta.strides.size() != meta.sizes.size()) {
    reader.errors.note(
        corrupt("a tensor has {} sizes but {} strides", meta.sizes.size(), meta.strides.size()));
  }
  return meta;
}

}  // namespace headrace::frontend
