// The CUDA back end's running half: cuBLASLt and cuDNN for the products, generated kernels for the rest.
#pragma once

#include <memory>

#include "kernels/kernels.h"
#include "kernels/tuning.h"

namespace headrace::cuda {

class Libraries;

// `tuning`: of the engine that is going to be loaded.
std::unique_ptr<Kernels> make_kernels(std::shared_ptr<Libraries> libraries, std::shared_ptr<Tuning> tuning);

}  // namespace headrace::cuda
