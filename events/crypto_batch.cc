#include "events/crypto_batch.h"

#include <intel-ipsec-mb.h>

#include <memory>

#include "events/deleter.h"

namespace daicho {
namespace {

// Fewer leave so many lanes empty that they are done sooner one by one.
constexpr std::size_t kMessagesMin = 4;
// The library's, as 0 is.
constexpr std::size_t kLaneBytesMax = 65'534;

IMB_MGR* Manager() {
  thread_local const auto manager = [] {
    std::unique_ptr<IMB_MGR, Deleter<free_mb_mgr>> made(alloc_mb_mgr(0));
    CHECK(made != nullptr);
    init_mb_mgr_auto(made.get(), nullptr);
    CHECK(imb_get_errno(made.get()) == 0);
    return made;
  }();
  return manager.get();
}

// What a job of the library needs beside its message, and the same of one message alone.
template <typename Ask, typename Alone>
std::vector<Digest> Each(std::span<const std::string_view> messages, const Ask& ask, const Alone& alone) {
  std::vector<Digest> out(messages.size());
  const bool few = messages.size() < kMessagesMin;
  IMB_MGR* const manager = few ? nullptr : Manager();
  for (std::size_t i = 0; i < messages.size(); ++i) {
    if (few || messages[i].empty() || messages[i].size() > kLaneBytesMax) {
      out[i] = alone(messages[i]);
      continue;
    }
    IMB_JOB* const job = IMB_GET_NEXT_JOB(manager);
    job->cipher_mode = IMB_CIPHER_NULL;
    job->cipher_direction = IMB_DIR_ENCRYPT;
    job->chain_order = IMB_ORDER_HASH_CIPHER;
    ask(*job);
    job->src = Data(messages[i]);
    job->hash_start_src_offset_in_bytes = 0;
    job->msg_len_to_hash_in_bytes = messages[i].size();
    job->auth_tag_output = out[i].data();
    job->auth_tag_output_len_in_bytes = out[i].size();
    for (IMB_JOB* done = IMB_SUBMIT_JOB_NOCHECK(manager); done != nullptr; done = IMB_GET_COMPLETED_JOB(manager)) {
      CHECK(done->status == IMB_STATUS_COMPLETED);
    }
  }
  if (few) return out;
  while (const IMB_JOB* const done = IMB_FLUSH_JOB(manager)) CHECK(done->status == IMB_STATUS_COMPLETED);
  return out;
}

// The state behind the key's block, which is what the library is told of a key.
using KeyState = std::array<std::uint8_t, 32>;
KeyState Behind(const Key256& key, std::uint8_t pad) {
  std::array<std::uint8_t, IMB_SHA_256_BLOCK_SIZE> block;
  block.fill(pad);
  for (std::size_t i = 0; i < key.size(); ++i) block[i] ^= key[i];
  alignas(std::uint32_t) KeyState state;
  IMB_SHA256_ONE_BLOCK(Manager(), block.data(), state.data());
  Wipe(block.data(), block.size());
  return state;
}

}  // namespace

std::vector<Digest> Sha256Each(std::span<const std::string_view> messages) {
  return Each(
      messages, [](IMB_JOB& job) { job.hash_alg = IMB_AUTH_SHA_256; },
      [](std::string_view message) { return Sha256Of({message}); });
}

std::vector<Digest> HmacSha256Each(const Key256& key, std::span<const std::string_view> messages) {
  alignas(16) KeyState inner = Behind(key, 0x36), outer = Behind(key, 0x5c);
  auto macs = Each(
      messages,
      [&](IMB_JOB& job) {
        job.hash_alg = IMB_AUTH_HMAC_SHA_256;
        job.u.HMAC._hashed_auth_key_xor_ipad = inner.data();
        job.u.HMAC._hashed_auth_key_xor_opad = outer.data();
      },
      [&](std::string_view message) { return HmacSha256(key, message); });
  Wipe(inner.data(), inner.size());
  Wipe(outer.data(), outer.size());
  return macs;
}

}  // namespace daicho
