// FileIdentity: tells whether an open engine file is still the one that was opened.
#pragma once

#include <cstdint>

#include <headrace/status.h>
#include "engine/engine_file.h"

namespace headrace::runtime {

// A file that was replaced by a rename, or removed, is read on through its descriptor and is as good as ever;
// one that was written over or cut is not.
class FileIdentity {
 public:
  static Result<FileIdentity> of(const EngineFile& file);
  // Errors: kCorrupt, naming the file and what changed. One system call.
  Status check(const EngineFile& file) const;

 private:
  int64_t size_ = 0;
  int64_t modified_s_ = 0;
  int64_t modified_ns_ = 0;
};

}  // namespace headrace::runtime
