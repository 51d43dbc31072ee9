#include "cache/tuning_text.h"

#include <algorithm>
#include <optional>

#include "core/error.h"
#include "core/hash.h"

namespace headrace::cache {
namespace {

constexpr std::string_view kTitle = "headrace tuning 1\n", kPlace = "place ";
constexpr size_t kChecksumLine = 26;  // "checksum 0123456789abcdef\n"

std::string checksum_line(std::string_view text) {
  return fmt::format("checksum {:016x}\n", checksum(std::as_bytes(std::span(text))));
}

bool can_be_kept(const TunedChoice& choice) {
  const auto is_plain = [](std::string_view text) { return text.find_first_of("\t\n") == text.npos; };
  return !choice.problem.empty() && is_plain(choice.problem) && is_plain(choice.choice) &&
         choice.problem.size() + choice.choice.size() <= kLongestLine;
}

// The line that `text` begins with, which it is shortened by.
std::optional<std::string_view> take_line(std::string_view& text) {
  const size_t end = text.find('\n');
  if (end == text.npos) return std::nullopt;
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(end + 1);
  return line;
}

}  // namespace

std::string tuning_text(std::string_view place, const std::vector<TunedChoice>& choices) {
  std::string text = fmt::format("{}{}{}\n", kTitle, kPlace, place);
  const size_t first = choices.size() - std::min(choices.size(), kMostChoices);
  const size_t room = static_cast<size_t>(kLargestTuningFile.count) - kChecksumLine;
  std::vector<std::string> lines;  // the newest first, while there is room
  size_t size = text.size();
  for (size_t i = choices.size(); i-- > first;) {
    if (!can_be_kept(choices[i])) continue;
    std::string line = choices[i].problem + '\t' + choices[i].choice + '\n';
    size += line.size();
    if (size > room) break;
    lines.push_back(std::move(line));
  }
  for (auto line = lines.rbegin(); line != lines.rend(); ++line) text += *line;
  return text + checksum_line(text);
}

Result<std::vector<TunedChoice>> parse_tuning_text(std::string_view text, std::string_view place) {
  if (!text.starts_with(kTitle) || text.size() < kTitle.size() + kChecksumLine)
    return corrupt("it is no file of tuned choices of this version");
  std::string_view rest = text.substr(0, text.size() - kChecksumLine);
  if (text.substr(rest.size()) != checksum_line(rest)) return corrupt("its checksum is wrong");
  rest.remove_prefix(kTitle.size());
  const std::optional<std::string_view> found = take_line(rest);
  if (!found || !found->starts_with(kPlace)) return corrupt("it does not say what it is for");
  if (found->substr(kPlace.size()) != place)
    return incompatible("it is for '{}', not for '{}'", found->substr(kPlace.size()), place);
  std::vector<TunedChoice> choices;
  while (!rest.empty()) {
    const std::optional<std::string_view> line = take_line(rest);
    const size_t tab = line ? line->find('\t') : std::string_view::npos;
    if (!line || tab == line->npos) return corrupt("it holds a line that is no choice");
    choices.push_back({std::string(line->substr(0, tab)), std::string(line->substr(tab + 1))});
  }
  return choices;
}

}  // namespace headrace::cache
