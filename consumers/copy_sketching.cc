#include "consumers/copy_sketching.h"

#include <algorithm>
#include <memory>

#include "consumers/copy_file.h"
#include "consumers/difference_judgement.h"
#include "consumers/gateway.h"
#include "consumers/kikou_line.h"
#include "ledger/files.h"
#include "projections/copy_fingerprint.h"

namespace daicho {
namespace {

// Which lines they were is not known any more: as a municipality is told of them by `row`.
FileError StandsTwice(std::uint64_t row) {
  return {.line = row,
          .field = "resident_code",
          .rule = "duplicate",
          .message = "住民票コードが前の行と同じです（行は住民票コード順に数えたもの）",
          .expected = std::nullopt};
}

// The rows of the copy that stand with the municipality, by ascending code. A code that stands twice is an error: cells
// cancel out what is twice in them.
Status TakeStanding(CopyFile& file, const std::string& municipality, CopyFingerprint& fingerprint, CopySketch& out) {
  v1::HeldCopy row;
  std::string before;
  RETURN_IF_ERROR(file.Rewind());
  for (std::uint64_t number = 1;; ++number) {
    ASSIGN_OR_RETURN(const bool more, file.Next(row));
    if (!more) return {};
    if (!StandsWith(row, municipality)) {
      ++out.passed_over;
      continue;
    }
    if (row.resident_code() == before && out.errors.size() < kFileErrorsMax) out.errors.push_back(StandsTwice(number));
    before = row.resident_code();
    fingerprint.Add(fingerprint.keying().Item(row));
    ++out.rows;
  }
}

Result<Position> CutOf(const CopySketchOrder& order) {
  if (order.position) return *order.position;
  const Result<Position> newest = NewestAdmitted(order.gateway);
  if (newest.status().code() != Code::kNotFound) return newest;
  return Invalid("position: 受理された通知がまだありません。写しを取った位置を --position で指定してください");
}

}  // namespace

Result<CopySketch> WriteCopySketch(const CopySketchOrder& order) {
  ASSIGN_OR_RETURN(const std::string municipality, GatewayIssuer(order.gateway));
  ASSIGN_OR_RETURN(const CopyKey key, ReadCopyKeyFile(order.key));
  CopySketch out;
  ASSIGN_OR_RETURN(out.position, CutOf(order));
  ASSIGN_OR_RETURN(CopyFile file, CopyFile::Read(order.copy, {.directory = order.gateway}));
  out.errors = file.errors();
  const auto of_holder = [](const FileError& error) { return error.field == "holder"; };
  if (file.header().holder != municipality && std::ranges::none_of(out.errors, of_holder)) {
    out.errors.insert(out.errors.begin(), {.line = 1,
                                           .field = "holder",
                                           .rule = "holder",
                                           .message = "この端末の市町村の写しではありません",
                                           .expected = std::nullopt});
  }
  if (!out.errors.empty()) return out;
  CopyFingerprint fingerprint(std::make_shared<CopyKeying>(key), order.lengthened ? kCopyCellsMax : kCopyCells);
  RETURN_IF_ERROR(TakeStanding(file, municipality, fingerprint, out));
  if (out.errors.empty()) RETURN_IF_ERROR(WriteFileDurably(order.out, WriteSketchFile(fingerprint, out.position)));
  return out;
}

}  // namespace daicho
