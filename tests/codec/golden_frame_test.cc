// Frames that were once written are read for good (tests/golden/README.md).
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/codec_cases.h"
#include "tests/support/codec_frames.h"
#include "tests/support/hex_dump.h"
#include "tests/support/model_specs.h"

namespace reprise {
namespace {

namespace fs = std::filesystem;

constexpr char kFolder[] = "tests/golden/frame";

struct Record {
  std::string name;
  std::string codec_case;
  ModelSpec spec;
  FramePlace place;
  KvKind kind = KvKind::kTypical;
  TokenMask kept = kAllTokens;
};

// Keys of f16, values of f32, 5 to a head.
ModelSpec TwoDTypesModel() {
  ModelSpec spec = PlainModel("two dtypes", 1, 3, 5, DType::kF16);
  spec.layers[0].planes[1].dtype = DType::kF32;
  return spec;
}

std::vector<Record> VectorRecords() {
  FramePlace tail3;
  tail3.token_count = 3;
  FramePlace tail13;
  tail13.token_count = 13;
  tail13.first_token = 192;
  FramePlace tail31 = tail13;
  tail31.token_count = 31;
  FramePlace half = tail13;
  half.token_count = 5;
  half.heads = {1, 1, 2};
  return {
      {"vq_one_channel", "Vq", OneChannelModel(), tail3, KvKind::kTypical},
      {"vq_tiny_f16", "Vq", TinyModel(), {}, KvKind::kTypical},
      {"vq_threshold_f32", "VqThreshold", TinyModel(DType::kF32), tail31,
       KvKind::kTypical},
      {"pq_one_channel", "PqWorst", OneChannelModel(), tail3, KvKind::kTypical},
      {"pq_tiny_f16", "Pq", TinyModel(), tail13, KvKind::kTypical},
      {"pq_worst_bf16",
       "PqWorst",
       TinyModel(DType::kBf16),
       {},
       KvKind::kSpecials},
      {"pq_mixed_half", "PqWorst", MixedModel(), half, KvKind::kTypical},
      {"pq_two_dtypes", "PqWorst", TwoDTypesModel(), tail13, KvKind::kTypical},
  };
}

// Of several frames each.
std::vector<Record> StagedRecords() {
  const FramePlace tail3{.token_count = 3};
  const FramePlace tail21{.first_token = 6400, .token_count = 21};
  return {
      {"klt_one_channel", "KltTiny", OneChannelModel(), tail3,
       KvKind::kTypical},
      {"klt_tiny_f16", "Klt", TinyModel(), {}, KvKind::kTypical},
      {"klt_tiny_f32", "KltFour", TinyModel(DType::kF32), tail21,
       KvKind::kTypical},
      {"klt_specials_bf16", "KltFour",
       PlainModel("klt", 3, 3, 14, DType::kBf16), tail21, KvKind::kSpecials},
      {"klt_two_dtypes", "KltCoarse", TwoDTypesModel(), tail21,
       KvKind::kTypical},
  };
}

std::vector<Record> Records() {
  FramePlace tail3;
  tail3.token_count = 3;
  FramePlace tail5 = tail3;
  tail5.token_count = 5;
  tail5.first_token = 192;
  FramePlace half = tail5;
  half.heads = {1, 1, 2};
  FramePlace tail13 = tail5;
  tail13.token_count = 13;
  FramePlace tail31 = tail5;
  tail31.token_count = 31;
  std::vector<Record> records = {
      {"raw_one_channel", "Raw", OneChannelModel(), tail3, KvKind::kTypical},
      {"raw_tiny_f16", "Raw", TinyModel(), {}, KvKind::kSpecials},
      {"raw_mixed_half", "Raw", MixedModel(), half, KvKind::kTypical},
      {"raw_latent", "Raw", LatentModel(), tail3, KvKind::kTypical},
      {"raw_opaque", "Raw", OpaqueModel(), tail5, KvKind::kAnyBits},
      {"exact_tiny_f16", "Exact", TinyModel(), {}, KvKind::kTypical},
      {"exact_tiny_bf16",
       "Exact",
       TinyModel(DType::kBf16),
       {},
       KvKind::kSpecials},
      {"exact_tiny_f32", "Exact", TinyModel(DType::kF32), tail31,
       KvKind::kTypical},
      {"exact_f8e4m3",
       "Exact",
       PlainModel("f8a", 1, 4, 64, DType::kF8E4M3),
       {},
       KvKind::kTypical},
      {"exact_f8e5m2",
       "Exact",
       PlainModel("f8b", 1, 4, 64, DType::kF8E5M2),
       {},
       KvKind::kSpecials},
      {"exact_tiny_zero", "Exact", TinyModel(), tail5, KvKind::kZero},
      {"exact_tiny_tail", "Exact", TinyModel(), tail13, KvKind::kTypical},
      {"exact_profile_f16", "ExactProfile", TinyModel(), {}, KvKind::kTypical},
      {"exact_profile_bf16",
       "ExactProfile",
       TinyModel(DType::kBf16),
       {},
       KvKind::kTypical},
      {"exact_mixed_half", "Exact", MixedModel(), half, KvKind::kTypical},
      {"exact_opaque", "Exact", OpaqueModel(), tail5, KvKind::kTypical},
      {"tsc_one_head", "Tsc", PlainModel("tsc", 1, 1, 5, DType::kF16), tail3,
       KvKind::kTypical},
      {"tsc_tiny_f16", "Tsc", TinyModel(), {}, KvKind::kTypical},
      {"tsc_tiny_f32", "Tsc8", TinyModel(DType::kF32), tail31,
       KvKind::kTypical},
      {"tsc_tiny_specials", "Tsc8", TinyModel(), {}, KvKind::kSpecials},
      {"tsc_fallbacks_bf16",
       "TscTight",
       TinyModel(DType::kBf16),
       {},
       KvKind::kTypical},
      {"tsc_profile", "TscProfile", TinyModel(), tail13, KvKind::kTypical},
      {"tsc_mixed_half", "Tsc", MixedModel(), half, KvKind::kTypical},
      {"tsc_dropped_bf16", "Tsc8", TinyModel(DType::kBf16), tail31,
       KvKind::kTypical, 0x5a5afffe},
  };
  const std::vector<Record> vector = VectorRecords();
  records.insert(records.end(), vector.begin(), vector.end());
  const std::vector<Record> staged = StagedRecords();
  records.insert(records.end(), staged.begin(), staged.end());
  return records;
}

Bytes ReadBytes(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return Bytes(std::istreambuf_iterator<char>(file), {});
}

void WriteNewFile(const fs::path& path, ByteView bytes) {
  ASSERT_FALSE(fs::exists(path)) << path;
  std::ofstream file(path, std::ios::binary);
  file << AsText(bytes);
  ASSERT_TRUE(file.flush().good()) << path;
}

// What a stage's frame is called: "frame" for stage 0, "frame1", ...; so are
// the rows that it and those below it decode to.
std::string OfStage(const std::string& what, size_t stage) {
  return stage == 0 ? what : what + std::to_string(stage);
}

fs::path PathOf(const fs::path& folder, const std::string& name,
                const std::string& what) {
  return folder / (name + "." + what + ".bin");
}

void WriteStages(const Record& record, const CodecCase& codec_case,
                 const CodecProfile* profile, const fs::path& folder) {
  auto options = OptionsOf(codec_case);
  ASSERT_TRUE(options.ok()) << options.status().ToString();
  FramePlace place = record.place;
  place.layers = LayerGroupsOf(record.spec)[0];
  auto slices = SlicePlanes(record.spec, place.layers, place.heads);
  ASSERT_TRUE(slices.ok());
  KvRows rows(*slices, place.token_count);
  rows.Fill(record.kind, 7, place.first_token);
  const auto frames =
      EncodeFrames(*CodecOf(codec_case), profile, InfoOf(record.spec, place),
                   *slices, rows, options->get());
  ASSERT_TRUE(frames.ok()) << frames.status().ToString();
  for (size_t k = 0; k < frames->size(); ++k) {
    KvRows decoded(*slices, place.token_count);
    ASSERT_TRUE(DecodeFrames(profile, record.spec,
                             std::span(*frames).first(k + 1), place.token_count,
                             &decoded)
                    .ok());
    WriteNewFile(PathOf(folder, record.name, OfStage("frame", k)),
                 (*frames)[k]);
    WriteNewFile(PathOf(folder, record.name, OfStage("rows", k)),
                 decoded.Packed());
  }
}

void WriteRecord(const Record& record, const fs::path& folder) {
  std::vector<CodecCase> cases = CodecCases();
  for (CodecCase& staged : StagedCodecCases()) {
    cases.push_back(std::move(staged));
  }
  const auto found = std::find_if(
      cases.begin(), cases.end(),
      [&](const CodecCase& c) { return c.name == record.codec_case; });
  ASSERT_NE(found, cases.end()) << record.codec_case;
  Bytes profile_bytes;
  if (found->fit != nullptr) {
    Result<Bytes> fitted = found->fit(record.spec);
    ASSERT_TRUE(fitted.ok());
    profile_bytes = *std::move(fitted);
  }
  auto profile = ProfileOf(*found, record.spec);
  ASSERT_TRUE(profile.ok());
  WriteNewFile(PathOf(folder, record.name, "model"),
               EncodeModelSpec(record.spec));
  if (!profile_bytes.empty()) {
    WriteNewFile(PathOf(folder, record.name, "profile"), profile_bytes);
  }
  auto options = OptionsOf(*found);
  ASSERT_TRUE(options.ok()) << options.status().ToString();
  if (CodecOf(*found)->stage_count(options->get()) > 1) {
    WriteStages(record, *found, profile->get(), folder);
    return;
  }
  FramePlace place = record.place;
  place.layers = LayerGroupsOf(record.spec)[0];
  auto slices = SlicePlanes(record.spec, place.layers, place.heads);
  ASSERT_TRUE(slices.ok());
  KvRows rows(*slices, place.token_count);
  rows.Fill(record.kind, 7, place.first_token);
  Result<Bytes> frame =
      EncodeFrame(*CodecOf(*found), profile->get(), InfoOf(record.spec, place),
                  *slices, rows, options->get(), record.kept);
  ASSERT_TRUE(frame.ok()) << frame.status().ToString();
  KvRows decoded(*slices, place.token_count);
  TokenMask kept = kAllTokens;
  ASSERT_TRUE(DecodeFrame(profile->get(), record.spec, *frame,
                          place.token_count, &decoded, &kept)
                  .ok());
  WriteNewFile(PathOf(folder, record.name, "frame"), *frame);
  WriteNewFile(PathOf(folder, record.name, "rows"), decoded.Packed());
}

// The names in the folder, by their frames.
std::set<std::string> NamesOf(const fs::path& folder) {
  constexpr std::string_view kSuffix = ".frame.bin";
  std::set<std::string> names;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    const std::string file = entry.path().filename().string();
    if (!file.ends_with(kSuffix)) continue;
    names.insert(file.substr(0, file.size() - kSuffix.size()));
  }
  return names;
}

void ExpectDecodes(const std::string& name) {
  const Bytes spec_bytes = ReadBytes(PathOf(kFolder, name, "model"));
  Result<ModelSpec> spec = DecodeModelSpec(spec_bytes);
  ASSERT_TRUE(spec.ok()) << spec.status().ToString();
  EXPECT_EQ(EncodeModelSpec(*spec), spec_bytes);

  const Bytes frame = ReadBytes(PathOf(kFolder, name, "frame"));
  FrameView view;
  ASSERT_EQ(ParseFrame(frame, &view).ToString(), "OK");
  EXPECT_EQ(view.info.model, ModelIdOf(*spec));

  std::shared_ptr<const CodecProfile> profile;
  const Bytes profile_bytes = ReadBytes(PathOf(kFolder, name, "profile"));
  ASSERT_EQ(profile_bytes.empty(), view.info.profile.IsZero());
  if (!profile_bytes.empty()) {
    auto parsed = FindCodec(view.info.codec)->ParseProfile(profile_bytes);
    ASSERT_TRUE(parsed.ok()) << parsed.status().ToString();
    profile = *parsed;
  }
  auto slices = SlicePlanes(*spec, view.info.layers, view.info.heads);
  ASSERT_TRUE(slices.ok());
  const uint32_t tokens = view.info.token_count;
  KvRows rows(*slices, tokens);
  TokenMask kept = kAllTokens;
  ASSERT_EQ(
      DecodeFrame(profile.get(), *spec, frame, tokens, &rows, &kept).ToString(),
      "OK");
  const Bytes wanted = ReadBytes(PathOf(kFolder, name, "rows"));
  EXPECT_EQ(wanted.size(), view.info.raw_bytes);
  EXPECT_EQ(rows.Packed(), wanted);

  std::vector<Bytes> frames = {frame};
  while (fs::exists(PathOf(kFolder, name, OfStage("frame", frames.size())))) {
    const size_t stage = frames.size();
    frames.push_back(ReadBytes(PathOf(kFolder, name, OfStage("frame", stage))));
    ASSERT_EQ(
        DecodeFrames(profile.get(), *spec, frames, tokens, &rows).ToString(),
        "OK")
        << stage;
    EXPECT_EQ(rows.Packed(),
              ReadBytes(PathOf(kFolder, name, OfStage("rows", stage))))
        << stage;
  }
}

TEST(GoldenFrameTest, EveryFrameEverWrittenDecodesToItsRows) {
  if (const char* out = std::getenv("REPRISE_WRITE_GOLDEN")) {
    for (const Record& record : Records()) {
      if (fs::exists(PathOf(out, record.name, "frame"))) continue;
      WriteRecord(record, out);
    }
    return;
  }
  const std::set<std::string> names = NamesOf(kFolder);
  for (const Record& record : Records()) {
    EXPECT_TRUE(names.contains(record.name)) << record.name;
  }
  for (const std::string& name : names) {
    SCOPED_TRACE(name);
    ExpectDecodes(name);
  }
}

void ExpectPageShows(const std::string& page, const std::string& file) {
  const Bytes bytes = ReadBytes(fs::path("docs/format") / page);
  const std::string dump = HexDump(ReadBytes(fs::path(kFolder) / file));
  EXPECT_GT(dump.size(), 0u) << file;
  EXPECT_NE(AsText(bytes).find(dump), std::string_view::npos)
      << page << " does not show " << file << ":\n"
      << dump;
}

TEST(GoldenFrameTest, PagesShowTheGoldenBytes) {
  ExpectPageShows("frame.md", "raw_one_channel.frame.bin");
  ExpectPageShows("model.md", "raw_one_channel.model.bin");
  ExpectPageShows("codecs/tsc.md", "tsc_one_head.frame.bin");
  ExpectPageShows("codecs/vq.md", "vq_one_channel.profile.bin");
  ExpectPageShows("codecs/vq.md", "vq_one_channel.frame.bin");
  ExpectPageShows("codecs/pq.md", "pq_one_channel.profile.bin");
  ExpectPageShows("profile.md", "klt_one_channel.profile.bin");
  ExpectPageShows("codecs/klt.md", "klt_one_channel.frame.bin");
  ExpectPageShows("codecs/klt.md", "klt_one_channel.frame1.bin");
}

}  // namespace
}  // namespace reprise
