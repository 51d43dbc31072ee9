// The evaluator of recipes. Values are made where they are used, straight into the place where they are
// wanted; what is used once is never kept.
#include <algorithm>
#include <cstring>
#include <new>
#include <optional>
#include <utility>

#include "core/error.h"
#include "core/units.h"
#include "engine/sizes.h"
#include "engine/verify.h"
#include "weights/cast.h"
#include "weights/strided.h"
#include "weights/weights.h"

namespace headrace {
namespace {

constexpr int kMaxDepth = 64;            // of values made on use; a chain from a file may be long
constexpr int64_t kCastBytes = 1 << 20;  // results of a cast that are made at once

Status allocate(std::vector<std::byte>& bytes, Bytes size) {
  try {
    bytes.resize(static_cast<size_t>(size.count));
  } catch (const std::exception&) {  // bad_alloc or length_error: the size may come from a file
    return exhausted("no memory for {} of weights", to_text(size));
  }
  return {};
}

class RecipeEvaluator {
 public:
  RecipeEvaluator(const Weight& weight, std::span<const SourceWeight> sources,
                  const WeightSourceReader& reader, const Packer* packer, const Evaluator* evaluator)
      : weight_(weight), sources_(sources), reader_(reader), packer_(packer), evaluator_(evaluator) {}

  // Checks the recipe and makes the values that several steps use.
  Status prepare() {
    if (weight_.recipe.empty()) return invalid_argument("it has no recipe, so it cannot be made");
    for (const RecipeStep& step : weight_.recipe)
      if (step.op == RecipeOp::kSource && step.source >= 0 &&
          static_cast<size_t>(step.source) < sources_.size())
        HR_TRY(verify_source(sources_[static_cast<size_t>(step.source)]));
    HR_TRY(verify_recipe(weight_, sources_));
    HR_TRY(check_size());
    const size_t count = weight_.recipe.size();
    values_.resize(count);
    uses_.resize(count);
    uses_[count - 1] = 1;
    for (size_t i = count; i-- > 0;)
      if (uses_[i] > 0)
        for (const int input : weight_.recipe[i].inputs)
          if (input != kNone) ++uses_[static_cast<size_t>(input)];
    std::vector<int> depth(count, 0);
    for (size_t i = 0; i + 1 < count; ++i) {
      if (uses_[i] == 0) continue;
      for (const int input : weight_.recipe[i].inputs)
        if (input != kNone) depth[i] = std::max(depth[i], depth[static_cast<size_t>(input)] + 1);
      if (uses_[i] == 1 && depth[i] < kMaxDepth) continue;
      depth[i] = 0;
      HostTensor value;
      HR_TRY(make(static_cast<int>(i), value));
      values_[i] = std::move(value);
    }
    return {};
  }

  Bytes size() const { return weight_.stored; }
  bool streams() const { return is_flat(last()); }
  // Bytes [offset, offset + out.size()) of the result. REQUIRES: streams(); whole elements.
  Status write_range(Bytes offset, std::span<std::byte> out) {
    return write_flat(last(), offset.count / element(last()), out);
  }
  Status write_all(std::vector<std::byte>& out) {
    if (weight_.recipe.back().op == RecipeOp::kEval) {  // its memory becomes ours
      HostTensor tensor;
      HR_TRY(make(last(), tensor));
      out = std::move(tensor.bytes);
      return {};
    }
    HR_TRY(allocate(out, weight_.stored));
    return write(last(), out);
  }

 private:
  int last() const { return static_cast<int>(weight_.recipe.size()) - 1; }
  const RecipeStep& at(int step) const { return weight_.recipe[static_cast<size_t>(step)]; }
  const std::optional<HostTensor>& made(int step) const { return values_[static_cast<size_t>(step)]; }
  int64_t element(int step) const { return dtype_size(at(step).dtype); }
  static Bytes dense_size(const RecipeStep& step) { return *checked_bytes(step.dtype, step.shape); }

  Status check_size() const {
    const RecipeStep& step = weight_.recipe.back();
    if (step.op != RecipeOp::kPack) {
      if (dense_size(step) == weight_.stored) return {};
      return corrupt("{} of shape {} are {} bytes, not {}", dtype_name(step.dtype), to_text(step.shape),
                     dense_size(step).count, weight_.stored.count);
    }
    if (!packer_) return unsupported("its recipe packs, and this back end has no packer");
    HR_ASSIGN(const Bytes packed, packer_->packed_size(step));
    if (packed == weight_.stored) return {};
    return incompatible("layout '{}' needs {} bytes here, {} where it was compiled; compile again",
                        step.attributes.text("layout"), packed.count, weight_.stored.count);
  }

  // The step as a window of source bytes, where it is one and not yet made.
  std::optional<SourceWeight> window(int index) const {
    const RecipeStep& step = at(index);
    if (made(index)) return std::nullopt;
    if (step.op == RecipeOp::kSource) return sources_[static_cast<size_t>(step.source)];
    if (step.op != RecipeOp::kStrided) return std::nullopt;
    const std::optional<SourceWeight> base = window(step.inputs[0]);
    if (!base || !is_row_major(*base)) return std::nullopt;
    return window_of(*base, step.shape, step.attributes.integers("strides"),
                     step.attributes.integer("offset"));
  }

  static int64_t outer(const RecipeStep& concat) {
    const auto axis = static_cast<size_t>(concat.attributes.integer("axis"));
    return element_count(std::span<const int64_t>(concat.shape.data(), axis));
  }

  // True where any run of the elements can be made alone.
  bool is_flat(int index) const {
    if (made(index)) return true;
    const RecipeStep& step = at(index);
    switch (step.op) {
      case RecipeOp::kSource:
      case RecipeOp::kStrided: {
        const std::optional<SourceWeight> source = window(index);
        return source && is_row_major(*source);
      }
      case RecipeOp::kCast: return is_flat(step.inputs[0]);
      case RecipeOp::kConcat:
        return outer(step) == 1 &&
               std::all_of(step.inputs.begin(), step.inputs.end(), [this](int i) { return is_flat(i); });
      default: return false;
    }
  }

  // Elements from `begin` on. REQUIRES: is_flat(index).
  Status write_flat(int index, int64_t begin, std::span<std::byte> out) {
    if (out.empty()) return {};
    const RecipeStep& step = at(index);
    if (const auto& value = made(index)) {
      std::memcpy(out.data(), value->bytes.data() + begin * element(index), out.size());
      return {};
    }
    if (step.op == RecipeOp::kCast) return cast_flat(step, begin, out);
    if (step.op == RecipeOp::kConcat) return concat_flat(step, begin, out);
    const int64_t count = static_cast<int64_t>(out.size()) / element(index);
    return read_source(window_of(*window(index), {count}, {1}, begin), reader_, out);
  }

  Status cast_flat(const RecipeStep& step, int64_t begin, std::span<std::byte> out) {
    const int from = step.inputs[0];
    if (at(from).dtype == step.dtype) return write_flat(from, begin, out);
    const int64_t to_size = dtype_size(step.dtype);
    std::vector<std::byte> input;
    while (!out.empty()) {
      const int64_t count = std::min<int64_t>(static_cast<int64_t>(out.size()), kCastBytes) / to_size;
      input.resize(static_cast<size_t>(count * element(from)));
      HR_TRY(write_flat(from, begin, input));
      cast_elements(at(from).dtype, input, step.dtype, out.first(static_cast<size_t>(count * to_size)));
      begin += count;
      out = out.subspan(static_cast<size_t>(count * to_size));
    }
    return {};
  }

  Status concat_flat(const RecipeStep& step, int64_t begin, std::span<std::byte> out) {
    const int64_t size = dtype_size(step.dtype);
    for (const int input : step.inputs) {
      const int64_t count = element_count(std::span<const int64_t>(at(input).shape));
      if (begin < count) {
        const auto part =
            static_cast<size_t>(std::min((count - begin) * size, static_cast<int64_t>(out.size())));
        HR_TRY(write_flat(input, begin, out.first(part)));
        out = out.subspan(part);
        begin = count;
      }
      begin -= count;
    }
    return {};
  }

  // Makes the whole value in `out`, which has its size.
  Status write(int index, std::span<std::byte> out) {
    if (made(index)) {
      if (!out.empty()) std::memcpy(out.data(), made(index)->bytes.data(), out.size());
      release(index);
      return {};
    }
    if (out.empty()) return {};
    if (is_flat(index)) return write_flat(index, 0, out);
    const RecipeStep& step = at(index);
    switch (step.op) {
      case RecipeOp::kSource: return read_source(*window(index), reader_, out);
      case RecipeOp::kStrided: {
        if (const auto source = window(index)) return read_source(*source, reader_, out);
        return with_operand(step.inputs[0], [&](const HostTensor& input) {
          copy_strided(input.bytes, step.shape, step.attributes.integers("strides"),
                       step.attributes.integer("offset"), dtype_size(step.dtype), out);
          return Status();
        });
      }
      case RecipeOp::kCast:
        return with_operand(step.inputs[0], [&](const HostTensor& input) {
          cast_elements(input.dtype, input.bytes, step.dtype, out);
          return Status();
        });
      case RecipeOp::kConcat: return concat(step, out);
      case RecipeOp::kPack:
        return with_operand(step.inputs[0],
                            [&](const HostTensor& input) { return packer_->pack(step, input.bytes, out); });
      case RecipeOp::kEval: break;
    }
    HostTensor tensor;
    HR_TRY(evaluate(step, tensor));
    std::memcpy(out.data(), tensor.bytes.data(), out.size());
    return {};
  }

  Status concat(const RecipeStep& step, std::span<std::byte> out) {
    const int64_t rows = outer(step);
    const int64_t out_row = static_cast<int64_t>(out.size()) / rows;
    int64_t column = 0;
    for (const int input : step.inputs) {
      const int64_t row = dense_size(at(input)).count / rows;
      if (row == 0) continue;
      if (rows == 1) {
        HR_TRY(write(input, out.subspan(static_cast<size_t>(column), static_cast<size_t>(row))));
      } else {
        HR_TRY(with_operand(input, [&](const HostTensor& part) {
          for (int64_t i = 0; i < rows; ++i)
            std::memcpy(out.data() + i * out_row + column, part.bytes.data() + i * row,
                        static_cast<size_t>(row));
          return Status();
        }));
      }
      column += row;
    }
    return {};
  }

  Status evaluate(const RecipeStep& step, HostTensor& result) {
    const std::string kernel = step.attributes.text("kernel");
    if (!evaluator_) return unsupported("its recipe computes '{}', and there is no evaluator", kernel);
    std::vector<HostTensor> fresh(step.inputs.size());
    std::vector<const HostTensor*> inputs(step.inputs.size(), nullptr);
    for (size_t i = 0; i < step.inputs.size(); ++i) {
      const int input = step.inputs[i];
      if (input == kNone) continue;
      inputs[i] = made(input) ? &*made(input) : &fresh[i];
      if (!made(input)) HR_TRY(make(input, fresh[i]));
    }
    HR_ASSIGN(result, evaluator_->evaluate(step, inputs));
    for (const int input : step.inputs)
      if (input != kNone) release(input);
    if (result.dtype != step.dtype || result.shape != step.shape ||
        Bytes{static_cast<int64_t>(result.bytes.size())} != dense_size(step)) {
      return corrupt("'{}' made {}{} where the recipe says {}{}", kernel, dtype_name(result.dtype),
                     to_text(result.shape), dtype_name(step.dtype), to_text(step.shape));
    }
    return {};
  }

  Status make(int index, HostTensor& tensor) {
    const RecipeStep& step = at(index);
    HostTensor result{step.dtype, step.shape, {}};
    if (step.op == RecipeOp::kEval) {
      HR_TRY(evaluate(step, result));
    } else {
      HR_TRY(allocate(result.bytes, dense_size(step)));
      HR_TRY(write(index, result.bytes));
    }
    tensor = std::move(result);
    return {};
  }

  template <class F>
  Status with_operand(int index, F f) {
    if (made(index)) {
      HR_TRY(f(*made(index)));
      release(index);
      return {};
    }
    HostTensor tensor;
    HR_TRY(make(index, tensor));
    return f(tensor);
  }

  void release(int index) {
    const auto i = static_cast<size_t>(index);
    if (--uses_[i] == 0) values_[i].reset();
  }

  const Weight& weight_;
  std::span<const SourceWeight> sources_;
  const WeightSourceReader& reader_;
  const Packer* packer_;
  const Evaluator* evaluator_;
  std::vector<std::optional<HostTensor>> values_;  // those that are made
  std::vector<int> uses_;
};

}  // namespace

Status evaluate_recipe_in_pieces(const Weight& weight, std::span<const SourceWeight> sources,
                                 const WeightSourceReader& reader, const Packer* packer,
                                 const Evaluator* evaluator, Bytes piece_size, const PieceSink& sink) {
  const auto run = [&]() -> Status {
    RecipeEvaluator recipe(weight, sources, reader, packer, evaluator);
    HR_TRY(recipe.prepare());
    std::vector<std::byte> piece;
    if (!recipe.streams() || recipe.size() <= piece_size) {
      HR_TRY(recipe.write_all(piece));
      return sink(piece);
    }
    const Bytes step = align_up(piece_size, Bytes{8});  // whole elements of any dtype
    for (Bytes offset; offset < recipe.size(); offset += step) {
      HR_TRY(allocate(piece, std::min(step, recipe.size() - offset)));
      HR_TRY(recipe.write_range(offset, piece));
      HR_TRY(sink(piece));
    }
    return {};
  };
  return run().with_context(fmt::format("weight '{}'", weight.name));
}

Status evaluate_recipe(const Weight& weight, std::span<const SourceWeight> sources,
                       const WeightSourceReader& reader, const Packer* packer, const Evaluator* evaluator,
                       std::vector<std::byte>& out) {
  const auto run = [&]() -> Status {
    RecipeEvaluator recipe(weight, sources, reader, packer, evaluator);
    HR_TRY(recipe.prepare());
    return recipe.write_all(out);
  };
  return run().with_context(fmt::format("weight '{}'", weight.name));
}

}  // namespace headrace
