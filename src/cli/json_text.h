// JSON as text, built front to back.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <headrace/bytes.h>

namespace headrace::cli {

std::string json_string(std::string_view text);                  // quoted and escaped
std::string json_number(double value);                           // NaN and infinities become null
std::string json_array(const std::vector<std::string>& values);  // of JSON texts

// Bytes are numbers of bytes; their keys end in _bytes.
class JsonObject {
 public:
  JsonObject& add(std::string_view key, std::string_view value) { return raw(key, json_string(value)); }
  JsonObject& add(std::string_view key, const char* value) { return raw(key, json_string(value)); }
  JsonObject& add(std::string_view key, int64_t value) { return raw(key, std::to_string(value)); }
  JsonObject& add(std::string_view key, Bytes value) { return raw(key, std::to_string(value.count)); }
  JsonObject& add(std::string_view key, double value) { return raw(key, json_number(value)); }
  JsonObject& add(std::string_view key, bool value) { return raw(key, value ? "true" : "false"); }
  JsonObject& raw(std::string_view key, std::string_view json);
  std::string text() const { return "{" + members_ + "}"; }

 private:
  std::string members_;
};

}  // namespace headrace::cli
