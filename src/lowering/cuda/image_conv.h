// Convolutions over few channels, in steps, of many results: by one kernel of ours that folds the image as it
// goes.
#pragma once

#include "lowering/cuda/fold.h"
#include "lowering/cuda/step_writer.h"

namespace headrace::cuda {

// y = E(x * w + bias), all channels last; `bias` may be kNone. False where the target or the sizes are not
// those that the kernel is for; nothing is written then.
Result<bool> write_image_conv(StepWriter& writer, const ir::Node& node, const Fold& fold, TensorIndex x,
                              TensorIndex bias, TensorIndex y);

}  // namespace headrace::cuda
