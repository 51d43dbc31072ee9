#include "app/repack.h"

#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <system_error>
#include <thread>

#include "app/archive_weights.h"
#include "builder/builder.h"
#include "builder/repack.h"
#include "core/error.h"
#include "core/host.h"
#include "kernels/reference/reference_kernels.h"
#include "runtime/shape_plan.h"

namespace headrace::app {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPhase = "pack again";
constexpr std::chrono::milliseconds kPoll{20};

class Repacking {
 public:
  Repacking(const EngineFile& file, const RunBackend& here, const OpenOptions& options)
      : file_(file),
        here_(here),
        progress_(options.progress),
        model_(options.model.empty() ? fs::path(file.path()).replace_extension(".pt2") : options.model) {}

  // Puts the new engine in the place of the old one.
  Status run() {
    HR_ASSIGN(const std::shared_ptr<const frontend::Archive> archive, open_model());
    HR_ASSIGN(const fs::path target, writable_target());
    HR_ASSIGN(Plan plan, plan_for_here());
    HR_ASSIGN(const std::string graph, file_.graph_text());
    const std::unique_ptr<Evaluator> evaluator = reference::make_evaluator();
    const Progress progress = [this](const ProgressEvent& event) {
      return report(event.done, event.total).ok();
    };
    return build_engine(std::move(plan), ArchiveWeights(*archive), here_.packer.get(), evaluator.get(),
                        target, progress, nullptr, graph)
        .status()
        .with_context(
            fmt::format("pack the weights of '{}' again from '{}'", file_.path().string(), model_.string()));
  }

  // Waits until no other process packs this engine again.
  Status lock() const {
    while (::flock(file_.fd(), LOCK_EX | LOCK_NB) != 0) {
      if (errno == EINTR) continue;
      if (errno != EWOULDBLOCK) return {};  // a file system without locks: the work may be done twice
      HR_TRY(report(0, 0));
      std::this_thread::sleep_for(kPoll);
    }
    return {};
  }

 private:
  Status report(int64_t done, int64_t total) const {
    if (!progress_ || progress_({kPhase, done, total})) return {};
    return unavailable("cancelled");
  }

  template <class... Args>
  Status no_way(fmt::format_string<Args...> format, Args&&... args) const {
    return incompatible(
        "engine '{}' was made for '{}', and this is '{}'; its weights cannot be packed again from '{}': {}\n"
        "compile the model again here, or name the archive that the engine was compiled from (--model, or "
        "`model` "
        "when opening it)",
        file_.path().string(), file_.plan().fingerprint, here_.fingerprint, model_.string(),
        fmt::format(format, std::forward<Args>(args)...));
  }

  Result<std::shared_ptr<const frontend::Archive>> open_model() const {
    if (file_.plan().sources.empty()) return std::make_shared<const frontend::Archive>();  // nothing is read
    std::error_code ignored;
    if (!fs::exists(model_, ignored)) return no_way("there is no such file");
    Result<std::shared_ptr<const frontend::Archive>> archive = frontend::Archive::open(model_);
    if (!archive.ok()) return no_way("{}", archive.status().message());
    if (const Status same = check_marks(file_.plan(), **archive); !same.ok())
      return no_way("{}", same.message());
    return archive;
  }

  // The file itself, where its path is a link: what else links to it gets the new engine, too.
  Result<fs::path> writable_target() const {
    std::error_code error;
    fs::path target = fs::canonical(file_.path(), error);
    if (error) return no_way("{}", errno_status(error.value(), "find the engine").message());
    if (::access(target.parent_path().c_str(), W_OK | X_OK) != 0) {
      const std::string what = fmt::format("write into '{}'", target.parent_path().string());
      return no_way("{}; or copy the engine and its archive to another folder",
                    errno_status(errno, what).message());
    }
    return target;
  }

  // Made ready as a run at the opt sizes would, so that what kernels refuse shows before anything is written.
  Result<Plan> plan_for_here() const {
    const auto make = [&]() -> Result<Plan> {
      HR_ASSIGN(Plan plan, repack_plan(file_.plan(), *here_.packer, here_.fingerprint));
      HR_TRY(verify(plan));
      HR_ASSIGN(const auto executable, here_.kernels->load(std::make_shared<const Plan>(plan)));
      HR_TRY(runtime::make_shape_plan(plan, *executable, opt_bindings(plan.symbols), usable_cpus()).status());
      return plan;
    };
    Result<Plan> plan = make();
    if (plan.ok() || plan.status().code() == Code::kExhausted) return plan;
    return incompatible(
        "engine '{}' was made for '{}', and its steps do not run on '{}': {}; compile the model again here",
        file_.path().string(), file_.plan().fingerprint, here_.fingerprint, plan.status().message());
  }

  const EngineFile& file_;
  const RunBackend& here_;
  const Progress& progress_;
  const fs::path model_;
};

}  // namespace

Result<EngineFile> repack_engine(EngineFile file, const RunBackend& here, const OpenOptions& options) {
  Repacking repacking(file, here, options);
  HR_TRY(repacking.lock());
  // Another process may have been faster, or the engine compiled again.
  HR_ASSIGN(EngineFile now, EngineFile::open(file.path()));
  if (now.plan().backend != file.plan().backend || now.plan().fingerprint == here.fingerprint) return now;
  HR_TRY(Repacking(now, here, options).run());
  return EngineFile::open(file.path());
}

}  // namespace headrace::app
