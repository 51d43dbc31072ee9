// The reference back end's running half: plain loops, slow and obvious; the oracle of the tests.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "kernels/kernels.h"
#include "weights/weights.h"

namespace headrace::reference {

std::unique_ptr<Kernels> make_kernels();
std::unique_ptr<Evaluator> make_evaluator();

// Runs one op on dense tensors; what the evaluator and the folding of literals call.
// `inputs` may hold nullptr (absent); `outputs` come with dtype and shape set and bytes sized.
Status run_op(std::string_view kernel, const AttributeMap& attributes,
              std::span<const HostTensor* const> inputs, std::span<HostTensor> outputs);

}  // namespace headrace::reference
