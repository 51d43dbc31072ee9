// Table: rows of text in aligned columns.
#pragma once

#include <string>
#include <vector>

namespace headrace::cli {

class Table {
 public:
  enum class Align { kLeft, kRight };
  struct Column {
    std::string title;
    Align align = Align::kLeft;
  };
  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

  void add(std::vector<std::string> cells);  // fewer cells than columns: the rest stay empty
  std::string text() const;                  // lines, without blanks at their ends

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace headrace::cli
