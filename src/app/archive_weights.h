// A model's archive as the source of an engine's weights.
#pragma once

#include "engine/plan.h"
#include "frontend/frontend.h"
#include "weights/weights.h"

namespace headrace::app {

// Lifetime: borrows the archive.
class ArchiveWeights : public WeightSourceReader {
 public:
  explicit ArchiveWeights(const frontend::Archive& archive) : archive_(archive) {}
  Result<Bytes> size(const std::string& storage) const override { return archive_.size(storage); }
  Status read(const std::string& storage, Bytes offset, std::span<std::byte> out) const override {
    return archive_.read(storage, offset, out);
  }

 private:
  const frontend::Archive& archive_;
};

// Marks the plan's sources with what the archive says of their storages. Errors: kNotFound.
Status mark_sources(Plan& plan, const frontend::Archive& archive);
// Whether the plan's weights can be made from `archive`: every storage is the marked one.
// Errors: kIncompatible, naming the first that is not.
Status check_marks(const Plan& plan, const frontend::Archive& archive);

}  // namespace headrace::app
