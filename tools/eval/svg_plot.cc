#include "tools/eval/svg_plot.h"

#include <algorithm>
#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <iterator>
#include <limits>

namespace reprise {
namespace {

constexpr double kWidth = 1040;
constexpr double kHeight = 560;
constexpr double kLeft = 90;
constexpr double kRight = 700;  // the legend is right of it
constexpr double kTop = 80;
constexpr double kBottom = 490;
constexpr double kLegend = 720;

// Okabe and Ito's colours, which most colour-blind people can tell apart.
constexpr const char* kColours[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                    "#e69f00", "#56b4e9", "#000000", "#8c6d31"};

__attribute__((format(printf, 1, 2))) std::string Format(const char* format,
                                                         ...) {
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof(text), format, arguments);
  va_end(arguments);
  return text;
}

std::string Escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    }
  }
  return out;
}

std::string Text(double x, double y, const char* style,
                 const std::string& text) {
  return Format("<text x=\"%.1f\" y=\"%.1f\" %s>", x, y, style) +
         Escaped(text) + "</text>\n";
}

// One axis: values to pixels.
class Scale {
 public:
  Scale(bool logarithmic, double from, double to)
      : logarithmic_(logarithmic), from_(from), to_(to) {}

  bool Shows(double value) const {
    return std::isfinite(value) && (!logarithmic_ || value > 0);
  }
  void Include(double value) {
    low_ = std::min(low_, value);
    high_ = std::max(high_, value);
  }
  // Some air at both ends, and never an empty range.
  void Widen() {
    if (logarithmic_) {
      const double air = std::max(1.15, std::pow(high_ / low_, 0.05));
      low_ /= air;
      high_ *= air;
      return;
    }
    const double air = high_ > low_ ? 0.05 * (high_ - low_) : 1;
    low_ = low_ >= 0 ? std::max(0.0, low_ - air) : low_ - air;
    high_ += air;
  }
  double Pixel(double value) const {
    const double share = logarithmic_
                             ? std::log(value / low_) / std::log(high_ / low_)
                             : (value - low_) / (high_ - low_);
    return from_ + share * (to_ - from_);
  }
  std::vector<double> Ticks() const {
    return AxisTicks(low_, high_, logarithmic_);
  }

 private:
  bool logarithmic_;
  double from_, to_;
  double low_ = std::numeric_limits<double>::infinity();
  double high_ = -std::numeric_limits<double>::infinity();
};

std::string TickLabel(double value) {
  if (value == 0) return "0";
  const double size = std::abs(value);
  if (size >= 1e4 || size < 1e-3) return Format("%.0e", value);
  return Format("%g", value);
}

std::string Axes(const Plot& plot, const Scale& x, const Scale& y) {
  constexpr const char* kLine = "stroke=\"#dddddd\"";
  std::string out;
  for (const double tick : x.Ticks()) {
    const double at = x.Pixel(tick);
    out +=
        Format("<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" %s/>\n",
               at, kTop, at, kBottom, kLine);
    out += Text(at, kBottom + 20, "text-anchor=\"middle\"", TickLabel(tick));
  }
  for (const double tick : y.Ticks()) {
    const double at = y.Pixel(tick);
    out +=
        Format("<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" %s/>\n",
               kLeft, at, kRight, at, kLine);
    out += Text(kLeft - 8, at + 4, "text-anchor=\"end\"", TickLabel(tick));
  }
  out += Format(
      "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" "
      "fill=\"none\" stroke=\"#444444\"/>\n",
      kLeft, kTop, kRight - kLeft, kBottom - kTop);
  out += Text((kLeft + kRight) / 2, kBottom + 48, "text-anchor=\"middle\"",
              plot.x.label);
  const double middle = (kTop + kBottom) / 2;
  const std::string turned = Format(
      "text-anchor=\"middle\" transform=\"rotate(-90 26 %.1f)\"", middle);
  return out + Text(26, middle, turned.c_str(), plot.y.label);
}

// Circle, square, diamond, triangle: told apart without colours too.
std::string Marker(size_t series, double x, double y) {
  const char* const colour = kColours[series % std::size(kColours)];
  const double r = 5;
  switch (series % 4) {
    case 0:
      return Format("<circle cx=\"%.1f\" cy=\"%.1f\" r=\"5\" fill=\"%s\"/>\n",
                    x, y, colour);
    case 1:
      return Format(
          "<rect x=\"%.1f\" y=\"%.1f\" width=\"9\" height=\"9\" "
          "fill=\"%s\"/>\n",
          x - 4.5, y - 4.5, colour);
    case 2:
      return Format(
          "<path d=\"M%.1f %.1fl%g %gl-%g %gl-%g -%gz\" "
          "fill=\"%s\"/>\n",
          x, y - r - 1, r + 1, r + 1, r + 1, r + 1, r + 1, r + 1, colour);
    default:
      return Format("<path d=\"M%.1f %.1fl%g %gl-%g 0z\" fill=\"%s\"/>\n", x,
                    y - r - 1, r + 1, 2 * r, 2 * (r + 1), colour);
  }
}

bool ShowsAny(const PlotSeries& series, const Scale& x, const Scale& y) {
  return std::any_of(series.points.begin(), series.points.end(),
                     [&](const std::pair<double, double>& point) {
                       return x.Shows(point.first) && y.Shows(point.second);
                     });
}

std::string Curve(const PlotSeries& series, size_t index, const Scale& x,
                  const Scale& y) {
  std::string line, marks;
  size_t shown = 0;
  double lowest = std::numeric_limits<double>::infinity();
  for (const auto& [at_x, at_y] : series.points) {
    if (!x.Shows(at_x) || !y.Shows(at_y)) continue;
    if (!series.frontier || at_y < lowest) {
      line += Format("%s%.1f %.1f", shown++ == 0 ? "M" : "L", x.Pixel(at_x),
                     y.Pixel(at_y));
    }
    lowest = std::min(lowest, at_y);
    if (!series.dashed) marks += Marker(index, x.Pixel(at_x), y.Pixel(at_y));
  }
  if (shown < 2) return marks;
  return "<path d=\"" + line + "\"" +
         Format(" fill=\"none\" stroke=\"%s\" stroke-width=\"2\"%s/>\n",
                kColours[index % std::size(kColours)],
                series.dashed ? " stroke-dasharray=\"6 4\"" : "") +
         marks;
}

std::string LegendMark(const PlotSeries& series, size_t index, double y) {
  if (!series.dashed) return Marker(index, kLegend, y);
  return Format(
      "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" "
      "stroke=\"%s\" stroke-width=\"2\" stroke-dasharray=\"6 4\"/>\n",
      kLegend - 8, y, kLegend + 9, y, kColours[index % std::size(kColours)]);
}

}  // namespace

std::vector<double> AxisTicks(double low, double high, bool logarithmic) {
  std::vector<double> ticks;
  if (!logarithmic) {
    const double power = std::pow(10, std::floor(std::log10(high - low)));
    const double span = (high - low) / power;  // 1 to 10
    const double step = power * (span < 2 ? 0.2 : span < 5 ? 0.5 : 1);
    for (double i = std::ceil(low / step); i * step <= high; ++i) {
      ticks.push_back(i * step);
    }
    return ticks;
  }
  const int first = static_cast<int>(std::floor(std::log10(low)));
  const int last = static_cast<int>(std::floor(std::log10(high)));
  const double decades = std::log10(high / low);
  for (int power = first; power <= last; ++power) {
    for (const double factor : {1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0}) {
      const double tick = factor * std::pow(10, power);
      const bool common = factor == 2 || factor == 5;
      const double widest = factor == 1 ? INFINITY : common ? 2.5 : 1.2;
      if (decades >= widest) continue;
      if (tick >= low && tick <= high) ticks.push_back(tick);
    }
  }
  return ticks;
}

std::string SvgPlot(const Plot& plot) {
  Scale x(plot.x.logarithmic, kLeft, kRight);
  Scale y(plot.y.logarithmic, kBottom, kTop);
  bool any = false;
  for (const PlotSeries& series : plot.series) {
    for (const auto& [at_x, at_y] : series.points) {
      if (!x.Shows(at_x) || !y.Shows(at_y)) continue;
      any = true;
      x.Include(at_x);
      y.Include(at_y);
    }
  }
  std::string out = Format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %g %g\" "
      "font-family=\"Helvetica, Arial, sans-serif\" font-size=\"13\" "
      "fill=\"#222222\">\n<rect width=\"100%%\" height=\"100%%\" "
      "fill=\"#ffffff\"/>\n",
      kWidth, kHeight);
  out += Text(kLeft, 36, "font-size=\"20\" font-weight=\"bold\"", plot.title);
  out += Text(kLeft, 60, "fill=\"#666666\"", plot.note);
  if (!any) {
    out += Text(kLeft, kTop + 40, "", "There are no points to show.");
    return out + "</svg>\n";
  }
  x.Widen();
  y.Widen();
  out += Axes(plot, x, y);
  double legend = kTop + 10;
  for (size_t i = 0; i < plot.series.size(); ++i) {
    if (!ShowsAny(plot.series[i], x, y)) continue;
    const int like = plot.series[i].like;
    out +=
        Curve(plot.series[i], like < 0 ? i : static_cast<size_t>(like), x, y);
    if (like >= 0) continue;
    out += LegendMark(plot.series[i], i, legend);
    out +=
        Text(kLegend + 14, legend + 4, "font-size=\"12\"", plot.series[i].name);
    legend += 22;
  }
  return out + "</svg>\n";
}

}  // namespace reprise
