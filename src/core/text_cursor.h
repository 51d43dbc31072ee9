// TextCursor: the walk over a short text of words, numbers and marks, that parsers of one line share. Spaces
// before what is looked for are passed over.
#pragma once

#include <cctype>
#include <charconv>
#include <cstdint>
#include <optional>
#include <string_view>

namespace headrace {

class TextCursor {
 public:
  explicit TextCursor(std::string_view text) : text_(text) {}

  std::string_view text() const { return text_; }
  size_t at() const { return at_; }
  void go_back(size_t at) { at_ = at; }  // REQUIRES: at() was `at` before
  bool at_end() { return skip_spaces(), at_ == text_.size(); }
  // What comes next; '\0' at the end.
  char next() { return at_end() ? '\0' : text_[at_]; }

  bool peek(std::string_view token) { return skip_spaces(), text_.substr(at_).starts_with(token); }
  bool take(std::string_view token) {
    if (!peek(token)) return false;
    at_ += token.size();
    return true;
  }
  // Only where the word ends there; else nothing is taken.
  bool take_word(std::string_view word) {
    const size_t before = at_;
    if (take(word) && (at_ == text_.size() || !in_word(text_[at_]))) return true;
    at_ = before;
    return false;
  }
  // Letters, digits and _; empty where there are none.
  std::string_view word() {
    skip_spaces();
    const size_t begin = at_;
    while (at_ < text_.size() && in_word(text_[at_])) ++at_;
    return text_.substr(begin, at_ - begin);
  }
  // std::errc::invalid_argument where there is no number, result_out_of_range where it leaves 64 bits:
  // nothing is taken then.
  std::errc integer(int64_t& value) {
    skip_spaces();
    const auto [end, error] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), value);
    if (error == std::errc()) at_ = static_cast<size_t>(end - text_.data());
    return error;
  }
  std::optional<int64_t> integer() {
    int64_t value = 0;
    return integer(value) == std::errc() ? std::optional(value) : std::nullopt;
  }
  // What comes before the next `end`, spaces and all, and past that; nullopt where there is none.
  std::optional<std::string_view> until(char end) {
    const size_t found = text_.find(end, at_);
    if (found == std::string_view::npos) return std::nullopt;
    const std::string_view before = text_.substr(at_, found - at_);
    at_ = found + 1;
    return before;
  }

 private:
  static bool in_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }
  void skip_spaces() {
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
  }

  std::string_view text_;
  size_t at_ = 0;
};

}  // namespace headrace
