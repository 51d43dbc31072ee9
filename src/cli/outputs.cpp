#include "cli/outputs.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "cli/npz.h"
#include "cli/report_text.h"
#include "core/error.h"
#include "core/half.h"

namespace headrace::cli {
namespace {

double difference(double got, double want) {
  if (got == want || (std::isnan(got) && std::isnan(want))) return 0;
  const double apart = std::abs(got - want);
  return std::isnan(apart) ? std::numeric_limits<double>::infinity() : apart;
}

double largest_difference(const Tensor& got, const Tensor& want) {
  const std::vector<int64_t>& shape = got.shape();
  std::vector<int64_t> index(shape.size(), 0);
  double largest = 0;
  for (int64_t i = 0; i < got.elements(); ++i) {
    int64_t at_got = 0, at_want = 0;
    for (size_t d = 0; d < index.size(); ++d) {
      at_got += index[d] * got.strides()[d];
      at_want += index[d] * want.strides()[d];
    }
    largest = std::max(largest, difference(element(got, at_got), element(want, at_want)));
    for (size_t d = index.size(); d-- > 0 && ++index[d] == shape[d];) index[d] = 0;
  }
  return largest;
}

}  // namespace

double element(const Tensor& tensor, int64_t position) {
  switch (tensor.dtype()) {
    case DType::kBool:
    case DType::kU8: return tensor.as<uint8_t>()[position];
    case DType::kI8: return tensor.as<int8_t>()[position];
    case DType::kI16: return tensor.as<int16_t>()[position];
    case DType::kI32: return tensor.as<int32_t>()[position];
    case DType::kI64: return static_cast<double>(tensor.as<int64_t>()[position]);
    case DType::kF16: return f16_to_float(tensor.as<uint16_t>()[position]);
    case DType::kBF16: return bf16_to_float(tensor.as<uint16_t>()[position]);
    case DType::kF32: return tensor.as<float>()[position];
    case DType::kF64: return tensor.as<double>()[position];
  }
  return 0;
}

std::vector<NamedTensor> named_outputs(const Engine& engine, std::span<const Tensor> results) {
  const std::vector<PortInfo> ports = engine.outputs();
  std::vector<NamedTensor> outputs;
  for (size_t i = 0; i < results.size(); ++i) {
    if (results[i].data() == nullptr && results[i].shape().empty()) continue;  // None
    outputs.push_back({i < ports.size() ? ports[i].name : fmt::format("output_{}", i), results[i]});
  }
  return outputs;
}

Result<Expected> Expected::read(const Engine& engine, const std::filesystem::path& path) {
  Expected expected;
  expected.path_ = path;
  HR_ASSIGN(expected.arrays_, read_npz(path));
  std::string names;
  const std::vector<PortInfo> ports = engine.outputs();
  for (const PortInfo& port : ports) names += (names.empty() ? "" : ", ") + port.name;
  for (const NamedTensor& array : expected.arrays_) {
    const bool known = std::any_of(ports.begin(), ports.end(),
                                   [&](const PortInfo& port) { return port.name == array.name; });
    if (known) continue;
    return invalid_argument("'{}' has an array '{}', which is no output of the engine; its outputs are: {}",
                            path.string(), array.name, names);
  }
  return expected;
}

Result<double> Expected::largest_difference(std::span<const NamedTensor> outputs) const {
  double largest = 0;
  for (const NamedTensor& want : arrays_) {
    for (const NamedTensor& got : outputs) {
      if (got.name != want.name) continue;
      if (got.tensor.shape() != want.tensor.shape()) {
        return invalid_argument("'{}': '{}' is {}, but the run gave {}", path_.string(), want.name,
                                shape_text(want.tensor.shape()), shape_text(got.tensor.shape()));
      }
      largest = std::max(largest, cli::largest_difference(got.tensor, want.tensor));
    }
  }
  return largest;
}

}  // namespace headrace::cli
