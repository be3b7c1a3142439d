// Puts an error message together from texts and numbers:
//
//   DataLossError(CatMessage("frame: body is ", n, " bytes, header says ", m))
//
// Numbers of every width are written in decimal, 8-bit ones too.
#ifndef REPRISE_CODEC_MESSAGE_H_
#define REPRISE_CODEC_MESSAGE_H_

#include <concepts>
#include <cstdio>
#include <string>
#include <string_view>

namespace reprise {

inline void AppendPiece(std::string* out, std::string_view piece) {
  out->append(piece);
}
inline void AppendPiece(std::string* out, std::integral auto piece) {
  out->append(std::to_string(piece));
}
// Enough digits to tell any two values apart.
inline void AppendPiece(std::string* out, std::floating_point auto piece) {
  char text[32];
  const int digits = sizeof(piece) == sizeof(float) ? 9 : 17;
  const int size = std::snprintf(text, sizeof(text), "%.*g", digits,
                                 static_cast<double>(piece));
  out->append(text, static_cast<size_t>(size));
}

template <typename... Pieces>
std::string CatMessage(const Pieces&... pieces) {
  std::string out;
  (AppendPiece(&out, pieces), ...);
  return out;
}

}  // namespace reprise

#endif  // REPRISE_CODEC_MESSAGE_H_
