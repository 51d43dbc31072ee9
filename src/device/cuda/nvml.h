// Memory in use on a GPU before there is a context to ask in: NVML, the driver's library for watching
// devices.
#pragma once

#include <optional>
#include <string>

#include <headrace/bytes.h>

namespace headrace::cuda {

class Nvml {
 public:
  // Opens the library by name. Where it is not there, or does not know the device, used() says nullopt.
  explicit Nvml(const std::string& pci_bus_id);
  ~Nvml();
  Nvml(const Nvml&) = delete;
  Nvml& operator=(const Nvml&) = delete;

  std::optional<Bytes> used() const;  // on the device now, by all programs

 private:
  struct Memory {  // as NVML documents it: the toolkit's header need not be there
    unsigned long long total, free, used;
  };
  void* library_ = nullptr;
  int (*stop_)() = nullptr;
  int (*ask_)(void*, Memory*) = nullptr;
  void* device_ = nullptr;
};

}  // namespace headrace::cuda
