// The back ends that conformance tests run on, in one place.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "device/queued_device.h"
#include "kernels/kernels.h"
#include "lowering/lowering.h"
#include "op_cases.h"
#include "weights/weights.h"

namespace headrace::test {

struct TestBackend {
  std::string name;
  std::unique_ptr<Lowering> lowering;
  std::unique_ptr<Kernels> kernels;
  std::unique_ptr<Packer> packer;  // nullptr where it packs nothing
  QueuedDevice* device = nullptr;  // lives as long as the process; nullptr: the host
  // Attention's probabilities have the dtype of its operands, as tensor cores take them; products take f32 as
  // TF32.
  bool rounds_probabilities = false, rounds_f32 = false;
  // Cases by id, or by "op/" for all of an op. cannot: by design; its lowering must say so.
  // not_yet: to be done; a case that passes fails the run, until it is taken off the list.
  std::vector<std::string> cannot, not_yet;

  Inside inside(const OpCase& test) const {
    if (rounds_f32) return Inside::kTf32;
    return rounds_probabilities && attends(test) ? Inside::kRounded : Inside::kExact;
  }
};

// Where its plug-ins and a device are, also "cuda", "cuda_large" with kernels for large tensors, and
// "cuda_tf32", the same with products of f32 rounded to TF32.
std::vector<std::string> test_backend_names();
// Whether what a back end does other than those before it concerns the op.
bool is_tested_on(const std::string& name, std::string_view op);
TestBackend make_test_backend(const std::string& name);

}  // namespace headrace::test
