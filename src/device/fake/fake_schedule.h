// FakeSchedule: the work that a fake device still has to do, and the order in which it does it.
//
// Work stands in lines (one a queue); a line goes on in order, a wait holds it up until its point is reached,
// and a launched graph is done in any order that its nodes allow. Which line goes on next is drawn from the
// seed. Nothing runs by itself: calls that wait run what is needed, and others run a little now and then.
// Threads: all methods may be called by several; work runs on the thread that happens to be inside.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <span>
#include <string>
#include <vector>

#include <headrace/bytes.h>
#include <headrace/status.h>

namespace headrace::fake {

// One thing that a device does.
struct Work {
  std::string what;
  std::function<Status()> run;
  // A copy, done after `run` where there is one.
  std::byte* to = nullptr;
  const std::byte* from = nullptr;
  Bytes size;
  // What it touches beside that: checked for being alive when it runs.
  std::vector<std::span<const std::byte>> uses;
};

struct GraphNode {
  Work work;
  std::vector<size_t> after;  // nodes before it
};

struct GraphBody {
  std::vector<GraphNode> nodes;
  std::vector<size_t> changing;  // CopyIndex -> node
};

struct Point {
  bool reached = false;
};

class FakeSchedule {
 public:
  using Line = int64_t;
  using Checker = std::function<Status(const Work&)>;  // before each work

  // `eager`: of 100 calls, how many run some work before they return.
  FakeSchedule(uint64_t seed, int eager, Checker check);

  Line add_line();
  void remove_line(Line line);  // does its work first
  // Errors: the failure of earlier work, until heal().
  Status add_work(Line line, Work work);
  Status add_record(Line line, std::shared_ptr<Point> point);
  Status add_wait(Line line, std::shared_ptr<const Point> point);
  Status add_launch(Line line, std::shared_ptr<const GraphBody> graph, std::shared_ptr<Point> done);

  Status finish(Line line);          // until it is empty
  Status reach(const Point& point);  // until it is reached
  bool reached(const Point& point) const;
  Status failure() const;
  void fail(Status why);  // as if work had failed; all that waits is dropped
  void heal();            // the next calls work again; what was waiting when it failed is gone
  // Whether work that still waits touches [data, data + size).
  bool pending(const std::byte* data, Bytes size) const;

 private:
  struct Entry {
    Work work;
    std::shared_ptr<Point> reaches;      // when it is done
    std::shared_ptr<const Point> waits;  // before it is done
    std::shared_ptr<const GraphBody> graph;
    std::vector<bool> done;  // by node
    size_t left = 0;
  };
  struct LineState {
    std::deque<Entry> entries;
    uint64_t weight = 1;  // how often it is drawn
  };
  Status add(Line line, Entry entry);
  template <class Until>
  Status run_until(const Until& until);
  bool step();  // one entry of one line; false: nothing can go on
  bool can_go_on(const Entry& entry) const;
  void go_on(LineState& line);
  void run(const Work& work);
  void drop(Status why);

  mutable std::mutex mutex_;  // guards all below
  std::mt19937_64 random_;
  const int eager_;
  const Checker check_;
  std::map<Line, LineState> lines_;
  Line next_line_ = 0;
  Status failure_;
};

}  // namespace headrace::fake
