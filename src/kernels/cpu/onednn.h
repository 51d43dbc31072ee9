// oneDNN, as our kernels use it: one engine, descriptors from strided tensors, post-ops, execution with
// Status.
//
// oneDNN's C++ classes throw; only the functions here and the makers of primitives (which catch what they
// throw through guarded()) call them.
#pragma once

#include <dnnl.hpp>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <headrace/bytes.h>
#include "core/error.h"
#include "core/pointwise.h"
#include "core/shape.h"

namespace headrace::cpu {

const dnnl::engine& cpu_engine();

// "onednn 3.2.0", "avx512_core_bf16".
std::string onednn_version();
std::string onednn_isa();

// What oneDNN computes products of floats in, here: f32 instead of f16, and of bf16 on a CPU without AVX-512.
// REQUIRES: dtype is f32, bf16 or f16.
DType product_dtype(DType dtype);

// REQUIRES: dtype is f32, bf16, f16, i8, u8 or i32.
dnnl::memory::data_type onednn_type(DType dtype);
dnnl::memory::desc strided_desc(DType dtype, const Sizes& shape, const Sizes& strides);
dnnl::memory::desc any_desc(DType dtype, const Sizes& shape);
// Everything of a layout that steers where an element lies.
std::string layout_text(const dnnl::memory::desc& desc);
inline Bytes bytes_of(const dnnl::memory::desc& desc) { return {static_cast<int64_t>(desc.get_size())}; }

// Runs `make`, whose oneDNN calls may throw. `what` names it in the error (kInternal).
Status guarded(std::string_view what, const std::function<void()>& make);

// False where oneDNN has no post-op for `function`.
bool append_epilogue(dnnl::post_ops& ops, std::string_view function);
bool has_epilogue(std::string_view function);
std::vector<std::string> epilogue_names();

// Whether oneDNN found nothing better than its reference loops.
bool is_slow(const dnnl::primitive_desc_base& primitive);

// A primitive x · weight (+ bias) -> y, with the layouts that it takes.
struct ProductPrimitive {
  dnnl::primitive primitive;
  dnnl::memory::desc x, weight, bias, y, scratch;
  bool slow = false;  // only reference loops do it
};
// May throw: call it in guarded().
template <class Primitive, class Desc>
ProductPrimitive make_product(const Desc& desc, bool has_bias) {
  ProductPrimitive made;
  made.x = desc.src_desc();
  made.weight = desc.weights_desc();
  if (has_bias) made.bias = desc.bias_desc();
  made.y = desc.dst_desc();
  made.scratch = desc.scratchpad_desc();
  made.slow = is_slow(desc);
  made.primitive = Primitive(desc);
  return made;
}

struct Argument {
  int name = 0;
  const dnnl::memory::desc* desc = nullptr;
  const void* data = nullptr;
};
// On the calling thread's OpenMP team. Errors: kInternal.
Status execute(const dnnl::primitive& primitive, std::span<const Argument> arguments);

// A reorder between two layouts, kept ready.
class Reorder {
 public:
  static Result<Reorder> make(const dnnl::memory::desc& from, const dnnl::memory::desc& to);
  Bytes scratch() const { return bytes_of(scratch_); }
  Status run(const void* from, void* to, void* scratch) const;

 private:
  dnnl::primitive primitive_;
  dnnl::memory::desc from_, to_, scratch_;
};

// While it lives, parallel regions of this thread have `threads` threads; then what it was.
class TeamSize {
 public:
  explicit TeamSize(int threads);
  ~TeamSize();
  TeamSize(const TeamSize&) = delete;
  TeamSize& operator=(const TeamSize&) = delete;

 private:
  int before_;
};

}  // namespace headrace::cpu
