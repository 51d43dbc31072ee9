// ShapePlan: a plan made ready for one set of shapes: kernels prepared, arena laid out, sizes known.
#pragma once

#include <memory>
#include <vector>

#include <headrace/bytes.h>
#include <headrace/status.h>
#include "core/dim.h"
#include "core/shape.h"
#include "engine/plan.h"
#include "kernels/kernels.h"

namespace headrace::runtime {

struct ShapePlan {
  // How an output gets to where the caller wants it.
  struct Output {
    Sizes shape;
    Bytes size;
    bool in_place = false;  // steps write it, row-major, from the start of its own buffer
    // Otherwise copied from a window of `buffer` after the last step.
    BufferIndex buffer = kNone;
    Bytes offset;
    Sizes strides;
    int64_t number = 0;  // kNumber
  };

  DimBindings dims;
  std::shared_ptr<const Prepared> prepared;
  std::vector<Bytes> buffer_sizes;   // by buffer
  std::vector<Bytes> arena_offsets;  // by buffer; only those of the arena count
  std::vector<Bytes> workspaces;     // by step: offset in the arena
  std::vector<Output> outputs;       // by output
  std::vector<Bytes> states;         // by state: size
  Bytes arena;                       // workspaces included
  Bytes workspace;                   // the largest
};

// Errors: kInvalidArgument where a size does not evaluate, kCorrupt where a tensor leaves its buffer;
// the back end's.
Result<std::shared_ptr<const ShapePlan>> make_shape_plan(const Plan& plan, Executable& executable,
                                                         DimBindings dims, int threads);

// The arena of a run on a queued device: with a place for each input and output, which all pass through it.
Bytes arena_with_places(const Plan& plan, const ShapePlan& shape);

// The arena of these shapes without the kernels' workspaces: cheap, nothing is prepared.
Result<Bytes> arena_without_workspace(const Plan& plan, const DimBindings& dims);

}  // namespace headrace::runtime
