// Status and Result: how every call of Headrace says what went wrong.
//
// A code says what a caller can do about it; the message says what was asked, what was found and what to do.
// Both types are values; a failed call has changed nothing unless its own contract says otherwise.
#pragma once

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace headrace {

enum class Code : uint8_t {
  kOk,
  kInvalidArgument,  // the caller's input is wrong: fix the call
  kUnsupported,      // well formed, but this version or back end cannot do it
  kNotFound,         // the named file, input or op does not exist
  kCorrupt,          // stored bytes are not what was written
  kIncompatible,     // written by or for another version, ISA or library: compile again
  kExhausted,        // a budget, memory, the disk or descriptors ran out
  kUnavailable,      // failed now, may work later (an I/O error, a cancelled call)
  kInternal,         // a bug in Headrace
};

std::string_view code_name(Code code);

class [[nodiscard]] Status {
 public:
  Status() = default;  // ok
  Status(Code code, std::string message) : code_(code), message_(std::move(message)) {}

  bool ok() const { return code_ == Code::kOk; }
  Code code() const { return code_; }
  const std::string& message() const { return message_; }
  // The same status with `context` and ": " before its message; ok stays ok.
  Status with_context(std::string_view context) const;

 private:
  Code code_ = Code::kOk;
  std::string message_;
};

// Thrown only by Result::value(), that is, only where the user asks for exceptions.
class Error : public std::runtime_error {
 public:
  explicit Error(const Status& status) : std::runtime_error(status.message()), code_(status.code()) {}
  Code code() const { return code_; }

 private:
  Code code_;
};

// A T, or the Status that says why there is none.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}         // NOLINT: implicit, so that functions return T
  Result(Status status) : status_(std::move(status)) {  // NOLINT: REQUIRES: !status.ok()
    if (status_.ok()) status_ = Status(Code::kInternal, "a Result was made from an ok Status");
  }

  bool ok() const { return value_.has_value(); }
  const Status& status() const { return status_; }

  T& operator*() & { return *value_; }  // REQUIRES: ok()
  const T& operator*() const& { return *value_; }
  T&& operator*() && { return *std::move(value_); }
  T* operator->() { return &*value_; }
  const T* operator->() const { return &*value_; }

  // The value, or throws Error.
  T& value() & { return check(), *value_; }
  const T& value() const& { return check(), *value_; }
  T value() && { return check(), *std::move(value_); }

 private:
  void check() const {
    if (!ok()) throw Error(status_);
  }
  std::optional<T> value_;
  Status status_;
};

}  // namespace headrace
