// Witness: somebody other than the prefecture who vouches that a ledger only ever grows. It keeps,
// of each log that it knows, the newest checkpoint that it has cosigned, and cosigns another only
// when its tree continues that one: two histories of one size cannot both carry its cosignature.
//
//   W/witness.toml                 name
//   W/keys/witness.key             private key
//   W/witness.pub                  public key, as the policy's "witness" line wants it
//   W/lock                         one process at a time
//   W/logs/<SHA-256 of origin>/
//     log.toml                     what is pinned for this origin: key, ledger, registrar
//     checkpoint                   newest cosigned note; synced before the answer leaves
//
// It speaks C2SP tlog-witness. Any thread.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "consumers/http.h"
#include "events/clock.h"
#include "events/note.h"
#include "events/tree_head.h"

namespace daicho {

// Largest body of add-checkpoint: a head, and 63 lines of proof.
inline constexpr std::size_t kAddCheckpointBytesMax = kSignedHeadBytesMax + (8u << 10);

class Witness {
 public:
  // A new home with a fresh key. Returns the public key line. Errors: kInvalid for a name that
  // cannot be a key's, kConflict when there is a witness already.
  static Result<std::string> Create(const std::string& dir, const std::string& name);
  // `clock` is borrowed. Errors: kNotFound, kInvalid, kCorrupt, kTampered for a state that its own
  // keys did not sign; kUnavailable when another process has it.
  static Result<std::unique_ptr<Witness>> Open(const std::string& dir, const Clock& clock);
  ~Witness();
  Witness(const Witness&) = delete;

  // Pins a log by the ledger's public file (ledger.pub.json). Harmless when it is known just so.
  // With `new_key` the ledger's key takes the place of the one pinned, after it was rotated: a person vouches for
  // that. Durable: when it returns. Errors: kInvalid; kConflict when its origin is known with another key or ledger.
  Status Trust(const std::string& ledger_public_file, bool new_key = false);

  // POST /add-checkpoint, GET / and GET /<SHA-256 of origin>/checkpoint.
  HttpResponse Handle(const HttpRequest& request);

  // For a witness that computes the tree itself: cosigns a head of the log that continues, by
  // `continues(old size, old root)`, what was cosigned before. Returns the note with this witness's
  // line. Errors: as a Status what Handle would answer, and those of `continues`.
  using Continues = std::function<Status(std::uint64_t old_size, const Digest& old_root)>;
  Result<std::string> CosignAs(std::string_view note, const Continues& continues);

  const NoteKey& key() const;
  // What is pinned for an origin. Errors: kNotFound.
  struct Log {
    NoteKey key;
    std::string ledger;  // 16 bytes
    Key256 registrar{};  // whose key the ledger begins with
    std::uint64_t size = 0;
    Digest root{};  // of the empty tree at first
    TimeMicros time;
    std::string note;  // empty at first
  };
  Result<Log> Find(const std::string& origin) const;
  std::vector<std::string> Origins() const;

 private:
  struct Impl;
  explicit Witness(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace daicho
