// Attention over tiles of keys: softmax is taken online, so that no matrix of scores is stored.
//
// Scores lie with the queries of a block side by side, [key][query]: then products, maxima, sums and
// exponentials all run along vectors of queries, and keys and values are read where they lie. Where there are
// few queries, those of all heads that share their keys make one block.
#include <cmath>
#include <limits>

#include "kernels/cpu/attention_form.h"
#include "kernels/cpu/attention_tiles.h"
#include "kernels/cpu/staging.h"
#include "kernels/cpu/step_kernel.h"
#include "kernels/cpu/tile_functions.h"
#include "kernels/step_checks.h"

namespace headrace::cpu {

namespace {

constexpr int64_t kQueryBlock = 64, kKeyTile = 64;

class AttentionKernel : public StepKernel {
 public:
  AttentionKernel(AttentionForm form, int threads);
  Bytes workspace() const override { return thread_space_.size() * threads_; }
  Status run(const Addresses& at) const override;

 private:
  // The blocks of one thread's workspace.
  struct Memory {
    float *q, *scores, *acc, *k, *v, *max, *sum, *factor, *mask, *row;
  };
  // Queries [first, first + count) of a unit: all queries of `heads` heads from `head` on, which share keys.
  struct Block {
    int64_t batch, head, first, count, columns;
  };

  Memory memory(const Addresses& at, int thread) const;
  Block block(int64_t index) const;
  // Which head (of the unit) and query a row of a unit is.
  std::pair<int64_t, int64_t> place(int64_t row) const { return {row / form_.queries, row % form_.queries}; }
  void run_block(const Addresses& at, const Memory& memory, const Block& block) const;
  void load_queries(const Addresses& at, const Memory& memory, const Block& block) const;
  // Rows [first, first + count) of keys or values as f32, and the distance of two rows.
  std::pair<const float*, int64_t> rows(const StepTensor& tensor, const std::byte* start, int64_t first,
                                        int64_t count, float* buffer, int64_t columns) const;
  void add_mask(const Addresses& at, const Memory& memory, const Block& block, int64_t first,
                int64_t count) const;
  void mask_future(const Memory& memory, const Block& block, int64_t first, int64_t count) const;
  // Adds the values of a tile of keys by their weights, which lie where the scores were.
  void add_values(const Memory& memory, const Block& block, int64_t first, int64_t count, const float* values,
                  int64_t value_row) const;
  void store(const Addresses& at, const Memory& memory, const Block& block) const;

  AttentionForm form_;
  const AttentionTiles& tiles_ = attention_tiles();
  int64_t unit_heads_ = 1;  // heads whose queries share blocks
  int64_t unit_rows_ = 0, blocks_ = 0, columns_ = 0, padded_width_ = 0;
  int threads_ = 1;
  WorkspacePlan thread_space_;
  int64_t at_q_ = 0, at_scores_ = 0, at_acc_ = 0, at_k_ = 0, at_v_ = 0, at_rows_ = 0;
};

int64_t round_up(int64_t value, int64_t to) { return (value + to - 1) / to * to; }

AttentionKernel::AttentionKernel(AttentionForm form, int threads) : form_(std::move(form)) {
  unit_heads_ = form_.queries < kQueryBlock / 2 ? form_.heads_per_group() : 1;
  unit_rows_ = unit_heads_ * form_.queries;
  blocks_ = (unit_rows_ + kQueryBlock - 1) / kQueryBlock;
  columns_ = round_up(std::min(unit_rows_, kQueryBlock), tiles_.width);
  padded_width_ = round_up(form_.width, tiles_.width);
  const double work = static_cast<double>(form_.batches()) * static_cast<double>(form_.heads) *
                      static_cast<double>(form_.queries) * static_cast<double>(form_.keys) *
                      static_cast<double>(form_.depth + form_.width);
  const int64_t tasks = form_.batches() * (form_.heads / unit_heads_) * blocks_;
  threads_ = static_cast<int>(
      std::min<int64_t>(worthwhile_threads(threads, work * 0.03), std::max<int64_t>(tasks, 1)));
  const auto floats = [&](int64_t count) { return thread_space_.add({count * 4}); };
  at_q_ = floats(form_.depth * columns_);
  at_scores_ = floats(kKeyTile * columns_);
  at_acc_ = floats(columns_ * padded_width_);
  at_k_ = floats(kKeyTile * form_.depth);
  at_v_ = floats(kKeyTile * padded_width_);
  at_rows_ = floats(3 * columns_ + kKeyTile + std::max(form_.depth, padded_width_));
}

AttentionKernel::Memory AttentionKernel::memory(const Addresses& at, int thread) const {
  std::byte* start = at.workspace + thread * thread_space_.size().count;
  const auto floats = [&](int64_t offset) { return reinterpret_cast<float*>(start + offset); };
  Memory memory = {floats(at_q_), floats(at_scores_), floats(at_acc_), floats(at_k_), floats(at_v_)};
  memory.max = floats(at_rows_);
  memory.sum = memory.max + columns_;
  memory.factor = memory.sum + columns_;
  memory.mask = memory.factor + columns_;
  memory.row = memory.mask + kKeyTile;
  return memory;
}

AttentionKernel::Block AttentionKernel::block(int64_t index) const {
  const int64_t units = form_.heads / unit_heads_;
  Block block = {};
  block.first = index % blocks_ * kQueryBlock;
  block.head = index / blocks_ % units * unit_heads_;
  block.batch = index / blocks_ / units;
  block.count = std::min(kQueryBlock, unit_rows_ - block.first);
  block.columns = round_up(block.count, tiles_.width);
  return block;
}

// Scaled, one query a column; columns without a query are 0.
void AttentionKernel::load_queries(const Addresses& at, const Memory& memory, const Block& block) const {
  const StepTensor& q = form_.q;
  const TileLoad load = tile_functions().load[static_cast<size_t>(q.dtype)];
  const auto scale = static_cast<float>(form_.scale);
  const int64_t start = form_.batch_offset(1, block.batch) + block.head * head_stride(q);
  for (int64_t i = 0; i < block.columns; ++i) {
    if (i >= block.count) {
      for (int64_t d = 0; d < form_.depth; ++d) memory.q[d * block.columns + i] = 0;
      continue;
    }
    const auto [head, query] = place(block.first + i);
    const int64_t row = start + head * head_stride(q) + query * row_stride(q);
    load(q.at(at) + row * dtype_size(q.dtype), column_stride(q), memory.row, form_.depth);
    for (int64_t d = 0; d < form_.depth; ++d) memory.q[d * block.columns + i] = memory.row[d] * scale;
  }
}

std::pair<const float*, int64_t> AttentionKernel::rows(const StepTensor& tensor, const std::byte* start,
                                                       int64_t first, int64_t count, float* buffer,
                                                       int64_t columns) const {
  const int64_t size = dtype_size(tensor.dtype), width = tensor.shape.back();
  const std::byte* from = start + first * row_stride(tensor) * size;
  if (tensor.dtype == DType::kF32 && column_stride(tensor) == 1 && width == columns)
    return {reinterpret_cast<const float*>(from), row_stride(tensor)};
  const TileLoad load = tile_functions().load[static_cast<size_t>(tensor.dtype)];
  for (int64_t row = 0; row < count; ++row) {
    float* to = buffer + row * columns;
    load(from + row * row_stride(tensor) * size, column_stride(tensor), to, width);
    for (int64_t i = width; i < columns; ++i) to[i] = 0;
  }
  return {buffer, columns};
}

void AttentionKernel::add_mask(const Addresses& at, const Memory& memory, const Block& block, int64_t first,
                               int64_t count) const {
  const StepTensor& mask = *form_.mask;
  const int64_t size = dtype_size(mask.dtype), column = column_stride(mask);
  const std::byte* start =
      mask.at(at) +
      (form_.batch_offset(4, block.batch) + block.head * head_stride(mask) + first * column) * size;
  const auto load_row = [&](int64_t row) {
    const std::byte* from = start + row * size;
    if (mask.dtype == DType::kBool) {
      constexpr float kMasked = -std::numeric_limits<float>::infinity();
      for (int64_t j = 0; j < count; ++j) memory.mask[j] = from[j * column] == std::byte{0} ? kMasked : 0.0f;
    } else {
      tile_functions().load[static_cast<size_t>(mask.dtype)](from, column, memory.mask, count);
    }
  };
  const bool one_row = row_stride(mask) == 0 && (unit_heads_ == 1 || head_stride(mask) == 0);
  if (one_row) {
    load_row(0);
    for (int64_t j = 0; j < count; ++j)
      for (int64_t i = 0; i < block.columns; ++i) memory.scores[j * block.columns + i] += memory.mask[j];
    return;
  }
  for (int64_t i = 0; i < block.count; ++i) {
    const auto [head, query] = place(block.first + i);
    load_row(head * head_stride(mask) + query * row_stride(mask));
    for (int64_t j = 0; j < count; ++j) memory.scores[j * block.columns + i] += memory.mask[j];
  }
}

void AttentionKernel::mask_future(const Memory& memory, const Block& block, int64_t first,
                                  int64_t count) const {
  for (int64_t i = 0; i < block.count; ++i) {
    const int64_t seen = place(block.first + i).second + 1;  // keys [0, seen)
    for (int64_t j = std::max<int64_t>(seen - first, 0); j < count; ++j)
      memory.scores[j * block.columns + i] = -std::numeric_limits<float>::infinity();
  }
}

void AttentionKernel::run_block(const Addresses& at, const Memory& memory, const Block& block) const {
  const int64_t group = block.head / form_.heads_per_group(), columns = block.columns;
  const StepTensor &k = form_.k, &v = form_.v;
  const int64_t size = dtype_size(k.dtype);
  const std::byte* k_start = k.at(at) + (form_.batch_offset(2, block.batch) + group * head_stride(k)) * size;
  const std::byte* v_start = v.at(at) + (form_.batch_offset(3, block.batch) + group * head_stride(v)) * size;
  load_queries(at, memory, block);
  std::fill_n(memory.max, columns, -std::numeric_limits<float>::infinity());
  std::fill_n(memory.sum, columns, 0.0f);
  std::fill_n(memory.acc, block.count * padded_width_, 0.0f);
  int64_t end = form_.keys;
  if (form_.causal) {
    int64_t last = form_.queries - 1;  // the last query of the block
    if (unit_heads_ == 1) last = block.first + block.count - 1;
    end = std::min(end, last + 1);
  }
  for (int64_t first = 0; first < end; first += kKeyTile) {
    const int64_t count = std::min(kKeyTile, end - first);
    const auto [keys, key_row] = rows(k, k_start, first, count, memory.k, form_.depth);
    tiles_.product(count, columns, form_.depth, keys, key_row, 1, memory.q, columns, memory.scores, columns,
                   false);
    if (form_.mask) add_mask(at, memory, block, first, count);
    if (form_.causal) mask_future(memory, block, first, count);
    tiles_.take_in(memory.scores, count, columns, memory.max, memory.sum, memory.factor);
    for (int64_t i = 0; i < block.count && first > 0; ++i)
      for (int64_t e = 0; e < padded_width_; ++e) memory.acc[i * padded_width_ + e] *= memory.factor[i];
    const auto [values, value_row] = rows(v, v_start, first, count, memory.v, padded_width_);
    add_values(memory, block, first, count, values, value_row);
  }
  store(at, memory, block);
}

void AttentionKernel::add_values(const Memory& memory, const Block& block, int64_t first, int64_t count,
                                 const float* values, int64_t value_row) const {
  // A later key takes no part in a causal query, and a weight of 0 is no part only of a finite value.
  const int64_t least_seen = unit_heads_ == 1 ? block.first + 1 : 1;
  const bool hides = form_.causal && first + count > least_seen;
  if (!hides || tiles_.all_finite(values, count, padded_width_, value_row)) {
    tiles_.product(block.count, padded_width_, count, memory.scores, 1, block.columns, values, value_row,
                   memory.acc, padded_width_, true);
    return;
  }
  for (int64_t i = 0; i < block.count; ++i) {
    const int64_t seen = std::clamp<int64_t>(place(block.first + i).second + 1 - first, 0, count);
    tiles_.product(1, padded_width_, seen, memory.scores + i, 1, block.columns, values, value_row,
                   memory.acc + i * padded_width_, padded_width_, true);
  }
}

void AttentionKernel::store(const Addresses& at, const Memory& memory, const Block& block) const {
  const StepTensor& out = form_.out;
  const TileStore store = tile_functions().store[static_cast<size_t>(out.dtype)];
  const int64_t start = form_.batch_offset(0, block.batch) + block.head * head_stride(out);
  for (int64_t i = 0; i < block.count; ++i) {
    const auto [head, query] = place(block.first + i);
    float* acc = memory.acc + i * padded_width_;
    // All weights of a query that attends to nothing are 0, and so is their sum.
    const float factor = memory.sum[i] == 0 ? 1.0f : 1.0f / memory.sum[i];
    for (int64_t e = 0; e < form_.width; ++e) acc[e] *= factor;
    const int64_t row = start + head * head_stride(out) + query * row_stride(out);
    store(acc, out.at(at) + row * dtype_size(out.dtype), column_stride(out), form_.width);
  }
}

Status AttentionKernel::run(const Addresses& at) const {
  const int64_t tasks = form_.batches() * (form_.heads / unit_heads_) * blocks_;
  parallel_ranges(threads_, tasks, [&](int thread, int64_t begin, int64_t end) {
    const Memory memory = this->memory(at, thread);
    for (int64_t task = begin; task < end; ++task) run_block(at, memory, block(task));
  });
  return {};
}

Result<std::unique_ptr<StepKernel>> make_attention(const StepShapes& step) {
  HR_ASSIGN(AttentionForm form, AttentionForm::make(step));
  if (form.dtype == DType::kF64) return make_double_attention(std::move(form), step.threads);
  return std::unique_ptr<StepKernel>(std::make_unique<AttentionKernel>(std::move(form), step.threads));
}

constexpr KernelRow kRows[] = {{"attention", make_attention}};

}  // namespace

std::span<const KernelRow> attention_kernels() { return kRows; }

}  // namespace headrace::cpu
