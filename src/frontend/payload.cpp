#include "frontend/payload.h"

#include <set>

namespace headrace::frontend {
namespace {

// The names of tensors that some node or output uses. A tied or unused weight may be saved in any form.
std::set<std::string_view> used_tensors(const ExportedProgram& program) {
  std::set<std::string_view> used;
  const auto add = [&](const Argument& argument) {
    if (const auto* tensor = std::get_if<TensorName>(&argument)) used.insert(tensor->name);
    if (const auto* list = std::get_if<std::vector<std::optional<TensorName>>>(&argument)) {
      for (const auto& tensor : *list) {
        if (tensor) used.insert(tensor->name);
      }
    }
  };
  for (const ProgramNode& node : program.nodes) {
    for (const NamedArgument& input : node.inputs) add(input.value);
  }
  for (const OutputSpecEntry& output : program.outputs) add(output.argument);
  return used;
}

bool is_saved(const InputSpecEntry& input) {
  return input.kind == InputSpecEntry::Kind::kParameter || input.kind == InputSpecEntry::Kind::kBuffer ||
         input.kind == InputSpecEntry::Kind::kTensorConstant;
}

Status check_readable(const std::string& what, const TensorMeta& meta) {
  if (meta.layout.starts_with("sparse")) {
    return unsupported("{} has layout {}; call .to_dense() on it before export", what, meta.layout);
  }
  if (meta.layout != "strided")
    return unsupported("{} has layout {}; only strided ones are read", what, meta.layout);
  if (!meta.unsupported_dtype.empty()) {
    return unsupported("{} has dtype {}, which Headrace lacks; convert it before export", what,
                       meta.unsupported_dtype);
  }
  return {};
}

Status check_payload(const std::string& name, const PayloadEntry& payload) {
  if (payload.pickled) {
    return unsupported(
        "tensor '{}' is saved as a Python pickle, since it is a tensor subclass (quantised, "
        "perhaps); save the program as plain tensors:\n"
        "    program = program.run_decompositions()\n"
        "    torch.export.save(program, path)",
        name);
  }
  return check_readable(fmt::format("tensor '{}'", name), payload.meta);
}

// The elements of its storage that the tensor spans, from the storage's start.
Result<int64_t> spanned_elements(const std::string& name, const TensorMeta& meta) {
  const auto bad = [&](std::string_view why) { return corrupt("model weights: tensor '{}': {}", name, why); };
  if (!meta.storage_offset.is_constant() || meta.storage_offset.constant() < 0)
    return bad("its offset is no offset");
  int64_t last = meta.storage_offset.constant();
  bool overflow = false, empty = false;
  for (size_t i = 0; i < meta.sizes.size(); ++i) {
    if (!meta.sizes[i].is_constant() || !meta.strides[i].is_constant()) return bad("its sizes are not fixed");
    const int64_t size = meta.sizes[i].constant(), stride = meta.strides[i].constant();
    if (size < 0 || stride < 0) return bad(fmt::format("size {} with stride {}", size, stride));
    int64_t reach = 0;
    empty = empty || size == 0;
    overflow = overflow || (size > 0 && (__builtin_mul_overflow(size - 1, stride, &reach) ||
                                         __builtin_add_overflow(last, reach, &last)));
  }
  if (empty) return 0;
  if (overflow || __builtin_add_overflow(last, int64_t{1}, &last))
    return bad("it spans more than 2^63 elements");
  return last;
}

}  // namespace

void read_payloads(const Json& config, std::string_view folder, ProgramReader& reader,
                   std::map<std::string, PayloadEntry, std::less<>>& payloads) {
  config["config"].each_field([&](std::string_view name, const Json& json) {
    reader.errors.where = fmt::format("{} config, tensor '{}'", folder, name);
    PayloadEntry payload;
    payload.storage = fmt::format("{}{}", folder, json["path_name"].text());
    payload.pickled = json["use_pickle"].flag();
    if (const Json meta = json["tensor_meta"]; meta.present()) {
      payload.meta = read_tensor_meta(meta, reader);
    } else {
      payload.pickled = true;  // an object, not a tensor
    }
    payloads[std::string(name)] = std::move(payload);
  });
}

const PayloadEntry* payload_of(const ExportedProgram& program, const InputSpecEntry& input) {
  if (!is_saved(input)) return nullptr;
  for (const auto* payloads : {&program.weights, &program.constants}) {
    const auto found = payloads->find(input.target);
    if (found != payloads->end()) return &found->second;
  }
  return nullptr;
}

Status check_payloads(const ExportedProgram& program) {
  const std::set<std::string_view> used = used_tensors(program);
  for (const InputSpecEntry& input : program.inputs) {
    const auto* tensor = std::get_if<TensorName>(&input.argument);
    if (!tensor || used.find(tensor->name) == used.end()) continue;
    if (!is_saved(input)) {
      const auto meta = program.tensors.find(tensor->name);
      if (meta != program.tensors.end()) {
        HR_TRY(check_readable(fmt::format("input '{}'", tensor->name), meta->second));
      }
      continue;
    }
    const PayloadEntry* payload = payload_of(program, input);
    if (!payload)
      return corrupt("tensor '{}' is used, but the archive's configs do not say where it is", input.target);
    HR_TRY(check_payload(input.target, *payload));
    HR_TRY(spanned_elements(input.target, payload->meta).status());
  }
  return {};
}

Status check_storage(const ExportedProgram& program, const Archive& archive) {
  const std::set<std::string_view> used = used_tensors(program);
  for (const InputSpecEntry& input : program.inputs) {
    const auto* tensor = std::get_if<TensorName>(&input.argument);
    const PayloadEntry* payload = payload_of(program, input);
    if (!tensor || !payload || used.find(tensor->name) == used.end()) continue;
    if (!archive.contains(payload->storage)) {
      return corrupt("tensor '{}' should be in '{}', which the archive lacks", input.target,
                     payload->storage);
    }
    HR_ASSIGN(const Bytes size, archive.size(payload->storage));
    HR_ASSIGN(const int64_t elements, spanned_elements(input.target, payload->meta));
    if (elements > size.count / dtype_size(payload->meta.dtype)) {
      return corrupt(
          "tensor '{}' needs {} elements of {}, but '{}' has {} bytes; a program saved from the meta device "
          "has no weights: save it from the CPU",
          input.target, elements, dtype_name(payload->meta.dtype), payload->storage, size.count);
    }
  }
  return {};
}

}  // namespace headrace::frontend
