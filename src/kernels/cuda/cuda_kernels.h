// The CUDA back end's running half: cuBLASLt and cuDNN for the products, generated kernels for the rest.
#pragma once

#include <memory>

#include "kernels/kernels.h"

namespace headrace::cuda {

class Libraries;

std::unique_ptr<Kernels> make_kernels(std::shared_ptr<Libraries> libraries);

}  // namespace headrace::cuda
