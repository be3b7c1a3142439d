// Plots as SVG text, with no dependency: points and curves over two axes,
// linear or logarithmic, and a legend. Made to be put on a slide as they are.
#ifndef REPRISE_TOOLS_EVAL_SVG_PLOT_H_
#define REPRISE_TOOLS_EVAL_SVG_PLOT_H_

#include <string>
#include <utility>
#include <vector>

namespace reprise {

struct PlotAxis {
  std::string label;
  bool logarithmic = false;
};

struct PlotSeries {
  std::string name;
  std::vector<std::pair<double, double>> points;  // joined in this order
  bool dashed = false;                            // a line without marks
  // Index of the series whose colour this one has and that stands for both in
  // the legend; -1: none.
  int like = -1;
  // All points are marked, but only those are joined that lie below every one
  // before them: what a series has to offer.
  bool frontier = false;
};

struct Plot {
  std::string title;
  std::string note;  // one line in small print below the title
  PlotAxis x;
  PlotAxis y;
  std::vector<PlotSeries> series;
};

// A complete SVG document, the same for the same plot. Points that are not
// finite, or not above 0 on a logarithmic axis, are left out, and series of
// such points alone; a plot without points says so. All texts are escaped.
std::string SvgPlot(const Plot& plot);

// Where an axis from `low` to `high` has its lines: 5 to 10 round numbers, or
// the powers of ten (with more between where there are few).
// REQUIRES: low < high, both finite; low > 0 when logarithmic.
std::vector<double> AxisTicks(double low, double high, bool logarithmic);

}  // namespace reprise

#endif  // REPRISE_TOOLS_EVAL_SVG_PLOT_H_
