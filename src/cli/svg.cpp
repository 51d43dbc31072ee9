#include "cli/svg.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace headrace::cli {
namespace {

constexpr double kWidth = 720, kHeight = 440;
constexpr double kLeft = 76, kRight = 24, kTop = 56, kBottom = 64;
// Told apart also by people who do not see all colours (Okabe and Ito).
constexpr std::array<std::string_view, 6> kColours = {"#0072b2", "#d55e00", "#009e73",
                                                      "#cc79a7", "#e69f00", "#56b4e9"};

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '&')
      out += "&amp;";
    else if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else
      out += c;
  }
  return out;
}

std::string text_at(double x, double y, std::string_view anchor, std::string_view text,
                    std::string_view more = "") {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\"{}>{}</text>\n", x, y, anchor, more,
                     escaped(text));
}

std::string tick_label(double value) { return fmt::format("{:.6g}", value); }

struct Frame {
  double most_x, most_y;
  double x(double value) const { return kLeft + value / most_x * (kWidth - kLeft - kRight); }
  double y(double value) const { return kHeight - kBottom - value / most_y * (kHeight - kTop - kBottom); }
};

std::string axes(const Plot& plot, const Frame& frame, const std::vector<double>& xs,
                 const std::vector<double>& ys) {
  std::string out;
  for (const double y : ys) {
    out += fmt::format("<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" stroke=\"#e3e3e3\"/>\n",
                       kLeft, frame.y(y), kWidth - kRight, frame.y(y));
    out += text_at(kLeft - 8, frame.y(y) + 4, "end", tick_label(y));
  }
  for (const double x : xs) {
    out += fmt::format("<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" stroke=\"#555\"/>\n",
                       frame.x(x), kHeight - kBottom, frame.x(x), kHeight - kBottom + 5);
    out += text_at(frame.x(x), kHeight - kBottom + 20, "middle", tick_label(x));
  }
  out += fmt::format("<path d=\"M{0:.1f} {1:.1f}V{2:.1f}H{3:.1f}\" fill=\"none\" stroke=\"#555\"/>\n", kLeft,
                     kTop, kHeight - kBottom, kWidth - kRight);
  out += text_at((kLeft + kWidth - kRight) / 2, kHeight - 18, "middle", plot.x_title);
  out += text_at(18, (kTop + kHeight - kBottom) / 2, "middle", plot.y_title,
                 fmt::format(" transform=\"rotate(-90 18 {:.1f})\"", (kTop + kHeight - kBottom) / 2));
  out += text_at(kLeft, 30, "start", plot.title, " font-size=\"16\" font-weight=\"600\"");
  return out;
}

std::string line_marks(const PlotLine& line, const Frame& frame, std::string_view colour) {
  std::string path, dots;
  for (const PlotPoint& point : line.points) {
    path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? "M" : "L", frame.x(point.x), frame.y(point.y));
    dots += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"4\" fill=\"{}\"/>\n", frame.x(point.x),
                        frame.y(point.y), colour);
  }
  return fmt::format("<path d=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"2\"/>\n", path, colour) +
         dots;
}

}  // namespace

std::vector<double> axis_ticks(double most) {
  if (!(most > 0) || !std::isfinite(most)) most = 1;
  const double rough = most / 5, power = std::pow(10, std::floor(std::log10(rough)));
  double step = 10 * power;
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= rough * (1 - 1e-9)) {
      step = factor * power;
      break;
    }
  }
  std::vector<double> ticks{0};
  while (ticks.back() < most * (1 - 1e-9)) ticks.push_back(step * static_cast<double>(ticks.size()));
  return ticks;
}

std::string svg_text(const Plot& plot) {
  double most_x = 0, most_y = 0;
  for (const PlotLine& line : plot.lines) {
    for (const PlotPoint& point : line.points) {
      most_x = std::max(most_x, point.x), most_y = std::max(most_y, point.y);
    }
  }
  const std::vector<double> xs = axis_ticks(most_x), ys = axis_ticks(most_y);
  const Frame frame{xs.back(), ys.back()};
  std::string out = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\" "
      "font-family=\"system-ui, sans-serif\" font-size=\"12\" fill=\"#222\">\n"
      "<rect width=\"{0}\" height=\"{1}\" fill=\"#fff\"/>\n",
      kWidth, kHeight);
  out += axes(plot, frame, xs, ys);
  double legend_y = kTop + 6;
  for (size_t i = 0; i < plot.lines.size(); ++i) {
    const std::string_view colour = kColours[i % kColours.size()];
    out += line_marks(plot.lines[i], frame, colour);
    if (plot.lines[i].label.empty()) continue;
    out += fmt::format("<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"12\" height=\"3\" fill=\"{}\"/>\n",
                       kWidth - 130, legend_y - 5, colour);
    out += text_at(kWidth - 112, legend_y, "start", plot.lines[i].label);
    legend_y += 18;
  }
  return out + "</svg>\n";
}

}  // namespace headrace::cli
