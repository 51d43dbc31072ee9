// What an engine file says of itself, for people and tools. No back end is opened.
#include <headrace/headrace.h>
#include "core/error.h"
#include "core/units.h"
#include "engine/engine_file.h"

namespace headrace {
namespace {

std::vector<std::string> shape_texts(const Shape& shape) {
  std::vector<std::string> texts;
  for (const Dim& dim : shape) texts.push_back(dim.text());
  return texts;
}

std::string constant_of(const InputSpec& spec) {
  return spec.kind == InputKind::kConstant ? spec.constant : "";
}
std::string constant_of(const OutputSpec& spec) { return spec.kind == OutputKind::kNoneValue ? "null" : ""; }

template <class Specs>
std::vector<PortInfo> ports(const Specs& specs) {
  std::vector<PortInfo> result;
  for (const auto& spec : specs) {
    result.push_back({spec.name, spec.kind == decltype(spec.kind)::kTensor, spec.dtype,
                      shape_texts(spec.shape), constant_of(spec)});
  }
  return result;
}

}  // namespace

Result<EngineInfo> inspect_engine(const std::filesystem::path& path) {
  HR_ASSIGN(EngineFile file, EngineFile::open(path));
  EngineInfo info;
  info.file_ = std::make_shared<const EngineFile>(std::move(file));
  return info;
}

std::string EngineInfo::backend() const { return file_->plan().backend; }
std::string EngineInfo::fingerprint() const { return file_->plan().fingerprint; }

Bytes EngineInfo::streamable() const {
  Bytes total;
  for (const WeightGroup& group : file_->plan().groups)
    if (group.streamable) total += group.size;
  return total;
}

std::vector<PortInfo> EngineInfo::inputs() const { return ports(file_->plan().inputs); }
std::vector<PortInfo> EngineInfo::outputs() const { return ports(file_->plan().outputs); }

std::vector<ProfileRange> EngineInfo::profile() const {
  std::vector<ProfileRange> ranges;
  for (const Symbol& symbol : file_->plan().symbols) {
    ranges.push_back({symbol.name, symbol.min, symbol.opt, symbol.max});
  }
  return ranges;
}

const std::string& EngineInfo::in_spec() const { return file_->plan().in_spec; }
const std::string& EngineInfo::out_spec() const { return file_->plan().out_spec; }
std::string EngineInfo::plan_text() const { return to_text(file_->plan()); }
Result<std::string> EngineInfo::graph_text() const { return file_->graph_text(); }
std::filesystem::path EngineInfo::path() const { return file_->path(); }

std::string EngineInfo::weights_text() const {
  const Plan& plan = file_->plan();
  std::string text = fmt::format("{:<56} {:>5} {:<20} {:>12} {:>6}  {}\n", "weight", "dtype", "shape",
                                 "stored", "group", "use");
  for (const Weight& weight : plan.weights) {
    const bool streamable = weight.group >= 0 && plan.groups[static_cast<size_t>(weight.group)].streamable;
    text +=
        fmt::format("{:<56} {:>5} {:<20} {:>12} {:>6}  {}{}\n", weight.name, dtype_name(weight.dtype),
                    to_text(weight.shape), to_text(weight.stored), weight.group,
                    weight.use == WeightUse::kRows ? "rows" : "whole", streamable ? "" : ", always resident");
  }
  return text;
}

}  // namespace headrace
