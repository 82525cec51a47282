// Home: a prefecture node's directory.
//
//   daicho.toml           prefecture, ledger id, log
//   keys/*.key            private keys of the node's roles, hex or a token's URI, mode 0600. Of the ledger's own, receipts.key and
//                         intake.key, NAME.next.key is made but not in force yet, NAME.old.key was before NAME.key
//   operators/*.key       private keys of the first operators, to be handed over to them
//   ledger.pub.json       what gateways and auditors may know: ledger id and public keys
//   outbox/<issuer>/      what the node's own roles have submitted (consumers/submitter.h)
//   keystore/ sequencer/ record_file/ notary/      the stores
//   holder/               what wraps their keys, unless a token does
//   backups.json          copies that were made, and until when they are kept
//   node.sock             a running node listens here
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "events/crypto.h"
#include "events/event.h"
#include "ledger/key_holder.h"
#include "ledger/log.h"
#include "ledger/sequencer.h"

namespace daicho {

// ledger.pub.json: what it takes to verify a ledger.
struct LedgerPublic {
  int prefecture = 0;
  LedgerId ledger{};
  Key256 registrar{}, sequencer{}, intake{};
  friend bool operator==(const LedgerPublic&, const LedgerPublic&) = default;
};
// The file's one text.
std::string FormatLedgerPublic(const LedgerPublic& ledger);
// Errors: kNotFound, kInvalid.
Result<LedgerPublic> ReadLedgerPublic(const std::string& path);

struct Home {
  std::string dir;
  int prefecture = 0;
  LedgerId ledger{};
  std::string log;           // "local:DIR" or "kafka://HOST:PORT[,…]"
  std::string kafka_config;  // file of librdkafka settings; empty: none
  std::string key_holder;    // what wraps the data keys and the stores: a pkcs11 URI; empty: HOME/holder
  SigningKey registrar, records, retention, receipts;
  HpkeKeyPair intake;

  std::string Path(const std::string& name) const { return dir + "/" + name; }
  std::string Socket() const { return Path("node.sock"); }
};

// A new home with fresh keys. Errors: kConflict when there is one already.
Result<Home> CreateHome(const std::string& dir, int prefecture, const std::string& log,
                        const std::string& kafka_config, const std::string& key_holder);
// From now on the ledger is there.
Status MoveLog(Home& home, const std::string& log, const std::string& kafka_config);
Result<std::unique_ptr<KeyHolder>> OpenHolder(const Home& home);
// Errors: kNotFound, kInvalid with the setting's name.
Result<Home> OpenHome(const std::string& dir);

// The ledger's own keys that the home holds, read from its files.
Result<LedgerKeys> HeldLedgerKeys(const Home& home);
// The public key of the next key of that use, KEY_USE_SEQUENCER or KEY_USE_INTAKE, made unless there is one. With a
// `token`'s URI: that key, of KEY_USE_SEQUENCER. Errors: kConflict when another next key is there.
Result<Key256> PrepareNextKey(const Home& home, v1::KeyUse use, const std::string& token);
// Puts NAME.next.key, if there is one and its public key is `in_force`, in the place of NAME.key, and that in the
// place of NAME.old.key; rewrites ledger.pub.json. May be repeated after a crash, and called by several processes.
Status TakeNextKey(Home& home, v1::KeyUse use, std::string_view in_force);
// Destroys NAME.old.key.
Status DestroyOldKey(const Home& home, v1::KeyUse use);
std::string NextKeyPath(const Home& home, v1::KeyUse use);
std::string OldKeyPath(const Home& home, v1::KeyUse use);

// Errors: kNotFound when there is no such file; kUnavailable for a key in a token that is not there now.
Result<SigningKey> ReadSigningKey(const std::string& path);
Status WriteSigningKey(const std::string& path, const SigningKey& key);
// Makes the token's key the file's, once it has signed. Errors: those of OpenTokenKey; kConflict when the file has
// another key.
Status WriteTokenKey(const std::string& path, const std::string& uri);

// Reads "daicho.toml" of a home or gateway: only `key = "value"` lines of the known keys.
Result<std::map<std::string, std::string>> ReadSettings(const std::string& path,
                                                        const std::vector<std::string>& known);

bool IsLocal(const std::string& log);               // "local:DIR"
std::string LocalDirectory(const std::string& log);
// Errors: kInvalid for a name that is neither, kUnavailable.
Result<std::unique_ptr<Log>> OpenLog(const std::string& log, const std::string& kafka_config);

}  // namespace daicho
