// The inputs of a run: from an .npz, or random.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <headrace/headrace.h>
#include "core/dim.h"

namespace headrace::cli {

// "NAME=VALUE" of --size. Errors: kInvalidArgument with the text.
Result<std::pair<std::string, int64_t>> parse_size(std::string_view text);
// "NAME=MIN:OPT:MAX" of --profile; also "NAME=VALUE", for all three.
Result<ProfileRange> parse_profile(std::string_view text);

// The size of each symbol: opt, or what `sizes` ("NAME=VALUE") says.
// Errors: kInvalidArgument (no such symbol, outside the profile), with the symbols there are.
Result<DimBindings> bind_sizes(const Engine& engine, std::span<const std::string> sizes);

// The symbol that --batch sets: the first size of the first tensor input. Errors: kInvalidArgument where that
// is no symbol.
Result<std::string> batch_symbol(const Engine& engine);

struct RandomValues {
  uint64_t seed = 0;  // the same seed gives the same values
  // Integers are 0 or more and below this. 2 suits masks, kinds of tokens, and indices into anything.
  int integers_below = 2;
};
// Floats from the normal distribution, integers, bools; numbers are the size that they stand for.
Result<std::vector<Tensor>> random_inputs(const Engine& engine, const DimBindings& dims,
                                          const RandomValues& values);

// The arrays by name, or by position where they are named arr_0, arr_1, ... as numpy.savez names positional
// ones. f4 arrays become bf16 where the engine asks for that.
// Errors: kInvalidArgument (an input is missing, a name is unknown), with the names there are.
Result<std::vector<Tensor>> inputs_from_npz(const Engine& engine, const std::filesystem::path& path);

}  // namespace headrace::cli
