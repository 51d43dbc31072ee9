#include "cli/table.h"

#include <algorithm>

namespace headrace::cli {
namespace {

// Characters as a terminal shows them: UTF-8 continuation bytes do not count.
size_t width(const std::string& text) {
  return static_cast<size_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

}  // namespace

void Table::add(std::vector<std::string> cells) {
  cells.resize(columns_.size());
  rows_.push_back(std::move(cells));
}

std::string Table::text() const {
  std::vector<std::vector<std::string>> lines(1);
  for (const Column& column : columns_) lines.front().push_back(column.title);
  lines.insert(lines.end(), rows_.begin(), rows_.end());
  std::string out;
  for (const std::vector<std::string>& line : lines) {
    std::string text;
    for (size_t c = 0; c < columns_.size(); ++c) {
      size_t widest = 0;
      for (const std::vector<std::string>& other : lines) widest = std::max(widest, width(other[c]));
      const std::string padding(widest - width(line[c]), ' ');
      if (c > 0) text += "   ";
      text += columns_[c].align == Align::kRight ? padding + line[c] : line[c] + padding;
    }
    text.erase(text.find_last_not_of(' ') + 1);
    out += text + "\n";
  }
  return out;
}

}  // namespace headrace::cli
