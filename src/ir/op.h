// The op table: what each op of the IR is. What a back end can do with it is that back end's answer, not
// written here.
//
// The table is split by family (ops_pointwise.cpp, ops_matmul.cpp, …); verifier, printer, parser and the docs
// page are all made from its rows.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include <headrace/status.h>
#include "core/attributes.h"
#include "core/pointwise.h"
#include "core/shape.h"

namespace headrace::ir {

// dtype and shape of a value.
struct Type {
  DType dtype = DType::kF32;
  Shape shape;
  bool operator==(const Type&) const = default;
};
std::string to_text(const Type& type);  // "f32[1, 128, s0]"

enum class AttributeKind : uint8_t { kBool, kInt, kFloat, kText, kDType, kDim, kInts, kFloats, kDims };

struct AttributeInfo {
  std::string_view name;
  AttributeKind kind;
  bool required;
  std::string_view doc;
};

class Node;

struct OpInfo {
  std::string_view name;  // as printed: "matmul"
  int min_inputs;
  int max_inputs;  // -1: any number
  std::vector<AttributeInfo> attributes;
  // The types of the outputs, or why the inputs and attributes do not go together; names op, node, shapes and
  // rule.
  Result<std::vector<Type>> (*infer)(const Node& node);
  std::string_view doc;
  const PointwiseInfo* pointwise = nullptr;  // for ops that work element by element
};

// An op is the address of its row. nullptr where no op has this name.
using Op = const OpInfo*;
Op find_op(std::string_view name);
Op op(Pointwise function);
std::span<const Op> all_ops();  // by name

}  // namespace headrace::ir
