#include "kernels/cuda/tuner.h"

#include <gtest/gtest.h>

#include <vector>

#include "core/error.h"

namespace headrace::cuda {
namespace {

using std::chrono::milliseconds;

// Candidates that take as long as they are told, on a clock of their own; the first guess is the first.
struct FakeLibrary : Candidates, CandidateTimer {
  std::vector<double> ms;                  // by candidate; negative: it fails
  std::vector<std::vector<double>> wider;  // what each widening adds
  std::vector<size_t> widened_by;          // the best when it was asked
  std::chrono::steady_clock::time_point now;
  milliseconds timing{10}, finding{0};
  Bytes need = mib(1);
  bool begins = true, refuses = false;
  int timed = 0, begun = 0, ended = 0;
  std::optional<size_t> settled, recalled;

  explicit FakeLibrary(std::vector<double> times) : ms(std::move(times)) {}
  bool recall(const std::string& choice) override {
    if (refuses) return false;
    recalled = settled = std::stoul(choice);
    return true;
  }
  Result<size_t> find(bool several) override {
    now += finding;
    if (ms.empty()) return unsupported("none");
    return several ? ms.size() : 1;
  }
  size_t widen(size_t best) override {
    if (widened_by.size() < wider.size()) {
      const std::vector<double>& more = wider[widened_by.size()];
      ms.insert(ms.end(), more.begin(), more.end());
      widened_by.push_back(best);
    }
    return ms.size();
  }
  Bytes memory() const override { return need; }
  Status run(size_t, std::byte*, CUstream) override { return {}; }
  void settle(size_t candidate) override { settled = candidate; }
  std::string text(size_t candidate) const override { return std::to_string(candidate); }

  Status begin(Bytes) override {
    ++begun;
    return begins ? Status() : exhausted("no memory");
  }
  Result<double> time_ms(Candidates&, size_t candidate, double best_ms) override {
    EXPECT_GT(best_ms, 0);
    now += timing;
    ++timed;
    if (ms[candidate] < 0) return unavailable("it does not run");
    return ms[candidate];
  }
  Status end() override { return ++ended, Status(); }
};

struct Bench {
  FakeLibrary library;
  TuningChoices choices{"here"};
  Tuning tuning;
  Tuner tuner;
  explicit Bench(std::vector<double> ms, TuningOptions options = {}, TunerLimits limits = {})
      : library(std::move(ms)),
        tuning(std::move(options)),
        tuner(library, limits, [this] { return library.now; }) {}
  TuningOutcome choose(ChoiceMode mode = ChoiceMode::kTimed) {
    Result<TuningOutcome> outcome = tuner.choose("problem", mode, library, choices, tuning);
    EXPECT_TRUE(outcome.ok()) << outcome.status().message();
    return *outcome;
  }
};

TEST(Tuner, TakesTheFastestAndKeepsIt) {
  Bench bench({3, -1, 1, 2});
  EXPECT_EQ(bench.choose(), TuningOutcome::kTuned);
  EXPECT_EQ(bench.library.settled, 2u);
  EXPECT_EQ(bench.choices.find("problem"), "2");
  EXPECT_EQ(bench.tuning.report().ns, 40'000'000);
  EXPECT_EQ(bench.library.ended, 1);
}

TEST(Tuner, WidensAroundTheBestUntilNothingIsAdded) {
  Bench bench({3, 2});
  bench.library.wider = {{4, 1}, {5, 0.5, 6}};
  EXPECT_EQ(bench.choose(), TuningOutcome::kTuned);
  EXPECT_EQ(bench.library.widened_by, (std::vector<size_t>{1, 3}));
  EXPECT_EQ(bench.library.settled, 5u);
  EXPECT_EQ(bench.library.timed, 7);
}

TEST(Tuner, WidensOnlyWhileThereIsTime) {
  TunerLimits limits;
  limits.problem = milliseconds(25);
  Bench bench({3, 2}, {}, limits);
  bench.library.wider = {{1, 0.5, 0.2}};
  EXPECT_EQ(bench.choose(), TuningOutcome::kTuned);
  EXPECT_EQ(bench.library.settled, 2u);
  EXPECT_EQ(bench.library.timed, 3);
}

TEST(Tuner, TimesNothingTwice) {
  Bench bench({3, 1});
  EXPECT_EQ(bench.choose(), TuningOutcome::kTuned);
  bench.library.settled.reset();
  EXPECT_EQ(bench.choose(), TuningOutcome::kKnown);
  EXPECT_EQ(bench.library.settled, 1u);
  EXPECT_EQ(bench.library.timed, 2);
  EXPECT_EQ(bench.choose(ChoiceMode::kKnown), TuningOutcome::kKnown);
}

TEST(Tuner, TunesAnewWhereTheLibraryRefusesWhatWasKept) {
  Bench bench({3, 1});
  bench.choices.keep("problem", "0");
  bench.library.refuses = true;
  EXPECT_EQ(bench.choose(), TuningOutcome::kTuned);
  EXPECT_EQ(bench.choices.find("problem"), "1");
}

TEST(Tuner, DropsARefusedChoiceAlsoWhereNothingIsTimed) {
  Bench bench({3, 1});
  bench.choices.keep("problem", "1");
  bench.library.refuses = true;
  EXPECT_EQ(bench.choose(ChoiceMode::kKnown), TuningOutcome::kUntuned);
  EXPECT_EQ(bench.library.settled, 0u);
  EXPECT_EQ(bench.choices.find("problem"), std::nullopt);
}

TEST(Tuner, IgnoresWhatWasKeptWhereItIsDeterministic) {
  Bench bench({3, 1}, {.deterministic = true});
  bench.choices.keep("problem", "1");
  EXPECT_EQ(bench.choose(ChoiceMode::kDeterministic), TuningOutcome::kUntuned);
  EXPECT_EQ(bench.library.settled, 0u);
  EXPECT_EQ(bench.library.timed, 0);
  EXPECT_EQ(bench.choices.find("problem"), "1");
  EXPECT_TRUE(bench.tuning.exhausted());
}

TEST(Tuner, TakesTheFirstGuessAndKeepsNothingOnceItsTimeIsOver) {
  Bench bench({3, 1}, {.limit = milliseconds(25)});
  EXPECT_EQ(bench.choose(), TuningOutcome::kTuned);
  bench.choices.drop("problem");
  EXPECT_EQ(bench.choose(), TuningOutcome::kTuned);  // 20 of 25 ms are spent
  bench.choices.drop("problem");
  EXPECT_EQ(bench.choose(), TuningOutcome::kUntuned);
  EXPECT_EQ(bench.library.settled, 0u);
  EXPECT_EQ(bench.choices.find("problem"), std::nullopt);
  EXPECT_EQ(bench.library.timed, 4);
}

TEST(Tuner, CountsTheTimeThatFindingTakes) {
  Bench bench({3, 1}, {.limit = milliseconds(25)});
  bench.library.finding = milliseconds(30);
  EXPECT_EQ(bench.choose(), TuningOutcome::kTuned);
  EXPECT_TRUE(bench.tuning.exhausted());
  EXPECT_EQ(bench.tuning.report().ns, 50'000'000);
}

TEST(Tuner, TimesNoMoreCandidatesThanAProblemsTimeAllows) {
  Bench bench({5, 4, 3, 2, 1}, {}, {.problem = milliseconds(25)});
  EXPECT_EQ(bench.choose(), TuningOutcome::kTuned);
  EXPECT_EQ(bench.library.timed, 3);
  EXPECT_EQ(bench.library.settled, 2u);
}

TEST(Tuner, LeavesProblemsUntunedThatTakeTooMuchMemory) {
  Bench bench({3, 1});
  bench.library.need = mib(513);
  EXPECT_EQ(bench.choose(), TuningOutcome::kUntuned);
  EXPECT_EQ(bench.library.begun, 0);
  bench.library.need = mib(512);
  bench.library.begins = false;
  EXPECT_EQ(bench.choose(), TuningOutcome::kUntuned);
  EXPECT_EQ(bench.library.settled, 0u);
  EXPECT_EQ(bench.choices.size(), 0u);
}

TEST(Tuner, TakesNoMoreMemoryThanTheLoadAllows) {
  Bench bench({3, 1}, TuningOptions{.memory = mib(1) - Bytes{1}});
  EXPECT_EQ(bench.choose(), TuningOutcome::kUntuned);
  EXPECT_EQ(bench.library.begun, 0);
}

TEST(Tuner, KeepsNothingWhereNoCandidateRuns) {
  Bench bench({-1, -1});
  EXPECT_EQ(bench.choose(), TuningOutcome::kUntuned);
  EXPECT_EQ(bench.library.settled, 0u);
  EXPECT_EQ(bench.choices.size(), 0u);
}

TEST(Tuner, SaysWhereThereIsNoCandidate) {
  Bench bench({});
  for (const ChoiceMode mode : {ChoiceMode::kTimed, ChoiceMode::kDeterministic}) {
    const auto outcome = bench.tuner.choose("problem", mode, bench.library, bench.choices, bench.tuning);
    EXPECT_EQ(outcome.status().code(), Code::kUnsupported);
  }
}

// A store in memory.
struct FakeStore : TuningStore {
  std::vector<TunedChoice> kept;
  std::vector<TunedChoice> load(const std::string& place) override {
    EXPECT_EQ(place, "here");
    return kept;
  }
  void keep(const std::string& place, const std::vector<TunedChoice>& tuned) override {
    EXPECT_EQ(place, "here");
    kept.insert(kept.end(), tuned.begin(), tuned.end());
  }
  std::vector<std::string> warnings() const override { return {}; }
};

TEST(TuningChoices, GoIntoTheStoreOnce) {
  TuningChoices choices("here");
  FakeStore store;
  choices.save(store);
  choices.keep("a", "1");
  choices.keep("b", "2");
  choices.drop("b");
  choices.save(store);
  choices.save(store);
  EXPECT_EQ(store.kept, (std::vector<TunedChoice>{{"a", "1"}}));
}

TEST(TuningChoices, ComeFromTheStoreWhereTheProcessHasNone) {
  TuningChoices choices("here");
  choices.keep("a", "1");
  FakeStore store;
  store.kept = {{"a", "9"}, {"b", "2"}};
  choices.load(store);
  EXPECT_EQ(choices.find("a"), "1");
  EXPECT_EQ(choices.find("b"), "2");
  EXPECT_EQ(choices.find("c"), std::nullopt);
}

}  // namespace
}  // namespace headrace::cuda
