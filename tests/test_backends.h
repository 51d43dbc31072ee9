// The back ends that conformance tests run on, in one place.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "device/queued_device.h"
#include "kernels/kernels.h"
#include "lowering/lowering.h"
#include "weights/weights.h"

namespace headrace::test {

struct TestBackend {
  std::string name;
  std::unique_ptr<Lowering> lowering;
  std::unique_ptr<Kernels> kernels;
  std::unique_ptr<Packer> packer;  // nullptr where it packs nothing
  QueuedDevice* device = nullptr;  // lives as long as the process; nullptr: the host
  // Attention's probabilities have the dtype of its operands, as tensor cores take them.
  bool rounds_probabilities = false;
  // Cases by id, or by "op/" for all of an op. cannot: by design; its lowering must say so.
  // not_yet: to be done; a case that passes fails the run, until it is taken off the list.
  std::vector<std::string> cannot, not_yet;
};

// "cuda" is among them where its plug-ins and a device are.
std::vector<std::string> test_backend_names();
TestBackend make_test_backend(const std::string& name);

}  // namespace headrace::test
