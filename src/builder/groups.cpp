#include "builder/builder.h"
#include "engine/engine_format.h"
#include "engine/sizes.h"

namespace headrace {
namespace {

constexpr Bytes kInGroup = {64};  // alignment of weights in a group: a cache line, and the widest vector

class Grouping {
 public:
  explicit Grouping(Plan& plan) : plan_(plan) { plan_.groups.clear(); }

  void run() {
    for (Weight& weight : plan_.weights) {
      const bool small = weight.stored < kAlwaysResidentBelow;
      if (weight.use == WeightUse::kRows) {
        join(weight, open_group(!small));
      } else if (small) {
        join_open(weight, resident_, false);
      } else if (weight.stored > kGroupTarget) {
        // What comes before and after it is used at different times.
        streamed_ = kNone;
        join(weight, open_group(true));
      } else {
        join_open(weight, streamed_, true);
      }
    }
    Bytes end;
    for (WeightGroup& group : plan_.groups) {
      group.offset = align_up(end, group.size >= kLargeGroup ? kLargeAlignment : kWeightAlignment);
      end = group.offset + group.size;
    }
  }

 private:
  int32_t open_group(bool streamable) {
    plan_.groups.push_back({Bytes{}, Bytes{}, streamable});
    return static_cast<int32_t>(plan_.groups.size() - 1);
  }

  void join(Weight& weight, int32_t index) {
    WeightGroup& group = plan_.groups[static_cast<size_t>(index)];
    weight.group = index;
    weight.offset = align_up(group.size, kInGroup);
    group.size = weight.offset + weight.stored;
  }

  void join_open(Weight& weight, int32_t& open, bool streamable) {
    if (open == kNone) open = open_group(streamable);
    join(weight, open);
    if (plan_.groups[static_cast<size_t>(open)].size >= kGroupTarget) open = kNone;
  }

  Plan& plan_;
  int32_t streamed_ = kNone, resident_ = kNone;  // the groups that are not full
};

}  // namespace

void assign_groups(Plan& plan) { Grouping(plan).run(); }

}  // namespace headrace
