#include "base/hash.h"

#include <openssl/evp.h>
// For a streaming state on the stack.
#define XXH_STATIC_LINKING_ONLY
#if defined(__x86_64__)
// The same functions, by AVX2 or AVX-512 where the processor has them: the
// library itself is built for SSE2.
#include <xxh_x86dispatch.h>
#else
#include <xxhash.h>
#endif

namespace reprise {

// A context that could not be allocated or a digest that OpenSSL refuses to
// give would make every id equal: the process can't go on.
struct Sha256Stream::Context {
  EVP_MD_CTX* evp = EVP_MD_CTX_new();
  ~Context() { EVP_MD_CTX_free(evp); }
  void Init() { ok = EVP_DigestInit_ex(evp, EVP_sha256(), nullptr) == 1; }
  bool ok = false;
};

Sha256Stream::Sha256Stream() : context_(std::make_unique<Context>()) {
  context_->Init();
}
Sha256Stream::~Sha256Stream() = default;
Sha256Stream::Sha256Stream(Sha256Stream&&) noexcept = default;
Sha256Stream& Sha256Stream::operator=(Sha256Stream&&) noexcept = default;

void Sha256Stream::Update(ByteView bytes) {
  context_->ok = context_->ok && EVP_DigestUpdate(context_->evp, bytes.data(),
                                                  bytes.size()) == 1;
}

Sha256Digest Sha256Stream::Finish() {
  Sha256Digest digest;
  unsigned int size = 0;
  context_->ok =
      context_->ok &&
      EVP_DigestFinal_ex(context_->evp, digest.bytes.data(), &size) == 1 &&
      size == digest.bytes.size();
  REPRISE_CHECK(context_->ok);
  context_->Init();
  return digest;
}

Sha256Digest Sha256(ByteView bytes) {
  Sha256Stream stream;
  stream.Update(bytes);
  return stream.Finish();
}

uint64_t Checksum(ByteView bytes) {
  return XXH3_64bits(bytes.data(), bytes.size());
}

uint64_t Checksum(ByteView first, ByteView second) {
  XXH3_state_t state;
  XXH3_INITSTATE(&state);
  XXH3_64bits_reset(&state);
  XXH3_64bits_update(&state, first.data(), first.size());
  XXH3_64bits_update(&state, second.data(), second.size());
  return XXH3_64bits_digest(&state);
}

}  // namespace reprise
