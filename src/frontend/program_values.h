// The small records of model.json that many others are made of: sizes, tensor descriptions, arguments.
#pragma once

#include <map>
#include <string>

#include "frontend/exported_program.h"
#include "frontend/json.h"

namespace headrace::frontend {

// Carried through the reading of one model.json.
struct ProgramReader {
  JsonErrors errors;
  // Each size expression that the text has, read once, and the example's value of it where there is one.
  struct Size {
    Dim dim;
    std::optional<int64_t> hint;
  };
  std::map<std::string, Size, std::less<>> sizes;
};

Dim read_sym_int(const Json& json, ProgramReader& reader);  // {"as_int": 3}, {"as_expr": {…}}
TensorMeta read_tensor_meta(const Json& json, ProgramReader& reader);
Argument read_argument(const Json& json);
TensorName read_tensor_name(const Json& json);  // {"name": "linear_3"}

}  // namespace headrace::frontend
