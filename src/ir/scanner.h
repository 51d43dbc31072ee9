// Scanner: tokens of the IR's text form, with the line in every error.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include <headrace/status.h>
#include "core/attributes.h"

namespace headrace::ir {

class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  Status error(std::string_view what) const;  // "graph text, line 3: … at 'rest of the line'"
  bool at_end();
  bool peek(std::string_view token);
  bool take(std::string_view token);
  bool take_word(std::string_view word);  // only where the word ends there
  Status expect(std::string_view token);
  std::string_view word();          // letters, digits, _; empty where there is none
  Result<std::string> reference();  // "%name" or "@name"; names may hold . and -
  Result<std::string> quoted();
  Result<int64_t> integer();
  Result<double> number();                        // also inf, -inf, nan
  Result<Dim> dim_until(std::string_view stops);  // up to one of the characters outside parentheses
  Result<Attribute> attribute();
  Status element(DType dtype, std::vector<std::byte>& bytes);  // one element of a literal, appended
  Result<std::vector<std::byte>> hex_bytes(std::string_view text) const;

 private:
  void skip_space();  // and comments
  template <class T>
  Result<std::vector<T>> items(Result<T> (Scanner::*item)());
  Result<Dim> list_dim() { return dim_until(",]"); }
  Result<Attribute> number_attribute();

  std::string_view text_;
  size_t at_ = 0;
};

}  // namespace headrace::ir
