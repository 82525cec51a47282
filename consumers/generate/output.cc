#include "consumers/generate/output.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <utility>

#include "events/crypto.h"

namespace daicho::generate {
namespace {

constexpr std::uint64_t kFileNoticesMax = 10'000;

Status IoError(const std::string& path) {
  return Unavailable("cannot write " + path + ": " + std::strerror(errno));
}

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

Status WriteFile(const std::string& path, std::string_view first, std::string_view second) {
  std::unique_ptr<std::FILE, CloseFile> file(std::fopen(path.c_str(), "wbx"));
  if (file == nullptr) return IoError(path);
  for (const std::string_view part : {first, second}) {
    if (std::fwrite(part.data(), 1, part.size(), file.get()) != part.size()) return IoError(path);
  }
  if (std::fclose(file.release()) != 0) return IoError(path);
  return {};
}

}  // namespace

NoticeFiles::NoticeFiles(std::string directory, std::vector<std::string> issuers)
    : directory_(std::move(directory)) {
  for (std::string& code : issuers) issuers_.emplace_back().code = std::move(code);
}

Result<NoticeFiles> NoticeFiles::Create(std::string directory, std::vector<std::string> issuers) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) return Unavailable("cannot create " + directory + ": " + error.message());
  const bool empty = std::filesystem::is_empty(directory, error);
  if (error) return Unavailable("cannot read " + directory + ": " + error.message());
  if (!empty) return Conflict(directory + " is not empty");
  return NoticeFiles(std::move(directory), std::move(issuers));
}

Status NoticeFiles::BeginRound(int round) {
  round_directory_ = fmt::format("{}/{:04}", directory_, round);
  totals_ = {};
  std::error_code error;
  std::filesystem::create_directory(round_directory_, error);
  if (error) return Unavailable("cannot create " + round_directory_ + ": " + error.message());
  return {};
}

Status NoticeFiles::Add(std::size_t issuer, std::string_view line) {
  Issuer& file = issuers_[issuer];
  file.lines += line;
  file.lines += '\n';
  return ++file.count == kFileNoticesMax ? Flush(file) : Status();
}

Status NoticeFiles::Flush(Issuer& issuer) {
  ++issuer.sequence;
  const std::string header = fmt::format(
      "{{\"format\":\"daicho-notice/1\",\"issuer\":\"{}\",\"sequence\":{},\"count\":{},"
      "\"sha256\":\"{}\"}}\n",
      issuer.code, issuer.sequence, issuer.count, ToHex(View(Sha256Of({issuer.lines}))));
  const std::string path =
      fmt::format("{}/{}-{:06}.ndjson", round_directory_, issuer.code, issuer.sequence);
  RETURN_IF_ERROR(WriteFile(path, header, issuer.lines));
  ++totals_.files;
  totals_.notices += issuer.count;
  totals_.bytes += header.size() + issuer.lines.size();
  issuer.lines.clear();
  issuer.count = 0;
  return {};
}

Result<RoundTotals> NoticeFiles::EndRound() {
  for (Issuer& issuer : issuers_) {
    if (issuer.count > 0) RETURN_IF_ERROR(Flush(issuer));
  }
  return totals_;
}

Status NoticeFiles::WriteManifest(std::string_view json) {
  return WriteFile(directory_ + "/manifest.json", json, "\n");
}

}  // namespace daicho::generate
