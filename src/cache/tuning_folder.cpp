#include "cache/tuning_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <mutex>
#include <set>
#include <thread>

#include "cache/tuning_text.h"
#include "cache/user_folder.h"
#include "core/error.h"
#include "core/file.h"
#include "core/hash.h"

namespace headrace::cache {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMostFiles = 64;  // of old drivers and libraries; the oldest go
constexpr std::string_view kEnding = ".tuning";
// Others hold the lock for as long as a small file takes to read and write.
constexpr std::chrono::seconds kLockTime{3};

Result<UniqueFd> lock(const fs::path& path) {
  const std::string what = fmt::format("lock '{}'", path.string());
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd.valid()) return errno_status(errno, what);
  const auto end = std::chrono::steady_clock::now() + kLockTime;
  while (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) return errno_status(errno, what);
    if (std::chrono::steady_clock::now() > end)
      return unavailable("{}: another process has held it for {} s", what, kLockTime.count());
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return fd;
}

// Nothing where there is no such file.
Result<std::string> read_whole(const fs::path& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!fd.valid() && errno == ENOENT) return std::string();
  struct stat info {};
  if (!fd.valid() || ::fstat(fd.get(), &info) != 0)
    return errno_status(errno, fmt::format("read '{}'", path.string()));
  if (!S_ISREG(info.st_mode) || info.st_uid != ::geteuid() || info.st_size > kLargestTuningFile.count)
    return corrupt("it is no file of ours");
  if (info.st_size == 0) return corrupt("it is empty");
  std::string text(static_cast<size_t>(info.st_size), '\0');
  HR_TRY(read_exactly(fd.get(), Bytes{0}, std::as_writable_bytes(std::span(text)), path));
  return text;
}

class TuningFolder : public TuningStore {
 public:
  explicit TuningFolder(fs::path folder) : folder_(std::move(folder)) {}

  std::vector<TunedChoice> load(const std::string& place) override {
    const std::lock_guard guard(mutex_);
    return read(place);
  }

  void keep(const std::string& place, const std::vector<TunedChoice>& tuned) override {
    if (tuned.empty()) return;
    const std::lock_guard guard(mutex_);
    if (const Status status = add(place, tuned); !status.ok())
      warnings_.insert(fmt::format("tuned choices are not kept: {}", status.message()));
  }

  std::vector<std::string> warnings() const override {
    const std::lock_guard guard(mutex_);
    return {warnings_.begin(), warnings_.end()};
  }

 private:
  fs::path path_of(const std::string& place) const {
    return folder_ / (sha256_hex(place).substr(0, 32) + std::string(kEnding));
  }

  std::vector<TunedChoice> read(const std::string& place) {
    const fs::path path = path_of(place);
    const Result<std::string> text = read_whole(path);
    if (text.ok() && text->empty()) return {};
    Result<std::vector<TunedChoice>> choices =
        text.ok() ? parse_tuning_text(*text, place) : Result<std::vector<TunedChoice>>(text.status());
    if (choices.ok()) return *std::move(choices);
    warnings_.insert(
        fmt::format("'{}' is not used, and written anew: {}", path.string(), choices.status().message()));
    return {};
  }

  Status add(const std::string& place, const std::vector<TunedChoice>& tuned) {
    HR_TRY(make_private_folder(folder_));  // somebody may have removed it
    HR_ASSIGN(const UniqueFd locked, lock(folder_ / "lock"));
    // What others have written since is kept too.
    std::vector<TunedChoice> choices = read(place);
    std::set<std::string_view> renewed;
    for (const TunedChoice& choice : tuned) renewed.insert(choice.problem);
    std::erase_if(choices, [&](const TunedChoice& old) { return renewed.contains(old.problem); });
    choices.insert(choices.end(), tuned.begin(), tuned.end());
    const fs::path path = path_of(place);
    std::error_code ignored;
    const bool is_new = !fs::exists(path, ignored);
    // A file that a loss of power has cut counts as none. Syncing it would have others wait for the disk.
    HR_TRY(write_text_file(path, tuning_text(place, choices), Durable::no));
    if (is_new) remove_oldest();
    return {};
  }

  void remove_oldest() {
    std::vector<std::pair<fs::file_time_type, fs::path>> files;
    std::error_code error;
    for (fs::directory_iterator at(folder_, error), end; !error && at != end; at.increment(error)) {
      if (at->path().extension() != kEnding) continue;
      if (const auto time = at->last_write_time(error); !error) files.emplace_back(time, at->path());
    }
    if (files.size() <= kMostFiles) return;
    std::sort(files.begin(), files.end());
    for (size_t i = 0; i < files.size() - kMostFiles; ++i) fs::remove(files[i].second, error);
  }

  const fs::path folder_;
  mutable std::mutex mutex_;  // guards the rest
  std::set<std::string> warnings_;
};

class NoStore : public TuningStore {
 public:
  explicit NoStore(const Status& why)
      : warning_(fmt::format("tuned choices are not kept: {}", why.message())) {}
  std::vector<TunedChoice> load(const std::string&) override { return {}; }
  void keep(const std::string&, const std::vector<TunedChoice>&) override {}
  std::vector<std::string> warnings() const override { return {warning_}; }

 private:
  const std::string warning_;
};

}  // namespace

Result<std::shared_ptr<TuningStore>> open_tuning_folder(const fs::path& folder) {
  HR_TRY(make_private_folder(folder));
  return std::shared_ptr<TuningStore>(std::make_shared<TuningFolder>(folder));
}

std::shared_ptr<TuningStore> open_user_tuning() {
  const auto open = []() -> Result<std::shared_ptr<TuningStore>> {
    HR_ASSIGN(const fs::path folder, user_cache_folder());
    HR_TRY(make_private_folder(folder));
    return open_tuning_folder(folder / "tuning");
  };
  Result<std::shared_ptr<TuningStore>> store = open();
  if (store.ok()) return *std::move(store);
  return std::make_shared<NoStore>(store.status());
}

}  // namespace headrace::cache
