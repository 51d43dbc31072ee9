// ExportedProgram: torch.export's saved program, as read from model.json. Plain data; nothing is interpreted
// yet.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include <headrace/dtype.h>
#include "core/dim.h"

namespace headrace::frontend {

// The profile's max of a symbol without an upper bound: no size that fits a machine is larger.
inline constexpr int64_t kUnboundedSize = int64_t{1} << 31;

// A symbolic int as an argument: the name of a sym-int value of the graph. A symbolic float or bool looks the
// same, but ExportedProgram::sym_ints does not have it.
struct SymName {
  std::string name;
  bool operator==(const SymName&) const = default;
};
struct TensorName {
  std::string name;
  bool operator==(const TensorName&) const = default;
};
struct NoneArgument {
  bool operator==(const NoneArgument&) const = default;
};
// torch.device, memory_format, layout, … : kept as text; lowering looks at few of them. Texts: kDevice "cpu"
// or "cuda:0"; kMemoryFormat "contiguous", "channels_last", "channels_last_3d" or "preserve"; kLayout as
// TensorMeta::layout; kGraph and kCustomObject the name; kOther the tag and its JSON, "as_complex: {…}".
struct NamedConstant {
  enum class Kind : uint8_t {
    kDevice,
    kMemoryFormat,
    kLayout,
    kGraph,
    kCustomObject,
    kOther
  } kind = Kind::kOther;
  std::string text;
  bool operator==(const NamedConstant&) const = default;
};
using IntOrSym = std::variant<int64_t, SymName>;

// The tag follows the value, not the op's schema: a Scalar may come as int, float, bool or symbol.
using Argument = std::variant<NoneArgument, TensorName,
                              std::vector<std::optional<TensorName>>,  // tensor list, optional entries
                              int64_t, double, bool, std::string, DType, SymName, std::vector<IntOrSym>,
                              std::vector<double>, std::vector<bool>, NamedConstant>;

struct NamedArgument {
  std::string name;  // of the op's schema
  Argument value;
  bool keyword = false;
};

struct TensorMeta {
  DType dtype = DType::kF32;
  std::string unsupported_dtype;  // set where the element type is one that DType lacks ("f8e4m3fn", "c64")
  std::vector<Dim> sizes;
  std::vector<Dim> strides;
  Dim storage_offset;
  std::string layout = "strided";  // "strided", or the name of another layout
  std::string device = "cpu";
};

struct ProgramNode {
  std::string target;  // "torch.ops.aten.linear.default", "_operator.mul"
  std::vector<NamedArgument> inputs;
  std::vector<Argument> outputs;
  std::string name;
  std::string location;  // "model.py:41", from the innermost frame of the stack trace outside torch; or empty
};

struct InputSpecEntry {
  enum class Kind : uint8_t {
    kParameter,
    kBuffer,
    kTensorConstant,
    kCustomObject,
    kToken,
    kUserInput,
    kConstantInput
  };
  Kind kind = Kind::kUserInput;
  Argument argument;       // TensorName or SymName where it is a graph value
  std::string target;      // parameter, buffer or constant name; for kConstantInput its argument name
  bool persistent = true;  // kBuffer
};

struct OutputSpecEntry {
  enum class Kind : uint8_t { kUserOutput, kBufferMutation, kParameterMutation, kUserInputMutation, kOther };
  Kind kind = Kind::kUserOutput;
  Argument argument;
  std::string target;  // of a mutation
};

// One saved tensor: which file of the archive, and which elements of it.
struct PayloadEntry {
  std::string storage;  // the archive entry, without the root folder: "data/weights/weight_3"
  bool pickled = false;
  TensorMeta meta;
};

struct ExportedProgram {
  std::string torch_version;
  int64_t schema_major = 0, schema_minor = 0;
  bool decomposed = false;  // verifiers: ["ATEN"] rather than ["TRAINING"]
  std::vector<ProgramNode> nodes;
  std::map<std::string, TensorMeta, std::less<>> tensors;
  std::map<std::string, Dim, std::less<>> sym_ints;  // value name -> expression
  std::vector<InputSpecEntry> inputs;                // in graph order
  std::vector<OutputSpecEntry> outputs;
  std::vector<Symbol> symbols;           // range_constraints, opt = hint of the example
  std::vector<std::string> guards_code;  // Python text; the lowering understands the simple ones
  std::string in_spec, out_spec;         // pytree text
  std::vector<std::string> forward_arg_names;
  std::map<std::string, PayloadEntry, std::less<>> weights;    // by parameter or buffer name
  std::map<std::string, PayloadEntry, std::less<>> constants;  // lifted constants and non-persistent buffers
};

}  // namespace headrace::frontend
