#include "tools/eval/svg_plot.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace reprise {
namespace {

size_t Count(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos;
       at = text.find(part, at + 1)) {
    ++count;
  }
  return count;
}

Plot SomePlot() {
  Plot plot;
  plot.title = "a < b & \"c\"";
  plot.x = {"rate", true};
  plot.y = {"loss", true};
  plot.series = {{"first", {{1, 0.1}, {10, 0.001}}, false},
                 {"second", {{2, 0.5}}, false},
                 {"floor", {{1, 1e-7}, {16, 1e-7}}, true}};
  return plot;
}

TEST(SvgPlotTest, EscapesTexts) {
  const std::string svg = SvgPlot(SomePlot());
  EXPECT_NE(svg.find("a &lt; b &amp; &quot;c&quot;"), std::string::npos);
}

TEST(SvgPlotTest, EveryElementIsClosed) {
  const std::string svg = SvgPlot(SomePlot());
  EXPECT_TRUE(svg.starts_with("<svg "));
  EXPECT_TRUE(svg.ends_with("</svg>\n"));
  EXPECT_EQ(Count(svg, "<text"), Count(svg, "</text>"));
  for (const char* alone : {"<line", "<rect", "<circle", "<path"}) {
    size_t at = svg.find(alone);
    EXPECT_NE(at, std::string::npos) << alone;
    for (; at != std::string::npos; at = svg.find(alone, at + 1)) {
      EXPECT_EQ(svg[svg.find('>', at) - 1], '/');
    }
  }
  EXPECT_EQ(svg.find("nan"), std::string::npos);
  EXPECT_EQ(svg.find("inf"), std::string::npos);
}

TEST(SvgPlotTest, CurvesAndLegendShowEachSeries) {
  const std::string svg = SvgPlot(SomePlot());
  // Two curves, since one point is none, and the dashed one's legend.
  EXPECT_EQ(Count(svg, "stroke-width=\"2\""), 3u);
  EXPECT_EQ(Count(svg, "stroke-dasharray"), 2u);
  // Two points and the legend's.
  EXPECT_EQ(Count(svg, "<circle"), 3u);
  EXPECT_NE(svg.find(">second</text>"), std::string::npos);
}

TEST(SvgPlotTest, ASeriesLikeAnotherSharesColourAndLegend) {
  Plot plot = SomePlot();
  const size_t texts = Count(SvgPlot(plot), "<text");
  plot.series.push_back({"hidden", {{1, 0.2}, {10, 0.002}}, true, 0});
  const std::string svg = SvgPlot(plot);
  EXPECT_EQ(svg.find("hidden"), std::string::npos);
  EXPECT_EQ(Count(svg, "<text"), texts);
  // Two curves of the first colour.
  EXPECT_EQ(Count(svg, "stroke=\"#0072b2\" stroke-width=\"2\""), 2u);
}

TEST(SvgPlotTest, LeavesOutWhatALogarithmicAxisCantShow) {
  Plot plot = SomePlot();
  plot.series[0].points.emplace_back(4, 0);
  plot.series[0].points.emplace_back(std::nan(""), 1);
  plot.series[0].points.emplace_back(1,
                                     std::numeric_limits<double>::infinity());
  plot.series.push_back({"only zeros", {{0, 0}}, false});
  EXPECT_EQ(SvgPlot(plot), SvgPlot(SomePlot()));
}

TEST(SvgPlotTest, AFrontierJoinsWhatLiesBelowAllBefore) {
  Plot plot = SomePlot();
  plot.series = {{.name = "one", .points = {{1, 8}, {2, 4}, {3, 6}, {4, 2}}}};
  const auto joined = [](const std::string& svg) {
    const size_t path = svg.find("<path d=\"M");
    const size_t end = svg.find('"', path + 10);
    return Count(svg.substr(path, end - path), "L") + 1;
  };
  EXPECT_EQ(joined(SvgPlot(plot)), 4u);
  plot.series[0].frontier = true;
  EXPECT_EQ(joined(SvgPlot(plot)), 3u);
}

TEST(SvgPlotTest, SaysThatThereIsNothingToShow) {
  Plot plot = SomePlot();
  plot.series = {{"zeros", {{0, 0}}, false}};
  EXPECT_NE(SvgPlot(plot).find("no points"), std::string::npos);
}

TEST(SvgPlotTest, OnePointMakesAPlot) {
  Plot plot = SomePlot();
  plot.x.logarithmic = plot.y.logarithmic = false;
  plot.series = {{"one", {{0, 0}}, false}};
  const std::string svg = SvgPlot(plot);
  EXPECT_EQ(svg.find("nan"), std::string::npos);
  EXPECT_NE(svg.find("<circle"), std::string::npos);
}

TEST(SvgPlotTest, TicksAreRound) {
  EXPECT_EQ(AxisTicks(0, 10, false), (std::vector<double>{0, 2, 4, 6, 8, 10}));
  EXPECT_EQ(AxisTicks(1, 4, false).size(), 7u);
  EXPECT_EQ(AxisTicks(1, 1000, true), (std::vector<double>{1, 10, 100, 1000}));
  EXPECT_EQ(AxisTicks(1, 20, true), (std::vector<double>{1, 2, 5, 10, 20}));
}

}  // namespace
}  // namespace reprise
