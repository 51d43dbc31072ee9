// The checks of sources and recipes.
#include "core/error.h"
#include "engine/sizes.h"
#include "engine/verify.h"

namespace headrace {

bool is_valid(DType dtype) { return static_cast<int>(dtype) < kDTypeCount; }

Status verify_source(const SourceWeight& source) {
  if (!is_valid(source.dtype))
    return corrupt("source weight '{}': unknown dtype {}", source.name, static_cast<int>(source.dtype));
  const std::optional<int64_t> end = window_end(source.shape, source.strides, source.offset);
  const std::optional<int64_t> bytes = end ? checked_multiply(*end, dtype_size(source.dtype)) : std::nullopt;
  if (!bytes || !checked_bytes(source.dtype, source.shape)) {
    return corrupt("source weight '{}': shape {}, strides {} and offset {} are no window of a storage",
                   source.name, to_text(source.shape), to_text(source.strides), source.offset);
  }
  if (source.mark && *bytes > source.mark->size.count) {
    return corrupt("source weight '{}': its window ends at byte {} of a storage of {}", source.name, *bytes,
                   source.mark->size.count);
  }
  return {};
}

namespace {

class RecipeVerifier {
 public:
  RecipeVerifier(const Weight& weight, std::span<const SourceWeight> sources)
      : weight_(weight), recipe_(weight.recipe), sources_(sources) {}

  Status run() {
    for (at_ = 0; at_ < recipe_.size(); ++at_) HR_TRY(check(recipe_[at_]));
    if (recipe_.empty()) return {};
    const RecipeStep& last = recipe_.back();
    if (last.dtype != weight_.dtype || last.shape != weight_.shape) {
      return corrupt("weight '{}' is {}{}, but its recipe makes {}{}", weight_.name,
                     dtype_name(weight_.dtype), to_text(weight_.shape), dtype_name(last.dtype),
                     to_text(last.shape));
    }
    return {};
  }

 private:
  template <class... Args>
  Status wrong(fmt::format_string<Args...> format, Args&&... args) const {
    return corrupt("weight '{}', recipe step {}: {}", weight_.name, at_,
                   fmt::format(format, std::forward<Args>(args)...));
  }
  const RecipeStep& input(const RecipeStep& step, size_t i) const {
    return recipe_[static_cast<size_t>(step.inputs[i])];
  }

  Status check(const RecipeStep& step) {
    if (!is_valid(step.dtype)) return wrong("unknown dtype {}", static_cast<int>(step.dtype));
    if (!checked_bytes(step.dtype, step.shape)) return wrong("impossible shape {}", to_text(step.shape));
    const bool absent_allowed = step.op == RecipeOp::kEval;
    for (const int input : step.inputs) {
      if (input == kNone && absent_allowed) continue;
      if (input < 0 || static_cast<size_t>(input) >= at_)
        return wrong("operand {} is no earlier step", input);
      if (recipe_[static_cast<size_t>(input)].op == RecipeOp::kPack)
        return wrong("operand {} is packed; only the last step may pack", input);
    }
    switch (step.op) {
      case RecipeOp::kSource: return check_source(step);
      case RecipeOp::kCast: return check_unary(step, "cast", false);
      case RecipeOp::kStrided: return check_strided(step);
      case RecipeOp::kConcat: return check_concat(step);
      case RecipeOp::kEval:
        if (step.attributes.text("kernel").empty()) return wrong("eval without the text attribute 'kernel'");
        return {};
      case RecipeOp::kPack:
        if (step.attributes.text("layout").empty()) return wrong("pack without the text attribute 'layout'");
        return check_unary(step, "pack", true);
    }
    return wrong("unknown recipe op {}", static_cast<int>(step.op));
  }

  Status check_source(const RecipeStep& step) {
    if (!step.inputs.empty()) return wrong("a source has no operands");
    if (step.source < 0 || static_cast<size_t>(step.source) >= sources_.size())
      return wrong("there is no source {}", step.source);
    const SourceWeight& source = sources_[static_cast<size_t>(step.source)];
    if (source.dtype != step.dtype || source.shape != step.shape)
      return wrong("source '{}' is {}{}, not {}{}", source.name, dtype_name(source.dtype),
                   to_text(source.shape), dtype_name(step.dtype), to_text(step.shape));
    return {};
  }

  Status check_unary(const RecipeStep& step, std::string_view name, bool same_dtype) {
    if (step.inputs.size() != 1) return wrong("{} takes one operand, not {}", name, step.inputs.size());
    const RecipeStep& from = input(step, 0);
    if (from.shape != step.shape)
      return wrong("{} from shape {} to {}", name, to_text(from.shape), to_text(step.shape));
    if (same_dtype && from.dtype != step.dtype)
      return wrong("{} from {} to {}", name, dtype_name(from.dtype), dtype_name(step.dtype));
    return {};
  }

  Status check_strided(const RecipeStep& step) {
    if (step.inputs.size() != 1) return wrong("strided takes one operand, not {}", step.inputs.size());
    const RecipeStep& from = input(step, 0);
    if (from.dtype != step.dtype)
      return wrong("strided from {} to {}", dtype_name(from.dtype), dtype_name(step.dtype));
    const std::vector<int64_t> strides = step.attributes.integers("strides");
    const int64_t offset = step.attributes.integer("offset");
    const std::optional<int64_t> end = window_end(step.shape, strides, offset);
    if (!end || *end > *checked_elements(from.shape))
      return wrong("shape {}, strides {} and offset {} are no window of shape {}", to_text(step.shape),
                   to_text(strides), offset, to_text(from.shape));
    return {};
  }

  Status check_concat(const RecipeStep& step) {
    if (step.inputs.empty()) return wrong("concat of nothing");
    const int64_t axis = step.attributes.integer("axis");
    if (axis < 0 || static_cast<size_t>(axis) >= step.shape.size())
      return wrong("concat along axis {} of shape {}", axis, to_text(step.shape));
    Sizes expected = input(step, 0).shape;
    if (expected.size() != step.shape.size())
      return wrong("concat of shape {} into {}", to_text(expected), to_text(step.shape));
    int64_t& joined = expected[static_cast<size_t>(axis)];
    joined = 0;
    for (size_t i = 0; i < step.inputs.size(); ++i) {
      Sizes shape = input(step, i).shape;
      if (input(step, i).dtype != step.dtype)
        return wrong("concat of {} into {}", dtype_name(input(step, i).dtype), dtype_name(step.dtype));
      const bool same_rank = shape.size() == expected.size();
      if (!same_rank || __builtin_add_overflow(joined, shape[static_cast<size_t>(axis)], &joined))
        return wrong("concat of shape {} into {}", to_text(shape), to_text(step.shape));
      shape[static_cast<size_t>(axis)] = joined;
      if (shape != expected)
        return wrong("concat of shape {} into {}", to_text(input(step, i).shape), to_text(step.shape));
    }
    if (expected != step.shape)
      return wrong("concat makes {}, not {}", to_text(expected), to_text(step.shape));
    return {};
  }

  const Weight& weight_;
  const Recipe& recipe_;
  std::span<const SourceWeight> sources_;
  size_t at_ = 0;
};

}  // namespace

Status verify_recipe(const Weight& weight, std::span<const SourceWeight> sources) {
  return RecipeVerifier(weight, sources).run();
}

}  // namespace headrace
