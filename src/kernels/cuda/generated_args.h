// What every generated kernel is given, by value. Read by the host's compiler and, as text, by NVRTC: nothing
// is included, and nothing is here that both do not know.
#pragma once

namespace headrace::cuda {

// Grows with every change of what a kernel is given or how it is launched: engines hold compiled kernels.
inline constexpr int kGeneratedVersion = 4;

inline constexpr int kGeneratedRank = 8;      // dimensions of a step's tensors
inline constexpr int kGeneratedNumbers = 16;  // sizes and such that a step is given beside its tensors

struct GeneratedTensor {
  char* data;  // its first element; nullptr: absent
  long long
      strides[kGeneratedRank];  // in elements, by dimension of GeneratedHead::sizes unless the kernel says
};

struct GeneratedHead {
  long long numbers[kGeneratedNumbers];
  long long sizes[kGeneratedRank];  // of the result; joined where all tensors allow it, if the rule says so
  long long elements;               // of `sizes`; in vectors where `vector`
  long long rows, columns;          // products of the first `outer` sizes and of the others
  int rank;
  int outer;
  int vector;      // the innermost dimension is read and written in vectors
  unsigned dense;  // by tensor: the innermost stride is 1
};

template <int kTensors>
struct GeneratedArgs {
  GeneratedHead head;
  GeneratedTensor tensors[kTensors];
};

// A tensor that boxes are copied from by themselves, as the driver describes it (its CUtensorMap).
struct alignas(64) TensorMap {
  unsigned long long words[16];
};

// For kernels that copy boxes of their first two tensors.
template <int kTensors>
struct MappedArgs {
  TensorMap maps[2];
  GeneratedArgs<kTensors> plain;
};

}  // namespace headrace::cuda
