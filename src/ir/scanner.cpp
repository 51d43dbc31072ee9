#include "ir/scanner.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>

#include "core/error.h"
#include "core/half.h"

namespace headrace::ir {
namespace {
bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }
}  // namespace

Status Scanner::error(std::string_view what) const {
  const auto line =
      1 + std::count(text_.begin(), text_.begin() + static_cast<int64_t>(std::min(at_, text_.size())), '\n');
  const std::string_view rest = text_.substr(std::min(at_, text_.size()));
  return invalid_argument("graph text, line {}: {}, at '{}'", line, what,
                          rest.substr(0, std::min<size_t>(rest.find('\n'), 60)));
}

void Scanner::skip_space() {
  for (;;) {
    while (at_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[at_]))) ++at_;
    if (text_.substr(at_, 2) != "//") return;
    at_ = std::min(text_.find('\n', at_), text_.size());
  }
}

bool Scanner::at_end() { return skip_space(), at_ == text_.size(); }
bool Scanner::peek(std::string_view token) { return skip_space(), text_.substr(at_, token.size()) == token; }

bool Scanner::take(std::string_view token) {
  if (!peek(token)) return false;
  at_ += token.size();
  return true;
}

bool Scanner::take_word(std::string_view word) {
  if (!peek(word)) return false;
  const size_t end = at_ + word.size();
  if (end < text_.size() && is_word(text_[end])) return false;
  at_ = end;
  return true;
}

Status Scanner::expect(std::string_view token) {
  return take(token) ? Status() : error(fmt::format("expected '{}'", token));
}

std::string_view Scanner::word() {
  skip_space();
  const size_t begin = at_;
  while (at_ < text_.size() && is_word(text_[at_])) ++at_;
  return text_.substr(begin, at_ - begin);
}

Result<std::string> Scanner::reference() {
  skip_space();
  const size_t begin = at_;
  if (at_ < text_.size() && (text_[at_] == '%' || text_[at_] == '@')) ++at_;
  const auto in_name = [](char c) {
    return is_word(c) || c == '.' || c == '-' || c == '+' || c == '/' || c == '[' || c == ']';
  };
  while (at_ > begin && at_ < text_.size() && in_name(text_[at_])) ++at_;
  if (at_ - begin < 2) return error("expected %name or @name");
  return std::string(text_.substr(begin, at_ - begin));
}

Result<std::string> Scanner::quoted() {
  HR_TRY(expect("\""));
  std::string out;
  for (; at_ < text_.size(); ++at_) {
    const char c = text_[at_];
    if (c == '"') {
      ++at_;
      return out;
    }
    if (c != '\\') {
      out += c;
    } else if (++at_ < text_.size()) {
      out += text_[at_] == 'n' ? '\n' : text_[at_];
    }
  }
  return error("a string does not end");
}

Result<int64_t> Scanner::integer() {
  skip_space();
  int64_t value = 0;
  const auto [end, code] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), value);
  if (code != std::errc()) return error("expected an integer of 64 bits");
  at_ = static_cast<size_t>(end - text_.data());
  return value;
}

Result<double> Scanner::number() {
  skip_space();
  double value = 0;
  const auto [end, code] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), value);
  if (code == std::errc::invalid_argument) return error("expected a number");
  at_ = static_cast<size_t>(end - text_.data());
  return value;
}

Result<Dim> Scanner::dim_until(std::string_view stops) {
  skip_space();
  const size_t begin = at_;
  int depth = 0;
  for (; at_ < text_.size() && text_[at_] != '\n'; ++at_) {
    const char c = text_[at_];
    if (depth == 0 && stops.find(c) != std::string_view::npos) break;
    depth += c == '(' ? 1 : c == ')' ? -1 : 0;
    if (depth < 0) break;
  }
  Result<Dim> dim = Dim::parse(text_.substr(begin, at_ - begin));
  if (!dim.ok()) return error(dim.status().message());
  return dim;
}

template <class T>
Result<std::vector<T>> Scanner::items(Result<T> (Scanner::*item)()) {
  HR_TRY(expect("["));
  std::vector<T> values;
  if (take("]")) return values;
  do {
    HR_ASSIGN(T value, (this->*item)());
    values.push_back(std::move(value));
  } while (take(","));
  HR_TRY(expect("]"));
  return values;
}

Result<Attribute> Scanner::number_attribute() {
  skip_space();
  const size_t begin = at_;
  size_t end = begin;
  while (end < text_.size() && (is_word(text_[end]) || std::strchr("+-.", text_[end]) != nullptr)) ++end;
  const std::string_view token = text_.substr(begin, end - begin);
  const bool is_integer = token.find_first_of(".einf") == std::string_view::npos;
  if (is_integer) {
    HR_ASSIGN(const int64_t value, integer());
    return Attribute(value);
  }
  HR_ASSIGN(const double value, number());
  return Attribute(value);
}

Result<Attribute> Scanner::attribute() {
  if (take_word("true")) return Attribute(true);
  if (take_word("false")) return Attribute(false);
  if (peek("\"")) {
    HR_ASSIGN(std::string text, quoted());
    return Attribute(std::move(text));
  }
  if (peek("[")) {
    HR_ASSIGN(std::vector<int64_t> values, items(&Scanner::integer));
    return Attribute(std::move(values));
  }
  if (take_word("floats")) {
    HR_ASSIGN(std::vector<double> values, items(&Scanner::number));
    return Attribute(std::move(values));
  }
  if (take_word("dims")) {
    HR_ASSIGN(std::vector<Dim> values, items(&Scanner::list_dim));
    return Attribute(std::move(values));
  }
  if (take_word("dim")) {
    HR_TRY(expect("("));
    HR_ASSIGN(Dim value, dim_until(")"));
    HR_TRY(expect(")"));
    return Attribute(std::move(value));
  }
  for (int i = 0; i < kDTypeCount; ++i) {
    if (take_word(dtype_name(static_cast<DType>(i)))) return Attribute(static_cast<DType>(i));
  }
  return number_attribute();
}

namespace {
template <class T>
void append(std::vector<std::byte>& bytes, T value) {
  const auto* begin = reinterpret_cast<const std::byte*>(&value);
  bytes.insert(bytes.end(), begin, begin + sizeof(T));
}
}  // namespace

Status Scanner::element(DType dtype, std::vector<std::byte>& bytes) {
  if (dtype == DType::kF32) {  // parsed as a float: through double it would round twice
    skip_space();
    float value = 0;
    const auto [end, code] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), value);
    if (code == std::errc::invalid_argument) return error("expected a number");
    at_ = static_cast<size_t>(end - text_.data());
    append(bytes, value);
    return {};
  }
  if (is_float(dtype)) {
    HR_ASSIGN(const double value, number());
    if (dtype == DType::kF64) append(bytes, value);
    if (dtype == DType::kF16) append(bytes, float_to_f16(static_cast<float>(value)));
    if (dtype == DType::kBF16) append(bytes, float_to_bf16(static_cast<float>(value)));
    return {};
  }
  HR_ASSIGN(const int64_t value, integer());
  switch (dtype_size(dtype)) {
    case 1: append(bytes, static_cast<int8_t>(value)); break;
    case 2: append(bytes, static_cast<int16_t>(value)); break;
    case 4: append(bytes, static_cast<int32_t>(value)); break;
    default: append(bytes, value); break;
  }
  return {};
}

Result<std::vector<std::byte>> Scanner::hex_bytes(std::string_view text) const {
  std::vector<std::byte> bytes;
  if (text.size() % 2 != 0) return error("hex digits come in pairs");
  for (size_t i = 0; i < text.size(); i += 2) {
    unsigned value = 0;
    const auto [end, code] = std::from_chars(text.data() + i, text.data() + i + 2, value, 16);
    if (code != std::errc() || end != text.data() + i + 2) return error("expected hex digits");
    bytes.push_back(static_cast<std::byte>(value));
  }
  return bytes;
}

}  // namespace headrace::ir
