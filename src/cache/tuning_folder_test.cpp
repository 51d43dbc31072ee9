#include "cache/tuning_folder.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <optional>
#include <thread>

#include "cache/user_folder.h"
#include "core/error.h"
#include "core/file.h"

namespace headrace::cache {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class TuningFolderTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "headrace-tuning-XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    root_ = name;
    folder_ = root_ / "tuning";
  }
  void TearDown() override {
    ::unsetenv("HEADRACE_CACHE_DIR");
    fs::remove_all(root_);
  }
  std::shared_ptr<TuningStore> open() const {
    auto store = open_tuning_folder(folder_);
    EXPECT_TRUE(store.ok()) << store.status().message();
    return *std::move(store);
  }
  // The only file of choices.
  fs::path file() const {
    fs::path found;
    for (const auto& entry : fs::directory_iterator(folder_)) {
      if (entry.path().extension() != ".tuning") continue;
      EXPECT_TRUE(found.empty());
      found = entry.path();
    }
    return found;
  }
  static void write(const fs::path& path, std::string_view text) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
  }
  fs::path root_, folder_;
};

using Choices = std::vector<TunedChoice>;

TEST_F(TuningFolderTest, KeepsChoicesByPlace) {
  open()->keep("here", {{"a", "1"}, {"b", "2"}});
  open()->keep("there", {{"a", "3"}});
  open()->keep("here", {{"a", "4"}});
  const auto store = open();
  EXPECT_EQ(store->load("here"), (Choices{{"b", "2"}, {"a", "4"}}));
  EXPECT_EQ(store->load("there"), (Choices{{"a", "3"}}));
  EXPECT_THAT(store->load("nowhere"), IsEmpty());
  EXPECT_THAT(store->warnings(), IsEmpty());
}

TEST_F(TuningFolderTest, IsForThisUserAlone) {
  const auto store = open();
  struct stat info {};
  ASSERT_EQ(::stat(folder_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
  for (const mode_t mode : {0770, 0702, 0777}) {
    ASSERT_EQ(::chmod(folder_.c_str(), mode), 0);
    const auto again = open_tuning_folder(folder_);
    EXPECT_EQ(again.status().code(), Code::kInvalidArgument);
    EXPECT_THAT(again.status().message(), HasSubstr("others can write to it"));
  }
  store->keep("here", {{"a", "1"}});
  EXPECT_THAT(store->warnings(), ElementsAre(HasSubstr("tuned choices are not kept")));
  EXPECT_EQ(file(), fs::path());
}

TEST_F(TuningFolderTest, IsRefusedWhereAnotherUserOwnsIt) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can give a folder away";
  fs::create_directory(folder_);
  ASSERT_EQ(::chown(folder_.c_str(), 12345, 12345), 0);
  EXPECT_THAT(open_tuning_folder(folder_).status().message(), HasSubstr("it belongs to user 12345"));
}

TEST_F(TuningFolderTest, IsRefusedWhereItIsALinkOrAFile) {
  fs::create_directory(root_ / "elsewhere");
  fs::create_directory_symlink(root_ / "elsewhere", folder_);
  EXPECT_THAT(open_tuning_folder(folder_).status().message(), HasSubstr("it is no folder"));
  fs::remove(folder_);
  write(folder_, "x");
  EXPECT_THAT(open_tuning_folder(folder_).status().message(), HasSubstr("it is no folder"));
}

TEST_F(TuningFolderTest, TakesADamagedFileForNoneWarnsOnceAndWritesItAnew) {
  open()->keep("here", {{"a", "1"}});
  const std::string whole = *read_text_file(file());
  const std::string long_text(static_cast<size_t>(mib(5).count), 'x');
  for (const std::string& text : {std::string(), whole.substr(0, 40), "x" + whole, long_text}) {
    write(file(), text);
    const auto store = open();
    EXPECT_THAT(store->load("here"), IsEmpty());
    EXPECT_THAT(store->load("here"), IsEmpty());
    EXPECT_THAT(store->warnings(), ElementsAre(HasSubstr("is not used, and written anew")));
    store->keep("here", {{"b", "2"}});
    EXPECT_THAT(store->load("here"), ElementsAre(TunedChoice{"b", "2"}));
  }
}

TEST_F(TuningFolderTest, TakesAFileForAnotherPlaceForNone) {
  open()->keep("here", {{"a", "1"}});
  const fs::path here = file();
  const std::string text = *read_text_file(here);
  fs::remove(here);
  open()->keep("there", {{"a", "1"}});
  write(file(), text);
  const auto store = open();
  EXPECT_THAT(store->load("there"), IsEmpty());
  EXPECT_THAT(store->warnings(), ElementsAre(HasSubstr("it is for 'here', not for 'there'")));
}

TEST_F(TuningFolderTest, ReadsNoFileThatIsNone) {
  open()->keep("here", {{"a", "1"}});
  const fs::path path = file();
  fs::remove(path);
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  const auto store = open();
  EXPECT_THAT(store->load("here"), IsEmpty());
  EXPECT_THAT(store->warnings(), ElementsAre(HasSubstr("it is no file of ours")));
}

TEST_F(TuningFolderTest, MakesTheFolderAgainWhereItIsRemoved) {
  const auto store = open();
  fs::remove_all(folder_);
  EXPECT_THAT(store->load("here"), IsEmpty());
  store->keep("here", {{"a", "1"}});
  EXPECT_THAT(store->load("here"), ElementsAre(TunedChoice{"a", "1"}));
  EXPECT_THAT(store->warnings(), IsEmpty());
}

TEST_F(TuningFolderTest, WarnsWhereTheLockIsHeldForLong) {
  const auto store = open();
  store->keep("here", {{"a", "1"}});
  const UniqueFd held(::open((folder_ / "lock").c_str(), O_RDWR));
  ASSERT_EQ(::flock(held.get(), LOCK_EX), 0);
  store->keep("here", {{"b", "2"}});
  EXPECT_THAT(store->warnings(), ElementsAre(HasSubstr("another process has held it")));
  EXPECT_THAT(store->load("here"), ElementsAre(TunedChoice{"a", "1"}));
}

// Each of several processes, in several threads, adds choices of its own; none is lost, and every file seen
// meanwhile is whole.
TEST_F(TuningFolderTest, LosesNothingOfProcessesAndThreadsAtOnce) {
  constexpr int kProcesses = 3, kThreads = 2, kEach = 8;
  const auto store = open();
  std::vector<pid_t> children;
  for (int process = 0; process < kProcesses; ++process) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      std::vector<std::thread> threads;
      for (int thread = 0; thread < kThreads; ++thread) {
        threads.emplace_back([&, thread] {
          for (int i = 0; i < kEach; ++i)
            store->keep("here", {{fmt::format("{} {} {}", process, thread, i), "1"}});
        });
      }
      for (std::thread& thread : threads) thread.join();
      ::_exit(store->warnings().empty() ? 0 : 1);
    }
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int status = 0;
    while (::waitpid(child, &status, WNOHANG) == 0) store->load("here");
    EXPECT_EQ(status, 0);
  }
  EXPECT_EQ(store->load("here").size(), size_t{kProcesses * kThreads * kEach});
  EXPECT_THAT(store->warnings(), IsEmpty());
}

TEST_F(TuningFolderTest, HoldsTheNewestFilesWhereThereAreTooMany) {
  const auto store = open();
  store->keep("the first", {{"a", "1"}});
  fs::last_write_time(file(), fs::file_time_type::clock::now() - std::chrono::hours(1));
  for (int i = 0; i < 64; ++i) store->keep(std::to_string(i), {{"a", "1"}});
  EXPECT_THAT(store->load("the first"), IsEmpty());
  EXPECT_EQ(store->load("0").size(), 1u);
  EXPECT_EQ(store->load("63").size(), 1u);
}

TEST_F(TuningFolderTest, OfTheUserLiesWhereTheEnvironmentSays) {
  ::setenv("HEADRACE_CACHE_DIR", (root_ / "cache").c_str(), 1);
  EXPECT_EQ(*user_cache_folder(), root_ / "cache");
  const auto store = open_user_tuning();
  store->keep("here", {{"a", "1"}});
  EXPECT_THAT(store->warnings(), IsEmpty());
  EXPECT_TRUE(fs::exists(root_ / "cache" / "tuning" / "lock"));
}

TEST_F(TuningFolderTest, OfTheUserKeepsNothingAndWarnsWhereItsFolderCannotBeUsed) {
  ASSERT_EQ(::chmod(root_.c_str(), 0777), 0);
  ::setenv("HEADRACE_CACHE_DIR", root_.c_str(), 1);
  const auto store = open_user_tuning();
  store->keep("here", {{"a", "1"}});
  EXPECT_THAT(store->load("here"), IsEmpty());
  EXPECT_THAT(store->warnings(), ElementsAre(HasSubstr("others can write to it")));
  EXPECT_FALSE(fs::exists(folder_));
}

class UserFolderTest : public testing::Test {
 protected:
  void set(const char* name, const char* value) {
    const char* const was = std::getenv(name);
    before_.emplace_back(name, was ? std::optional<std::string>(was) : std::nullopt);
    value ? ::setenv(name, value, 1) : ::unsetenv(name);
  }
  void TearDown() override {
    for (auto& [name, value] : before_) value ? ::setenv(name, value->c_str(), 1) : ::unsetenv(name);
  }
  std::vector<std::pair<const char*, std::optional<std::string>>> before_;
};

TEST_F(UserFolderTest, IsTheFirstThatIsNamed) {
  set("HOME", "/home/someone");
  set("XDG_CACHE_HOME", nullptr);
  set("HEADRACE_CACHE_DIR", nullptr);
  EXPECT_EQ(*user_cache_folder(), "/home/someone/.cache/headrace");
  ::setenv("XDG_CACHE_HOME", "relative", 1);
  EXPECT_EQ(*user_cache_folder(), "/home/someone/.cache/headrace");
  ::setenv("XDG_CACHE_HOME", "/xdg", 1);
  EXPECT_EQ(*user_cache_folder(), "/xdg/headrace");
  ::setenv("HEADRACE_CACHE_DIR", "/own", 1);
  EXPECT_EQ(*user_cache_folder(), "/own");
}

}  // namespace
}  // namespace headrace::cache
