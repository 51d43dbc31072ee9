// KernelSources: the kernels of one plan, as text; each distinct one once.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <headrace/status.h>

namespace headrace::cuda {

struct KernelText {
  std::string family;        // begins its name: "softmax"
  std::string declarations;  // before the function; "$" stands for its name
  int tensors = 1;
  int64_t threads = 256;                         // of a block, at most
  std::string call;                              // of the device library; "$" as above
  bool waits = false;                            // `call` itself waits for the kernels before it
  std::string_view arguments = "GeneratedArgs";  // or MappedArgs
  int64_t resident = 1;  // blocks that a multiprocessor is to hold: they must do with as many registers
};

class KernelSources {
 public:
  // The function's name, which says all of its text.
  std::string add(const KernelText& text);
  bool empty() const { return functions_.empty(); }

  // Where each function is, once all are there: a few functions a program, so that programs compile side by
  // side; which ones depends on the names alone.
  int64_t program_of(std::string_view function) const;
  std::vector<std::string> programs() const;

 private:
  int64_t program_count() const;
  std::map<std::string, std::string, std::less<>> functions_;  // text by name
};

}  // namespace headrace::cuda
