// Backup and restore of a ledger and its keys. What is built from them (record file, sequencer state, tiles) is
// not copied: a restored home builds it again, under what the ledger says by then.
//
//   backup.json     what it is, and as of when
//   home.sealed     settings and private keys: nonce(12) ‖ AES-256-GCM(backup key, aad = tag ‖ id, JSON of the files)
//   keystore/       the data keys (KeyStore::Backup)
//   log/            the local log, as of before the keys were copied. Of Kafka: nothing, its brokers keep it
//
// An erasure does not reach a backup: the home remembers each with the day until which it is kept, and every
// erasure lists those that still hold what it took. Whoever restores one carries out the ledger's erasures since
// before anything can be read.
#pragma once

#include <string>
#include <vector>

#include "consumers/home.h"
#include "events/clock.h"
#include "events/dates.h"
#include "events/erasure.pb.h"
#include "ledger/key_store.h"
#include "ledger/local_log.h"

namespace daicho {

inline constexpr std::uint32_t kBackupDaysDefault = 35;

// 32 bytes in hex; made when the file is missing. Whoever has it and a backup has everything.
Result<Key256> ReadOrMakeBackupKey(const std::string& path);

struct BackupOptions {
  std::string dir;  // must not exist
  Key256 key{};
  std::uint32_t keep_days = kBackupDaysDefault;
};
// `log` null: not a local one. Returns backup.json. Errors: kConflict when `dir` is there.
Result<std::string> MakeBackup(const Home& home, const KeyStore& keys, LocalLog* log, const Clock& clock,
                               const BackupOptions& options);

// Copies made of `home` whose keys are from before `erased_through` and that are kept beyond today.
Result<std::vector<v1::ErasedPlace>> BackupsBehind(const Home& home, Position erased_through, Date today);

// Makes the home `dir` of a backup. `log`: where the ledger is; empty: as it was. A local log that is there already
// is kept: it is newer. Errors: kConflict when there is a home, kTampered for another key or a changed backup.
Result<Home> RestoreBackup(const std::string& backup, const Key256& key, const std::string& dir,
                           const std::string& log, const std::string& kafka_config);

}  // namespace daicho
