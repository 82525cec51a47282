// Export: a ledger as files, so that an auditor with the directory and nothing else verifies and decodes all of it.
// Any tool for C2SP tlog-tiles reads `checkpoint` and `tile/`.
//
//   ledger.pub.json                       what is to be believed; better had by another way
//   checkpoint                            the newest, with its cosignatures
//   checkpoints/<size, 20 digits>-<n>     every record of the checkpoint topic; n counts those of one size
//   tile/<level>/…  tile/entries/…        tlog-tiles: hashes, and bundles of uint16 size ‖ leaf
//   parts/…                               named as entries: per entry uint16 count, then uint32 size ‖ part
//
// The parts are as in the ledger: sealed, unless the kind is clear.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "consumers/audit.h"
#include "ledger/log.h"

namespace daicho {

struct ExportOptions {
  int prefecture = 0;
  std::string public_part;  // path of the ledger.pub.json to go with it
  Log* log = nullptr;       // borrowed
  std::string to;           // an earlier export of the ledger there is continued
  std::function<void(std::uint64_t done, std::uint64_t total)> progress;
};
struct ExportResult {
  std::uint64_t entries = 0, checkpoints = 0;
};
// As far as the newest checkpoint, or all where there is none. Does not judge what it copies.
// Errors: kTampered when it does not lead to the checkpoint's root.
Result<ExportResult> Export(const ExportOptions& options);

// The ledger and checkpoint topics of an export, for reading. What is damaged comes out as records that no check
// lets pass. Errors: kNotFound when the directory holds no export.
Result<std::unique_ptr<Log>> OpenExport(const std::string& dir, int prefecture);

// Audit of an export: also its tiles, and that nothing is missing or added. `options.log` is not used.
Result<AuditResult> AuditExport(const std::string& dir, AuditOptions options);

}  // namespace daicho
