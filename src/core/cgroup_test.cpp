#include "core/cgroup.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "core/host.h"

namespace headrace {
namespace {

namespace fs = std::filesystem;

// A folder that stands for a machine's root, with the files it is given.
class Cgroup : public testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::path(testing::TempDir()) / ("cgroup_" + std::to_string(getpid()));
    fs::remove_all(root_);
    fs::create_directories(root_);
  }
  void TearDown() override { fs::remove_all(root_); }

  void write(const std::string& path, const std::string& text) {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }
  void is_in(const std::string& lines) { write("proc/self/cgroup", lines); }
  std::optional<double> cpus() const { return cgroup_cpu_quota(root_.string()); }
  std::optional<int64_t> memory() const { return cgroup_memory_left(root_.string()); }

  fs::path root_;
};

TEST_F(Cgroup, LimitsNothingWhereFilesAreMissing) {
  EXPECT_EQ(cpus(), std::nullopt);
  EXPECT_EQ(memory(), std::nullopt);
  is_in("0::/user.slice/one\n");
  EXPECT_EQ(cpus(), std::nullopt);
  EXPECT_EQ(memory(), std::nullopt);
}

TEST_F(Cgroup, LimitsNothingByFilesThatSayNothing) {
  is_in("no colon\n1:only one\n0::/a\n");
  for (const char* text : {"", "max", "max 100000", "abc 100000", "100000", "100000 0", "-1 100000"}) {
    write("sys/fs/cgroup/a/cpu.max", text);
    EXPECT_EQ(cpus(), std::nullopt) << text;
  }
  write("sys/fs/cgroup/a/memory.max", "max\n");
  write("sys/fs/cgroup/a/memory.current", "1000\n");
  EXPECT_EQ(memory(), std::nullopt);
}

TEST_F(Cgroup, ReadsAFractionalQuota) {
  is_in("0::/a\n");
  write("sys/fs/cgroup/a/cpu.max", "150000 100000\n");
  EXPECT_EQ(cpus(), 1.5);
  write("sys/fs/cgroup/a/cpu.max", "20000 50000\n");
  EXPECT_EQ(cpus(), 0.4);
}

TEST_F(Cgroup, TakesTheTightestOfThoseAround) {
  is_in("0::/a/b/c\n");
  write("sys/fs/cgroup/a/b/c/cpu.max", "max 100000\n");
  write("sys/fs/cgroup/a/b/cpu.max", "300000 100000\n");
  write("sys/fs/cgroup/a/cpu.max", "200000 100000\n");
  EXPECT_EQ(cpus(), 2);
  write("sys/fs/cgroup/a/b/c/cpu.max", "50000 100000\n");
  EXPECT_EQ(cpus(), 0.5);
  write("sys/fs/cgroup/a/b/memory.max", "1000\n");
  write("sys/fs/cgroup/a/b/memory.current", "700\n");
  write("sys/fs/cgroup/a/memory.max", "2000\n");
  write("sys/fs/cgroup/a/memory.current", "1900\n");
  EXPECT_EQ(memory(), 100);
  write("sys/fs/cgroup/a/memory.stat", "active_file 50\ninactive_file 400\n");
  EXPECT_EQ(memory(), 300);
}

TEST_F(Cgroup, ReadsTheMountWhereTheGroupIsNotSeen) {  // in a container, its own cgroup is the mount
  is_in("0::/docker/0123\n");
  write("sys/fs/cgroup/cpu.max", "250000 100000\n");
  EXPECT_EQ(cpus(), 2.5);
}

TEST_F(Cgroup, ReadsVersion1) {
  is_in("5:memory:/job\n4:cpu,cpuacct:/job\n3:cpuset:/\n0::/\n");
  write("sys/fs/cgroup/cpu/job/cpu.cfs_quota_us", "-1\n");
  write("sys/fs/cgroup/cpu/job/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(cpus(), std::nullopt);
  write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "350000\n");
  write("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(cpus(), 3.5);
  write("sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us", "125000\n");
  write("sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(cpus(), 1.25);
  write("sys/fs/cgroup/memory/job/memory.limit_in_bytes", "9223372036854771712\n");
  write("sys/fs/cgroup/memory/job/memory.usage_in_bytes", "4096\n");
  EXPECT_EQ(memory(), std::nullopt);
  write("sys/fs/cgroup/memory/memory.limit_in_bytes", "5000\n");
  write("sys/fs/cgroup/memory/memory.usage_in_bytes", "4096\n");
  write("sys/fs/cgroup/memory/memory.stat", "inactive_file 9\ntotal_inactive_file 96\n");
  EXPECT_EQ(memory(), 1000);
}

TEST_F(Cgroup, BoundsTheCpusThatAreUsed) {
  const int affinity = usable_cpus(root_.string());
  EXPECT_GE(affinity, 1);
  is_in("0::/\n");
  write("sys/fs/cgroup/cpu.max", "40000 100000\n");
  EXPECT_EQ(usable_cpus(root_.string()), 1);
  write("sys/fs/cgroup/cpu.max", "110000 100000\n");  // part of a CPU is worth a thread
  EXPECT_EQ(usable_cpus(root_.string()), std::min(affinity, 2));
  write("sys/fs/cgroup/cpu.max", "999999900000 100000\n");
  EXPECT_EQ(usable_cpus(root_.string()), affinity);
}

TEST_F(Cgroup, DoesNotHideTheAffinityOfTheThread) {
  cpu_set_t before;
  ASSERT_EQ(sched_getaffinity(0, sizeof(before), &before), 0);
  int inside = 0;
  std::thread([&] {
    cpu_set_t one;
    CPU_ZERO(&one);
    for (int cpu = 0; CPU_COUNT(&one) == 0; ++cpu)
      if (CPU_ISSET(cpu, &before)) CPU_SET(cpu, &one);
    if (sched_setaffinity(0, sizeof(one), &one) == 0) inside = usable_cpus(root_.string());
  }).join();
  EXPECT_EQ(inside, 1);
  EXPECT_EQ(usable_cpus(root_.string()), CPU_COUNT(&before));
}

}  // namespace
}  // namespace headrace
