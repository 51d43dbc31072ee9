// Schema: the signature of an ATen overload, read from the text that PyTorch prints for it. Rows of the
// lowering table carry this text, so names, defaults and aliasing are stated once and compared with
// PyTorch's.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <headrace/status.h>
#include "frontend/call.h"

namespace headrace::frontend {

struct SchemaArgument {
  enum class Type : uint8_t {
    kTensor,
    kTensors,
    kScalar,
    kInt,
    kInts,
    kFloat,
    kFloats,
    kBool,
    kBools,
    kText,
    kDType,
    kOther  // a device, layout or memory format, which change no value
  };
  std::string name;
  Type type = Type::kOther;
  bool optional = false;
  int length = 0;        // of "int[2]", for which 3 means [3, 3]; else 0
  bool aliased = false;  // an output may be a view of it: Tensor(a)
  bool written = false;  // Tensor(a!)
  std::optional<CallArgument> fallback;
};

struct Schema {
  std::string target;  // "aten.add.Tensor", "aten.relu.default"
  std::vector<SchemaArgument> arguments;
  bool returns_view = false;  // of the aliased argument

  const SchemaArgument* find(std::string_view name) const;  // nullptr where absent
};

// "add.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor". Errors: kInternal.
Result<Schema> parse_schema(std::string_view text);

// The values of the schema's arguments, in its order: given or default, and of the declared type, so a
// Scalar's is a Dim, double or bool, an int list's a list of Dims. A Tensor's may also be a number.
// Errors: kUnsupported, naming the argument (one that the schema lacks, a wrong type, a missing one).
Result<std::vector<CallArgument>> bind_arguments(const Schema& schema, const Call& call);

}  // namespace headrace::frontend
