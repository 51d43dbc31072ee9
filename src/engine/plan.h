// Plan: what a lowering makes and a runtime runs. One generic form for all back ends.
//
// A plan is a list of steps over tensors; a tensor is a strided window of a buffer; a buffer is an input, an
// output, a piece of the arena, a weight, a literal or a state. Sizes are Dims over the plan's symbols: the
// arena is solved when a run's shapes are known. Steps run in order. The runtime drives them one by one, and
// streams weights between them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <headrace/bytes.h>
#include <headrace/dtype.h>
#include "core/attributes.h"
#include "core/dim.h"
#include "core/shape.h"
#include "engine/recipe.h"

namespace headrace {

using StepIndex = int32_t;
using BufferIndex = int32_t;
using TensorIndex = int32_t;
inline constexpr int32_t kNone = -1;

enum class BufferKind : uint8_t {
  kInput = 0,
  kOutput = 1,
  kArena = 2,
  kWeight = 3,
  kLiteral = 4,
  kState = 5
};

struct Buffer {
  BufferKind kind = BufferKind::kArena;
  Dim size;               // in bytes
  int32_t index = kNone;  // into inputs, outputs, weights, literals or states; kNone for the arena
  // Arena only: the steps that write it first and touch it last, both included.
  StepIndex first_step = kNone;
  StepIndex last_step = kNone;
  bool operator==(const Buffer&) const = default;
};

struct PlanTensor {
  DType dtype = DType::kF32;
  Shape shape;
  Shape strides;  // in elements; always given, 0 where broadcast
  Dim offset;     // in elements, from the buffer's start
  BufferIndex buffer = kNone;
  bool operator==(const PlanTensor&) const = default;
};

struct Step {
  std::string kernel;               // the back end's own name for it: "matmul"
  std::string label;                // the node that it came from, for messages and traces
  std::vector<TensorIndex> inputs;  // kNone: absent
  std::vector<TensorIndex> outputs;
  AttributeMap attributes;
  bool operator==(const Step&) const = default;
};

enum class WeightUse : uint8_t {
  kWhole = 0,  // kernels read it all, from memory
  kRows = 1,   // kernels fetch rows of it by index (embeddings), through a RowSource
};
enum class Encoding : uint8_t { kPlain = 0 };  // later: losslessly compressed, fp8, int4

struct Weight {
  std::string name;
  DType dtype = DType::kF32;
  Sizes shape;  // logical
  Encoding encoding = Encoding::kPlain;
  WeightUse use = WeightUse::kWhole;
  Bytes stored;    // bytes in the file
  Bytes resident;  // bytes in memory; equal to stored for kPlain
  Recipe recipe;
  // Set by the builder.
  int32_t group = kNone;
  Bytes offset;           // in its group
  uint64_t checksum = 0;  // XXH3-64 of the stored bytes
  bool operator==(const Weight&) const = default;
};

// The unit of residency and streaming: weights that lie together in the file and move together. A group with
// a kRows weight holds that weight alone.
struct WeightGroup {
  Bytes offset;            // in the weight section; a multiple of kWeightAlignment
  Bytes size;              // of the group's bytes, padding inside it included
  bool streamable = true;  // false: always resident and not counted in the weight budget
  bool operator==(const WeightGroup&) const = default;
};
inline constexpr Bytes kWeightAlignment = {4096};
inline constexpr Bytes kAlwaysResidentBelow = {64
                                               << 10};  // weights smaller than this, as stored, always stay

struct Literal {
  DType dtype = DType::kF32;
  Sizes shape;
  std::vector<std::byte> bytes;  // row-major
  bool operator==(const Literal&) const = default;
};

struct State {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;
  bool operator==(const State&) const = default;
};

enum class InputKind : uint8_t { kTensor = 0, kNumber = 1, kConstant = 2 };

struct InputSpec {
  InputKind kind = InputKind::kTensor;
  std::string name;
  DType dtype = DType::kF32;   // kTensor
  Shape shape;                 // kTensor
  BufferIndex buffer = kNone;  // kTensor; kNone where no step reads it
  std::string symbol;          // kNumber
  std::string constant;        // kConstant: JSON text
  bool operator==(const InputSpec&) const = default;
};

enum class OutputKind : uint8_t { kTensor = 0, kNumber = 1, kNoneValue = 2 };

struct OutputSpec {
  OutputKind kind = OutputKind::kTensor;
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;
  // kTensor: where the result lies after the last step. In a kOutput buffer of its own: steps write it in
  // place. In any other buffer (an input handed through, a literal, a weight, another output): the runtime
  // copies.
  TensorIndex tensor = kNone;
  Dim number;  // kNumber
  bool operator==(const OutputSpec&) const = default;
};

enum class Relation : uint8_t { kEq = 0, kNe = 1, kLt = 2, kLe = 3, kGt = 4, kGe = 5 };
struct ShapeGuard {
  Dim left, right;
  Relation relation = Relation::kEq;
  bool operator==(const ShapeGuard&) const = default;
};

struct Plan {
  std::string backend;      // "reference", "cpu", "cuda"
  std::string fingerprint;  // what the steps and packed weights depend on: library versions, ISA
  std::vector<Symbol> symbols;
  std::vector<ShapeGuard> guards;
  std::vector<InputSpec> inputs;  // in the order of the call
  std::vector<OutputSpec> outputs;
  std::vector<Buffer> buffers;
  std::vector<PlanTensor> tensors;
  std::vector<Step> steps;
  std::vector<SourceWeight> sources;
  std::vector<Weight> weights;      // in the order of first use
  std::vector<WeightGroup> groups;  // in the order of first use; set by the builder
  std::vector<Literal> literals;
  std::vector<State> states;
  std::vector<std::byte> code;    // the back end's own binaries for its steps; empty on the CPU
  std::string in_spec, out_spec;  // torch.utils pytree text; empty where unknown
  bool operator==(const Plan&) const = default;
};

// Checks every index, count, size and range of a plan, whatever its origin: after ok, following an index is
// safe. Errors: kCorrupt.
Status verify(const Plan& plan);

// For each step, the weight groups whose bytes it reads as a whole (kWhole; with `rows`, also those of which
// it reads rows), without repeats, in order.
std::vector<std::vector<int32_t>> groups_by_step(const Plan& plan, bool rows = false);

// What `headrace inspect --plan` prints.
std::string to_text(const Plan& plan);

}  // namespace headrace
