#include "codec/exact_tables.h"

#include "codec/message.h"

namespace reprise {
namespace {

// Digit by digit: squaring a mantissa in [1, 2) doubles its logarithm.
constexpr uint32_t Log2Digits(uint32_t x) {
  uint32_t whole = 0;
  while (x >> (whole + 1)) ++whole;
  uint64_t mantissa = (uint64_t{x} << 31) >> whole;
  uint32_t result = whole << 16;
  for (uint32_t bit = 1u << 15; bit > 0; bit >>= 1) {
    mantissa = mantissa * mantissa >> 31;
    if (mantissa >> 32) {
      mantissa >>= 1;
      result |= bit;
    }
  }
  return result;
}

constexpr std::array<uint32_t, kExactSlots + 1> MakeLog2Table() {
  std::array<uint32_t, kExactSlots + 1> table{};
  for (uint32_t x = 1; x <= kExactSlots; ++x) table[x] = Log2Digits(x);
  return table;
}

constexpr std::array<uint32_t, kExactSlots + 1> kLog2Table = MakeLog2Table();

// What one more slot saves a symbol, or the last one costs it.
uint64_t SlotWorth(uint64_t count, uint32_t frequency) {
  return count * (kLog2Table[frequency + 1] - kLog2Table[frequency]);
}

// Moves the sum to 1024, a slot at a time, where it helps most or hurts least.
void SettleFrequencies(const std::array<uint64_t, kExactSymbols>& counts,
                       uint32_t sum, ExactFrequencies* frequencies) {
  for (; sum < kExactSlots; ++sum) {
    // Where nothing helps: no frequency may reach 1,024.
    uint32_t best =
        (*frequencies)[kExactEscape] + 1u < kExactSlots ? kExactEscape : 0;
    uint64_t best_worth = 0;
    for (uint32_t s = 0; s < kExactSymbols; ++s) {
      const uint32_t f = (*frequencies)[s];
      if (f == 0 || f + 1 >= kExactSlots) continue;
      const uint64_t worth = SlotWorth(counts[s], f);
      if (worth > best_worth) best = s, best_worth = worth;
    }
    ++(*frequencies)[best];
  }
  for (; sum > kExactSlots; --sum) {
    uint32_t best = 0;
    uint64_t best_worth = ~uint64_t{0};
    for (uint32_t s = 0; s < kExactSymbols; ++s) {
      const uint32_t f = (*frequencies)[s];
      if (f < 2) continue;
      const uint64_t worth = SlotWorth(counts[s], f - 1);
      if (worth < best_worth) best = s, best_worth = worth;
    }
    --(*frequencies)[best];
  }
}

}  // namespace

uint32_t ExactLog2(uint32_t x) { return kLog2Table[x]; }

ExactFrequencies FitExactFrequencies(
    const std::array<uint64_t, kExactSymbols>& counts) {
  uint64_t total = 0;
  for (uint64_t count : counts) total += count;
  // Below 2^-14 a slot of 1,024 costs the others more than escapes cost.
  std::array<uint64_t, kExactSymbols> kept = counts;
  for (uint32_t s = 0; s < kExactEscape; ++s) {
    if (kept[s] << 14 < total) {
      kept[kExactEscape] += kept[s];
      kept[s] = 0;
    }
  }
  ExactFrequencies frequencies{};
  uint32_t sum = 0;
  for (uint32_t s = 0; s < kExactSymbols; ++s) {
    const uint64_t share = total > 0 ? kept[s] * (kExactSlots - 1) / total : 0;
    const bool wanted = kept[s] > 0 || s == kExactEscape;
    frequencies[s] = static_cast<uint16_t>(share > 0 ? share : wanted);
    sum += frequencies[s];
  }
  SettleFrequencies(kept, sum, &frequencies);
  return frequencies;
}

Status CheckExactSplit(const ExactSplit& split) {
  const uint32_t bytes = split.element_bytes;
  if (bytes != 1 && bytes != 2 && bytes != 4) {
    return DataLossError(
        CatMessage("exact: elements have ", bytes, " bytes, not 1, 2 or 4"));
  }
  const uint32_t w = split.raw_bits;
  if (w > kExactMaxRawBits || w >= split.bits() ||
      split.key_bits() > kExactMaxKeyBits) {
    return DataLossError(CatMessage("exact: ", w, " raw bits of ", split.bits(),
                                    " leave no key of 1 to 13 bits"));
  }
  if (split.sign_bit >= split.bits()) {
    return DataLossError(CatMessage("exact: the sign goes to bit ",
                                    split.sign_bit, " of ", split.bits()));
  }
  return Status::Ok();
}

Status ReadExactFrequencies(ByteReader* reader, ExactFrequencies* out) {
  uint32_t sum = 0;
  for (uint16_t& frequency : *out) {
    frequency = reader->U16();
    sum += frequency;
    if (frequency >= kExactSlots) {
      return DataLossError(CatMessage("exact table: a frequency is ", frequency,
                                      ", at most 1023 is right"));
    }
  }
  if (sum != kExactSlots) {
    return DataLossError(
        CatMessage("exact table: frequencies sum to ", sum, ", not to 1024"));
  }
  if ((*out)[kExactEscape] == 0) {
    return DataLossError("exact table: the escape has frequency 0");
  }
  return Status::Ok();
}

void BuildExactTable(const ExactFrequencies& frequencies, uint32_t* decode,
                     ExactEncodeEntry* encode) {
  uint32_t start = 0;
  for (uint32_t s = 0; s < kExactSymbols; ++s) {
    const uint32_t f = frequencies[s];
    for (uint32_t bias = 0; bias < f; ++bias) {
      decode[start + bias] =
          bias | (f << kExactFrequencyShift) | (s << kExactSymbolShift);
    }
    const uint64_t reciprocal = f > 1 ? (uint64_t{1} << 32) / f : 0xffffffff;
    encode[s] = {f | (start << 16), static_cast<uint32_t>(reciprocal)};
    start += f;
  }
}

void BuildExactTables(ExactTableSet* set) {
  const size_t count = set->frequencies.size();
  set->decode.resize(count * kExactSlots);
  set->encode.resize(count * kExactSymbols);
  for (size_t i = 0; i < count; ++i) {
    BuildExactTable(set->frequencies[i], &set->decode[i * kExactSlots],
                    &set->encode[i * kExactSymbols]);
  }
}

}  // namespace reprise
