// Preferences: what a back end likes, as data that passes read.
#pragma once

#include <string>
#include <vector>

#include <headrace/dtype.h>

namespace headrace::ir {

struct Preferences {
  bool channels_last = false;   // conv and pool want NHWC / NDHWC memory
  std::vector<DType> planes;    // except those of these dtypes, which want NCHW / NCDHW
  bool fuse_pointwise = false;  // chains of element-wise ops become one `pointwise`
  bool fuse_attention = false;  // softmax(q k^T) v patterns become `attention`
  bool fuse_norm = false;       // RMS norm and rotary written out in small ops become one op
  // Products of one input with several weights become one (Q/K/V), and so does rotary of parts of that.
  bool join_matmuls = false;
  // Element-wise functions that a matmul or conv can apply to its result ("relu", "gelu", …).
  std::vector<std::string> epilogues;
  bool fuse_residual = false;  // matmul and conv can add a tensor to their result
  int max_pointwise_inputs = 8;
};

}  // namespace headrace::ir
