#include "cache/tuning_text.h"

#include <gtest/gtest.h>

namespace headrace::cache {
namespace {

const std::vector<TunedChoice> kChoices = {{"matmul 3x4x5", "1 2f"}, {"conv [1, 2]", "eng3_k1=2"}, {"x", ""}};

TEST(TuningText, IsReadBack) {
  const std::string text = tuning_text("a GPU", kChoices);
  const auto choices = parse_tuning_text(text, "a GPU");
  ASSERT_TRUE(choices.ok()) << choices.status().message();
  EXPECT_EQ(*choices, kChoices);
  EXPECT_TRUE(parse_tuning_text(tuning_text("", {}), "")->empty());
}

TEST(TuningText, IsRefusedWithAnyBitFlipped) {
  const std::string text = tuning_text("a GPU", kChoices);
  for (size_t i = 0; i < text.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string damaged = text;
      damaged[i] = static_cast<char>(damaged[i] ^ (1 << bit));
      EXPECT_EQ(parse_tuning_text(damaged, "a GPU").status().code(), Code::kCorrupt) << i << " " << bit;
    }
  }
}

TEST(TuningText, IsRefusedCutOffAnywhereOrContinued) {
  const std::string text = tuning_text("a GPU", kChoices);
  for (size_t size = 0; size < text.size(); ++size)
    EXPECT_EQ(parse_tuning_text(text.substr(0, size), "a GPU").status().code(), Code::kCorrupt) << size;
  EXPECT_FALSE(parse_tuning_text(text + "\n", "a GPU").ok());
  EXPECT_FALSE(parse_tuning_text(text + text, "a GPU").ok());
}

TEST(TuningText, IsRefusedForAnotherPlace) {
  const auto choices = parse_tuning_text(tuning_text("a GPU", kChoices), "a GPU of tomorrow");
  EXPECT_EQ(choices.status().code(), Code::kIncompatible);
  EXPECT_EQ(choices.status().message(), "it is for 'a GPU', not for 'a GPU of tomorrow'");
}

TEST(TuningText, LeavesOutWhatItCannotHold) {
  const std::vector<TunedChoice> odd = {
      {"a\tb", "1"}, {"a", "1\n2"}, {"", "1"}, {"b", std::string(3000, 'x')}, {"c", "1"}};
  const auto choices = parse_tuning_text(tuning_text("here", odd), "here");
  ASSERT_TRUE(choices.ok());
  EXPECT_EQ(*choices, (std::vector<TunedChoice>{{"c", "1"}}));
}

TEST(TuningText, HoldsTheNewestWhereThereAreTooMany) {
  std::vector<TunedChoice> many;
  for (size_t i = 0; i < kMostChoices + 10; ++i) many.push_back({std::to_string(i), "1"});
  const auto choices = parse_tuning_text(tuning_text("here", many), "here");
  ASSERT_TRUE(choices.ok());
  EXPECT_EQ(*choices, std::vector<TunedChoice>(many.begin() + 10, many.end()));
  for (TunedChoice& choice : many) choice.choice = std::string(1500, 'x');
  const std::string text = tuning_text("here", many);
  EXPECT_LE(text.size(), static_cast<size_t>(kLargestTuningFile.count));
  EXPECT_EQ(parse_tuning_text(text, "here")->back(), many.back());
}

}  // namespace
}  // namespace headrace::cache
