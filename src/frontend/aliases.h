// Aliases: which names of a raw export may be tensors in one storage, so that an in-place op becomes a
// functional one only where nobody sees the difference.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace headrace::frontend {

class Aliases {
 public:
  void add_fresh(const std::string& name) { join(name, next_++); }
  // `name` may be a view of `of`, or `of` itself.
  void add_view(const std::string& name, const std::string& of) { join(name, storage_of(of)); }
  // All that may share the storage of `name`, itself among them.
  const std::vector<std::string>& sharing(const std::string& name) { return members_[storage_of(name)]; }

 private:
  int storage_of(const std::string& name) {
    const auto found = storage_.find(name);
    if (found != storage_.end()) return found->second;
    add_fresh(name);
    return storage_[name];
  }
  void join(const std::string& name, int storage) {
    storage_[name] = storage;
    members_[storage].push_back(name);
  }

  int next_ = 0;
  std::map<std::string, int, std::less<>> storage_;
  std::map<int, std::vector<std::string>> members_;
};

}  // namespace headrace::frontend
