// The parser of Dim's text:
//   sum     := product (("+" | "-") product)*
//   product := power (("*" | "//" | "%") power)*
//   power   := atom ("**" power)?
//   atom    := integer | name | ("min" | "max") "(" sum ("," sum)* ")" | "(" sum ")" | "-" power
#include <cctype>
#include <charconv>

#include "core/dim.h"
#include "core/error.h"

namespace headrace {
namespace {

constexpr int kMaxDepth = 64;  // hostile text must not exhaust the stack
// Products of sums are multiplied out: bound the text, and what comes of it stays small.
constexpr size_t kMaxText = 4096;

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  Result<Dim> run() {
    if (text_.size() > kMaxText)
      return invalid_argument("size expression of {} characters is too long", text_.size());
    HR_ASSIGN(Dim dim, sum());
    skip_space();
    if (at_ != text_.size()) return unexpected();
    return dim;
  }

 private:
  Status unexpected() const {
    return invalid_argument("size expression '{}': unexpected {} at {}", text_,
                            at_ < text_.size() ? fmt::format("'{}'", text_[at_]) : "end", at_);
  }
  void skip_space() {
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
  }
  bool take(std::string_view token) {
    skip_space();
    if (text_.substr(at_, token.size()) != token) return false;
    at_ += token.size();
    return true;
  }
  bool take_times() {  // "*", but not the beginning of "**"
    skip_space();
    return text_.substr(at_, 2) != "**" && take("*");
  }

  Result<Dim> sum() {
    if (++depth_ > kMaxDepth) return invalid_argument("size expression is nested too deeply");
    HR_ASSIGN(Dim left, product());
    for (;;) {
      if (take("+")) {
        HR_ASSIGN(const Dim right, product());
        left = left + right;
      } else if (take("-")) {
        HR_ASSIGN(const Dim right, product());
        left = left - right;
      } else {
        --depth_;
        return left;
      }
    }
  }

  Result<Dim> product() {
    HR_ASSIGN(Dim left, power());
    for (;;) {
      if (take("//")) {
        HR_ASSIGN(const Dim right, power());
        left = Dim::floor_div(left, right);
      } else if (take("%")) {
        HR_ASSIGN(const Dim right, power());
        left = Dim::mod(left, right);
      } else if (take_times()) {
        HR_ASSIGN(const Dim right, power());
        if (++products_ > kMaxProducts) return invalid_argument("size expression has too many products");
        left = left * right;
      } else {
        return left;
      }
    }
  }

  Result<Dim> power() {
    HR_ASSIGN(Dim base, atom());
    if (!take("**")) return base;
    if (++depth_ > kMaxDepth) return invalid_argument("size expression is nested too deeply");
    HR_ASSIGN(const Dim exponent, power());
    --depth_;
    if (++products_ > kMaxProducts) return invalid_argument("size expression has too many products");
    return Dim::pow(base, exponent);
  }

  Result<Dim> atom() {
    skip_space();
    if (at_ == text_.size()) return unexpected();
    const char c = text_[at_];
    if (c >= '0' && c <= '9') return integer();
    if (take("(")) {
      HR_ASSIGN(Dim inner, sum());
      if (!take(")")) return unexpected();
      return inner;
    }
    if (c == '-') return negative();
    if (std::isalpha(static_cast<unsigned char>(c)) || c == '_') return named();
    return unexpected();
  }

  Result<Dim> negative() {
    if (at_ + 1 < text_.size() && std::isdigit(static_cast<unsigned char>(text_[at_ + 1]))) return integer();
    ++at_;
    if (++depth_ > kMaxDepth) return invalid_argument("size expression is nested too deeply");
    HR_ASSIGN(const Dim inner, power());
    --depth_;
    return Dim(0) - inner;
  }

  Result<Dim> integer() {
    int64_t value = 0;
    const auto [end, error] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), value);
    if (error != std::errc()) return invalid_argument("size expression '{}': a number leaves 64 bits", text_);
    at_ = static_cast<size_t>(end - text_.data());
    return Dim(value);
  }

  Result<Dim> named() {
    const size_t begin = at_;
    while (at_ < text_.size() && (std::isalnum(static_cast<unsigned char>(text_[at_])) || text_[at_] == '_'))
      ++at_;
    const std::string_view name = text_.substr(begin, at_ - begin);
    if (!take("(")) return Dim::symbol(std::string(name));
    if (name != "min" && name != "max")
      return invalid_argument("size expression '{}': unknown function '{}'", text_, name);
    HR_ASSIGN(Dim value, sum());
    while (take(",")) {
      HR_ASSIGN(const Dim next, sum());
      value = name == "min" ? Dim::min(value, next) : Dim::max(value, next);
    }
    if (!take(")")) return unexpected();
    return value;
  }

  static constexpr int kMaxProducts = 64;
  std::string_view text_;
  size_t at_ = 0;
  int depth_ = 0;
  int products_ = 0;
};

}  // namespace

Result<Dim> Dim::parse(std::string_view text) { return Parser(text).run(); }

}  // namespace headrace
