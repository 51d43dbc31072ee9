// Console: what the tool says, and where. Results go to stdout; warnings, errors and progress to stderr.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include <headrace/progress.h>
#include <headrace/status.h>

namespace headrace::cli {

// What the process exits with for a status; docs/errors.md has the table.
int exit_code(Code code);
inline constexpr int kExitCancelled = 130;  // as shells say that SIGINT ended a program

class Bar;  // the progress bar

class Console {
 public:
  explicit Console(bool json);

  bool json() const { return json_; }
  void print(std::string_view text) const;  // to stdout, as it is; nothing where output is JSON
  void print_json(std::string_view object) const;
  void warn(std::string_view message) const;
  void note(std::string_view message) const;  // to stderr, as warnings are
  // "error: ..." with the status's further lines indented; with --json also {"error": ...} on stdout.
  // Returns the exit code.
  int fail(const Status& status) const;
  // Draws a bar on a terminal and stops the work after Ctrl-C; silent where stderr is none.
  Progress progress() const;
  Progress cancellation() const;  // only stops the work after Ctrl-C
  Status flush() const;           // Errors: where stdout did not take all that was printed

 private:
  bool json_;
  std::shared_ptr<Bar> bar_;  // none where stderr is no terminal; wiped before anything is printed
};

void cancel_on_interrupt();  // installs the handler; a second Ctrl-C ends the process at once
bool cancelled();

}  // namespace headrace::cli
