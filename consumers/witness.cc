#include "consumers/witness.h"

#include <fcntl.h>
#include <sys/file.h>

#include <charconv>
#include <filesystem>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <vector>

#include "consumers/home.h"
#include "events/merkle.h"
#include "ledger/files.h"

namespace daicho {
namespace {

constexpr std::size_t kProofLinesMax = 63;
constexpr std::string_view kSizeType = "text/x.tlog.size";

HttpResponse Refuse(int status, std::string why) {
  return {status, "text/plain; charset=utf-8", std::move(why) + "\n", {}};
}

// The witness's state is ahead of, or beside, what was asked: the answer says where it is.
HttpResponse Differs(std::uint64_t size) {
  return {409, std::string(kSizeType), std::to_string(size) + "\n", {}};
}

std::string NameOf(std::string_view origin) { return ToHex(View(Sha256Of({origin}))); }

Result<std::string_view> TakeLine(std::string_view& text) {
  const std::size_t end = text.find('\n');
  if (end == std::string_view::npos) return Invalid("a line ends with a newline");
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(end + 1);
  return line;
}

Result<std::uint64_t> ToSize(std::string_view text) {
  std::uint64_t size = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), size);
  if (error != std::errc() || end != text.data() + text.size() || std::to_string(size) != text) {
    return Invalid("old: a size in decimal, without leading zeros");
  }
  return size;
}

Result<Key256> ToKey(const std::string& hex, const std::string& what) {
  const auto bytes = FromHex(hex);
  if (!bytes.ok() || bytes->size() != 32) return Invalid(what + ": 32 bytes in hex");
  return ToArray<32>(*bytes);
}

struct AddCheckpoint {
  std::uint64_t old_size = 0;
  Proof proof;
  std::string_view note;
};

Result<AddCheckpoint> ParseAddCheckpoint(std::string_view body) {
  AddCheckpoint out;
  ASSIGN_OR_RETURN(std::string_view line, TakeLine(body));
  if (!line.starts_with("old ")) return Invalid("the first line is \"old\" and a size");
  ASSIGN_OR_RETURN(out.old_size, ToSize(line.substr(4)));
  for (;;) {
    ASSIGN_OR_RETURN(line, TakeLine(body));
    if (line.empty()) break;
    if (out.proof.size() == kProofLinesMax) return Invalid("proof: at most 63 lines");
    ASSIGN_OR_RETURN(const std::string bytes, FromBase64(line));
    const auto hash = ToArray<32>(bytes);
    if (!hash.ok()) return Invalid("proof: a line is a hash of 32 bytes in base64");
    out.proof.push_back(*hash);
  }
  out.note = body;
  return out;
}

struct Head {
  Note note;  // refers into the text it was read from
  TreeHead head;
};

}  // namespace

struct Witness::Impl {
  std::string dir;
  const Clock* clock = nullptr;
  Descriptor lock;
  SigningKey secret;
  NoteKey key;
  mutable std::mutex mutex;
  std::map<std::string, Log> logs;  // by origin; guarded by mutex

  std::string LogDir(std::string_view origin) const { return dir + "/logs/" + NameOf(origin); }

  Status LoadLogs() {
    const std::string all = dir + "/logs";
    if (!FileExists(all)) return {};
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(all, error)) {
      // One that was being made when the process died: it was never trusted.
      if (!FileExists(entry.path().string() + "/log.toml")) continue;
      RETURN_IF_ERROR(LoadLog(entry.path().string()).With(entry.path().string()));
    }
    return error ? Unavailable(all + ": " + error.message()) : Status();
  }

  Status LoadLog(const std::string& path) {
    ASSIGN_OR_RETURN(auto settings,
                     ReadSettings(path + "/log.toml", {"key", "ledger", "registrar"}));
    Log log;
    ASSIGN_OR_RETURN(log.key, ParseNoteKey(settings["key"]));
    ASSIGN_OR_RETURN(log.ledger, FromHex(settings["ledger"]));
    if (log.ledger.size() != 16) return Invalid("log.toml: ledger is 16 bytes in hex");
    ASSIGN_OR_RETURN(log.registrar, ToKey(settings["registrar"], "log.toml: registrar"));
    if (path != LogDir(log.key.name))
      return Tampered("log.toml is of another origin than its directory");
    log.root = MerkleEdge().Root();
    if (FileExists(path + "/checkpoint")) RETURN_IF_ERROR(LoadCheckpoint(path, log));
    const std::string origin = log.key.name;
    logs[origin] = std::move(log);
    return {};
  }

  Status LoadCheckpoint(const std::string& path, Log& log) const {
    ASSIGN_OR_RETURN(log.note, ReadFile(path + "/checkpoint"));
    ASSIGN_OR_RETURN(const Note note, ParseNote(log.note));
    // Its own line, which it made once it had verified the log's: the log's key may have changed since.
    RETURN_IF_ERROR(VerifyCosignature(note, key).status().With("checkpoint"));
    ASSIGN_OR_RETURN(const TreeHead head, ParseTreeHead(log.note));
    if (head.origin != log.key.name || head.ledger != log.ledger) {
      return Tampered("checkpoint is of another log than the pinned one");
    }
    log.size = head.size;
    log.root = head.root;
    log.time = head.time;
    return {};
  }

  Status CheckPromises(const Log& log, const TreeHead& head) const {
    if (head.ledger != log.ledger)
      return Tampered("ledger: another than the one pinned for this origin");
    if (head.time < log.time)
      return Tampered("time: earlier than that of the checkpoint cosigned before");
    return {};
  }

  // Stores the note with our line, then believes it. Returns the line. Requires: mutex.
  Result<std::string> Keep(Log& log, const Head& read, std::string_view text) {
    ASSIGN_OR_RETURN(const std::string line, Cosign(text, key.name, secret, clock->Now()));
    const NoteSignature* own = read.note.Find(log.key.name, log.key.id());
    std::string note = std::string(read.note.text) + "\n" +
                       SignatureLine(own->name, own->key_id, own->bytes) + line;
    RETURN_IF_ERROR(WriteFileDurably(LogDir(log.key.name) + "/checkpoint", note, 0644));
    log.size = read.head.size;
    log.root = read.head.root;
    log.time = read.head.time;
    log.note = std::move(note);
    return line;
  }

  HttpResponse Add(std::string_view body) {
    const auto request = ParseAddCheckpoint(body);
    if (!request.ok()) return Refuse(400, request.status().message());
    const auto note = ParseNote(request->note);
    if (!note.ok()) return Refuse(400, note.status().message());
    const auto checkpoint = ParseCheckpoint(note->text);
    if (!checkpoint.ok()) return Refuse(400, checkpoint.status().message());

    const std::lock_guard hold(mutex);
    const auto found = logs.find(std::string(checkpoint->origin));
    if (found == logs.end()) return Refuse(404, "origin: not a log that this witness knows");
    Log& log = found->second;
    if (!VerifyNote(*note, log.key).ok())
      return Refuse(403, "no signature verifies with the log's key");
    auto head = ParseTreeHead(request->note);
    if (!head.ok()) return Refuse(400, head.status().message());
    if (request->old_size > head->size) return Refuse(400, "old: larger than the checkpoint");
    if (request->old_size != log.size) return Differs(log.size);
    if (head->size == log.size && head->root != log.root) return Differs(log.size);
    if (const Status status =
            VerifyConsistency(log.size, log.root, head->size, head->root, request->proof);
        !status.ok()) {
      return Refuse(422, status.message());
    }
    if (const Status status = CheckPromises(log, *head); !status.ok())
      return Refuse(422, status.message());
    auto line = Keep(log, {*note, std::move(*head)}, request->note);
    if (!line.ok()) return Refuse(500, "the witness could not store its state");
    return {200, "text/plain; charset=utf-8", std::move(*line), {}};
  }

  std::string Info() const {
    std::string out = "witness " + FormatNoteKey(key) + "\n";
    const std::lock_guard hold(mutex);
    for (const auto& [origin, log] : logs) {
      out += NameOf(origin) + "/checkpoint " + origin + " " + std::to_string(log.size) + "\n";
    }
    return out;
  }

  HttpResponse Newest(std::string_view name) const {
    const std::lock_guard hold(mutex);
    for (const auto& [origin, log] : logs) {
      if (NameOf(origin) != name) continue;
      if (log.note.empty()) return Refuse(404, "no checkpoint of this log has been cosigned");
      return {200, "text/plain; charset=utf-8", log.note, {{"Cache-Control", "no-cache"}}};
    }
    return Refuse(404, "not a log that this witness knows");
  }
};

Witness::Witness(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Witness::~Witness() = default;

Result<std::string> Witness::Create(const std::string& dir, const std::string& name) {
  if (!IsNoteKeyName(name)) return Invalid("name: not empty, without spaces and +");
  if (name.find_first_of("\"\\") != std::string::npos) return Invalid("name: without \" and \\");
  if (FileExists(dir + "/witness.toml")) return Conflict(dir + " is a witness already");
  const SigningKey secret = SigningKey::Generate();
  ASSIGN_OR_RETURN(VerifyingKey verifier, VerifyingKey::From(secret.public_key()));
  const std::string line =
      FormatNoteKey({name, NoteAlgorithm::kCosignatureV1, std::move(verifier)});
  RETURN_IF_ERROR(MakeDirectories(dir + "/keys"));
  RETURN_IF_ERROR(MakeDirectories(dir + "/logs"));
  RETURN_IF_ERROR(WriteSigningKey(dir + "/keys/witness.key", secret));
  RETURN_IF_ERROR(WriteFileDurably(dir + "/witness.pub", line + "\n", 0644));
  RETURN_IF_ERROR(WriteFileDurably(dir + "/witness.toml", "name = \"" + name + "\"\n", 0644));
  return line;
}

Result<std::unique_ptr<Witness>> Witness::Open(const std::string& dir, const Clock& clock) {
  if (!FileExists(dir + "/witness.toml"))
    return NotFound(dir + " is no witness; daicho witness init makes one");
  auto impl = std::make_unique<Impl>();
  impl->dir = dir;
  impl->clock = &clock;
  impl->lock = Descriptor(::open((dir + "/lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (impl->lock.get() < 0) return ErrnoStatus("opening " + dir + "/lock");
  if (::flock(impl->lock.get(), LOCK_EX | LOCK_NB) != 0)
    return Unavailable("another process has " + dir);
  ASSIGN_OR_RETURN(auto settings, ReadSettings(dir + "/witness.toml", {"name"}));
  if (!IsNoteKeyName(settings["name"])) return Invalid("witness.toml: name is no key's name");
  ASSIGN_OR_RETURN(impl->secret, ReadSigningKey(dir + "/keys/witness.key"));
  impl->key.name = settings["name"];
  impl->key.algorithm = NoteAlgorithm::kCosignatureV1;
  ASSIGN_OR_RETURN(impl->key.key, VerifyingKey::From(impl->secret.public_key()));
  RETURN_IF_ERROR(impl->LoadLogs());
  return std::unique_ptr<Witness>(new Witness(std::move(impl)));
}

Status Witness::Trust(const std::string& ledger_public_file, bool new_key) {
  ASSIGN_OR_RETURN(const LedgerPublic ledger, ReadLedgerPublic(ledger_public_file));
  Log log;
  log.ledger = View(ledger.ledger);
  log.registrar = ledger.registrar;
  log.key.name = LedgerOrigin(ledger.prefecture);
  ASSIGN_OR_RETURN(log.key.key, VerifyingKey::From(ledger.sequencer));
  log.root = MerkleEdge().Root();

  const std::lock_guard hold(impl_->mutex);
  const std::string origin = log.key.name;
  if (const auto known = impl_->logs.find(origin); known != impl_->logs.end()) {
    if (known->second.ledger != log.ledger || known->second.registrar != log.registrar) {
      return Conflict(origin + " is pinned with another ledger");
    }
    if (known->second.key.key.bytes() == ledger.sequencer) return {};
    if (!new_key) return Conflict(origin + " is pinned with another key");
    // What it has cosigned stays true of the ledger, whose key changes.
    const NoteKey key = log.key;
    log = known->second;
    log.key = key;
  }
  RETURN_IF_ERROR(MakeDirectories(impl_->LogDir(origin)));
  RETURN_IF_ERROR(WriteFileDurably(impl_->LogDir(origin) + "/log.toml",
                                   "key = \"" + FormatNoteKey(log.key) + "\"\nledger = \"" +
                                       ToHex(log.ledger) + "\"\nregistrar = \"" +
                                       ToHex(View(log.registrar)) + "\"\n",
                                   0644));
  impl_->logs[origin] = std::move(log);
  return {};
}

HttpResponse Witness::Handle(const HttpRequest& request) {
  const std::string path = request.target.substr(0, request.target.find('?'));
  if (path == "/add-checkpoint") {
    if (request.method != "POST") return Refuse(405, "add-checkpoint is a POST");
    return impl_->Add(request.body);
  }
  if (request.method != "GET") return Refuse(405, "only add-checkpoint takes a POST");
  if (path == "/")
    return {200, "text/plain; charset=utf-8", impl_->Info(), {{"Cache-Control", "no-cache"}}};
  constexpr std::string_view kNewest = "/checkpoint";
  if (path.size() > kNewest.size() + 1 && path.ends_with(kNewest)) {
    return impl_->Newest(std::string_view(path).substr(1, path.size() - 1 - kNewest.size()));
  }
  return Refuse(404, "nothing is here");
}

Result<std::string> Witness::CosignAs(std::string_view text, const Continues& continues) {
  Head read;
  ASSIGN_OR_RETURN(read.note, ParseNote(text));
  ASSIGN_OR_RETURN(read.head, ParseTreeHead(text));
  const std::lock_guard hold(impl_->mutex);
  const auto found = impl_->logs.find(read.head.origin);
  if (found == impl_->logs.end()) return NotFound("origin: not a log that this witness knows");
  Log& log = found->second;
  RETURN_IF_ERROR(VerifyNote(read.note, log.key));
  if (read.head.size < log.size)
    return Conflict("the checkpoint is older than the one cosigned before");
  RETURN_IF_ERROR(continues(log.size, log.root));
  RETURN_IF_ERROR(impl_->CheckPromises(log, read.head));
  RETURN_IF_ERROR(impl_->Keep(log, read, text).status());
  return log.note;
}

std::vector<std::string> Witness::Origins() const {
  const std::lock_guard hold(impl_->mutex);
  std::vector<std::string> out;
  for (const auto& [origin, log] : impl_->logs) out.push_back(origin);
  return out;
}

const NoteKey& Witness::key() const { return impl_->key; }

Result<Witness::Log> Witness::Find(const std::string& origin) const {
  const std::lock_guard hold(impl_->mutex);
  const auto found = impl_->logs.find(origin);
  if (found == impl_->logs.end()) return NotFound("origin: not a log that this witness knows");
  return found->second;
}

}  // namespace daicho
