// The outputs of a run: their names, their elements, and how far they are from those expected.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

#include <headrace/headrace.h>

namespace headrace::cli {

// Element `position` of the memory of a tensor, as a number.
double element(const Tensor& tensor, int64_t position);

// The results of a run with the engine's names; None is left out.
std::vector<NamedTensor> named_outputs(const Engine& engine, std::span<const Tensor> results);

// What a run should give, by output name; dtypes may differ.
class Expected {
 public:
  // Errors: those of reading an .npz; kInvalidArgument where an array is no output of the engine.
  static Result<Expected> read(const Engine& engine, const std::filesystem::path& path);
  // Over all expected elements; equal infinities and NaN where NaN is expected differ by 0.
  // Errors: kInvalidArgument where a shape differs.
  Result<double> largest_difference(std::span<const NamedTensor> outputs) const;

 private:
  std::filesystem::path path_;
  std::vector<NamedTensor> arrays_;
};

}  // namespace headrace::cli
