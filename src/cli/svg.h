// An SVG plot of latency against the weight budget.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace headrace::cli {

struct PlotPoint {
  double x = 0;
  double y = 0;
};
struct PlotLine {
  std::string label;              // empty: no legend for it
  std::vector<PlotPoint> points;  // in the order of x
};
struct Plot {
  std::string title, x_title, y_title;
  std::vector<PlotLine> lines;
};

// A whole SVG document. Both axes begin at 0 and end at a round number.
std::string svg_text(const Plot& plot);

// Marks for an axis from 0 to at least `most`, at 1, 2 or 5 times a power of ten; at most about six.
std::vector<double> axis_ticks(double most);

}  // namespace headrace::cli
