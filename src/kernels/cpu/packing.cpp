#include "kernels/cpu/packing.h"

#include <cstdlib>
#include <cstring>
#include <memory>

#include <omp.h>

#include "kernels/cpu/conv_primitive.h"
#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/packing_desc.h"
#include "kernels/cpu/staging.h"
#include "kernels/cpu/step_kernel.h"
#include "kernels/step_checks.h"

namespace headrace::cpu {

namespace {

constexpr std::string_view kConvAttributes[] = {"stride", "dilation",   "pad_low",        "pad_high",
                                                "groups", "transposed", "output_padding", "channels_last"};

Status bad_attributes(const RecipeStep& step) {
  return refused_plan("a weight of sizes {} cannot be packed with the attributes of its recipe ('{}')",
                      to_text(step.shape), step.attributes.text("layout"));
}

Result<PackedLayout> choose_matmul(const RecipeStep& step, DType dtype) {
  const int64_t rows = step.attributes.integer("rows");
  if (step.shape.size() != 2 || step.shape[0] < 1 || step.shape[1] < 1 || rows < 1 ||
      rows > (int64_t{1} << 40))
    return bad_attributes(step);
  const bool transposed = step.attributes.flag("transposed");
  const int64_t k = step.shape[transposed ? 1 : 0], n = step.shape[transposed ? 0 : 1];
  PackedLayout layout;
  layout.plain = strided_desc(dtype, {k, n}, transposed ? Sizes{1, k} : Sizes{n, 1});
  HR_TRY(guarded("a product's weight layout", [&] {
    const dnnl::matmul::primitive_desc desc(cpu_engine(), strided_desc(dtype, {rows, k}, {k, 1}),
                                            any_desc(dtype, {k, n}), strided_desc(dtype, {rows, n}, {n, 1}));
    layout.packed = desc.weights_desc();
  }));
  return layout;
}

Result<PackedLayout> choose_conv(const RecipeStep& step, DType dtype) {
  const std::optional<ConvShape> shape =
      ConvShape::make(step.attributes, step.attributes.integers("x"), step.shape);
  if (!shape || element_count(shape->x) == 0 || element_count(shape->y) == 0) return bad_attributes(step);
  const bool last = step.attributes.flag("channels_last");
  PackedLayout layout;
  layout.plain = strided_desc(dtype, shape->weight, shape->weight_strides);
  HR_ASSIGN(const ProductPrimitive made,
            make_conv(*shape, strided_desc(dtype, shape->x, conv_strides(shape->x, last)),
                      any_desc(dtype, shape->weight), nullptr,
                      strided_desc(dtype, shape->y, conv_strides(shape->y, last)), {}));
  layout.packed = made.weight;
  return layout;
}

// Aligned memory of a packer, freed at the end.
using Block = std::unique_ptr<std::byte, decltype(&std::free)>;
Result<Block> allocate(Bytes size) {
  Block block(
      static_cast<std::byte*>(std::aligned_alloc(64, static_cast<size_t>((size.count + 127) / 64 * 64))),
      &std::free);
  if (!block) return exhausted("packing a weight needs {} more bytes of memory", size.count);
  return block;
}

class CpuPacker : public Packer {
 public:
  Result<Bytes> choose(RecipeStep& step) const override {
    HR_ASSIGN(const PackedLayout layout, choose_layout(step));
    step.attributes.set("blocks", layout_text(layout.packed));
    return layout.stored;
  }

  Result<Bytes> packed_size(const RecipeStep& step) const override {
    HR_ASSIGN(const PackedLayout layout, choose_layout(step));
    return layout.stored;
  }

  Status pack(const RecipeStep& step, std::span<const std::byte> input,
              std::span<std::byte> out) const override {
    HR_ASSIGN(const PackedLayout layout, checked_layout(step));
    const int64_t elements = element_count(step.shape);
    if (static_cast<int64_t>(input.size()) != elements * dtype_size(step.dtype) ||
        static_cast<int64_t>(out.size()) != layout.stored.count)
      return internal_error("a weight of sizes {} is packed from {} to {} bytes", to_text(step.shape),
                            input.size(), out.size());
    HR_ASSIGN(const Reorder reorder, Reorder::make(layout.plain, layout.packed));
    HR_ASSIGN(const Block scratch, allocate(reorder.scratch()));
    if (product_dtype(step.dtype) == step.dtype) {
      // Padding between blocks is written, too, but not every byte of an odd tail need be.
      std::memset(out.data(), 0, out.size());
      return reorder.run(input.data(), out.data(), scratch.get());
    }
    const int threads = omp_get_max_threads();
    const Stage widen(step.dtype, {elements}, {1}, DType::kF32, threads);
    const Stage narrow(step.dtype, {layout.stored.count / 2}, {1}, DType::kF32, threads);
    HR_ASSIGN(const Block plain, allocate(widen.size()));
    HR_ASSIGN(const Block packed, allocate(narrow.size()));
    widen.load(input.data(), plain.get());
    std::memset(packed.get(), 0, static_cast<size_t>(narrow.size().count));
    HR_TRY(reorder.run(plain.get(), packed.get(), scratch.get()));
    narrow.store(packed.get(), out.data());
    return {};
  }
};

}  // namespace

AttributeMap matmul_packing(int64_t rows, bool transposed) {
  return {{"layout", std::string("matmul")}, {"rows", rows}, {"transposed", transposed}};
}

AttributeMap conv_packing(const AttributeMap& conv, const Sizes& x) {
  AttributeMap attributes = {{"layout", std::string("conv")}, {"x", x}};
  for (const std::string_view name : kConvAttributes)
    if (const Attribute* value = conv.find(name)) attributes.set(name, *value);
  return attributes;
}

Result<PackedLayout> choose_layout(const RecipeStep& step) {
  const std::string layout = step.attributes.text("layout");
  const bool packs = step.dtype == DType::kF32 || step.dtype == DType::kBF16 || step.dtype == DType::kF16;
  if (!packs || (layout != "matmul" && layout != "conv"))
    return unsupported("the cpu back end has no packed layout '{}' of {}", layout, dtype_name(step.dtype));
  for (const int64_t size : step.shape)
    if (size < 1 || size > (int64_t{1} << 40)) return bad_attributes(step);
  const DType dtype = product_dtype(step.dtype);
  HR_ASSIGN(PackedLayout chosen, layout == "matmul" ? choose_matmul(step, dtype) : choose_conv(step, dtype));
  chosen.dtype = step.dtype;
  chosen.stored = bytes_of(chosen.packed);
  if (dtype != step.dtype) chosen.stored.count /= 2;
  return chosen;
}

Result<PackedLayout> checked_layout(const RecipeStep& step) {
  HR_ASSIGN(PackedLayout layout, choose_layout(step));
  const std::string found = layout_text(layout.packed), stored = step.attributes.text("blocks");
  if (found == stored) return layout;
  return incompatible(
      "a weight of sizes {} was packed as '{}', and this machine and library pack it as '{}'; compile the "
      "model again "
      "here",
      to_text(step.shape), stored, found);
}

Result<const RecipeStep*> packed_weight(const StepShapes& step, const StepTensor& tensor,
                                        std::string_view layout) {
  if (tensor.weight < 0) return malformed(step, "a packed operand is no weight");
  const Recipe& recipe = step.plan->weights[static_cast<size_t>(tensor.weight)].recipe;
  if (recipe.empty() || recipe.back().op != RecipeOp::kPack ||
      recipe.back().attributes.text("layout") != layout)
    return malformed(step, "its weight is not packed as '{}'", layout);
  return &recipe.back();
}

std::vector<std::string> product_epilogues() { return epilogue_names(); }

std::unique_ptr<Packer> make_packer() { return std::make_unique<CpuPacker>(); }

}  // namespace headrace::cpu
