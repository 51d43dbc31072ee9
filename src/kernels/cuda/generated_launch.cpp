#include "kernels/cuda/generated_launch.h"

#include <algorithm>

#include "core/error.h"
#include "kernels/cuda/generated_step.h"
#include "kernels/cuda/generated_walk.h"
#include "kernels/refused_plan.h"

namespace headrace::cuda {

namespace {

using Operands = std::span<const std::optional<GeneratedOperand>>;

class Planner {
 public:
  Planner(const AttributeMap& attributes, const std::string& label, Operands operands, size_t outputs,
          const DimBindings& dims, int multiprocessors)
      : attributes_(attributes),
        label_(label),
        operands_(operands),
        outputs_(outputs),
        dims_(dims),
        multiprocessors_(std::max(multiprocessors, 1)),
        rule_(attributes.text(kRule)) {}

  Result<GeneratedLaunches> run() {
    HR_TRY(check());
    HR_TRY(read_numbers());
    HR_TRY(walk());
    HR_TRY(check_range());
    if (rule_ == kElementsRule) return elements();
    if (rule_ == kTilesRule) return tiles();
    if (rule_ == kRowsRule) return rows();
    if (rule_ == kEachRule) return each();
    return grid();
  }

 private:
  Status malformed(std::string_view what) const { return refused_plan("step '{}': {}", label_, what); }

  Status check() const {
    const std::string_view rules[] = {kElementsRule, kTilesRule, kRowsRule, kEachRule, kGridRule};
    if (std::find(std::begin(rules), std::end(rules), rule_) == std::end(rules))
      return malformed(fmt::format("a launch by the rule '{}'", rule_));
    if (outputs_ == 0 || operands_.size() < outputs_ || operands_.size() > kGeneratedOperands)
      return malformed(fmt::format("{} operands", operands_.size()));
    for (size_t k = operands_.size() - outputs_; k < operands_.size(); ++k)
      if (!operands_[k]) return malformed("a result is absent");
    if (rule_ == kRowsRule && !operands_[0]) return malformed("its first operand is absent");
    for (const auto& operand : operands_)
      if (operand && operand->shape.size() > kGeneratedRank)
        return malformed(fmt::format("a tensor of {} dimensions", operand->shape.size()));
    return {};
  }

  Status read_numbers() {
    const std::vector<Dim> numbers = attributes_.dims(kNumbers);
    if (numbers.size() > kGeneratedNumbers) return malformed("too many numbers");
    for (size_t i = 0; i < numbers.size(); ++i) {
      HR_ASSIGN(head_.numbers[i], numbers[i].evaluate(dims_));
    }
    return {};
  }

  Status walk() {
    const bool by_rows = rule_ == kRowsRule;
    const GeneratedOperand& whole = by_rows ? *operands_[0] : *operands_[operands_.size() - outputs_];
    walk_.sizes = whole.shape;
    const bool broadcasts = by_rows || rule_ == kElementsRule || rule_ == kTilesRule;
    for (const auto& operand : operands_) {
      Sizes strides(walk_.sizes.size(), 0);
      if (operand && !broadcasts) {
        strides = operand->strides;
      } else if (operand) {
        HR_TRY(broadcast(*operand, strides));
      }
      walk_.strides.push_back(std::move(strides));
    }
    return {};
  }

  Status broadcast(const GeneratedOperand& operand, Sizes& strides) const {
    const size_t rank = operand.shape.size();
    if (rank > walk_.rank()) return malformed("an operand has more dimensions than what it broadcasts to");
    const size_t front = walk_.rank() - rank;
    for (size_t d = 0; d < rank; ++d) {
      if (operand.shape[d] == walk_.sizes[front + d])
        strides[front + d] = operand.strides[d];
      else if (operand.shape[d] != 1)
        return malformed(fmt::format("an operand of sizes {} does not broadcast to {}",
                                     to_text(operand.shape), to_text(walk_.sizes)));
    }
    return {};
  }

  // Offsets and counts are computed in the kernel's index type.
  Status check_range() const {
    const int64_t most = attributes_.integer(kIndexBits, 32) == 64 ? int64_t{1} << 62 : int64_t{1} << 31;
    const auto fits = [&](const Sizes& sizes, const Sizes& strides) {
      int64_t count = 1, last = 0;
      for (size_t d = 0; d < sizes.size(); ++d) {
        if (sizes[d] == 0) return true;
        int64_t span = 0;
        if (__builtin_mul_overflow(count, sizes[d], &count) ||
            __builtin_mul_overflow(sizes[d] - 1, strides[d], &span) ||
            __builtin_add_overflow(last, span, &last))
          return false;
      }
      return count < most && last < most;
    };
    for (const auto& operand : operands_)
      if (operand && !fits(operand->shape, operand->strides))
        return unsupported("step '{}': a tensor of sizes {} is beyond the profile that it was compiled for",
                           label_, to_text(operand->shape));
    if (!fits(walk_.sizes, Sizes(walk_.rank(), 0)))
      return unsupported("step '{}': sizes {} are beyond the profile that it was compiled for", label_,
                         to_text(walk_.sizes));
    return {};
  }

  GeneratedLaunch launch(const GeneratedWalk& walk, size_t outer) const {
    GeneratedLaunch result;
    result.head = head_;
    result.head.rank = static_cast<int>(walk.rank());
    result.head.outer = static_cast<int>(outer);
    std::copy(walk.sizes.begin(), walk.sizes.end(), result.head.sizes);
    const std::span<const int64_t> sizes(walk.sizes);
    result.head.elements = element_count(sizes);
    result.head.rows = element_count(sizes.first(outer));
    result.head.columns = element_count(sizes.subspan(outer));
    for (size_t k = 0; k < walk.strides.size(); ++k) {
      GeneratedTensor& tensor = result.tensors.emplace_back();
      tensor = {};
      std::copy(walk.strides[k].begin(), walk.strides[k].end(), tensor.strides);
      if (!walk.strides[k].empty() && walk.strides[k].back() == 1 && k < 32) result.head.dense |= 1u << k;
    }
    return result;
  }

  // Blocks for `elements` threads, at most as many as keep the device busy: kernels walk in steps.
  void spread(GeneratedLaunch& launch) const {
    const int64_t elements = launch.head.elements, busy = int64_t{multiprocessors_} * 2;
    const int64_t threads = elements >= busy * 256 ? 256 : elements >= busy * 128 ? 128 : 64;
    launch.block = {static_cast<unsigned>(threads), 1, 1};
    const int64_t blocks = (elements + threads - 1) / threads;
    const int64_t most = int64_t{multiprocessors_} * (2048 / threads) * 4;
    launch.grid = {static_cast<unsigned>(std::clamp<int64_t>(blocks, 1, most)), 1, 1};
  }

  size_t element_size(size_t k) const {
    return operands_[k] ? static_cast<size_t>(dtype_size(operands_[k]->dtype)) : 1;
  }
  bool is_result(size_t k) const { return k >= operands_.size() - outputs_; }
  bool is_uniform(size_t k) const {
    const std::vector<int64_t> uniform = attributes_.integers(kUniform);
    return std::find(uniform.begin(), uniform.end(), static_cast<int64_t>(k)) != uniform.end();
  }

  // Whether vectors of `width` can step along the innermost dimension of operand k.
  bool steps_by(size_t k, int64_t width) const {
    const Sizes& strides = walk_.strides[k];
    const size_t last = walk_.rank() - 1;
    if (strides[last] == 0) return !is_result(k);
    if (strides[last] != 1 || is_uniform(k)) return false;
    return std::all_of(strides.begin(), strides.begin() + static_cast<ptrdiff_t>(last),
                       [&](int64_t stride) { return stride % width == 0; });
  }

  std::vector<size_t> alignments(int64_t width) const {
    std::vector<size_t> result;
    for (size_t k = 0; k < operands_.size(); ++k) {
      const bool steps = operands_[k] && !walk_.strides[k].empty() && walk_.strides[k].back() == 1;
      result.push_back(steps ? std::min<size_t>(16, element_size(k) * static_cast<size_t>(width)) : 1);
    }
    return result;
  }

  bool numbers_divide(int64_t width) const {
    const std::vector<int64_t> aligned = attributes_.integers(kAligned);
    return std::all_of(aligned.begin(), aligned.end(), [&](int64_t i) {
      return i >= 0 && i < kGeneratedNumbers && head_.numbers[i] % width == 0;
    });
  }

  Result<GeneratedLaunches> elements() {
    walk_.sort_by(operands_.size() - outputs_);
    walk_.join(0, walk_.rank());
    GeneratedLaunches launches;
    launches.scalar = launch(walk_, walk_.rank());
    spread(launches.scalar);
    const int64_t width = attributes_.integer(kWidth, 1);
    if (width <= 1 || walk_.rank() == 0 || walk_.sizes.back() % width != 0 || !numbers_divide(width))
      return launches;
    for (size_t k = 0; k < operands_.size(); ++k)
      if (operands_[k] && !steps_by(k, width)) return launches;
    GeneratedWalk vectors = walk_;
    vectors.sizes.back() /= width;
    for (Sizes& strides : vectors.strides) strides.back() *= width;
    GeneratedLaunch vector = launch(vectors, vectors.rank());
    vector.head.vector = 1;
    vector.head.dense = launches.scalar.head.dense;
    spread(vector);
    launches.vector = std::move(vector);
    launches.alignment = alignments(width);
    return launches;
  }

  Result<GeneratedLaunches> tiles() {
    if (operands_.size() != 2 || !operands_[0]) return malformed("tiles of other than two tensors");
    walk_.sort_by(operands_.size() - outputs_);
    walk_.join(0, walk_.rank());
    while (walk_.rank() < 2) {  // a dimension of one element, in front
      walk_.sizes.insert(walk_.sizes.begin(), 1);
      for (Sizes& strides : walk_.strides) strides.insert(strides.begin(), 0);
    }
    const size_t a = walk_.rank() - 1;
    size_t b = 0;
    for (size_t d = 1; d < a; ++d)
      if (walk_.strides[0][d] < walk_.strides[0][b] || walk_.sizes[b] == 1) b = d;
    GeneratedLaunches launches;
    GeneratedLaunch& made = launches.scalar;
    made = launch(walk_, walk_.rank());
    made.head.numbers[0] = static_cast<int64_t>(a);
    made.head.numbers[1] = static_cast<int64_t>(b);
    made.head.rows = 1;
    int64_t count = 1;
    for (size_t d = 0; d < walk_.rank(); ++d) {
      const bool tiled = d == a || d == b;
      if (!tiled) made.head.rows *= walk_.sizes[d];
      count *= tiled ? (walk_.sizes[d] + kTileSide - 1) / kTileSide : walk_.sizes[d];
    }
    made.block = {static_cast<unsigned>(kTileSide), static_cast<unsigned>(kTileRows), 1};
    made.grid = {static_cast<unsigned>(std::clamp<int64_t>(count, 1, int64_t{multiprocessors_} * 64)), 1, 1};
    return launches;
  }

  Result<GeneratedLaunches> rows() {
    const int64_t outer = attributes_.integer(kOuter, -1), per_block = attributes_.integer(kRowsPerBlock, 0);
    if (outer < 0 || outer > static_cast<int64_t>(walk_.rank()) || per_block < 1)
      return malformed("its rows are not described");
    const size_t inner_rank = walk_.join(static_cast<size_t>(outer), walk_.rank());
    const size_t outer_rank = walk_.join(0, static_cast<size_t>(outer));
    GeneratedLaunches launches;
    GeneratedLaunch& made = launches.scalar;
    made = launch(walk_, outer_rank);
    const std::string asked = attributes_.text(kNotEmpty);
    if (!asked.empty() && made.head.columns == 0)
      return invalid_argument("{}: the {} of no elements does not exist", label_, asked);
    HR_TRY(set_block(made));
    set_row_blocks(made, per_block);
    if (row_vectors(launches, outer_rank, per_block)) return launches;
    const int64_t width = attributes_.integer(kWidth, 1);
    if (width <= 1 || inner_rank != 1 || made.head.columns % width != 0) return launches;
    for (size_t k = 0; k < operands_.size(); ++k)
      if (operands_[k] && (walk_.strides[k].back() != 1 || !steps_by(k, width))) return launches;
    launches.vector = made;
    launches.vector->head.vector = 1;
    launches.alignment = alignments(width);
    return launches;
  }

  void set_row_blocks(GeneratedLaunch& launch, int64_t per_block) const {
    const int64_t blocks = launch.head.rows / per_block + (launch.head.rows % per_block != 0 ? 1 : 0);
    launch.grid = {static_cast<unsigned>(std::clamp<int64_t>(blocks, 1, int64_t{multiprocessors_} * 64)), 1,
                   1};
  }

  // Rows in vectors of neighbours, where each operand has its rows side by side and columns are of one
  // dimension.
  bool row_vectors(GeneratedLaunches& launches, size_t outer_rank, int64_t per_block) const {
    const int64_t width = attributes_.integer(kRowWidth, 1);
    if (width <= 1 || outer_rank == 0 || walk_.rank() > outer_rank + 1 || outer_rank == kGeneratedRank ||
        walk_.sizes[outer_rank - 1] % width != 0)
      return false;
    GeneratedWalk vectors = walk_;
    vectors.sizes[outer_rank - 1] /= width;
    for (size_t k = 0; k < operands_.size(); ++k) {
      Sizes& strides = vectors.strides[k];
      if (!operands_[k] || strides[outer_rank - 1] != 1) return false;
      strides[outer_rank - 1] = width;
      if (std::any_of(strides.begin(), strides.end(), [&](int64_t stride) { return stride % width != 0; }))
        return false;
      launches.alignment.push_back(std::min<size_t>(16, element_size(k) * static_cast<size_t>(width)));
    }
    launches.vector = launch(vectors, outer_rank);
    launches.vector->head.vector = 1;
    launches.vector->block = launches.scalar.block;
    set_row_blocks(*launches.vector, per_block);
    return true;
  }

  Status set_block(GeneratedLaunch& launch) const {
    const std::vector<int64_t> threads = attributes_.integers(kThreads);
    if (threads.size() != 2 || threads[0] < 1 || threads[1] < 1 || threads[0] > 1024 || threads[1] > 1024 ||
        threads[0] * threads[1] > 1024)
      return malformed("its blocks are not described");
    launch.block = {static_cast<unsigned>(threads[0]), static_cast<unsigned>(threads[1]), 1};
    return {};
  }

  Result<GeneratedLaunches> each() {
    GeneratedWalk tiles = walk_;
    const std::vector<int64_t> tile = attributes_.integers(kPerThread);
    if (!tile.empty() && (tile.size() != walk_.rank() || *std::min_element(tile.begin(), tile.end()) < 1))
      return malformed("its tiles are not described");
    for (size_t d = 0; d < tile.size(); ++d)
      tiles.sizes[d] = tiles.sizes[d] / tile[d] + (tiles.sizes[d] % tile[d] != 0 ? 1 : 0);
    GeneratedLaunches launches;
    launches.scalar = launch(tiles, tiles.rank());
    spread(launches.scalar);
    const int64_t width = std::max<int64_t>(1, attributes_.integer(kWidth, 1));
    if (tiles.rank() == 0 || tiles.sizes.back() % width != 0 || !reads_vectors(width, launches))
      return launches;
    GeneratedWalk vectors = tiles;
    vectors.sizes.back() /= width;
    launches.vector = launch(vectors, vectors.rank());
    launches.vector->head.vector = 1;
    spread(*launches.vector);
    return launches;
  }

  // Whether the operands that are named for it can be read in vectors; sets the alignment that it takes.
  bool reads_vectors(int64_t width, GeneratedLaunches& launches) const {
    const std::vector<int64_t> vectors = attributes_.integers(kVectors);
    launches.alignment.assign(operands_.size(), 1);
    for (const int64_t k : vectors) {
      if (width <= 1 || k < 0 || k >= static_cast<int64_t>(operands_.size()) || !rows_divide(k, width))
        return false;
      launches.alignment[static_cast<size_t>(k)] =
          std::min<size_t>(16, element_size(static_cast<size_t>(k)) * static_cast<size_t>(width));
    }
    return !vectors.empty();
  }

  Result<GeneratedLaunches> grid() {
    const int64_t outer = attributes_.integer(kOuter, 0);
    if (outer < 0 || outer > static_cast<int64_t>(walk_.rank()))
      return malformed("its rows are not described");
    GeneratedLaunches launches;
    launches.scalar = launch(walk_, static_cast<size_t>(outer));
    HR_TRY(set_block(launches.scalar));
    const int64_t shared = attributes_.integer(kShared, 0);
    if (shared < 0 || shared > 1 << 20) return malformed(fmt::format("{} bytes of shared memory", shared));
    launches.scalar.shared = static_cast<unsigned>(shared);
    HR_ASSIGN(const int64_t blocks, attributes_.get<Dim>(kBlocks, 1).evaluate(dims_));
    const int64_t staying = attributes_.integer(kStaying, 0);
    if (staying < 0 || staying > 32) return malformed(fmt::format("{} blocks that stay", staying));
    const int64_t most = staying > 0 ? staying * multiprocessors_ : 1 << 30;
    launches.scalar.grid[0] = static_cast<unsigned>(std::clamp<int64_t>(blocks, 1, most));
    if (!reads_vectors(attributes_.integer(kWidth, 1), launches)) return launches;
    launches.vector = launches.scalar;
    launches.vector->head.vector = 1;
    return launches;
  }

  // Whether the last dimension of an operand is dense, and every row begins at a multiple of `width`.
  bool rows_divide(int64_t k, int64_t width) const {
    const auto& operand = operands_[static_cast<size_t>(k)];
    if (!operand || operand->shape.empty()) return false;
    const size_t last = operand->shape.size() - 1;
    if (operand->strides[last] != 1 && operand->shape[last] != 1) return false;
    for (size_t d = 0; d < last; ++d)
      if (operand->shape[d] != 1 && operand->strides[d] % width != 0) return false;
    return true;
  }

  const AttributeMap& attributes_;
  const std::string& label_;
  Operands operands_;
  size_t outputs_;
  const DimBindings& dims_;
  int64_t multiprocessors_;
  std::string rule_;
  GeneratedHead head_ = {};
  GeneratedWalk walk_;
};

}  // namespace

Result<GeneratedLaunches> plan_launches(const AttributeMap& attributes, const std::string& label,
                                        Operands operands, size_t outputs, const DimBindings& dims,
                                        int multiprocessors) {
  return Planner(attributes, label, operands, outputs, dims, multiprocessors).run();
}

}  // namespace headrace::cuda
