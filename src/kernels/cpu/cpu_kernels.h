// The CPU back end's running half: oneDNN for convolutions and products, loops of our own for the rest.
#pragma once

#include <memory>
#include <string>

#include "kernels/kernels.h"
#include "weights/weights.h"

namespace headrace::cpu {

std::unique_ptr<Kernels> make_kernels();
std::unique_ptr<Packer> make_packer();
// "cpu avx512_bf16 onednn 3.2.0": what packed weights and steps depend on.
std::string fingerprint();

}  // namespace headrace::cpu
