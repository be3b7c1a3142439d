// What tables, JSON and plots say of rows.
#include "tools/eval/eval_report.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "tools/eval/eval_plots.h"

namespace reprise {
namespace {

// Of 1,000 values, stored at `bpv` bits each.
EvalRow Row(const std::string& codec, double bpv, double kl) {
  EvalRow row;
  row.model = "m";
  row.weights = "f32";
  row.cache_type = "f16";
  row.variant = row.codec = codec;
  row.prefix_tokens = 100;
  row.turn_tokens = 50;
  row.quality.kl = {kl, kl / 10};
  row.size = {.tokens = 100, .values = 1000, .frame_bytes = 1000 * bpv / 8};
  return row;
}

std::vector<EvalRow> SomeRows() {
  return {Row("exact", 13, 0),        Row("llama:q8_0", 8, 1e-4),
          Row("llama:q4_0", 4, 0.01), Row("klt", 0.25, 0.1),
          Row("klt", 1, 0.1 / 256),   Row("vq", 1, 0.8)};
}

RetrievalFigures Found(size_t exact, size_t coded, size_t of) {
  RetrievalFigures figures;
  figures.exact = {exact, of};
  figures.coded = {coded, of};
  figures.kept = {coded, exact};
  figures.kl = {0.25, std::nan("")};
  return figures;
}

TEST(EvalReportTest, CodecsWithSeveralPointsHaveACurve) {
  const auto rows = SomeRows();
  const auto curves = CurvesOf(rows);
  ASSERT_EQ(curves.size(), 2u);
  EXPECT_EQ(curves[0].codec, "llama");
  // From 8 bits at 1e-4 to 4 at 1e-2.
  EXPECT_FALSE(curves[0].bpv_at_kl[0].has_value());
  EXPECT_NEAR(*curves[0].bpv_at_kl[1], 4, 1e-9);
  EXPECT_NEAR(*curves[0].bpv_at_kl[2], std::sqrt(32), 1e-9);
  EXPECT_EQ(curves[1].codec, "klt");
  // kl = 0.1 / 256 (bpv)^-4, so at 0.1 / 16 it is 0.5.
  EXPECT_NEAR(*curves[1].bpv_at_kl[1], std::pow(0.01 * 2560, -0.25), 1e-9);
}

TEST(EvalReportTest, JsonHasEachRowWithItsCurve) {
  const auto json = RowsJson(SomeRows());
  ASSERT_EQ(json.size(), 6u);
  EXPECT_TRUE(json[0]["bpv_at_kl"].is_null());
  EXPECT_TRUE(json[5]["bpv_at_kl"].is_null());
  EXPECT_TRUE(json[1]["bpv_at_kl"]["0.05"].is_null());
  EXPECT_NEAR(json[1]["bpv_at_kl"]["0.01"].get<double>(), 4, 1e-9);
  EXPECT_EQ(json[1]["bpv_at_kl"], json[2]["bpv_at_kl"]);
  EXPECT_EQ(json[0]["retrieval_facts"], 0);
  EXPECT_TRUE(json[0]["retrieval_kept"].is_null());
}

TEST(EvalReportTest, JsonAndTableSayWhatWasFound) {
  std::vector<EvalRow> rows = SomeRows();
  for (EvalRow& row : rows) {
    row.retrieval = Found(90, 45, 96);
    row.retrieval_noise = Found(90, 90, 96);
  }
  const auto json = RowsJson(rows);
  EXPECT_EQ(json[2]["retrieval_facts"], 96);
  EXPECT_EQ(json[2]["retrieval_kept_count"], 45);
  EXPECT_DOUBLE_EQ(json[2]["retrieval_kept"].get<double>(), 0.5);
  EXPECT_GT(json[2]["retrieval_kept_se"].get<double>(), 0.05);
  EXPECT_DOUBLE_EQ(json[2]["retrieval_exact"].get<double>(), 90.0 / 96);
  EXPECT_DOUBLE_EQ(json[2]["retrieval_kl"].get<double>(), 0.25);
  const std::string table = RowsTable(rows);
  for (const char* part :
       {"planted facts", "90 of 96", "45 of 96", "0.500 +- 0.052",
        "bits/value at KL", "noise floor"}) {
    EXPECT_NE(table.find(part), std::string::npos) << part << "\n" << table;
  }
}

TEST(EvalReportTest, TablesHaveNothingOfWhatWasNotAsked) {
  const std::vector<EvalRow> rows = {Row("raw", 16, 0)};
  const std::string table = RowsTable(rows);
  EXPECT_EQ(table.find("planted"), std::string::npos) << table;
  EXPECT_EQ(table.find("at KL"), std::string::npos) << table;
}

TEST(EvalReportTest, PlotsAreOneALengthAndOneAModel) {
  std::vector<EvalRow> rows = SomeRows();
  const std::string folder = testing::TempDir() + "/plots";
  using Names = std::vector<std::string>;
  EXPECT_EQ(*WritePlots(rows, folder), Names{"rate-m-f32-f16-100.svg"});
  rows.push_back(Row("exact", 13, 0));
  rows.back().prefix_tokens = 200;
  rows.back().retrieval = Found(8, 8, 8);
  EXPECT_EQ(*WritePlots(rows, folder),
            (Names{"rate-m-f32-f16-100.svg", "rate-m-f32-f16-200.svg",
                   "retrieval-m-f32-f16-200.svg", "ratio-m-f32-f16.svg"}));
  EXPECT_TRUE(std::filesystem::exists(folder + "/retrieval-m-f32-f16-200.svg"));
}

}  // namespace
}  // namespace reprise
