#include "consumers/kikou_line.h"

#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

#include <algorithm>
#include <charconv>
#include <sstream>

#include "consumers/http.h"
#include "ledger/files.h"

namespace daicho {
namespace {

constexpr char kPeerFile[] = "kikou.toml";
constexpr std::size_t kRefusalBytesMax = 500;

// What an answer that is no message says, as one line of bounded length.
std::string Words(const HttpResponse& response) {
  std::string out = response.body.substr(0, kRefusalBytesMax);
  std::ranges::replace(out, '\n', ' ');
  while (out.ends_with(' ')) out.pop_back();
  return out.empty() ? "HTTP " + std::to_string(response.status) : out;
}

}  // namespace

Result<std::string> SignForKikou(std::string_view tag, std::string_view message, const SigningKey& key) {
  kikou::Signed out;
  out.set_message(std::string(message));
  ASSIGN_OR_RETURN(*out.mutable_signature(), key.TrySign(std::string(tag).append(message)));
  return out.SerializeAsString();
}

Result<std::string> OpenFromKikou(std::string_view tag, std::string_view body, const std::vector<Key256>& keys) {
  kikou::Signed read;
  if (!read.ParseFromArray(body.data(), static_cast<int>(body.size()))) return Corrupt("body: cannot be decoded");
  const std::string signed_text = std::string(tag) + read.message();
  for (const Key256& key : keys) {
    const auto verifier = VerifyingKey::From(key);
    if (verifier.ok() && verifier->Verify(signed_text, read.signature()).ok()) return std::move(*read.mutable_message());
  }
  return Denied("signature: not of a key that is known here");
}

v1::ResidentRecord Restricted(const v1::ResidentRecord& record, const std::vector<std::string>& fields) {
  const auto wanted = [&](const std::string& name) { return std::ranges::find(fields, name) != fields.end(); };
  v1::ResidentRecord out = record;
  const auto* descriptor = v1::ResidentRecord::descriptor();
  for (int i = 0; i < descriptor->field_count(); ++i) {
    if (!wanted(descriptor->field(i)->name())) out.GetReflection()->ClearField(&out, descriptor->field(i));
  }
  auto& glyphs = *out.mutable_external_glyphs();
  glyphs.erase(std::remove_if(glyphs.begin(), glyphs.end(),
                              [&](const v1::ExternalGlyph& glyph) { return !wanted(glyph.field()); }),
               glyphs.end());
  return out;
}

bool IsRecordField(std::string_view name) {
  return name == "resident_code" || v1::ResidentRecord::descriptor()->FindFieldByName(std::string(name)) != nullptr;
}

Result<Key256> ReadPublicKeyFile(const std::string& path) {
  ASSIGN_OR_RETURN(std::string text, ReadFile(path));
  while (!text.empty() && text.back() == '\n') text.pop_back();
  const auto bytes = FromHex(text);
  if (!bytes.ok() || bytes->size() != 32) return Invalid(path + ": no public key of 32 bytes in hex");
  return ToArray<32>(*bytes);
}

Result<CopyKey> ReadCopyKeyFile(const std::string& path) {
  const Status invalid = Invalid(path + ": no copy key, EPOCH:64 hexadecimal digits");
  ASSIGN_OR_RETURN(std::string text, ReadFile(path));
  if (text.ends_with('\n')) text.pop_back();
  const std::size_t colon = text.find(':');
  if (colon == std::string::npos) return invalid;
  CopyKey key;
  const auto [end, error] = std::from_chars(text.data(), text.data() + colon, key.epoch);
  if (error != std::errc() || end != text.data() + colon) return invalid;
  const auto secret = FromHex(std::string_view(text).substr(colon + 1));
  if (!secret.ok() || secret->size() != key.secret.size()) return invalid;
  ASSIGN_OR_RETURN(key.secret, ToArray<32>(*secret));
  return key;
}

Status WriteCopyKeyFile(const std::string& path, const CopyKey& key) {
  return WriteFileDurably(path, std::to_string(key.epoch) + ":" + ToHex(View(key.secret)) + "\n", 0600);
}

Result<std::optional<KikouPeer>> ReadKikouPeer(const Home& home) {
  const std::string path = home.Path(kPeerFile);
  if (!FileExists(path)) return std::optional<KikouPeer>();
  ASSIGN_OR_RETURN(auto settings, ReadSettings(path, {"url", "public_key", "ca_file"}));
  KikouPeer out;
  out.url = settings["url"];
  RETURN_IF_ERROR(CheckHttpUrl(out.url).With("kikou.toml: url"));
  const auto key = FromHex(settings["public_key"]);
  if (!key.ok() || key->size() != 32) return Invalid("kikou.toml: public_key: 32 bytes in hex");
  ASSIGN_OR_RETURN(out.public_key, ToArray<32>(*key));
  out.ca_file = settings["ca_file"];
  return std::optional(std::move(out));
}

Status WriteKikouPeer(const Home& home, const KikouPeer& peer) {
  std::ostringstream text;
  text << toml::table{{"url", peer.url}, {"public_key", ToHex(View(peer.public_key))}, {"ca_file", peer.ca_file}} << "\n";
  return WriteFileDurably(home.Path(kPeerFile), text.str(), 0644);
}

Result<KikouReply> KikouClient::Call(const std::string& path, std::string_view tag, std::string_view message,
                                     std::string_view answer_tag) const {
  HttpCallOptions call;
  call.url = peer_.url + path;
  call.method = "POST";
  ASSIGN_OR_RETURN(call.body, SignForKikou(tag, message, key_));
  const std::size_t bytes_sent = call.body.size();
  call.content_type = kKikouContentType;
  call.timeout = timeout_;
  call.ca_file = peer_.ca_file;
  call.response_bytes_max = kKikouBodyBytesMax;
  auto response = HttpCall(call);
  if (!response.ok()) return Unavailable(response.status().message());
  KikouReply out;
  out.status = response->status;
  if (out.status == 400) return Invalid(Words(*response));
  if (out.status == 403) return Denied(Words(*response));
  if (out.status == 404 && path == kKikouCopiesPath) return NotFound(Words(*response));
  if (out.status != 200 && out.status != 409) return Unavailable(Words(*response));
  auto opened = OpenFromKikou(out.status == 200 ? answer_tag : kKikouExpectedTag, response->body, {peer_.public_key});
  if (!opened.ok()) return Unavailable("機構の応答を検証できません: " + opened.status().message());
  out.message = *std::move(opened);
  out.body = std::move(response->body);
  out.bytes_sent = bytes_sent;
  return out;
}

}  // namespace daicho
