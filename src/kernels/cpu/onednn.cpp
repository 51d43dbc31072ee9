#include "kernels/cpu/onednn.h"

#include <omp.h>

#include <array>
#include <string_view>

namespace headrace::cpu {

namespace {

struct Epilogue {
  std::string_view function;
  dnnl::algorithm algorithm;
  float alpha, beta;
};
constexpr Epilogue kEpilogues[] = {
    {"relu", dnnl::algorithm::eltwise_relu, 0, 0},
    {"gelu", dnnl::algorithm::eltwise_gelu_erf, 0, 0},
    {"gelu_tanh", dnnl::algorithm::eltwise_gelu_tanh, 0, 0},
    {"silu", dnnl::algorithm::eltwise_swish, 1, 0},
    {"sigmoid", dnnl::algorithm::eltwise_logistic, 0, 0},
    {"tanh", dnnl::algorithm::eltwise_tanh, 0, 0},
    {"hardswish", dnnl::algorithm::eltwise_hardswish, 1.0f / 6, 0.5f},
    {"hardsigmoid", dnnl::algorithm::eltwise_hardsigmoid, 1.0f / 6, 0.5f},
    {"mish", dnnl::algorithm::eltwise_mish, 0, 0},
    {"softplus", dnnl::algorithm::eltwise_soft_relu, 1, 0},
    {"abs", dnnl::algorithm::eltwise_abs, 0, 0},
    {"exp", dnnl::algorithm::eltwise_exp, 0, 0},
};

const Epilogue* find_epilogue(std::string_view function) {
  for (const Epilogue& epilogue : kEpilogues)
    if (epilogue.function == function) return &epilogue;
  return nullptr;
}

// Streams hold no work on the CPU, but are cheap neither to make nor to share.
const dnnl::stream& thread_stream() {
  thread_local const dnnl::stream stream(cpu_engine());
  return stream;
}

}  // namespace

const dnnl::engine& cpu_engine() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

std::string onednn_version() {
  const dnnl_version_t* version = dnnl_version();
  return fmt::format("onednn {}.{}.{}", version->major, version->minor, version->patch);
}

std::string onednn_isa() {
  switch (dnnl::get_effective_cpu_isa()) {
    case dnnl::cpu_isa::sse41: return "sse41";
    case dnnl::cpu_isa::avx: return "avx";
    case dnnl::cpu_isa::avx2: return "avx2";
    case dnnl::cpu_isa::avx2_vnni: return "avx2_vnni";
    case dnnl::cpu_isa::avx2_vnni_2: return "avx2_vnni_2";
    case dnnl::cpu_isa::avx512_core: return "avx512_core";
    case dnnl::cpu_isa::avx512_core_vnni: return "avx512_core_vnni";
    case dnnl::cpu_isa::avx512_core_bf16: return "avx512_core_bf16";
    case dnnl::cpu_isa::avx512_core_fp16: return "avx512_core_fp16";
    case dnnl::cpu_isa::avx512_core_amx: return "avx512_core_amx";
    case dnnl::cpu_isa::avx512_core_amx_fp16: return "avx512_core_amx_fp16";
    default: return fmt::format("isa_{}", static_cast<int>(dnnl::get_effective_cpu_isa()));
  }
}

DType product_dtype(DType dtype) {
  constexpr auto kBf16 =
      static_cast<unsigned>(dnnl::cpu_isa::avx512_core);  // each ISA has the bits of those in it
  const bool has_bf16 = (static_cast<unsigned>(dnnl::get_effective_cpu_isa()) & kBf16) == kBf16;
  return dtype == DType::kBF16 && has_bf16 ? dtype : DType::kF32;
}

dnnl::memory::data_type onednn_type(DType dtype) {
  switch (dtype) {
    case DType::kBF16: return dnnl::memory::data_type::bf16;
    case DType::kF16: return dnnl::memory::data_type::f16;
    case DType::kI8: return dnnl::memory::data_type::s8;
    case DType::kU8: return dnnl::memory::data_type::u8;
    case DType::kI32: return dnnl::memory::data_type::s32;
    default: return dnnl::memory::data_type::f32;
  }
}

dnnl::memory::desc strided_desc(DType dtype, const Sizes& shape, const Sizes& strides) {
  return dnnl::memory::desc(shape, onednn_type(dtype), strides);
}
dnnl::memory::desc any_desc(DType dtype, const Sizes& shape) {
  return dnnl::memory::desc(shape, onednn_type(dtype), dnnl::memory::format_tag::any);
}

std::string layout_text(const dnnl::memory::desc& desc) {
  return fmt::format("{} in {} strides {} blocks {} of {} offset {}", to_text(desc.get_dims()),
                     to_text(desc.get_padded_dims()), to_text(desc.get_strides()),
                     to_text(desc.get_inner_blks()), to_text(desc.get_inner_idxs()),
                     desc.get_submemory_offset());
}

Status guarded(std::string_view what, const std::function<void()>& make) {
  try {
    make();
    return {};
  } catch (const dnnl::error& error) {
    return internal_error("{}: oneDNN says: {}", what, error.message ? error.message : "nothing");
  }
}

bool append_epilogue(dnnl::post_ops& ops, std::string_view function) {
  const Epilogue* epilogue = find_epilogue(function);
  if (epilogue) ops.append_eltwise(epilogue->algorithm, epilogue->alpha, epilogue->beta);
  return epilogue != nullptr;
}
bool has_epilogue(std::string_view function) { return find_epilogue(function) != nullptr; }
std::vector<std::string> epilogue_names() {
  std::vector<std::string> names;
  for (const Epilogue& epilogue : kEpilogues) names.emplace_back(epilogue.function);
  return names;
}

bool is_slow(const dnnl::primitive_desc_base& primitive) {
  return std::string_view(primitive.impl_info_str()).starts_with("ref");
}

Status execute(const dnnl::primitive& primitive, std::span<const Argument> arguments) {
  constexpr size_t kMost = 10;
  std::array<dnnl_exec_arg_t, kMost> list = {};
  size_t made = 0;
  dnnl_status_t status = arguments.size() > kMost ? dnnl_invalid_arguments : dnnl_success;
  for (; made < arguments.size() && status == dnnl_success; ++made) {
    list[made].arg = arguments[made].name;
    status = dnnl_memory_create(&list[made].memory, arguments[made].desc->get(), cpu_engine().get(),
                                const_cast<void*>(arguments[made].data));
  }
  if (status == dnnl_success)
    status =
        dnnl_primitive_execute(primitive.get(), thread_stream().get(), static_cast<int>(made), list.data());
  for (size_t i = 0; i < made; ++i) dnnl_memory_destroy(list[i].memory);
  if (status == dnnl_success) return {};
  return internal_error("oneDNN cannot run a primitive (status {})", static_cast<int>(status));
}

Result<Reorder> Reorder::make(const dnnl::memory::desc& from, const dnnl::memory::desc& to) {
  Reorder made;
  made.from_ = from;
  made.to_ = to;
  HR_TRY(guarded("a reorder of memory", [&] {
    dnnl::primitive_attr attributes;
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    const dnnl::reorder::primitive_desc desc(cpu_engine(), from, cpu_engine(), to, attributes);
    made.scratch_ = desc.scratchpad_desc();
    made.primitive_ = dnnl::reorder(desc);
  }));
  return made;
}

Status Reorder::run(const void* from, void* to, void* scratch) const {
  const Argument arguments[] = {
      {DNNL_ARG_FROM, &from_, from}, {DNNL_ARG_TO, &to_, to}, {DNNL_ARG_SCRATCHPAD, &scratch_, scratch}};
  return execute(primitive_, arguments);
}

TeamSize::TeamSize(int threads) : before_(omp_get_max_threads()) {
  if (threads != before_) omp_set_num_threads(threads);
}
TeamSize::~TeamSize() {
  if (omp_get_max_threads() != before_) omp_set_num_threads(before_);
}

}  // namespace headrace::cpu
