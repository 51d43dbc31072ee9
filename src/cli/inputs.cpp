#include "cli/inputs.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numbers>
#include <optional>
#include <set>

#include "cli/npz.h"
#include "core/error.h"
#include "core/half.h"

namespace headrace::cli {
namespace {

std::optional<int64_t> whole_number(std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

template <class Items, class Name>
std::string listed(const Items& items, Name name) {
  std::string out;
  for (const auto& item : items) out += (out.empty() ? "" : ", ") + std::string(name(item));
  return out.empty() ? "none" : out;
}

// Numbers from a seed, the same on every machine (std's distributions are not): SplitMix64 and Box-Muller.
class Random {
 public:
  explicit Random(const RandomValues& values)
      : state_(values.seed), below_(static_cast<uint64_t>(values.integers_below)) {}
  uint64_t bits() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  double uniform() { return (static_cast<double>(bits() >> 11) + 0.5) * 0x1p-53; }
  double normal() { return std::sqrt(-2 * std::log(uniform())) * std::cos(2 * std::numbers::pi * uniform()); }
  int64_t integer() { return static_cast<int64_t>(bits() % below_); }

 private:
  uint64_t state_, below_;
};

void fill(const Tensor& tensor, Random& random) {
  for (int64_t i = 0; i < tensor.elements(); ++i) {
    switch (tensor.dtype()) {
      case DType::kBool: tensor.as<uint8_t>()[i] = static_cast<uint8_t>(random.bits() & 1); break;
      case DType::kU8: tensor.as<uint8_t>()[i] = static_cast<uint8_t>(random.integer()); break;
      case DType::kI8: tensor.as<int8_t>()[i] = static_cast<int8_t>(random.integer()); break;
      case DType::kI16: tensor.as<int16_t>()[i] = static_cast<int16_t>(random.integer()); break;
      case DType::kI32: tensor.as<int32_t>()[i] = static_cast<int32_t>(random.integer()); break;
      case DType::kI64: tensor.as<int64_t>()[i] = random.integer(); break;
      case DType::kF16: tensor.as<uint16_t>()[i] = float_to_f16(static_cast<float>(random.normal())); break;
      case DType::kBF16: tensor.as<uint16_t>()[i] = float_to_bf16(static_cast<float>(random.normal())); break;
      case DType::kF32: tensor.as<float>()[i] = static_cast<float>(random.normal()); break;
      case DType::kF64: tensor.as<double>()[i] = random.normal(); break;
    }
  }
}

// A tensor of rank 0, as a number of the call is given.
Result<Tensor> number(int64_t value) {
  HR_ASSIGN(Tensor out, Tensor::make(DType::kI64, {}));
  *out.as<int64_t>() = value;
  return out;
}

Result<Tensor> rounded_to_bf16(const Tensor& source) {
  HR_ASSIGN(Tensor out, Tensor::make(DType::kBF16, source.shape()));
  std::vector<int64_t> index(source.shape().size(), 0);
  for (int64_t i = 0; i < source.elements(); ++i) {
    int64_t from = 0;
    for (size_t d = 0; d < index.size(); ++d) from += index[d] * source.strides()[d];
    out.as<uint16_t>()[i] = float_to_bf16(source.as<float>()[from]);
    for (size_t d = index.size(); d-- > 0 && ++index[d] == source.shape()[d];) index[d] = 0;
  }
  return out;
}

// The symbols that no tensor's size shows, in order: those of numbers among the inputs.
std::vector<std::string> symbols_of_numbers(const Engine& engine, const std::vector<PortInfo>& ports) {
  std::vector<std::string> shown;
  for (const PortInfo& port : ports) {
    for (const std::string& size : port.shape) {
      if (const Result<Dim> dim = Dim::parse(size); dim.ok()) dim->collect_symbols(shown);
    }
  }
  std::vector<std::string> rest;
  for (const ProfileRange& range : engine.profile()) {
    if (std::find(shown.begin(), shown.end(), range.name) == shown.end()) rest.push_back(range.name);
  }
  return rest;
}

}  // namespace

Result<std::pair<std::string, int64_t>> parse_size(std::string_view text) {
  const size_t equals = text.find('=');
  const auto value = equals == std::string_view::npos ? std::nullopt : whole_number(text.substr(equals + 1));
  if (equals == 0 || !value) return invalid_argument("'{}' is no size; write NAME=VALUE, as in s0=8", text);
  return std::pair(std::string(text.substr(0, equals)), *value);
}

Result<ProfileRange> parse_profile(std::string_view text) {
  const auto malformed = [&] {
    return invalid_argument("'{}' is no profile; write NAME=MIN:OPT:MAX, as in s0=1:8:32", text);
  };
  const size_t equals = text.find('=');
  if (equals == 0 || equals == std::string_view::npos) return malformed();
  std::vector<int64_t> numbers;
  std::string_view rest = text.substr(equals + 1);
  for (bool more = true; more;) {
    const size_t colon = rest.find(':');
    const std::optional<int64_t> value = whole_number(rest.substr(0, colon));
    if (!value) return malformed();
    numbers.push_back(*value);
    more = colon != std::string_view::npos;
    if (more) rest.remove_prefix(colon + 1);
  }
  if (numbers.size() == 1) numbers.assign(3, numbers[0]);
  if (numbers.size() != 3) return malformed();
  if (numbers[0] < 0 || numbers[0] > numbers[1] || numbers[1] > numbers[2]) {
    return invalid_argument("profile '{}': 0 <= min <= opt <= max does not hold", text);
  }
  return ProfileRange{std::string(text.substr(0, equals)), numbers[0], numbers[1], numbers[2]};
}

Result<DimBindings> bind_sizes(const Engine& engine, std::span<const std::string> sizes) {
  const std::vector<ProfileRange> profile = engine.profile();
  DimBindings dims;
  for (const ProfileRange& range : profile) dims[range.name] = range.opt;
  for (const std::string& text : sizes) {
    HR_ASSIGN(const auto size, parse_size(text));
    const auto& [name, value] = size;
    const auto range =
        std::find_if(profile.begin(), profile.end(), [&](const auto& r) { return r.name == name; });
    if (range == profile.end()) {
      return invalid_argument("--size {}: the engine has no dynamic size '{}'; it has: {}", text, name,
                              listed(profile, [](const ProfileRange& r) { return r.name; }));
    }
    if (value < range->min || value > range->max) {
      return invalid_argument("--size {}: the engine's profile allows {} to {} for '{}'", text, range->min,
                              range->max, name);
    }
    dims[name] = value;
  }
  return dims;
}

Result<std::string> batch_symbol(const Engine& engine) {
  const std::vector<ProfileRange> profile = engine.profile();
  for (const PortInfo& port : engine.inputs()) {
    if (!port.is_tensor || port.shape.empty()) continue;
    for (const ProfileRange& range : profile) {
      if (range.name == port.shape[0]) return range.name;
    }
    return invalid_argument(
        "--batch needs an engine with a dynamic batch; the first size of input '{}' is {}. Export the model "
        "with "
        "dynamic_shapes, or leave --batch out",
        port.name, port.shape[0]);
  }
  return invalid_argument("--batch needs an engine with a dynamic batch; this one has no tensor inputs");
}

Result<std::vector<Tensor>> random_inputs(const Engine& engine, const DimBindings& dims,
                                          const RandomValues& values) {
  const std::vector<PortInfo> ports = engine.inputs();
  const std::vector<std::string> numbers = symbols_of_numbers(engine, ports);
  size_t next_number = 0;
  Random random(values);
  std::vector<Tensor> inputs;
  for (const PortInfo& port : ports) {
    if (!port.constant.empty()) {
      inputs.emplace_back();  // not looked at
      continue;
    }
    if (!port.is_tensor) {
      const bool known = next_number < numbers.size();
      const auto bound = known ? dims.find(numbers[next_number++]) : dims.end();
      HR_ASSIGN(Tensor value, number(bound == dims.end() ? 1 : bound->second));
      inputs.push_back(std::move(value));
      continue;
    }
    std::vector<int64_t> shape;
    for (const std::string& size : port.shape) {
      HR_ASSIGN(const Dim dim, Dim::parse(size));
      HR_ASSIGN(const int64_t value, dim.evaluate(dims));
      shape.push_back(value);
    }
    HR_ASSIGN(Tensor tensor, Tensor::make(port.dtype, std::move(shape)));
    fill(tensor, random);
    inputs.push_back(std::move(tensor));
  }
  return inputs;
}

Result<std::vector<Tensor>> inputs_from_npz(const Engine& engine, const std::filesystem::path& path) {
  HR_ASSIGN(std::vector<NamedTensor> arrays, read_npz(path));
  const std::vector<PortInfo> ports = engine.inputs();
  const bool by_position =
      !arrays.empty() && std::all_of(arrays.begin(), arrays.end(), [](const NamedTensor& array) {
        return array.name.starts_with("arr_") && whole_number(array.name.substr(4));
      });
  const auto port_name = [](const PortInfo& port) { return port.name; };
  std::vector<Tensor> inputs;
  std::set<std::string> used;
  size_t position = 0;
  for (const PortInfo& port : ports) {
    if (!port.constant.empty()) {  // part of the engine; not looked at
      inputs.emplace_back();
      continue;
    }
    const std::string name = by_position ? fmt::format("arr_{}", position++) : port.name;
    const auto found = std::find_if(arrays.begin(), arrays.end(),
                                    [&](const NamedTensor& array) { return array.name == name; });
    if (found == arrays.end()) {
      return invalid_argument("'{}' has no array for input '{}'; it has: {}. The engine's inputs are: {}",
                              path.string(), port.name,
                              listed(arrays, [](const NamedTensor& array) { return array.name; }),
                              listed(ports, port_name));
    }
    used.insert(name);
    const bool round = port.is_tensor && port.dtype == DType::kBF16 && found->tensor.dtype() == DType::kF32;
    if (!round) {
      inputs.push_back(found->tensor);
      continue;
    }
    HR_ASSIGN(Tensor rounded, rounded_to_bf16(found->tensor));
    inputs.push_back(std::move(rounded));
  }
  for (const NamedTensor& array : arrays) {
    if (used.contains(array.name)) continue;
    return invalid_argument("'{}' has an array '{}', which is no input of the engine; its inputs are: {}",
                            path.string(), array.name, listed(ports, port_name));
  }
  return inputs;
}

}  // namespace headrace::cli
