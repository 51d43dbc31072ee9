#include "weights/strided.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <vector>

#include "core/error.h"
#include "engine/sizes.h"

namespace headrace {
namespace {

constexpr int64_t kBuffer = 4 << 20;          // strided reads pass through one of this size
constexpr int64_t kWorthSkipping = 64 << 10;  // runs at least this long are read alone, not with their gaps

// One dimension of a copy. Strides are in bytes.
struct Axis {
  int64_t size, in, out;
};

// Without sizes of 1, with axes joined that are one run in both, largest input stride first.
std::vector<Axis> simplify(const Sizes& sizes, const Sizes& strides, int64_t element) {
  std::vector<Axis> axes;
  int64_t out = element;
  for (size_t i = sizes.size(); i-- > 0;) {
    if (sizes[i] == 1) continue;
    const Axis axis{sizes[i], strides[i] * element, out};
    out *= sizes[i];
    if (!axes.empty() && axes.back().in * axes.back().size == axis.in &&
        axes.back().out * axes.back().size == axis.out) {
      axes.back().size *= axis.size;
    } else {
      axes.push_back(axis);
    }
  }
  std::reverse(axes.begin(), axes.end());
  std::stable_sort(axes.begin(), axes.end(), [](const Axis& a, const Axis& b) { return a.in > b.in; });
  return axes;
}

// Bytes from the first one to the end of the last element.
int64_t reach(std::span<const Axis> axes, int64_t element) {
  for (const Axis& axis : axes) element += (axis.size - 1) * axis.in;
  return element;
}
int64_t volume(std::span<const Axis> axes, int64_t element) {
  for (const Axis& axis : axes) element *= axis.size;
  return element;
}

template <size_t kElement>
void copy_elements(const std::byte* in, std::byte* out, const Axis& axis) {
  for (int64_t i = 0; i < axis.size; ++i) std::memcpy(out + i * axis.out, in + i * axis.in, kElement);
}

void copy_axes(const std::byte* in, std::byte* out, std::span<const Axis> axes, int64_t element) {
  if (axes.empty()) {
    std::memcpy(out, in, static_cast<size_t>(element));
    return;
  }
  const Axis& axis = axes[0];
  if (axes.size() > 1) {
    for (int64_t i = 0; i < axis.size; ++i)
      copy_axes(in + i * axis.in, out + i * axis.out, axes.subspan(1), element);
    return;
  }
  if (axis.in == element && axis.out == element) {
    std::memcpy(out, in, static_cast<size_t>(axis.size * element));
    return;
  }
  switch (element) {
    case 1: return copy_elements<1>(in, out, axis);
    case 2: return copy_elements<2>(in, out, axis);
    case 4: return copy_elements<4>(in, out, axis);
    default: return copy_elements<8>(in, out, axis);
  }
}

class WindowReader {
 public:
  WindowReader(const SourceWeight& source, const WeightSourceReader& reader)
      : storage_(source.storage), reader_(reader), element_(dtype_size(source.dtype)) {}

  // `offset` is in bytes of the storage.
  Status read(int64_t offset, std::byte* out, std::span<const Axis> axes) {
    const int64_t span = reach(axes, element_);
    const int64_t needed = volume(axes, element_);
    if (axes.empty() || (axes.size() == 1 && axes[0].in == element_ && axes[0].out == element_))
      return reader_.read(storage_, Bytes{offset}, {out, static_cast<size_t>(needed)});
    const std::span<const Axis> inner = axes.subspan(1);
    const int64_t inner_span = reach(inner, element_);
    const bool gaps_are_large = axes[0].in >= 2 * inner_span && inner_span >= kWorthSkipping;
    if (span <= kBuffer && !gaps_are_large) {
      buffer_.resize(static_cast<size_t>(kBuffer));
      const std::span<std::byte> bytes(buffer_.data(), static_cast<size_t>(span));
      HR_TRY(reader_.read(storage_, Bytes{offset}, bytes));
      copy_axes(bytes.data(), out, axes, element_);
      return {};
    }
    // As many of the outermost axis at once as fit the buffer.
    Axis block = axes[0];
    const int64_t fit = inner_span > kBuffer || gaps_are_large ? 1 : (kBuffer - inner_span) / block.in + 1;
    for (int64_t i = 0; i < axes[0].size; i += fit) {
      block.size = std::min(fit, axes[0].size - i);
      std::vector<Axis> part(inner.begin(), inner.end());
      if (block.size > 1) part.insert(part.begin(), block);
      HR_TRY(read(offset + i * block.in, out + i * block.out, part));
    }
    return {};
  }

 private:
  const std::string& storage_;
  const WeightSourceReader& reader_;
  const int64_t element_;
  std::vector<std::byte> buffer_;
};

}  // namespace

void copy_strided(std::span<const std::byte> in, const Sizes& sizes, const Sizes& strides, int64_t offset,
                  int64_t element, std::span<std::byte> out) {
  if (out.empty()) return;
  copy_axes(in.data() + offset * element, out.data(), simplify(sizes, strides, element), element);
}

Status read_source(const SourceWeight& source, const WeightSourceReader& reader, std::span<std::byte> out) {
  if (out.empty()) return {};
  const int64_t element = dtype_size(source.dtype);
  const int64_t needed = *window_end(source.shape, source.strides, source.offset) * element;
  const std::string what = fmt::format("source weight '{}'", source.name);
  const Result<Bytes> size = reader.size(source.storage);
  if (!size.ok()) return size.status().with_context(what);
  if (size->count < needed) {
    return corrupt("{}: it needs {} bytes of storage '{}', which has {}", what, needed, source.storage,
                   size->count);
  }
  return WindowReader(source, reader)
      .read(source.offset * element, out.data(), simplify(source.shape, source.strides, element))
      .with_context(what);
}

bool is_row_major(const SourceWeight& source) {
  int64_t stride = 1;
  for (size_t i = source.shape.size(); i-- > 0;) {
    if (source.shape[i] == 1) continue;
    if (source.shape[i] == 0) return true;
    if (source.strides[i] != stride) return false;
    stride *= source.shape[i];
  }
  return true;
}

SourceWeight window_of(const SourceWeight& source, Sizes sizes, Sizes strides, int64_t offset) {
  SourceWeight window = source;
  window.shape = std::move(sizes);
  window.strides = std::move(strides);
  window.offset += offset;
  return window;
}

}  // namespace headrace
