#include "frontend/overload.h"

#include <algorithm>
#include <array>

#include "frontend/frontend.h"

namespace headrace::frontend {
namespace {

constexpr std::span<const Overload> (*kFamilies[])() = {
    unary_overloads,  binary_overloads,    compare_overloads, activation_overloads, matmul_overloads,
    einsum_overloads, attention_overloads, conv_overloads,    pool_overloads,       norm_overloads,
    reduce_overloads, view_overloads,      slice_overloads,   join_overloads,       pad_overloads,
    resize_overloads, index_overloads,     create_overloads,  convert_overloads,
};

constexpr std::string_view kShapeArithmetic[] = {
    "_operator.add",      "_operator.sub",       "_operator.mul",
    "_operator.floordiv", "_operator.mod",       "_operator.neg",
    "_operator.pow",      "_operator.truediv",   "math.ceil",
    "math.floor",         "math.trunc",          "aten.sym_numel.default",
    "aten.sym_size.int",  "aten.sym_stride.int", "aten.sym_storage_offset.default",
    "torch.sym_float",    "torch.sym_int",       "torch.sym_ite",
    "torch.sym_max",      "torch.sym_min",       "torch.sym_not",
    "torch.sym_sum",
};

// By target.
const std::vector<TableRow>& table() {
  static const std::vector<TableRow> rows = [] {
    std::vector<TableRow> all;
    for (const auto family : kFamilies) {
      for (const Overload& overload : family()) {
        Result<Schema> schema = parse_schema(overload.schema);
        if (schema.ok()) all.push_back({*std::move(schema), &overload});
      }
    }
    std::sort(all.begin(), all.end(),
              [](const TableRow& a, const TableRow& b) { return a.schema.target < b.schema.target; });
    return all;
  }();
  return rows;
}

}  // namespace

const TableRow* find_overload(std::string_view target) {
  const auto& rows = table();
  const auto found = std::lower_bound(rows.begin(), rows.end(), target, [](const TableRow& row, auto name) {
    return row.schema.target < name;
  });
  return found == rows.end() || found->schema.target != target ? nullptr : &*found;
}

bool is_shape_arithmetic(std::string_view target) {
  return std::find(std::begin(kShapeArithmetic), std::end(kShapeArithmetic), target) !=
         std::end(kShapeArithmetic);
}

std::vector<std::string> supported_overloads() {
  std::vector<std::string> names(std::begin(kShapeArithmetic), std::end(kShapeArithmetic));
  for (const TableRow& row : table()) names.push_back(row.schema.target);
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace headrace::frontend
