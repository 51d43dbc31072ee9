#include "core/proc_file.h"

#include <charconv>
#include <fstream>
#include <sstream>

namespace headrace {

std::optional<std::string> read_proc_file(const std::string& path) {
  std::ifstream file(path);
  if (!file) return std::nullopt;
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

std::optional<int64_t> proc_number(const std::string& path) {
  const std::optional<std::string> text = read_proc_file(path);
  int64_t value = 0;
  if (!text) return std::nullopt;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  return error == std::errc() ? std::optional(value) : std::nullopt;
}

std::optional<int64_t> proc_field(const std::string& path, std::string_view key) {
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) {
    if (!std::string_view(line).starts_with(key)) continue;
    const size_t digit = line.find_first_of("0123456789", key.size());
    if (digit == std::string::npos) return std::nullopt;
    return std::strtoll(line.c_str() + digit, nullptr, 10);
  }
  return std::nullopt;
}

}  // namespace headrace
