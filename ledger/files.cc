#include "ledger/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "events/bytes.h"
#include "events/crypto.h"

namespace daicho {
namespace {

constexpr std::size_t kBufferBytes = 256u << 10;
constexpr std::size_t kPlaceHead = 32 + 8 + 8;         // of a SlotFile
constexpr std::size_t kPlaceBytesMin = 16u << 10;

}  // namespace

Status ErrnoStatus(std::string_view what) {
  const int error = errno;
  std::string message = std::string(what) + ": " + std::strerror(error);
  return {error == ENOENT ? Code::kNotFound : Code::kUnavailable, std::move(message)};
}

Descriptor::~Descriptor() {
  if (fd_ >= 0) ::close(fd_);
}

Status MakeDirectories(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) return Unavailable("creating " + path + ": " + error.message());
  return {};
}

bool FileExists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

Result<std::string> ReadFile(const std::string& path) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) return ErrnoStatus("opening " + path);
  std::string out;
  char buffer[65536];
  for (;;) {
    const ssize_t n = ::read(file.get(), buffer, sizeof(buffer));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus("reading " + path);
    if (n == 0) return out;
    out.append(buffer, static_cast<std::size_t>(n));
  }
}

Status SyncDirectory(const std::string& path) {
  const Descriptor dir(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (dir.get() < 0) return ErrnoStatus("opening " + path);
  if (::fsync(dir.get()) != 0) return ErrnoStatus("syncing " + path);
  return {};
}

Status WriteFileDurably(const std::string& path, std::string_view content, unsigned mode) {
  ASSIGN_OR_RETURN(NewFile file, NewFile::Create(path, mode));
  RETURN_IF_ERROR(file.Append(content));
  return file.Commit();
}

Status RemoveFile(const std::string& path) {
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return ErrnoStatus("removing " + path);
  return {};
}

Status DestroyFile(const std::string& path) {
  {
    const Descriptor file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    if (file.get() < 0) return errno == ENOENT ? Status() : ErrnoStatus("opening " + path);
    struct stat info {};
    if (::fstat(file.get(), &info) != 0) return ErrnoStatus("reading " + path);
    std::string noise(64u << 10, '\0');
    RandomBytes(noise.data(), noise.size());
    const auto size = static_cast<std::uint64_t>(info.st_size);
    for (std::uint64_t at = 0; at < size; at += noise.size()) {
      const auto part = std::min<std::uint64_t>(noise.size(), size - at);
      RETURN_IF_ERROR(WriteAt(file, at, std::string_view(noise).substr(0, part)));
    }
    if (::fsync(file.get()) != 0) return ErrnoStatus("syncing " + path);
  }
  RETURN_IF_ERROR(RemoveFile(path));
  return SyncDirectory(std::filesystem::absolute(path).parent_path().string());
}

Result<NewFile> NewFile::Create(const std::string& path, unsigned mode) {
  NewFile out(path, Descriptor());
  out.file_ = Descriptor(
      ::open(out.Beside().c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, static_cast<mode_t>(mode)));
  if (out.file_.get() < 0) return ErrnoStatus("creating " + out.Beside());
  return out;
}

NewFile::~NewFile() {
  if (file_.get() >= 0) static_cast<void>(RemoveFile(Beside()));
}

Status NewFile::Append(std::string_view bytes) {
  buffer_.append(bytes);
  return buffer_.size() < kBufferBytes ? Status() : Flush();
}

Status NewFile::Flush() {
  RETURN_IF_ERROR(WriteAt(file_, written_, buffer_).With(Beside()));
  written_ += buffer_.size();
  buffer_.clear();
  return {};
}

Status NewFile::Commit() {
  RETURN_IF_ERROR(Flush());
  if (::fdatasync(file_.get()) != 0) return ErrnoStatus("syncing " + Beside());
  if (::rename(Beside().c_str(), path_.c_str()) != 0) return ErrnoStatus("renaming " + Beside());
  file_ = Descriptor();
  return SyncDirectory(std::filesystem::absolute(path_).parent_path().string());
}

Result<SlotFile::Place> SlotFile::Newest(std::string_view bytes) const {
  Place out;
  const std::size_t half = bytes.size() / 2;
  for (std::string_view place : {bytes.substr(0, half), bytes.substr(half)}) {
    if (place.size() < kPlaceHead || place.size() - kPlaceHead < ReadU64(place.substr(40))) continue;
    const std::string_view named = place.substr(32, 16 + ReadU64(place.substr(40)));
    if (place.substr(0, 32) != View(Sha256Of({named}))) continue;
    if (ReadU64(named) >= out.number) out = {ReadU64(named), std::string(named.substr(16))};
  }
  if (out.number == 0) return Corrupt(path_ + " is damaged");
  return out;
}

Result<std::string> SlotFile::Read() {
  ASSIGN_OR_RETURN(const std::string bytes, ReadFile(path_));
  ASSIGN_OR_RETURN(Place newest, Newest(bytes));
  RETURN_IF_ERROR(Take(newest.number, bytes.size() / 2));
  return std::move(newest.content);
}

Status SlotFile::Take(std::uint64_t number, std::size_t place_bytes) {
  file_ = Descriptor(::open(path_.c_str(), O_WRONLY | O_CLOEXEC));
  if (file_.get() < 0) return ErrnoStatus("opening " + path_);
  place_bytes_ = place_bytes;
  number_ = number;
  return {};
}

Status SlotFile::Write(std::string_view content) {
  if (file_.get() < 0) {
    if (const Status read = Read().status(); !read.ok() && read.code() != Code::kNotFound) return read;
  }
  std::string named;
  AppendU64(named, number_ + 1);
  AppendU64(named, content.size());
  named += content;
  std::string place(View(Sha256Of({named})));
  place += named;
  if (file_.get() >= 0 && place.size() <= place_bytes_) {
    const std::uint64_t at = (number_ + 1) % 2 * place_bytes_;
    RETURN_IF_ERROR(WriteAt(file_, at, place).With(path_));
    if (::fdatasync(file_.get()) != 0) return ErrnoStatus("syncing " + path_);
    ++number_;
    return {};
  }
  // The first time, or too large: a new file, all of it written, so that nothing but bytes changes from here on.
  const std::size_t bytes = std::bit_ceil(std::max(place.size(), kPlaceBytesMin));
  std::string both(2 * bytes, '\0');
  both.replace((number_ + 1) % 2 * bytes, place.size(), place);
  RETURN_IF_ERROR(WriteFileDurably(path_, both, mode_));
  return Take(number_ + 1, bytes);
}

Result<std::size_t> ReadAt(const Descriptor& file, std::uint64_t offset, char* out, std::size_t size) {
  std::size_t done = 0;
  while (done < size) {
    const ssize_t n = ::pread(file.get(), out + done, size - done, static_cast<off_t>(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus("reading");
    if (n == 0) break;
    done += static_cast<std::size_t>(n);
  }
  return done;
}

Status WriteAt(const Descriptor& file, std::uint64_t offset, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(file.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus("writing");
    bytes.remove_prefix(static_cast<std::size_t>(n));
    offset += static_cast<std::uint64_t>(n);
  }
  return {};
}

}  // namespace daicho
