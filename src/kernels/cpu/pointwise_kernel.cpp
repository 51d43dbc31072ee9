// pointwise: a fused chain of element by element functions, tile by tile in L1.
#include "kernels/cpu/pointwise_kernel.h"

#include <atomic>

#include "kernels/cpu/loop_nest.h"
#include "kernels/cpu/pointwise_code.h"
#include "kernels/cpu/step_kernel.h"
#include "kernels/step_checks.h"

namespace headrace::cpu {
namespace {

constexpr int64_t kTilePadding = 192;  // bytes, so that tiles do not meet in the same cache sets

// One tile: `rows` runs of the innermost dim, from column `column`, `columns` long; rows > 1 only for whole
// runs.
struct Tile {
  int64_t rows, columns;
  int64_t elements() const { return rows * columns; }
};

class PointwiseKernel : public StepKernel {
 public:
  static Result<std::unique_ptr<StepKernel>> make(const StepShapes& step);

  Bytes workspace() const override { return {thread_bytes_ * threads_}; }

  Status run(const Addresses& at) const override {
    std::atomic<bool> divided_by_zero = false;
    parallel_ranges(threads_, tiles_, [&](int thread, int64_t begin, int64_t end) {
      if (!run_tiles(at, at.workspace + thread * thread_bytes_, begin, end)) divided_by_zero = true;
    });
    if (divided_by_zero) return invalid_argument("'{}': an integer is divided by 0", label_);
    return {};
  }

 private:
  struct Loaded {  // which elements a tile of an input holds
    const std::byte* from = nullptr;
    int64_t columns = 0, elements = 0;
  };
  // A thread's view of one run.
  struct Frame {
    std::byte** bases;       // by tensor: inputs, then outputs
    const void** registers;  // where each is now
    Loaded* loaded;          // by input
    std::byte* tiles;
  };

  int64_t rows_stride(size_t t) const { return nest_.rank() > 1 ? nest_.strides[t][nest_.rank() - 2] : 0; }
  int64_t column_stride(size_t t) const { return nest_.strides[t].back(); }
  // Whether the tiles of tensor t lie in memory as they are computed.
  bool lies_as_tile(size_t t) const {
    const bool rows_follow = rows_ == 1 || rows_stride(t) == nest_.inner();
    return is_lane(dtypes_[t]) && column_stride(t) == 1 && rows_follow;
  }
  void plan_tiles(int64_t tile_elements);
  Frame frame(const Addresses& at, std::byte* memory) const;
  void load(const Frame& frame, size_t input, const std::byte* from, Tile tile) const;
  void store(const void* from, size_t t, std::byte* to, Tile tile) const;
  bool run_tiles(const Addresses& at, std::byte* memory, int64_t begin, int64_t end) const;
  bool compute(const Frame& frame, std::byte* last_to, int64_t n) const;

  PointwiseCode code_;
  std::string label_;
  std::vector<StepTensor> tensors_;  // inputs, then outputs
  std::vector<DType> dtypes_;        // of those
  size_t inputs_ = 0;
  LoopNest nest_;                   // of all those
  std::vector<bool> in_place_;      // by input
  int direct_output_ = kNone;       // the tensor that the last instruction writes to itself
  int64_t rows_ = 1, columns_ = 1;  // of a whole tile
  int64_t row_blocks_ = 1, column_blocks_ = 1, tiles_ = 0;
  int64_t slot_bytes_ = 0, thread_bytes_ = 0;
  int threads_ = 1;
};

void PointwiseKernel::plan_tiles(int64_t tile_elements) {
  const int64_t inner = std::max<int64_t>(nest_.inner(), 1);
  const int64_t outer = nest_.rank() > 1 ? nest_.sizes[nest_.rank() - 2] : 1;
  columns_ = std::min(inner, tile_elements);
  rows_ = columns_ < inner ? 1 : std::clamp<int64_t>(tile_elements / inner, 1, std::max<int64_t>(outer, 1));
  column_blocks_ = (inner + columns_ - 1) / columns_;
  row_blocks_ = (outer + rows_ - 1) / rows_;
  tiles_ = nest_.rank() > 1 ? nest_.outer(2) * row_blocks_ * column_blocks_ : column_blocks_;
}

Result<std::unique_ptr<StepKernel>> PointwiseKernel::make(const StepShapes& step) {
  auto kernel = std::make_unique<PointwiseKernel>();
  const std::string text = step.step->attributes.text("program");
  Result<PointwiseProgram> program = PointwiseProgram::parse(text);
  if (!program.ok()) return malformed(step, "{}", program.status().message());
  const size_t inputs = program->inputs.size();
  HR_TRY(check_form(step, inputs, inputs, program->results.size()));
  for (size_t i = 0; i < inputs; ++i) {
    if (step.inputs[i]->dtype != program->inputs[i])
      return malformed(step, "input {} is {}, its program says {}", i, dtype_name(step.inputs[i]->dtype),
                       dtype_name(program->inputs[i]));
    kernel->tensors_.push_back(*step.inputs[i]);
  }
  for (size_t i = 0; i < step.outputs.size(); ++i) {
    const StepTensor& output = step.outputs[i];
    if (output.dtype != program->dtype(program->results[i]) || output.shape != step.outputs[0].shape)
      return malformed(step, "output {} has not the dtype or the sizes that its program gives", i);
    kernel->tensors_.push_back(output);
  }
  const Sizes& shape = step.outputs[0].shape;
  // The first output leads, so that it is written in order.
  std::vector<Sizes> strides = {step.outputs[0].strides};
  for (const StepTensor& tensor : kernel->tensors_) {
    HR_ASSIGN(Sizes aligned, broadcast_strides(step, tensor, shape));
    strides.push_back(std::move(aligned));
    kernel->dtypes_.push_back(tensor.dtype);
  }
  kernel->nest_ = make_nest(shape, strides);
  kernel->nest_.strides.erase(kernel->nest_.strides.begin());
  kernel->label_ = step.step->label;
  kernel->inputs_ = inputs;

  const int64_t most_live = static_cast<int64_t>(program->registers());
  kernel->plan_tiles(most_live <= 8 ? 1024 : most_live <= 24 ? 512 : 256);
  for (size_t i = 0; i < inputs; ++i) kernel->in_place_.push_back(kernel->lies_as_tile(i));
  // The last instruction may write over an input: no other follows that could still read it.
  for (size_t o = 0; o < step.outputs.size() && !program->instructions.empty(); ++o) {
    if (program->results[o] == program->registers() - 1 && kernel->lies_as_tile(inputs + o))
      kernel->direct_output_ = static_cast<int>(o);
  }
  if (program->results.size() > 1) kernel->direct_output_ = kNone;
  HR_ASSIGN(kernel->code_, PointwiseCode::make(step, *std::move(program), kernel->in_place_,
                                               kernel->direct_output_ != kNone));
  const int64_t elements = element_count(shape);
  if (elements == 0) kernel->tiles_ = 0;
  kernel->threads_ = static_cast<int>(std::min<int64_t>(
      worthwhile_threads(step.threads, static_cast<double>(elements) * kernel->code_.ns_per_element),
      std::max<int64_t>(kernel->tiles_, 1)));
  kernel->slot_bytes_ = ((kernel->rows_ * kernel->columns_ * 8 + 63) & ~int64_t{63}) + kTilePadding;
  const auto pointers = static_cast<int64_t>(
      sizeof(void*) * (kernel->tensors_.size() + kernel->code_.slots.size()) + sizeof(Loaded) * inputs);
  kernel->thread_bytes_ = kernel->slot_bytes_ * kernel->code_.slot_count + ((pointers + 63) & ~int64_t{63});
  return std::unique_ptr<StepKernel>(std::move(kernel));
}

PointwiseKernel::Frame PointwiseKernel::frame(const Addresses& at, std::byte* memory) const {
  Frame frame;
  frame.tiles = memory;
  memory += slot_bytes_ * code_.slot_count;
  frame.bases = reinterpret_cast<std::byte**>(memory);
  frame.registers = static_cast<const void**>(static_cast<void*>(frame.bases + tensors_.size()));
  frame.loaded = reinterpret_cast<Loaded*>(frame.registers + code_.slots.size());
  for (size_t t = 0; t < tensors_.size(); ++t) frame.bases[t] = tensors_[t].at(at);
  for (size_t r = 0; r < code_.slots.size(); ++r)
    frame.registers[r] = code_.slots[r] == kNone ? nullptr : frame.tiles + slot_bytes_ * code_.slots[r];
  for (size_t i = 0; i < inputs_; ++i) frame.loaded[i] = {};
  return frame;
}

void PointwiseKernel::load(const Frame& frame, size_t input, const std::byte* from, Tile tile) const {
  Loaded& loaded = frame.loaded[input];
  if (loaded.from == from && loaded.columns == tile.columns && loaded.elements >= tile.elements()) return;
  loaded = {from, tile.columns, tile.elements()};
  const DType dtype = dtypes_[input];
  const TileLoad widen = tile_functions().load[static_cast<size_t>(dtype)];
  auto* to = frame.tiles + slot_bytes_ * code_.slots[input];
  const int64_t stride = column_stride(input), step = tile.rows > 1 ? rows_stride(input) : 0;
  if (tile.rows == 1 || step == stride * tile.columns) {
    widen(from, stride, to, tile.elements());
    return;
  }
  for (int64_t r = 0; r < tile.rows; ++r) {
    widen(from, stride, to, tile.columns);
    from += step * dtype_size(dtype);
    to += tile.columns * lane_size(lane_of(dtype));
  }
}

void PointwiseKernel::store(const void* from, size_t t, std::byte* to, Tile tile) const {
  const DType dtype = dtypes_[t];
  const TileStore round = tile_functions().store[static_cast<size_t>(dtype)];
  const int64_t stride = column_stride(t), step = tile.rows > 1 ? rows_stride(t) : 0;
  if (tile.rows == 1 || step == stride * tile.columns) {
    round(from, to, stride, tile.elements());
    return;
  }
  const auto* row = static_cast<const std::byte*>(from);
  for (int64_t r = 0; r < tile.rows; ++r) {
    round(row, to, stride, tile.columns);
    row += tile.columns * lane_size(lane_of(dtype));
    to += step * dtype_size(dtype);
  }
}

// False: an integer was to be divided by 0.
bool PointwiseKernel::compute(const Frame& frame, std::byte* last_to, int64_t n) const {
  for (const TileInstruction& instruction : code_.instructions) {
    const void* operands[3] = {};
    for (int k = 0; k < instruction.operand_count; ++k)
      operands[k] = frame.registers[static_cast<size_t>(instruction.operands[static_cast<size_t>(k)])];
    if (instruction.divides_integers) {
      const auto* divisors = static_cast<const int64_t*>(operands[1]);
      if (std::find(divisors, divisors + n, 0) != divisors + n) return false;
    }
    const auto result = static_cast<size_t>(instruction.result);
    void* to = code_.slots[result] == kNone ? last_to : frame.tiles + slot_bytes_ * code_.slots[result];
    instruction.function(operands, to, n);
    const void* const made[] = {to};
    if (instruction.narrow != nullptr) instruction.narrow(made, to, n);
  }
  return true;
}

bool PointwiseKernel::run_tiles(const Addresses& at, std::byte* memory, int64_t begin, int64_t end) const {
  const Frame frame = this->frame(at, memory);
  const int64_t outer_rows = nest_.rank() > 1 ? nest_.sizes[nest_.rank() - 2] : 1;
  for (int64_t index = begin; index < end; ++index) {
    const int64_t column = index % column_blocks_ * columns_;
    const int64_t row = index / column_blocks_ % row_blocks_ * rows_;
    const int64_t outer = index / (column_blocks_ * row_blocks_);
    const Tile tile = {std::min(rows_, outer_rows - row), std::min(columns_, nest_.inner() - column)};
    const auto start = [&](size_t t) {
      const int64_t elements = (nest_.rank() > 2 ? nest_.offset(t, outer, 2) : 0) + row * rows_stride(t) +
                               column * column_stride(t);
      return frame.bases[t] + elements * dtype_size(dtypes_[t]);
    };
    for (size_t i = 0; i < inputs_; ++i) {
      if (in_place_[i]) {
        frame.registers[i] = start(i);
      } else {
        load(frame, i, start(i), tile);
      }
    }
    std::byte* last_to =
        direct_output_ == kNone ? nullptr : start(inputs_ + static_cast<size_t>(direct_output_));
    if (!compute(frame, last_to, tile.elements())) return false;
    for (size_t o = 0; inputs_ + o < tensors_.size() && direct_output_ == kNone; ++o) {
      const auto reg = static_cast<size_t>(code_.program.results[o]);
      store(frame.registers[reg], inputs_ + o, start(inputs_ + o), tile);
    }
  }
  return true;
}

constexpr KernelRow kRows[] = {{"pointwise", PointwiseKernel::make}};

}  // namespace

std::span<const KernelRow> pointwise_kernels() { return kRows; }

}  // namespace headrace::cpu
