#include <algorithm>
#include <bit>
#include <cstring>
#include <vector>

#include "base/hash.h"
#include "codec/klt_encode.h"
#include "codec/klt_layout.h"
#include "codec/klt_rows.h"
#include "codec/message.h"
#include "gpu/gather_plan.h"
#include "gpu/klt_entropy_encode_kernel.h"
#include "gpu/klt_forward_kernel.h"
#include "gpu/klt_gpu_codec.h"
#include "gpu/klt_gpu_encoding.h"
#include "gpu/klt_gpu_profile.h"

namespace reprise {
namespace {

static_assert(kKltGpuTokens == kKltTokens &&
              KltForwardKernel::kTokens == kKltTokens &&
              KltForwardKernel::kStrip == kKltRow &&
              KltForwardKernel::kMaxCoefficient == kKltMaxCoefficient &&
              kKltTooLarge > kKltMaxSum);
static_assert(sizeof(KltEncodeHead) % 16 == 0 &&
              kKltMaxChannels / kKltRow * uint64_t{kKltTooLarge} <=
                  uint64_t{0xffffffff});

constexpr uint64_t kOutputAlignment = 16;

constexpr uint64_t RoundUp(uint64_t bytes, uint64_t alignment) {
  return (bytes + alignment - 1) / alignment * alignment;
}

// Coefficients of a stage that may be coded, whatever tokens' exponents are.
uint64_t MostCoded(const KltChoices& choices, uint32_t tokens, uint32_t stage) {
  const KltProfile& profile = *choices.profile;
  const int e = static_cast<int>(profile.parts().largest_exponent) -
                kKltMeanExponent + choices.options->shift;
  uint64_t rows = 0;
  for (const KltGroup& group : choices.groups) {
    rows += KltRowsOf(profile.tables(), *group.parts, stage, e).count;
  }
  return rows * tokens * kKltRow;
}

// Each symbol gives away a word at most; in stage 0 it may be escaped, and
// there are those of exponents.
uint64_t MostWords(const KltChoices& choices, uint32_t tokens, uint32_t stage) {
  const uint64_t coded = MostCoded(choices, tokens, stage);
  return stage > 0 ? coded : 2 * coded + choices.groups.size() * tokens;
}

bool IsCoded(const KltChoices& choices, const PlaneSlice& slice) {
  return choices.profile->FindPlane(slice.layer, slice.plane) != nullptr;
}

// Of a slice in the output of raw tokens.
uint64_t RawRoom(const PlaneSlice& slice, uint32_t tokens) {
  return RoundUp(tokens * slice.token_bytes(), kOutputAlignment);
}

// One request on its way into a plan.
class EncodePlanner {
 public:
  EncodePlanner(const GpuEncodeRequest& request, const KltChoices& choices,
                EncodePlan* plan)
      : request_(request),
        choices_(choices),
        profile_(static_cast<const KltGpuProfile&>(*request.profile)),
        plan_(plan),
        tokens_(request.info.token_count),
        stages_(choices.options->stages),
        first_group_(static_cast<size_t>(choices.groups.data() -
                                         profile_.klt().groups().data())) {}

  Status Run();

 private:
  // Of one group, on the device.
  struct Memory {
    float* y = nullptr;
    float* steps = nullptr;
    uint8_t* exponents = nullptr;
    uint32_t* sums = nullptr;
    int16_t* q = nullptr;
  };

  Status AddRows();
  Status AddScratch();
  Status AddGroup(size_t index, const KltGpuSource* sources);
  Status AddForward(const KltGroup& group, const KltGpuEncoding::Group& on,
                    const Memory& memory);
  Status AddGroups();
  Status AddStages();
  Status AddRawTokens();
  Status AddPlanes();
  TokenMask RawFirst() const;

  const GpuEncodeRequest& request_;
  const KltChoices& choices_;
  const KltGpuProfile& profile_;
  EncodePlan* const plan_;
  const uint32_t tokens_;
  const uint32_t stages_;
  const size_t first_group_;

  std::vector<uint32_t> coded_;        // indexes of slices
  std::vector<uint32_t> rows_;         // by slice, in the plan
  std::vector<KltGpuSource> sources_;  // by coded slice
  std::vector<Memory> groups_;
  std::vector<uint16_t*> words_;  // by stage
  uint64_t* raw_tokens_ = nullptr;
};

Status EncodePlanner::AddRows() {
  for (uint32_t i = 0; i < request_.slices.size(); ++i) {
    const PlaneSlice& slice = request_.slices[i];
    REPRISE_ASSIGN_OR_RETURN(const uint32_t rows,
                             plan_->AddRows(request_.rows[i]));
    rows_.push_back(rows);
    if (!IsCoded(choices_, slice)) continue;
    coded_.push_back(i);
    sources_.push_back({.rows_index = rows, .dtype = slice.spec->dtype});
  }
  return Status();
}

// Values are done with when the first words are written: both have the same
// place.
Status EncodePlanner::AddScratch() {
  constexpr uint64_t kPart = 256;
  std::vector<uint64_t> y_at, words_at;
  uint64_t y_end = 0;
  for (const KltGroup& group : choices_.groups) {
    y_at.push_back(y_end);
    y_end += uint64_t{group.transform.padded()} * kKltTokens * sizeof(float);
  }
  uint64_t words_end = 0;
  for (uint32_t k = 0; k < stages_; ++k) {
    words_at.push_back(words_end);
    words_end +=
        RoundUp(MostWords(choices_, tokens_, k) * sizeof(uint16_t), kPart);
  }
  REPRISE_ASSIGN_OR_RETURN(uint8_t* const shared,
                           plan_->AddScratch(std::max(y_end, words_end)));
  for (const uint64_t at : words_at) {
    words_.push_back(reinterpret_cast<uint16_t*>(shared + at));
  }
  for (size_t g = 0; g < choices_.groups.size(); ++g) {
    const uint64_t padded = choices_.groups[g].transform.padded();
    const uint64_t sums_bytes =
        padded / kKltRow * kKltTokens * sizeof(uint32_t);
    REPRISE_ASSIGN_OR_RETURN(
        uint8_t* const own,
        plan_->AddScratch(2 * kPart + sums_bytes +
                          tokens_ * padded * sizeof(int16_t)));
    uint8_t* const sums = own + 2 * kPart;
    groups_.push_back({.y = reinterpret_cast<float*>(shared + y_at[g]),
                       .steps = reinterpret_cast<float*>(own),
                       .exponents = own + kPart,
                       .sums = reinterpret_cast<uint32_t*>(sums),
                       .q = reinterpret_cast<int16_t*>(sums + sums_bytes)});
  }
  REPRISE_ASSIGN_OR_RETURN(uint8_t* const raw,
                           plan_->AddScratch(sizeof(TokenMask)));
  raw_tokens_ = reinterpret_cast<uint64_t*>(raw);
  return Status();
}

Status EncodePlanner::AddForward(const KltGroup& group,
                                 const KltGpuEncoding::Group& on,
                                 const Memory& memory) {
  const uint32_t padded = group.transform.padded();
  const uint32_t strips = padded / kKltRow;
  for (uint32_t s = 0; s < strips; s += KltForwardKernel::kWarps) {
    REPRISE_RETURN_IF_ERROR(plan_->Add<KltForwardKernel>(
        {.weights = on.weights + uint64_t{s} * kKltRow * padded,
         .scales = on.scales + s * kKltRow,
         .y = memory.y,
         .steps = memory.steps,
         .q = memory.q + s * kKltRow,
         .sums = memory.sums + s * kKltTokens,
         .strips = std::min(KltForwardKernel::kWarps, strips - s),
         .padded = padded,
         .token_count = tokens_}));
  }
  return Status();
}

Status EncodePlanner::AddGroup(size_t index, const KltGpuSource* sources) {
  const KltProfileParts& parts = choices_.profile->parts();
  const KltGroup& group = choices_.groups[index];
  const KltRegressor& regressor = group.parts->regressor;
  const Memory& memory = groups_[index];
  REPRISE_ASSIGN_OR_RETURN(const KltGpuEncoding::Group on,
                           profile_.encoding().MakeGroup(first_group_ + index));
  REPRISE_ASSIGN_OR_RETURN(
      const KltGpuTurn* const turns,
      KltTurnsFor(profile_, request_.info.first_token, tokens_, plan_));
  KltPrepareTask task{.planes = on.planes,
                      .sources = sources,
                      .channels = on.channels,
                      .turns = turns,
                      .y = memory.y,
                      .steps = memory.steps,
                      .exponents = memory.exponents,
                      .step = parts.step,
                      .constant = regressor.constant,
                      .by_position = regressor.by_position,
                      .rule = KltExponentRuleOf(parts),
                      .shift = choices_.options->shift,
                      .last_stage = stages_ - 1,
                      .plane_count = static_cast<uint32_t>(group.planes.size()),
                      .padded = group.transform.padded(),
                      .turn_pairs = static_cast<uint32_t>(parts.turns.size()),
                      .is_adjacent = parts.pairing == RopePairing::kAdjacent,
                      .first_position = request_.info.first_token,
                      .token_count = tokens_};
  for (; task.first_token < tokens_;
       task.first_token += KltPrepareKernel::kTokens) {
    REPRISE_RETURN_IF_ERROR(plan_->Add<KltPrepareKernel>(task));
  }
  return AddForward(group, on, memory);
}

Status EncodePlanner::AddGroups() {
  REPRISE_ASSIGN_OR_RETURN(
      const uint8_t* at,
      plan_->AddConstants({reinterpret_cast<const uint8_t*>(sources_.data()),
                           sources_.size() * sizeof(KltGpuSource)}));
  const auto* sources = reinterpret_cast<const KltGpuSource*>(at);
  for (size_t g = 0; g < choices_.groups.size(); ++g) {
    REPRISE_RETURN_IF_ERROR(AddGroup(g, sources));
    sources += choices_.groups[g].planes.size();
  }
  return Status();
}

TokenMask EncodePlanner::RawFirst() const {
  const uint64_t raw_first = choices_.profile->parts().raw_first;
  const uint64_t first = request_.info.first_token;
  if (coded_.empty() || raw_first <= first) return 0;
  return FirstTokens(
      static_cast<uint32_t>(std::min<uint64_t>(raw_first - first, tokens_)));
}

Status EncodePlanner::AddStages() {
  std::vector<KltCodedGroup> coded;
  for (const Memory& group : groups_) {
    coded.push_back(
        {.q = group.q, .sums = group.sums, .exponents = group.exponents});
  }
  REPRISE_ASSIGN_OR_RETURN(
      const uint8_t* const at,
      plan_->AddConstants({reinterpret_cast<const uint8_t*>(coded.data()),
                           coded.size() * sizeof(KltCodedGroup)}));
  REPRISE_ASSIGN_OR_RETURN(const KltGpuEncoding::Tables tables,
                           profile_.encoding().MakeTables());
  const KltTables& sizes = choices_.profile->tables();
  for (uint32_t k = 0; k < stages_; ++k) {
    const uint64_t words = MostWords(choices_, tokens_, k);
    const uint64_t signs = MostCoded(choices_, tokens_, k) / 8;
    REPRISE_ASSIGN_OR_RETURN(const GpuOutput output,
                             plan_->AddOutput(sizeof(KltEncodeHead) +
                                              KltSignsOffset(words) + signs));
    REPRISE_RETURN_IF_ERROR(plan_->Add<KltEntropyEncodeKernel>(
        {.out = output.data,
         .words = words_[k],
         .raw_tokens = raw_tokens_,
         .groups = profile_.entropy_groups() + first_group_,
         .coded = reinterpret_cast<const KltCodedGroup*>(at),
         .exponents = tables.exponents,
         .magnitudes = tables.magnitudes,
         .refining = tables.refining,
         .raw_first = RawFirst(),
         .word_room = static_cast<uint32_t>(words),
         .group_count = static_cast<uint32_t>(groups_.size()),
         .lo0 = sizes.lo0,
         .lo1 = sizes.lo1,
         .last_magnitudes = sizes.n0 - 1,
         .last_refining = sizes.n1 - 1,
         .token_count = tokens_,
         .shift = choices_.options->shift,
         .stage = k,
         .last_stage = stages_ - 1}));
  }
  return Status();
}

// Which tokens those are, only the device knows: there is room for all.
Status EncodePlanner::AddRawTokens() {
  if (coded_.empty()) return Status();
  uint64_t room = 0;
  for (const uint32_t i : coded_) {
    room += RawRoom(request_.slices[i], tokens_);
  }
  REPRISE_ASSIGN_OR_RETURN(const GpuOutput output, plan_->AddOutput(room));
  uint8_t* out = output.data;
  for (const uint32_t i : coded_) {
    REPRISE_RETURN_IF_ERROR(AddGather({.rows = request_.rows[i],
                                       .rows_index = rows_[i],
                                       .out = out,
                                       .mask = raw_tokens_},
                                      plan_));
    out += RawRoom(request_.slices[i], tokens_);
  }
  return Status();
}

Status EncodePlanner::AddPlanes() {
  for (size_t i = 0; i < request_.slices.size(); ++i) {
    const PlaneSlice& slice = request_.slices[i];
    if (IsCoded(choices_, slice)) continue;
    REPRISE_ASSIGN_OR_RETURN(const GpuOutput output,
                             plan_->AddOutput(tokens_ * slice.token_bytes()));
    REPRISE_RETURN_IF_ERROR(AddGather(
        {.rows = request_.rows[i], .rows_index = rows_[i], .out = output.data},
        plan_));
  }
  return Status();
}

Status EncodePlanner::Run() {
  REPRISE_RETURN_IF_ERROR(AddRows());
  REPRISE_RETURN_IF_ERROR(AddScratch());
  REPRISE_RETURN_IF_ERROR(AddGroups());
  REPRISE_RETURN_IF_ERROR(AddStages());
  REPRISE_RETURN_IF_ERROR(AddRawTokens());
  return AddPlanes();
}

// What kernels left, on its way into frames.
class FrameMaker {
 public:
  FrameMaker(const GpuEncodeRequest& request, const KltChoices& choices,
             std::span<const GpuOutput> outputs,
             std::span<FrameBuilder* const> builders)
      : request_(request),
        choices_(choices),
        outputs_(outputs),
        builders_(builders),
        tokens_(request.info.token_count) {}

  Status Run();

 private:
  Status LoadHeads();
  void AddCoefficients(uint32_t stage);
  void AddRawTokens();
  void AddPlanes();

  const GpuEncodeRequest& request_;
  const KltChoices& choices_;
  const std::span<const GpuOutput> outputs_;
  const std::span<FrameBuilder* const> builders_;
  const uint32_t tokens_;

  std::vector<KltEncodeHead> heads_;  // by stage
  uint32_t coded_ = 0;                // slices
  uint32_t parent_ = 0;               // of the stage that is added next
};

// kUnavailable for what no kernel leaves.
Status FrameMaker::LoadHeads() {
  for (uint32_t k = 0; k < builders_.size(); ++k) {
    KltEncodeHead head;
    std::memcpy(&head, outputs_[k].data, sizeof head);
    const uint64_t bytes =
        sizeof head + KltSignsOffset(head.words) + head.sign_bytes;
    if (bytes > outputs_[k].bytes || (head.raw & ~FirstTokens(tokens_)) != 0 ||
        (head.raw != 0 && coded_ == 0) ||
        (k > 0 && head.raw != heads_[0].raw)) {
      return UnavailableError(CatMessage(
          "gpu: a device made a stage of klt of ", bytes,
          " bytes, there was room for ", outputs_[k].bytes, "; ",
          std::popcount(head.raw), " tokens of ", tokens_, " are raw"));
    }
    heads_.push_back(head);
  }
  return Status();
}

void FrameMaker::AddCoefficients(uint32_t stage) {
  const KltEncodeHead& head = heads_[stage];
  const uint64_t bytes = KltSignsOffset(head.words) + head.sign_bytes;
  uint8_t* const out = builders_[stage]->BeginSection(bytes).data();
  std::memcpy(out, outputs_[stage].data + sizeof head, bytes);
  StoreLe(out + kKltParentOffset, parent_);
  parent_ = static_cast<uint32_t>(Checksum({out, bytes}));
  builders_[stage]->EndSection(
      KltSectionOf(request_.slices[0], KltMode::kCoefficients, head.words),
      bytes);
}

void FrameMaker::AddRawTokens() {
  const TokenMask raw = heads_[0].raw;
  const auto count = static_cast<uint64_t>(std::popcount(raw));
  uint64_t bytes = sizeof raw;
  for (const PlaneSlice& slice : request_.slices) {
    if (IsCoded(choices_, slice)) bytes += count * slice.token_bytes();
  }
  uint8_t* out = builders_[0]->BeginSection(bytes).data();
  StoreLe(out, raw);
  out += sizeof raw;
  const uint8_t* from = outputs_[builders_.size()].data;
  for (const PlaneSlice& slice : request_.slices) {
    if (!IsCoded(choices_, slice)) continue;
    std::memcpy(out, from, count * slice.token_bytes());
    out += count * slice.token_bytes();
    from += RawRoom(slice, tokens_);
  }
  builders_[0]->EndSection(
      KltSectionOf(request_.slices[0], KltMode::kRawTokens, 0), bytes);
}

void FrameMaker::AddPlanes() {
  size_t index = builders_.size() + (coded_ > 0 ? 1 : 0);
  for (const PlaneSlice& slice : request_.slices) {
    if (IsCoded(choices_, slice)) continue;
    const uint64_t bytes = tokens_ * slice.token_bytes();
    std::memcpy(builders_[0]->BeginSection(bytes).data(),
                outputs_[index++].data, bytes);
    builders_[0]->EndSection(KltPlaneSectionOf(slice), bytes);
  }
}

Status FrameMaker::Run() {
  for (const PlaneSlice& slice : request_.slices) {
    coded_ += IsCoded(choices_, slice);
  }
  const size_t uncoded = request_.slices.size() - coded_;
  const size_t wanted = builders_.size() + (coded_ > 0 ? 1 : 0) + uncoded;
  if (outputs_.size() != wanted) {
    return InvalidArgumentError(
        CatMessage("gpu: the unit has ", outputs_.size(), " outputs, klt has ",
                   wanted, " for the request"));
  }
  REPRISE_RETURN_IF_ERROR(LoadHeads());
  const EncodeRequest on_host = WithoutRows(request_);
  for (uint32_t k = 0; k < builders_.size(); ++k) {
    const bool has_raw = k == 0 && heads_[0].raw != 0;
    builders_[k]->Start(
        KltStageInfo(on_host, *choices_.profile, k),
        static_cast<uint32_t>(1 + has_raw + (k == 0 ? uncoded : 0)));
    AddCoefficients(k);
    if (has_raw) AddRawTokens();
    if (k == 0) AddPlanes();
  }
  return Status();
}

}  // namespace

Status KltGpuCodec::AddEncodeTasks(const GpuEncodeRequest& request, uint32_t,
                                   EncodePlan* plan) const {
  REPRISE_ASSIGN_OR_RETURN(const KltChoices choices,
                           CheckKltChoices(WithoutRows(request)));
  return EncodePlanner(request, choices, plan).Run();
}

Status KltGpuCodec::BuildFrames(const GpuEncodeRequest& request,
                                const EncodePlan& plan, uint32_t unit,
                                std::span<FrameBuilder* const> builders) const {
  REPRISE_ASSIGN_OR_RETURN(const KltChoices choices,
                           CheckKltChoices(WithoutRows(request)));
  REPRISE_RETURN_IF_ERROR(CheckKltBuilders(choices, builders.size()));
  return FrameMaker(request, choices, plan.Outputs(unit), builders).Run();
}

}  // namespace reprise
