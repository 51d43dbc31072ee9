// One thread evaluates recipes, this one writes: reading, packing, checksums and the disk overlap.
#include <system_error>
#include <thread>
#include <utility>

#include "builder/builder.h"
#include "builder/piece_queue.h"
#include "core/error.h"

namespace headrace {
namespace {

constexpr Bytes kPiece = mib(4);
constexpr Bytes kInFlight = mib(16);

class Build {
 public:
  Build(const Plan& plan, const WeightSourceReader& reader, const Packer* packer, const Evaluator* evaluator,
        const Progress& progress, Trace* trace)
      : plan_(plan),
        reader_(reader),
        packer_(packer),
        evaluator_(evaluator),
        progress_(progress),
        trace_(trace) {
    for (const Weight& weight : plan.weights) total_ += weight.stored;
  }

  // Makes all weights and gives them to `writer`.
  Status run(EngineWriter& writer) {
    std::thread maker;
    try {
      maker = std::thread([this] { queue_.finish(make_all()); });
    } catch (const std::system_error&) {
      return exhausted("no thread for reading weights; raise the limit of processes (ulimit -u)");
    }
    const Status status = write_all(writer);
    if (!status.ok()) queue_.cancel();
    maker.join();
    return status;
  }

  Bytes total() const { return total_; }

 private:
  Status make_all() {
    const PieceSink sink = [this](std::vector<std::byte>& piece) { return queue_.push(piece); };
    for (const Weight& weight : plan_.weights) {
      const int64_t begin = monotonic_ns();
      HR_TRY(evaluate_recipe_in_pieces(weight, plan_.sources, reader_, packer_, evaluator_, kPiece, sink));
      if (trace_) trace_->add(TraceTrack::kBuild, weight.name, begin, monotonic_ns(), weight.stored.count);
    }
    return {};
  }

  Status write_all(EngineWriter& writer) {
    Bytes done;
    HR_TRY(report(done));
    std::vector<std::byte> used;
    for (;;) {
      HR_ASSIGN(std::optional<std::vector<std::byte>> piece, queue_.take(std::move(used)));
      if (!piece) return {};
      HR_TRY(writer.append_part(*piece));
      done += Bytes{static_cast<int64_t>(piece->size())};
      HR_TRY(report(done));
      used = *std::move(piece);
    }
  }

  Status report(Bytes done) const {
    if (!progress_ || progress_({"write weights", done.count, total_.count})) return {};
    return unavailable("cancelled");
  }

  const Plan& plan_;
  const WeightSourceReader& reader_;
  const Packer* packer_;
  const Evaluator* evaluator_;
  const Progress& progress_;
  Trace* trace_;
  Bytes total_;
  PieceQueue queue_{kInFlight};
};

}  // namespace

Result<BuildReport> build_engine(Plan plan, const WeightSourceReader& reader, const Packer* packer,
                                 const Evaluator* evaluator, const std::filesystem::path& path,
                                 const Progress& progress, Trace* trace, std::string_view graph) {
  const int64_t begin = monotonic_ns();
  HR_ASSIGN(EngineWriter writer, EngineWriter::create(path, plan));
  Build build(plan, reader, packer, evaluator, progress, trace);
  HR_TRY(build.run(writer));
  const int64_t sync_begin = monotonic_ns();
  BuildReport report;
  HR_ASSIGN(report.file, writer.commit(graph));
  report.weights = build.total();
  for (const WeightGroup& group : plan.groups)
    if (group.streamable) report.streamable += group.size;
  const int64_t end = monotonic_ns();
  if (trace) trace->add(TraceTrack::kBuild, "sync engine file", sync_begin, end, report.file.count);
  report.ns = end - begin;
  return report;
}

}  // namespace headrace
