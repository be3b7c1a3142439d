#include "tests/support/klt_reference.h"

#include <bit>
#include <cmath>
#include <string>
#include <utility>

#include "codec/float_element.h"
#include "codec/frame.h"

namespace reprise {
namespace {

Status Damage(const char* what) {
  return DataLossError(std::string("reference: ") + what);
}

// A section of coefficients, read as its rows ask for it.
struct Stream {
  std::vector<uint32_t> x;
  std::vector<uint16_t> words;
  std::vector<bool> signs;
  size_t word = 0;
  size_t sign = 0;
  bool damaged = false;

  uint16_t Word() {
    if (word < words.size()) return words[word++];
    damaged = true;
    return 0;
  }
  bool Sign() {
    if (sign < signs.size()) return signs[sign++];
    damaged = true;
    return false;
  }
  bool IsEnd() const {
    bool end = !damaged && word == words.size() && signs.size() - sign < 8;
    for (size_t i = sign; i < signs.size(); ++i) end &= !signs[i];
    for (const uint32_t state : x) end &= state == 65536;
    return end;
  }
};

// A symbol of one lane by the frequencies of its table; renormalised later.
uint32_t TakeSymbol(const std::vector<uint32_t>& frequencies, uint32_t* x) {
  const uint32_t slot = *x % 4096;
  uint32_t start = 0;
  uint32_t s = 0;
  while (slot >= start + frequencies[s]) start += frequencies[s++];
  *x = frequencies[s] * (*x >> 12) + slot - start;
  return s;
}

void Renormalise(Stream* stream, const std::vector<bool>& idle) {
  for (uint32_t l = 0; l < 32; ++l) {
    if (idle[l] || stream->x[l] >= 65536) continue;
    stream->x[l] = stream->x[l] * 65536 + stream->Word();
  }
}

Result<Stream> OpenStream(const FrameView& frame, const FrameView* below,
                          int* shift) {
  const FrameSection& section = frame.sections[0];
  const ByteView bytes = frame.Section(section);
  ByteReader reader(bytes);
  Stream stream;
  const int own_shift = static_cast<int8_t>(reader.U8());
  if (reader.U8() != 0 || reader.U16() != 0) return Damage("reserved");
  if (below != nullptr && own_shift != *shift) return Damage("shift");
  *shift = own_shift;
  if (own_shift < -32 || own_shift > 32) return Damage("shift");
  const uint32_t parent = reader.U32();
  if (parent != (below == nullptr
                     ? 0
                     : static_cast<uint32_t>(below->sections[0].checksum))) {
    return Damage("parent");
  }
  for (int l = 0; l < 32; ++l) {
    stream.x.push_back(reader.U32());
    if (stream.x.back() < 65536) return Damage("state");
  }
  for (uint32_t w = 0; w < section.words; ++w) {
    stream.words.push_back(reader.U16());
    if (reader.failed()) return Damage("words");
  }
  if (section.words % 2 != 0 && reader.U16() != 0) return Damage("padding");
  REPRISE_RETURN_IF_ERROR(reader.Check("reference"));
  for (const uint8_t byte : reader.View(reader.left())) {
    for (int bit = 0; bit < 8; ++bit) stream.signs.push_back(byte >> bit & 1);
  }
  return stream;
}

// Everything that the page's sections 2 to 5 speak of, for one group.
class GroupDecoder {
 public:
  GroupDecoder(const KltProfileParts& profile, const KltGroupParts& group,
               uint32_t tokens, uint64_t raw, int shift,
               std::vector<Stream>* streams)
      : profile_(profile),
        group_(group),
        tokens_(tokens),
        raw_(raw),
        shift_(shift),
        streams_(*streams),
        o_(64) {}

  Status Decode(std::vector<std::vector<int64_t>>* q) {
    Exponents();
    for (uint32_t k = 0; k < streams_.size(); ++k) {
      for (uint32_t t = 0; t < tokens_; ++t) {
        if (raw_ >> t & 1) continue;
        std::vector<int64_t>& of_token = (*q)[t];
        if (k == 0) of_token.assign(group_.n, 0);
        for (uint32_t r = 0; r < group_.levels.size(); ++r) {
          static constexpr int kOfStage[4] = {10, 5, 0, -5};
          const int i = group_.levels[r] + E(t) - kOfStage[k];
          const int lo = static_cast<int>(k == 0 ? profile_.lo0 : profile_.lo1);
          if (i < lo) continue;
          Row(k, r, static_cast<uint32_t>(i - lo), &of_token);
        }
      }
      if (streams_[k].damaged) return Damage("stream");
    }
    for (const std::vector<int64_t>& of_token : *q) {
      int64_t sum = 0;
      for (const int64_t value : of_token) {
        if (std::abs(value) > 32767) return Damage("magnitude");
        sum += std::abs(value);
      }
      if (sum > 131071) return Damage("sum");
    }
    return Status();
  }

  // x[i] before any rotation.
  std::vector<float> Values(const std::vector<int64_t>& q, uint32_t t) const {
    const double p = std::vector<double>{9, 3, 1, 1.0 / 3}[streams_.size() - 1];
    const int third = ((E(t) % 3) + 3) % 3;
    const double c = third == 0   ? 1
                     : third == 1 ? std::bit_cast<double>(0x3FE965FEA53D6E3Dul)
                                  : std::bit_cast<double>(0x3FE428A2F98D728Bul);
    volatile double product = profile_.step * p;
    product = product * c;
    const auto step = static_cast<float>(
        product * std::exp2(-std::floor((E(t) - third) / 3.0)));
    const uint32_t n = group_.n;
    std::vector<float> x(n);
    for (uint32_t i = 0; i < n; ++i) {
      int64_t high = 0;
      int64_t low = 0;
      for (uint32_t j = 0; j < n; ++j) {
        high += group_.hi[uint64_t{j} * n + i] * q[j];
        if (j < group_.lead) low += group_.lo[uint64_t{j} * n + i] * q[j];
      }
      const float s = group_.dec[i] * step;
      x[i] = std::fma(
          static_cast<float>(high), s,
          std::fma(static_cast<float>(low), s * 0x1p-8f, group_.mu[i]));
    }
    return x;
  }

 private:
  int E(uint32_t t) const { return o_[t] - 3 + shift_; }

  void Exponents() {
    const std::vector<uint32_t> frequencies(profile_.exponents.begin(),
                                            profile_.exponents.end());
    for (uint32_t r = 0; r < 2; ++r) {
      std::vector<bool> idle(32);
      for (uint32_t l = 0; l < 32; ++l) {
        const uint32_t t = 32 * r + l;
        idle[l] = t >= tokens_ || (raw_ >> t & 1);
        if (idle[l]) continue;
        o_[t] = static_cast<int>(TakeSymbol(frequencies, &streams_[0].x[l]));
      }
      Renormalise(&streams_[0], idle);
    }
  }

  std::vector<uint32_t> Frequencies(uint32_t k, uint32_t index,
                                    int64_t magnitude) const {
    if (k == 0) {
      const size_t last = profile_.magnitudes.size() - 1;
      const auto& table = profile_.magnitudes[std::min<size_t>(index, last)];
      return {table.begin(), table.end()};
    }
    const size_t last = profile_.refining.size() - 1;
    const auto& table = profile_.refining[std::min<size_t>(index, last)];
    const auto& [one, two] = table[std::min<int64_t>(magnitude, 2)];
    return {4096u - one - two, one, two};
  }

  void Row(uint32_t k, uint32_t r, uint32_t index, std::vector<int64_t>* q) {
    Stream& stream = streams_[k];
    std::vector<bool> idle(32);
    std::vector<int64_t> next(32);
    for (uint32_t l = 0; l < 32; ++l) {
      idle[l] = 32 * r + l >= group_.n;
      if (idle[l]) continue;
      const int64_t m = std::abs((*q)[32 * r + l]);
      const uint32_t s = TakeSymbol(Frequencies(k, index, m), &stream.x[l]);
      const int64_t d = s == 2 ? -1 : int64_t{s};
      next[l] = k == 0 ? s : 3 * m + d;
    }
    Renormalise(&stream, idle);
    for (uint32_t l = 0; l < 32; ++l) {
      if (idle[l]) continue;
      int64_t& value = (*q)[32 * r + l];
      if (k == 0 && next[l] == 63) next[l] = stream.Word();
      const bool is_new = value == 0 && next[l] != 0;
      const bool negative = is_new ? stream.Sign() : value < 0;
      value = negative ? -next[l] : next[l];
    }
  }
  const KltProfileParts& profile_;
  const KltGroupParts& group_;
  uint32_t tokens_;
  uint64_t raw_;
  int shift_;
  std::vector<Stream>& streams_;
  std::vector<int> o_;
};

// Section 5.
void Turn(uint64_t phase, float* c, float* s) {
  const uint64_t quarter = (phase + (uint64_t{1} << 61)) >> 62;
  const auto r = static_cast<int64_t>(phase - (quarter << 62));
  const double a =
      static_cast<double>(r) * std::bit_cast<double>(0x3C1921FB54442D18ul);
  const double b = a * a;
  double sines[8];    // s_k, and 1 for k = 0
  double cosines[9];  // c_k, likewise
  double factorial = 1;
  for (int k = 0; k <= 8; ++k) {
    const int sign = k % 2 == 0 ? 1 : -1;
    cosines[k] = sign / factorial;
    factorial *= 2 * k + 1;
    if (k < 8) sines[k] = sign / factorial;
    factorial *= 2 * k + 2;
  }
  // volatile: nothing is to be fused.
  volatile double sine = sines[7];
  volatile double cosine = cosines[8];
  volatile double product;
  for (int k = 6; k >= 0; --k) {
    product = b * sine;
    sine = sines[k] + product;
  }
  sine = a * sine;
  for (int k = 7; k >= 0; --k) {
    product = b * cosine;
    cosine = cosines[k] + product;
  }
  const double pairs[4][2] = {
      {cosine, sine}, {-sine, cosine}, {-cosine, -sine}, {sine, -cosine}};
  *c = static_cast<float>(pairs[quarter][0]);
  *s = static_cast<float>(pairs[quarter][1]);
}

void Rotate(const KltProfileParts& profile, const KltPlane& plane,
            uint64_t position, float* x) {
  const uint32_t pairs = profile.rotary_dims / 2;
  for (uint32_t h = 0; h < plane.heads; ++h, x += plane.dim) {
    for (uint32_t j = 0; j < pairs; ++j) {
      const bool adjacent = profile.pairing == RopePairing::kAdjacent;
      float* const first = x + (adjacent ? 2 * j : j);
      float* const second = x + (adjacent ? 2 * j + 1 : j + pairs);
      float c, s;
      Turn(position * profile.turns[j], &c, &s);
      volatile float x1s = *second * s;
      volatile float x0s = *first * s;
      const float y0 = std::fma(*first, c, -x1s);
      const float y1 = std::fma(*second, c, x0s);
      *first = y0;
      *second = y1;
    }
  }
}

// A plane that the profile lists, and its slice's index.
struct CodedPlane {
  const KltPlane* plane = nullptr;
  size_t slice = 0;
};

// The frames of one encoding, taken apart section by section.
class FrameDecoder {
 public:
  FrameDecoder(const KltProfileParts& profile, std::vector<PlaneSlice> slices,
               std::vector<FrameView> views)
      : profile_(profile),
        slices_(std::move(slices)),
        views_(std::move(views)),
        tokens_(views_[0].info.token_count),
        rows_(slices_.size()) {}

  Result<KltDecoded> Decode() {
    FindCoded();
    for (size_t k = 0; k < views_.size(); ++k) {
      REPRISE_ASSIGN_OR_RETURN(
          Stream stream,
          OpenStream(views_[k], k == 0 ? nullptr : &views_[k - 1], &shift_));
      streams_.push_back(std::move(stream));
    }
    REPRISE_RETURN_IF_ERROR(TakeRawTokens());
    for (const KltGroupParts& group : profile_.groups) {
      const LayerGroup& layers = views_[0].info.layers;
      if (group.first_layer < layers.first_layer ||
          group.first_layer >= layers.first_layer + layers.layer_count) {
        continue;
      }
      REPRISE_RETURN_IF_ERROR(TakeGroup(group));
    }
    for (const Stream& stream : streams_) {
      if (!stream.IsEnd()) return Damage("end");
    }
    TakeRawPlanes();
    for (const Bytes& rows : rows_) {
      decoded_.rows.insert(decoded_.rows.end(), rows.begin(), rows.end());
    }
    return std::move(decoded_);
  }

 private:
  bool IsRaw(uint32_t t) const { return raw_ >> t & 1; }

  void FindCoded() {
    for (size_t i = 0; i < slices_.size(); ++i) {
      rows_[i].resize(slices_[i].token_bytes() * tokens_);
      for (const KltPlane& plane : profile_.planes) {
        if (plane.layer == slices_[i].layer &&
            plane.plane == slices_[i].plane) {
          coded_.push_back({&plane, i});
        }
      }
    }
  }

  Status TakeRawTokens() {
    const FrameView& base = views_[0];
    if (base.sections.size() < 2 || base.sections[1].mode != 2) return Status();
    ByteReader reader(base.Section(base.sections[section_++]));
    raw_ = reader.U64();
    for (const CodedPlane& coded : coded_) {
      const uint64_t row_bytes = slices_[coded.slice].token_bytes();
      for (uint32_t t = 0; t < tokens_; ++t) {
        if (!IsRaw(t)) continue;
        reader.Copy(MutableByteView(rows_[coded.slice])
                        .subspan(t * row_bytes, row_bytes));
      }
    }
    return reader.Finish("reference");
  }

  Status TakeGroup(const KltGroupParts& group) {
    GroupDecoder decoder(profile_, group, tokens_, raw_, shift_, &streams_);
    auto& q = decoded_.q.emplace_back(tokens_);
    REPRISE_RETURN_IF_ERROR(decoder.Decode(&q));
    const size_t end = next_coded_ + profile_.PlanesOf(group).size();
    for (uint32_t t = 0; t < tokens_; ++t) {
      if (IsRaw(t)) continue;
      std::vector<float> x = decoder.Values(q[t], t);
      float* from = x.data();
      for (size_t p = next_coded_; p < end; ++p) {
        StorePlane(coded_[p], t, from);
        from += coded_[p].plane->channels();
      }
    }
    next_coded_ = end;
    return Status();
  }

  void StorePlane(const CodedPlane& coded, uint32_t t, float* x) {
    const KltPlane& plane = *coded.plane;
    if (plane.is_rotated) {
      Rotate(profile_, plane, views_[0].info.first_token + t, x);
    }
    const PlaneSlice& slice = slices_[coded.slice];
    uint8_t* to = rows_[coded.slice].data() + t * slice.token_bytes();
    for (uint64_t c = 0; c < plane.channels(); ++c) {
      StoreElementSaturated(slice.spec->dtype, x[c], to);
      to += DTypeBytes(slice.spec->dtype);
    }
  }

  void TakeRawPlanes() {
    size_t next = 0;
    for (size_t i = 0; i < slices_.size(); ++i) {
      if (next < coded_.size() && coded_[next].slice == i) {
        ++next;
        continue;
      }
      const ByteView from = views_[0].Section(views_[0].sections[section_++]);
      rows_[i].assign(from.begin(), from.end());
    }
  }

  const KltProfileParts& profile_;
  std::vector<PlaneSlice> slices_;
  std::vector<FrameView> views_;
  uint32_t tokens_;
  std::vector<CodedPlane> coded_;
  std::vector<Stream> streams_;
  int shift_ = 0;
  uint64_t raw_ = 0;
  size_t section_ = 1;
  size_t next_coded_ = 0;
  std::vector<Bytes> rows_;  // of each slice
  KltDecoded decoded_;
};

}  // namespace

Result<KltDecoded> ReferenceKltDecode(const KltProfileParts& profile,
                                      const ModelSpec& spec,
                                      std::span<const Bytes> frames) {
  std::vector<FrameView> views(frames.size());
  for (size_t k = 0; k < frames.size(); ++k) {
    REPRISE_RETURN_IF_ERROR(ParseFrame(frames[k], &views[k]));
  }
  const FrameInfo& info = views[0].info;
  REPRISE_ASSIGN_OR_RETURN(std::vector<PlaneSlice> slices,
                           SlicePlanes(spec, info.layers, info.heads));
  return FrameDecoder(profile, std::move(slices), std::move(views)).Decode();
}

}  // namespace reprise
