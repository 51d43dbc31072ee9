// Tensors on a GPU and a stream, for programs that are not linked to CUDA: through the driver, opened by
// name.
#pragma once

#include <vector>

#include <headrace/headrace.h>

namespace headrace::bench {

// On the first device, whose context becomes this thread's. Every failure throws Error. Outlives its tensors.
class DeviceTensors {
 public:
  DeviceTensors();
  ~DeviceTensors();
  DeviceTensors(const DeviceTensors&) = delete;
  DeviceTensors& operator=(const DeviceTensors&) = delete;

  // A tensor on the device with the bytes of one on the host, which is row-major.
  Tensor copy(const Tensor& from);
  void* stream() const { return stream_; }
  void wait() const;  // for the stream

 private:
  using Address = unsigned long long;
  template <class... Arguments>
  void call(const char* function, Arguments... arguments) const;

  void* driver_ = nullptr;
  void* stream_ = nullptr;
  std::vector<Address> memory_;
};

}  // namespace headrace::bench
