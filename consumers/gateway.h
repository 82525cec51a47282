// Gateway: a municipality's end. It takes notice files, submits each as one submission under the
// municipality's signature, and keeps the answer, so that sending a file again gets the same one.
//
//   daicho.toml          issuer
//   keys/issuer.key      its private key
//   issuer.pub           its public key, hex
//   keys/issuer.next.key the key to come, once a rotation was asked for; it takes the place of issuer.key when the
//                        receipts tell that the ledger has it
//   outbox/              what is on its way, and the ledger's keys (consumers/submitter.h)
//   files/000041.json    the answer to file 41, once admitted
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "consumers/home.h"
#include "consumers/notice_file.h"
#include "consumers/submitter.h"

namespace daicho {

struct FileAnswer {
  std::string file;
  std::string outcome;  // "admitted", "already_admitted", "rejected"
  std::uint64_t first_position = 0;
  std::uint64_t last_position = 0;
  std::uint64_t notices = 0;
  std::vector<FileError> errors;
  std::string Json() const;
};

// A new gateway home. Returns its public key. Errors: kInvalid (not a municipality's code), kConflict.
// `ledger_file`: the ledger's ledger.pub.json, whose keys are pinned; empty: the ledger is trusted on first use.
Result<Key256> CreateGateway(const std::string& dir, const std::string& issuer,
                             const std::string& ledger_file);

// What a gateway asks the prefecture for: its new key, vouched for by the old.
struct RotationRequest {
  std::string issuer;
  Key256 public_key{};
  std::string old_key_id;  // 4 bytes
  std::string signature;   // 64 bytes, by the old key over "daicho/key/1\n" ‖ public_key
};
// Makes the gateway's next key, unless there is one, and writes issuer.rotate.json. Its path. With a `token`'s URI the
// next key is that. Errors: kConflict when another was asked for.
Result<std::string> RequestRotation(const std::string& dir, const std::string& token);
// Errors: kInvalid with the field.
Result<RotationRequest> ReadRotationRequest(const std::string& path);

// Whose gateway it is, the 市町村コード. Errors: kNotFound when `dir` is none; kInvalid.
Result<std::string> GatewayIssuer(const std::string& dir);
// Behind which entry of the ledger the newest file lies that was admitted of the gateway at `dir`. Errors: kNotFound when
// none was yet; kCorrupt.
Result<Position> NewestAdmitted(const std::string& dir);

class Gateway {
 public:
  // `log`: as given to --log; a local one is reached through its running node.
  static Result<std::unique_ptr<Gateway>> Open(const std::string& dir, const std::string& log,
                                               const std::string& kafka_config);
  // Errors: kNotFound, kUnavailable, kDenied (not registered). A rejected file is an answer.
  Result<FileAnswer> Send(const std::string& path);
  // What the prefecture's comparisons (整合性確認) found of the municipality's residents, a line of JSON each, oldest first.
  Result<std::string> ComparisonsJson();
  const std::string& issuer() const { return issuer_; }

 private:
  Status Keep(const std::string& tag, const v1::Receipt& receipt) const;

  std::string dir_;
  std::string issuer_;
  SystemClock clock_;
  std::unique_ptr<Log> log_;
  std::unique_ptr<Submitter> submitter_;
};

}  // namespace daicho
