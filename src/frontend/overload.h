// The lowering table: one row per ATen overload, split by family. A row is PyTorch's schema and a function
// that writes the call in ops of the IR.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "frontend/op_call.h"

namespace headrace::frontend {

struct Overload {
  // Errors of both: kUnsupported says why this call cannot be lowered, for the report ("p = inf is not
  // supported; p = 1, 2 are").
  using One = Emitted (*)(OpCall& call);
  // One value per output; nullptr for those that are not used.
  using Many = Result<std::vector<Value*>> (*)(OpCall& call);

  constexpr Overload(std::string_view text, One function) : schema(text), one(function) {}
  constexpr Overload(std::string_view text, Many function) : schema(text), many(function) {}

  std::string_view schema;
  One one = nullptr;
  Many many = nullptr;
};

std::span<const Overload> unary_overloads();
std::span<const Overload> binary_overloads();
std::span<const Overload> compare_overloads();
std::span<const Overload> activation_overloads();
std::span<const Overload> matmul_overloads();
std::span<const Overload> einsum_overloads();
std::span<const Overload> attention_overloads();
std::span<const Overload> conv_overloads();
std::span<const Overload> pool_overloads();
std::span<const Overload> norm_overloads();
std::span<const Overload> reduce_overloads();
std::span<const Overload> view_overloads();
std::span<const Overload> slice_overloads();
std::span<const Overload> join_overloads();
std::span<const Overload> pad_overloads();
std::span<const Overload> resize_overloads();
std::span<const Overload> index_overloads();
std::span<const Overload> create_overloads();
std::span<const Overload> convert_overloads();

// A row with its schema read.
struct TableRow {
  Schema schema;
  const Overload* overload = nullptr;
};
// nullptr where the table has no such overload.
const TableRow* find_overload(std::string_view target);
// Targets whose results are numbers known from shapes, which readers evaluate themselves: sym_size, the
// arithmetic of operator and math.
bool is_shape_arithmetic(std::string_view target);

// Appends the nodes of `call` to `graph`; one value per output, nullptr for unused ones that were left out.
// Each agrees with the type that PyTorch gives. Errors: kUnsupported (why, for the report), kInternal.
Result<std::vector<Value*>> lower_call(const Call& call, const TableRow& row, ir::Graph& graph);

}  // namespace headrace::frontend
