#include "tools/eval/profile_book.h"

#include <algorithm>

#include "codec/profile_trainer.h"
#include "tools/eval/eval_options.h"

namespace reprise {
namespace {

constexpr std::string_view kNone = "none";

Result<std::unique_ptr<ProfileTrainer>> TrainerOf(const EvalVariant& variant,
                                                  const ModelSpec& spec) {
  TrainerOptions options;
  options.codec_options = variant.choice.options.get();
  return MakeProfileTrainer(variant.choice.codec->id(), spec, options);
}

}  // namespace

const std::string* ProfileBook::FileFor(const EvalVariant& variant) const {
  const std::string_view name = variant.choice.codec->name();
  for (const auto& [codec, file] : files_) {
    if (codec == variant.choice_text || codec == name) return &file;
  }
  return nullptr;
}

Result<uint64_t> ProfileBook::WantedTokens(
    std::span<const EvalVariant> variants) const {
  uint64_t wanted = 0;
  for (const EvalVariant& variant : variants) {
    if (!variant.llama_type.empty() || FileFor(variant) != nullptr) continue;
    const auto trainer = TrainerOf(variant, coder_->spec());
    if (trainer.ok()) {
      wanted = std::max(wanted, (*trainer)->wanted_tokens());
    } else if (!trainer.status().Is(StatusCode::kUnimplemented)) {
      return trainer.status();
    }
  }
  return wanted;
}

Result<const EvalProfile*> ProfileBook::Keep(const EvalVariant& variant,
                                             Bytes bytes) {
  auto profile = std::make_unique<EvalProfile>();
  REPRISE_ASSIGN_OR_RETURN(profile->profile,
                           variant.choice.codec->ParseProfile(bytes));
  profile->bytes = std::move(bytes);
  entries_.push_back({variant.choice.codec->id(), "", std::move(profile)});
  return entries_.back().profile.get();
}

Result<const EvalProfile*> ProfileBook::Find(
    const EvalVariant& variant, const std::function<bool(double)>& progress) {
  const EvalProfile* const none = nullptr;
  if (!variant.llama_type.empty()) return none;
  const std::string* const file = FileFor(variant);
  if (file != nullptr) {
    if (*file == kNone) return none;
    for (const Entry& entry : entries_) {
      if (entry.codec == variant.choice.codec->id() && entry.file == *file) {
        return entry.profile.get();
      }
    }
    REPRISE_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(*file));
    REPRISE_ASSIGN_OR_RETURN(const EvalProfile* const profile,
                             Keep(variant, Bytes(text.begin(), text.end())));
    entries_.back().file = *file;
    return profile;
  }
  auto trainer = TrainerOf(variant, coder_->spec());
  const bool has_profiles = trainer.ok();
  if (!has_profiles && !trainer.status().Is(StatusCode::kUnimplemented)) {
    return trainer.status();
  }
  if (!has_profiles || states_.empty()) {
    if (!variant.choice.codec->needs_profile()) return none;
    return FailedPreconditionError(
        "eval: " + variant.text +
        " needs a profile: --train-text or --profile is wanted");
  }
  for (const Entry& entry : entries_) {
    if (entry.codec == variant.choice.codec->id() && entry.file.empty() &&
        coder_->Serves(*entry.profile, variant.choice, states_.front())) {
      return entry.profile.get();
    }
  }
  for (const KvView& state : states_) {
    REPRISE_RETURN_IF_ERROR(coder_->Feed(state, trainer->get()));
  }
  REPRISE_ASSIGN_OR_RETURN(Bytes bytes, (*trainer)->Fit(progress));
  return Keep(variant, std::move(bytes));
}

}  // namespace reprise
