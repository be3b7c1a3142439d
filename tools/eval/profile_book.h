// The profiles of the codecs that are judged: read from files, or trained on
// states of a text that is not the judged one.
#ifndef REPRISE_TOOLS_EVAL_PROFILE_BOOK_H_
#define REPRISE_TOOLS_EVAL_PROFILE_BOOK_H_

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "client/kv_layout.h"
#include "codec/codec.h"
#include "tools/eval/eval_variant.h"
#include "tools/eval/state_coder.h"

namespace reprise {

class ProfileBook {
 public:
  // `files` as ProfileFilesOf gives them. The coder must outlive the book.
  ProfileBook(StateCoder* coder,
              std::vector<std::pair<std::string, std::string>> files)
      : coder_(coder), files_(std::move(files)) {}

  // How many tokens of training states the variants' trainers want; 0 when
  // none is trained. Errors of MakeProfileTrainer.
  Result<uint64_t> WantedTokens(std::span<const EvalVariant> variants) const;

  // States of the training text, in order; they must live until all profiles
  // were asked for.
  void AddTrainingState(const KvView& view) { states_.push_back(view); }

  // The variant's profile, null when it has none: the file's if one is named,
  // one that was trained before and serves its options too, else a new one.
  // kFailedPrecondition for a codec that needs a profile where there is
  // nothing to train on; errors of the trainer.
  Result<const EvalProfile*> Find(const EvalVariant& variant,
                                  const std::function<bool(double)>& progress);

 private:
  const std::string* FileFor(const EvalVariant& variant) const;
  Result<const EvalProfile*> Keep(const EvalVariant& variant, Bytes bytes);

  struct Entry {
    CodecId codec;
    std::string file;  // empty: trained
    std::unique_ptr<EvalProfile> profile;
  };

  StateCoder* const coder_;
  const std::vector<std::pair<std::string, std::string>> files_;
  std::vector<KvView> states_;
  std::vector<Entry> entries_;
};

}  // namespace reprise

#endif  // REPRISE_TOOLS_EVAL_PROFILE_BOOK_H_
