// Home: a prefecture node's directory.
//
//   daicho.toml           prefecture, ledger id, log
//   keys/copy.key         shared with 機構: by which copies of the record file are compared (projections/copy_item.h)
//   kikou.toml            whom the node knows as 機構, when it does (consumers/kikou_line.h)
//   keys/*.key            private keys of the ledger and of the node's roles, hex or a token's URI, mode 0600. NAME.next.key is
//                         made but not in force yet; of the ledger's own, NAME.old.key was before NAME.key
//   operators/*.key       private keys of the first operators, to be handed over to them
//   ledger.pub.json       what gateways and auditors may know: ledger id and public keys
//   outbox/<issuer>/      what the node's own roles have submitted (consumers/submitter.h)
//   keystore/ sequencer/ record_file/ notary/      the stores
//   holder/               what wraps their keys, unless a token does
//   backups.json          copies that were made, and until when they are kept
//   node.sock             a running node listens here
#pragma once

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "events/crypto_certificate.h"
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

inline constexpr char kCopyKeyFile[] = "keys/copy.key";

struct Home {
  std::string dir;
  int prefecture = 0;
  LedgerId ledger{};
  std::string log;           // "local:DIR" or "kafka://HOST:PORT[,…]"
  std::string kafka_config;  // file of librdkafka settings; empty: none
  std::string key_holder;    // what wraps the data keys and the stores: a pkcs11 URI; empty: HOME/holder
  Key256 root{};             // public key of the registrar that opened the ledger: what it is verified from
  SigningKey registrar, records, provider, disclosure, retention, kikou, reconciler, receipts;
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

// The key of the 知事's electronic seal, keys/seal.pem, and its certificate, seal.crt.pem; made at first use.
Result<CertifiedKey> SealOf(const Home& home, TimeMicros now);

// The ledger's own keys that the home holds, read from its files.
Result<LedgerKeys> HeldLedgerKeys(const Home& home);

// A private key of the home, by its file's name: the ledger's own are receipts (the sequencer's) and intake, those of
// the roles that issue events registrar, records, provider, disclosure, retention, kikou and reconciler. A home from
// before there were the last two is given them when it is opened.
enum class HomeKey { kReceipts, kIntake, kRegistrar, kRecords, kProvider, kDisclosure, kRetention, kKikou, kReconciler };
inline constexpr std::array kRoleKeys = {HomeKey::kRegistrar,  HomeKey::kRecords,   HomeKey::kProvider,  HomeKey::kDisclosure,
                                         HomeKey::kRetention, HomeKey::kKikou, HomeKey::kReconciler};
inline constexpr std::array kHomeKeys = {HomeKey::kReceipts, HomeKey::kIntake,     HomeKey::kRegistrar,
                                         HomeKey::kRecords,  HomeKey::kProvider,   HomeKey::kDisclosure,
                                         HomeKey::kRetention, HomeKey::kKikou, HomeKey::kReconciler};
std::string_view NameOf(HomeKey key);
// Requires: one of kRoleKeys.
SigningKey& RoleKey(Home& home, HomeKey key);

// The public key of NAME.next.key, which is made unless it is there. With a `token`'s URI: that key; not of intake.
// Errors: kConflict when another next key is there.
Result<Key256> PrepareNextKey(const Home& home, HomeKey key, const std::string& token);
// Puts NAME.next.key, if there is one and its public key is `in_force`, in the place of NAME.key; of the ledger's own,
// that in the place of NAME.old.key. Rewrites ledger.pub.json. May be repeated after a crash, and called by several
// processes; `home` has the key that is in NAME.key then.
Status TakeNextKey(Home& home, HomeKey key, std::string_view in_force);
// A role's key that is not in force yet; without one, the key in NAME.key: another process may have taken it.
Result<std::optional<SigningKey>> NextRoleKey(const Home& home, HomeKey key);
// Destroys NAME.next.key, NAME.old.key.
Status DestroyNextKey(const Home& home, HomeKey key);
Status DestroyOldKey(const Home& home, HomeKey key);
std::string NextKeyPath(const Home& home, HomeKey key);
std::string OldKeyPath(const Home& home, HomeKey key);

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
enum class LogUse {  // what a log is tuned for; it can do all of them
  kFollow,
  kAppend,     // once, soon
  kReadToEnd,  // once
};
// Errors: kInvalid for a name that is neither, kUnavailable.
Result<std::unique_ptr<Log>> OpenLog(const std::string& log, const std::string& kafka_config,
                                     LogUse use = LogUse::kFollow);

}  // namespace daicho
