#include "events/crypto_batch.h"

#include <intel-ipsec-mb.h>

#include <memory>

#include "events/crypto.h"
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

}  // namespace

std::vector<Digest> Sha256Each(std::span<const std::string_view> messages) {
  std::vector<Digest> out(messages.size());
  if (messages.size() < kMessagesMin) {
    for (std::size_t i = 0; i < messages.size(); ++i) out[i] = Sha256Of({messages[i]});
    return out;
  }
  IMB_MGR* const manager = Manager();
  for (std::size_t i = 0; i < messages.size(); ++i) {
    if (messages[i].empty() || messages[i].size() > kLaneBytesMax) {
      out[i] = Sha256Of({messages[i]});
      continue;
    }
    IMB_JOB* const job = IMB_GET_NEXT_JOB(manager);
    job->cipher_mode = IMB_CIPHER_NULL;
    job->cipher_direction = IMB_DIR_ENCRYPT;
    job->chain_order = IMB_ORDER_HASH_CIPHER;
    job->hash_alg = IMB_AUTH_SHA_256;
    job->src = Data(messages[i]);
    job->hash_start_src_offset_in_bytes = 0;
    job->msg_len_to_hash_in_bytes = messages[i].size();
    job->auth_tag_output = out[i].data();
    job->auth_tag_output_len_in_bytes = out[i].size();
    for (IMB_JOB* done = IMB_SUBMIT_JOB_NOCHECK(manager); done != nullptr; done = IMB_GET_COMPLETED_JOB(manager)) {
      CHECK(done->status == IMB_STATUS_COMPLETED);
    }
  }
  while (const IMB_JOB* const done = IMB_FLUSH_JOB(manager)) CHECK(done->status == IMB_STATUS_COMPLETED);
  return out;
}

}  // namespace daicho
