// The stored profile of `vq` and `pq`: norms and codebooks. Format:
// docs/format/codecs/vq.md, section 4.
#ifndef REPRISE_CODEC_VECTOR_PROFILE_H_
#define REPRISE_CODEC_VECTOR_PROFILE_H_

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/status.h"
#include "codec/codec.h"
#include "codec/frame.h"
#include "codec/vector_kernel.h"
#include "codec/vector_options.h"

namespace reprise {

// What a profile says of one plane of one layer.
struct VectorPlane {
  uint16_t layer = 0;
  uint8_t plane = 0;
  DType dtype = DType::kF16;
  uint32_t heads = 0;
  uint32_t dim = 0;
  // vq: the plane's codebook. pq: 0, codebooks are the plane's own.
  uint32_t book = 0;
  // Where its parts begin; not stored.
  uint64_t first_norm = 0;
  uint64_t first_centroid = 0;   // pq: of the f16 numbers
  uint64_t first_half_norm = 0;  // pq
  uint64_t first_entry = 0;      // of the decoding tables, in bytes
};

// The contents of a profile, as a trainer makes them. What is not stored is
// filled in by LayOutVectorProfile.
struct VectorProfileParts {
  CodecId codec = CodecId::kVq;
  VectorShape shape;
  uint32_t book_count = 0;          // vq: 1 to 16; pq: 0
  std::vector<VectorPlane> planes;  // ascending in (layer, plane)
  std::vector<float> norms;         // [plane][head]
  std::vector<uint16_t> centroids;  // f16; order: see the format

  bool is_pq() const { return codec == CodecId::kPq; }
  uint32_t blocks(uint32_t dim) const {
    return (dim + shape.block - 1) / shape.block;
  }
  // Values in block `b` of a head.
  uint32_t width(uint32_t dim, uint32_t b) const {
    const uint32_t left = dim - b * shape.block;
    return left < shape.block ? left : shape.block;
  }
};

// How many numbers a profile holds.
struct VectorProfileSizes {
  uint64_t norms = 0;
  uint64_t centroids = 0;
  uint64_t half_norms = 0;
  uint64_t entry_bytes = 0;
};
// Fills in where the planes' parts begin.
VectorProfileSizes LayOutVectorProfile(VectorProfileParts* parts);

// The bytes of a profile. REQUIRES: the parts keep the rules of the format.
Bytes EncodeVectorProfile(const VectorProfileParts& parts);

class VectorProfile final : public CodecProfile {
 public:
  // kDataLoss for damage, kUnimplemented for a version from the future,
  // kInvalidArgument for a profile of the other codec.
  static Result<std::shared_ptr<const VectorProfile>> Parse(CodecId codec,
                                                            ByteView bytes);

  // A codec's profile as what it is. kFailedPrecondition for null and for one
  // of another codec.
  static Result<const VectorProfile*> Of(CodecId codec,
                                         const CodecProfile* profile);

  CodecId codec() const override { return parts_.codec; }
  const ProfileId& id() const override { return id_; }

  // Null when the profile knows nothing of the plane: it is stored raw.
  const VectorPlane* FindPlane(uint16_t layer, uint8_t plane) const;
  // kFailedPrecondition when a plane of floating-point numbers is missing, or
  // a plane has another dtype or shape here than in the model.
  Status CheckSlices(std::span<const PlaneSlice> slices) const;

  const VectorProfileParts& parts() const { return parts_; }
  uint32_t code_bits() const;
  uint32_t blocks(const VectorPlane& plane) const {
    return parts_.blocks(plane.dim);
  }
  // Bytes of the codes of one head of one token.
  uint32_t code_bytes(const VectorPlane& plane) const {
    return (blocks(plane) * code_bits() + 7) / 8;
  }

  float norm(const VectorPlane& plane, uint32_t head) const {
    return parts_.norms[plane.first_norm + head];
  }
  // The centroids of a block of a head: f16, as the bytes of a row of
  // elements, [centroids, width]; and half their squared lengths.
  struct Book {
    const uint8_t* centroids = nullptr;
    const float* half_norms = nullptr;
    uint32_t stored_width = 0;  // of a centroid; vq's tails use less of it
  };
  Book book(const VectorPlane& plane, uint32_t head, uint32_t block) const;
  VectorTable table(const VectorPlane& plane, uint32_t head) const;
  // From the entries of one head's table to the next's.
  uint64_t head_entry_bytes(const VectorPlane& plane) const {
    return uint64_t{parts_.shape.centroids} * DTypeBytes(plane.dtype) *
           (parts_.is_pq() ? plane.dim : parts_.shape.block);
  }
  // What the tables' entries lie in: of all planes, one after the other.
  ByteView entries() const { return entries_; }

 private:
  Status Read(ByteView bytes);
  void BuildHalfNorms();
  void BuildTables();

  ProfileId id_;
  VectorProfileParts parts_;
  VectorProfileSizes sizes_;
  std::vector<float> half_norms_;
  Bytes entries_;
};

}  // namespace reprise

#endif  // REPRISE_CODEC_VECTOR_PROFILE_H_
