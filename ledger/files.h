// Small files that must survive a crash whole or not at all, and the directory they lie in.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "events/result.h"

namespace daicho {

Status MakeDirectories(const std::string& path);
bool FileExists(const std::string& path);
// Errors: kNotFound, kUnavailable.
Result<std::string> ReadFile(const std::string& path);
// Writes beside, syncs, renames over, syncs the directory. `mode` as in open(2).
Status WriteFileDurably(const std::string& path, std::string_view content, unsigned mode = 0600);
Status RemoveFile(const std::string& path);
// Overwrites the content, syncs, unlinks, syncs the directory; nothing when there is no file. What a disk
// keeps beneath the file system is beyond it: that is why what matters is wrapped under a key.
Status DestroyFile(const std::string& path);
Status SyncDirectory(const std::string& path);
// "opening x: No such file or directory"
Status ErrnoStatus(std::string_view what);

// An open descriptor, closed on destruction.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor();
  Descriptor(Descriptor&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  int get() const { return fd_; }

 private:
  int fd_ = -1;
};

// A file that is written piece by piece and appears under its name whole and durable, or not at all.
class NewFile {
 public:
  // `mode` as in open(2). Until Commit the bytes lie beside, in `path`.new, which replaces one left there before.
  static Result<NewFile> Create(const std::string& path, unsigned mode = 0600);
  NewFile(NewFile&&) noexcept = default;
  ~NewFile();  // without Commit: removes what lies beside

  Status Append(std::string_view bytes);
  Status Commit();  // once, the last call

 private:
  NewFile(std::string path, Descriptor file) : path_(std::move(path)), file_(std::move(file)) {}
  Status Flush();
  std::string Beside() const { return path_ + ".new"; }

  std::string path_;
  Descriptor file_;
  std::string buffer_;
  std::uint64_t written_ = 0;
};

// A small file that is written anew again and again, each time by a single sync of nothing but its bytes: it has two places
// of the same size, and of those that are whole the newer one counts. What was written before stays readable in it.
//
//   place = SHA-256 of all that follows(32) ‖ number(8) ‖ size(8) ‖ content, then anything
class SlotFile {
 public:
  // `mode` as in open(2).
  explicit SlotFile(std::string path, unsigned mode = 0600) : path_(std::move(path)), mode_(mode) {}

  // Errors: kNotFound; kCorrupt when no place is whole.
  Result<std::string> Read();
  Status Write(std::string_view content);

 private:
  struct Place {
    std::uint64_t number = 0;
    std::string content;
  };
  Result<Place> Newest(std::string_view bytes) const;
  Status Take(std::uint64_t number, std::size_t place_bytes);

  std::string path_;
  unsigned mode_;
  Descriptor file_;             // once its places are known
  std::size_t place_bytes_ = 0;
  std::uint64_t number_ = 0;    // of the newest
};

// How much could be read from `offset` on: less than `size` only at the end of the file.
Result<std::size_t> ReadAt(const Descriptor& file, std::uint64_t offset, char* out, std::size_t size);
Status WriteAt(const Descriptor& file, std::uint64_t offset, std::string_view bytes);

}  // namespace daicho
