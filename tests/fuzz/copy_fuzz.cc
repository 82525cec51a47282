// What comes from another holder of the record file. The first byte chooses: a copy file; questions; a stored
// comparison, gone on with; answers, each of a length of two bytes; changes to a sketch file and to a stored
// fingerprint, each a place of three bytes and a value. Whatever comes in: no crash, no endless work, and what is
// named accounts for the totals.
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <sstream>
#include <string>
#include <string_view>

#include "consumers/copy_file.h"
#include "events/codes.h"
#include "projections/copy_reconcile.h"

namespace daicho {
namespace {

constexpr Position kPosition(1);

struct Side {
  Side(std::uint64_t from, std::uint64_t to) {
    for (std::uint64_t n = from; n < to; ++n) {
      std::string code = CodeText(n * 10'000'000'000 / 90 * 10);
      code.back() = ResidentCodeCheckDigit(std::string_view(code).substr(0, 10));
      items.push_back({CodeNumber(code).value(), Sha256Of({std::to_string(n)})});
      fingerprint.Add(items.back());
    }
  }
  CopyScan Scan() const {
    return [this](std::uint64_t first, std::uint64_t last, const CopyItemSink& take) -> Status {
      for (const CopyItem& item : items) {
        if (item.code >= first && item.code < last) RETURN_IF_ERROR(take(item));
      }
      return {};
    };
  }
  std::vector<CopyItem> items;
  CopyFingerprint fingerprint{std::make_shared<CopyKeying>(CopyKey{.epoch = 1, .secret = {7}})};
};

const Side& Here() {
  static const Side side(0, 60);
  return side;
}
const Side& There() {
  static const Side side(30, 90);
  return side;
}

void ReadFileOf(std::string_view bytes) {
  std::istringstream in{std::string(bytes)};
  const std::string directory = std::filesystem::temp_directory_path().string();
  CopyFile file = CopyFile::Read(in, {.directory = directory, .run_bytes = 2'000, .bytes_max = 1u << 20}).value();
  CHECK(file.errors().size() <= kFileErrorsMax + 1);
  v1::HeldCopy row;
  std::uint64_t rows = 0;
  while (file.Next(row).value()) ++rows;
  CHECK(rows == (file.errors().empty() ? file.header().count : 0));
}

void AskAll(std::string_view question) {
  CopyAnswers answers(There().fingerprint, kPosition, There().Scan());
  const auto answer = answers.Ask(question);
  if (answer.ok()) CHECK(answer.value().size() <= kCopyAnswerBytesMax);
}

void GoOn(CopyProgress progress, CopyHolder& holder) {
  const auto found = Reconcile(Here().fingerprint, kPosition, Here().Scan(), holder, progress);
  if (found.ok()) CHECK(AccountFor(*found, Here().fingerprint.total(), progress.there.total).ok());
}

// Says what it was told to; nothing more when that has been said.
class Scripted : public CopyHolder {
 public:
  explicit Scripted(std::string_view script) : script_(script) {}
  Result<std::string> Ask(std::string_view) override {
    if (script_.size() < 2) return Unavailable("nothing more to say");
    const std::size_t size = static_cast<std::uint8_t>(script_[0]) << 8 | static_cast<std::uint8_t>(script_[1]);
    const std::string answer(script_.substr(2, size));
    script_.remove_prefix(2 + answer.size());
    return answer;
  }

 private:
  std::string_view script_;
};

std::string Changed(std::string bytes, std::string_view changes) {
  for (; changes.size() >= 4; changes.remove_prefix(4)) bytes[ReadU24(changes) % bytes.size()] = changes[3];
  return bytes;
}

void ChangeFiles(std::string_view changes) {
  static const std::string sketch = WriteSketchFile(There().fingerprint, kPosition);
  static const std::string stored = There().fingerprint.Encode();
  const CopyKeying& keying = Here().fingerprint.keying();
  std::string file = Changed(sketch.substr(0, sketch.size() - 32), changes);
  file += View(keying.Seal(file));
  const auto compared = CompareSketchFile(Here().fingerprint, kPosition, file);
  if (compared.ok() && compared->complete) {
    CHECK(AccountFor(compared->difference, Here().fingerprint.total(), compared->there.total).ok());
  }
  const auto decoded = CopyFingerprint::Decode(
      std::make_shared<CopyKeying>(CopyKey{.epoch = 1, .secret = {7}}), Changed(stored, changes));
  if (decoded.ok()) CHECK(!decoded->Encode().empty());
}

}  // namespace
}  // namespace daicho

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace daicho;
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  CopyAnswers answers(There().fingerprint, kPosition, There().Scan());
  Scripted scripted(bytes);
  CopyProgress opened;
  opened.there = There().fingerprint.Cut(kPosition);
  opened.opened = true;
  switch (data[0] % 6) {
    case 0:
      ReadFileOf(bytes);
      break;
    case 1:
      AskAll(bytes);
      break;
    case 2:
      if (const auto progress = CopyProgress::Decode(bytes); progress.ok()) GoOn(*progress, answers);
      break;
    case 3:
      GoOn(opened, scripted);
      break;
    case 4:
      GoOn({}, scripted);
      break;
    case 5:
      ChangeFiles(bytes);
      break;
  }
  return 0;
}
