// The parser of Dim's text:
//   sum     := product (("+" | "-") product)*
//   product := power (("*" | "//" | "%") power)*
//   power   := atom ("**" power)?
//   atom    := integer | name | ("min" | "max") "(" sum ("," sum)* ")" | "(" sum ")" | "-" power
#include <cctype>

#include "core/dim.h"
#include "core/error.h"
#include "core/text_cursor.h"

namespace headrace {
namespace {

constexpr int kMaxDepth = 64;  // hostile text must not exhaust the stack
// Products of sums are multiplied out: bound the text, and what comes of it stays small.
constexpr size_t kMaxText = 4096;

class Parser {
 public:
  explicit Parser(std::string_view text) : in_(text) {}

  Result<Dim> run() {
    if (in_.text().size() > kMaxText)
      return invalid_argument("size expression of {} characters is too long", in_.text().size());
    HR_ASSIGN(Dim dim, sum());
    if (!in_.at_end()) return unexpected();
    return dim;
  }

 private:
  Status unexpected() {
    const char found = in_.next();
    return invalid_argument("size expression '{}': unexpected {} at {}", in_.text(),
                            in_.at_end() ? "end" : fmt::format("'{}'", found), in_.at());
  }
  bool take(std::string_view token) { return in_.take(token); }
  bool take_times() { return !in_.peek("**") && take("*"); }

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
    int64_t value = 0;
    const std::errc error = in_.integer(value);
    if (error == std::errc()) return Dim(value);
    if (error == std::errc::result_out_of_range)
      return invalid_argument("size expression '{}': a number leaves 64 bits", in_.text());
    if (take("(")) {
      HR_ASSIGN(Dim inner, sum());
      if (!take(")")) return unexpected();
      return inner;
    }
    if (take("-")) return negative();
    const char c = in_.next();
    if (std::isalpha(static_cast<unsigned char>(c)) || c == '_') return named();
    return unexpected();
  }

  Result<Dim> negative() {
    if (++depth_ > kMaxDepth) return invalid_argument("size expression is nested too deeply");
    HR_ASSIGN(const Dim inner, power());
    --depth_;
    return Dim(0) - inner;
  }

  Result<Dim> named() {
    const std::string_view name = in_.word();
    if (!take("(")) return Dim::symbol(std::string(name));
    if (name != "min" && name != "max")
      return invalid_argument("size expression '{}': unknown function '{}'", in_.text(), name);
    HR_ASSIGN(Dim value, sum());
    while (take(",")) {
      HR_ASSIGN(const Dim next, sum());
      value = name == "min" ? Dim::min(value, next) : Dim::max(value, next);
    }
    if (!take(")")) return unexpected();
    return value;
  }

  static constexpr int kMaxProducts = 64;
  TextCursor in_;
  int depth_ = 0;
  int products_ = 0;
};

}  // namespace

Result<Dim> Dim::parse(std::string_view text) { return Parser(text).run(); }

}  // namespace headrace
