// Recipe: how one stored weight is made from source weights, from a closed list of steps.
//
// A recipe is a short SSA list; its last step is the stored weight. The builder evaluates recipes one at a
// time, straight into the engine file, so peak host memory is the working set of one recipe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <headrace/bytes.h>
#include <headrace/dtype.h>
#include "core/attributes.h"
#include "core/shape.h"

namespace headrace {

// What an archive's directory says of a storage's bytes: by it, an archive is known again.
struct StorageMark {
  Bytes size;
  uint32_t crc = 0;  // CRC-32
  bool operator==(const StorageMark&) const = default;
};

// A reference to source bytes: elements of a storage, as as_strided sees them.
struct SourceWeight {
  std::string name;     // "layers.0.q_proj.weight", for messages and refit
  std::string storage;  // "data/weights/weight_3"
  DType dtype = DType::kF32;
  Sizes shape;
  Sizes strides;                         // in elements
  int64_t offset = 0;                    // in elements
  std::optional<StorageMark> mark = {};  // of the storage; absent where its archive does not say
  bool operator==(const SourceWeight&) const = default;
};

enum class RecipeOp : uint8_t {
  kSource = 0,  // the source weight `source`
  kCast = 1,    // to `dtype`
  kStrided =
      2,        // a view of its one input, made contiguous: attributes strides (ints, elements), offset (int)
  kConcat = 3,  // inputs along attribute `axis`
  kEval = 4,    // any op of the reference back end on weights alone: attribute `kernel` (text) and the op's
                // own; absent inputs are operand -1
  kPack =
      5,  // bytes in a kernel's own layout, by the back end's Packer: attribute `layout` (text) and its own
};

struct RecipeStep {
  RecipeOp op = RecipeOp::kSource;
  std::vector<int> inputs;  // earlier steps
  int source = -1;          // kSource: index into Plan::sources
  DType dtype = DType::kF32;
  Sizes shape;  // of the result; kPack: the logical shape
  AttributeMap attributes;
  bool operator==(const RecipeStep&) const = default;
};

using Recipe = std::vector<RecipeStep>;

}  // namespace headrace
