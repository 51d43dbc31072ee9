// Weights: where source bytes come from, and the evaluator that turns a recipe into stored bytes, one at a
// time.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <headrace/status.h>
#include "engine/plan.h"
#include "engine/recipe.h"

namespace headrace {

// Source bytes by storage name: an archive, a folder of tensors, memory.
// Threads: calls may overlap.
class WeightSourceReader {
 public:
  virtual ~WeightSourceReader() = default;
  // The size of a storage. Errors: kNotFound.
  virtual Result<Bytes> size(const std::string& storage) const = 0;
  // Reads [offset, offset + out.size()) of a storage. Errors: kCorrupt (short), kUnavailable.
  virtual Status read(const std::string& storage, Bytes offset, std::span<std::byte> out) const = 0;
};

// A dense tensor in host memory, row-major. Owns its bytes; moves.
struct HostTensor {
  DType dtype = DType::kF32;
  Sizes shape;
  std::vector<std::byte> bytes;
};

// Packs weights into a kernel's own layout; implemented in kernels/x and handed in by app.
class Packer {
 public:
  virtual ~Packer() = default;
  // Sets in the step's attributes the layout that kernels here want (another one may be set), and gives the
  // stored size. Errors: as packed_size.
  virtual Result<Bytes> choose(RecipeStep& step) const = 0;
  // The stored size of what pack() makes. Errors: kUnsupported for a layout that is not this back end's.
  virtual Result<Bytes> packed_size(const RecipeStep& step) const = 0;
  // Writes exactly packed_size bytes. `input` is dense, of the step's logical shape and dtype.
  virtual Status pack(const RecipeStep& step, std::span<const std::byte> input,
                      std::span<std::byte> out) const = 0;
};

// Evaluates an op of the reference back end on dense tensors; implemented in kernels/reference, handed in by
// app.
class Evaluator {
 public:
  virtual ~Evaluator() = default;
  // `step` is kEval; nullptr inputs are absent operands.
  virtual Result<HostTensor> evaluate(const RecipeStep& step,
                                      std::span<const HostTensor* const> inputs) const = 0;
};

// Makes the stored bytes of `weight` in `out`, which is resized. Peak memory is this recipe's working set.
// Errors: those of the reader, packer and evaluator, with the weight's name.
Status evaluate_recipe(const Weight& weight, std::span<const SourceWeight> sources,
                       const WeightSourceReader& reader, const Packer* packer, const Evaluator* evaluator,
                       std::vector<std::byte>& out);

// Takes the next bytes of a weight, in order. May swap `piece` for another vector, to keep its bytes and give
// back memory that is no longer needed.
using PieceSink = std::function<Status(std::vector<std::byte>& piece)>;

// The same, handed to `sink` bit by bit: in pieces of `piece_size` where bytes go straight through (sources,
// casts of them, joined along the first axis), so that a huge embedding is never whole in memory; else at
// once. An error of `sink` ends it and is returned.
Status evaluate_recipe_in_pieces(const Weight& weight, std::span<const SourceWeight> sources,
                                 const WeightSourceReader& reader, const Packer* packer,
                                 const Evaluator* evaluator, Bytes piece_size, const PieceSink& sink);

}  // namespace headrace
