#include "ledger/submission.h"

#include <google/protobuf/message.h>

#include <algorithm>
#include <memory>

#include "events/merkle.h"
#include "events/notice_rules.h"
#include "ledger/residents.h"

namespace daicho {
namespace {

template <typename... Messages>
bool AnyUnknown(const Messages&... messages) {
  return (... || !messages.GetReflection()->GetUnknownFields(messages).empty());
}

bool HasUnknownFields(const v1::UpdateNotice& notice) {
  const v1::ResidentRecord& record = notice.record();
  return AnyUnknown(notice, record, record.address(), record.former_name(), record.alias()) ||
         std::any_of(record.external_glyphs().begin(), record.external_glyphs().end(),
                     [](const v1::ExternalGlyph& glyph) { return AnyUnknown(glyph); });
}

// Of the message or of one within it.
bool HasUnknownFields(const google::protobuf::Message& message) {
  const google::protobuf::Reflection& reflection = *message.GetReflection();
  if (!reflection.GetUnknownFields(message).empty()) return true;
  std::vector<const google::protobuf::FieldDescriptor*> fields;
  reflection.ListFields(message, &fields);
  for (const auto* field : fields) {
    if (field->cpp_type() != google::protobuf::FieldDescriptor::CPPTYPE_MESSAGE) continue;
    if (!field->is_repeated()) {
      if (HasUnknownFields(reflection.GetMessage(message, field))) return true;
      continue;
    }
    for (int i = 0; i < reflection.FieldSize(message, field); ++i) {
      if (HasUnknownFields(reflection.GetRepeatedMessage(message, field, i))) return true;
    }
  }
  return false;
}

class Preparer {
 public:
  Preparer(PreparedSubmission& out, const std::string& issuer, int prefecture, const LedgerId& ledger)
      : out_(out), issuer_(issuer), prefecture_(prefecture), ledger_(ledger) {}

  void Run(std::string_view record, std::span<const HpkeKeyPair> intake) {
    v1::Submission submission;
    if (!submission.ParseFromArray(record.data(), static_cast<int>(record.size())) ||
        submission.version() != kSubmissionVersion) {
      out_.head_digest = Sha256Of({record});  // it has no head to be named by
      return Break(0, "submission", "malformed", "提出データを読み取れません");
    }
    out_.head_note = submission.head();
    out_.head_digest = Sha256Of({out_.head_note});
    auto head = ParseTreeHead(out_.head_note);
    auto detached = DetachHead(out_.head_note);
    if (!head.ok() || !detached.ok()) return Break(0, "head", "malformed", "ツリーヘッドを読み取れません");
    out_.detached_head = std::move(*detached);
    out_.head = std::move(*head);
    if (out_.head.origin != IssuerOrigin(prefecture_, issuer_)) {
      return Break(0, "head", "origin", "他の発行者のツリーヘッドです");
    }
    if (out_.head.ledger != View(ledger_)) return Break(0, "head", "ledger", "他の台帳あての提出です");
    Result<std::string> body = Tampered("no key to open it");
    for (std::size_t i = 0; i < intake.size() && !body.ok(); ++i) {
      body = HpkeOpen(intake[i], IntakeInfo(ledger_), submission.head(), submission.sealed_body());
    }
    if (!body.ok()) return Break(0, "body", "sealed", "提出内容を復号できません");
    v1::SubmissionBody drafts;
    if (!drafts.ParseFromString(*body)) return Break(0, "body", "malformed", "提出内容を読み取れません");
    const auto count = static_cast<std::size_t>(drafts.drafts_size());
    if (count == 0 || count > kEventsPerSubmissionMax) {
      return Break(0, "body", "count", "提出の件数が範囲外です");
    }
    if (out_.head.size < count) return Break(0, "head", "size", "ツリーヘッドの件数が提出より少なくなっています");
    out_.readable = true;
    out_.events.resize(count);
    for (std::size_t i = 0; i < count; ++i) {
      Event(i, *drafts.mutable_drafts(static_cast<int>(i)), out_.events[i]);
    }
  }

 private:
  void Break(std::size_t item, std::string field, std::string rule, std::string message,
             std::uint64_t expected = 0) {
    if (out_.violations.size() >= kViolationsMax) return;
    v1::Violation violation;
    violation.set_item(item);
    violation.set_field(std::move(field));
    violation.set_rule(std::move(rule));
    violation.set_message(std::move(message));
    violation.set_expected(expected);
    out_.violations.push_back(std::move(violation));
  }

  void Event(std::size_t item, v1::Draft& draft, PreparedEvent& out) {
    out.header_bytes = std::move(*draft.mutable_header());
    out.leaf_hash = LeafHash(out.header_bytes);
    auto header = ParseHeader(out.header_bytes);
    if (!header.ok()) return Break(item, "header", "malformed", "イベントヘッダを読み取れません");
    out.header = std::move(*header);
    const std::uint64_t sequence = out_.head.size - out_.events.size() + item + 1;
    if (out.header.issuer() != issuer_) Break(item, "header.issuer", "issuer", "発行者が提出元と一致しません");
    if (out.header.sequence() != sequence) {
      Break(item, "header.sequence", "sequence", "イベントの連番が一致しません", sequence);
    }
    out.kind = FindKind(out.header.kind());
    if (out.kind == nullptr) return Break(item, "header.kind", "unknown", "未知のイベント種別です");
    if (out.header.schema_version() != 1) Break(item, "header.schema_version", "unknown", "未知の版です");
    if (out.header.retention() != out.kind->retention) {
      Break(item, "header.retention", "retention", "保存区分が種別と一致しません");
    }
    if (draft.parts_size() != out.header.commitments_size()) {
      return Break(item, "parts", "count", "内容の数がヘッダと一致しません");
    }
    std::size_t bytes = 0;
    for (int i = 0; i < draft.parts_size(); ++i) {
      v1::DraftPart& part = *draft.mutable_parts(i);
      bytes += part.payload().size();
      if (bytes > kEventBytesMax || part.salt().size() != sizeof(Salt) || part.payload().size() > kPartBytesMax ||
          (!part.subject().empty() && part.subject().size() != sizeof(SubjectHandle))) {
        Break(item, "parts", "size", "内容の大きさが範囲外です");
      } else if (View(Commit(part.salt(), part.payload())) != out.header.commitments(i)) {
        Break(item, "parts", "commitment", "内容がコミットメントと一致しません");
      }
      if (part.clear() != (out.kind->clear && i == 0)) Break(item, "parts", "clear", "平文・封緘の別が種別と一致しません");
      out.parts.push_back(std::move(part));
    }
    if (out.header.kind() == v1::EVENT_KIND_UPDATE) return Notice(item, out);
    for (std::size_t i = 0; i < out.parts.size(); ++i) {
      const auto descriptor = i == 0 ? out.kind->descriptor : out.kind->part_descriptor;
      if (descriptor == nullptr) return Break(item, "parts", "count", "内容の数が種別と一致しません");
      Payload(item, *descriptor(), out.parts[i].payload());
    }
  }

  // Any kind's payload but a notice: its message, and nothing that the message does not name.
  void Payload(std::size_t item, const google::protobuf::Descriptor& type, const std::string& payload) {
    const std::unique_ptr<google::protobuf::Message> message(
        google::protobuf::MessageFactory::generated_factory()->GetPrototype(&type)->New());
    if (!message->ParseFromString(payload)) {
      return Break(item, "payload", "malformed", "内容を読み取れません");
    }
    if (HasUnknownFields(*message)) Break(item, "payload", "unknown_field", "内容に未知の項目があります");
  }

  void Notice(std::size_t item, PreparedEvent& out) {
    if (out.parts.size() != 1) return Break(item, "parts", "count", "更新通知の内容は一つです");
    const std::string& payload = out.parts[0].payload();
    // A string that is not UTF-8 does not parse either.
    if (!out.notice.ParseFromString(payload)) {
      return Break(item, "payload", "malformed", "通知を読み取れません");
    }
    if (HasUnknownFields(out.notice)) {
      return Break(item, "payload", "unknown_field", "通知に未知の項目があります");
    }
    out.notice_digest = NoticeDigest(payload);
    for (RuleBreak& broken : CheckNotice(out.notice, issuer_)) {
      Break(item, std::move(broken.field), std::move(broken.rule), std::move(broken.message));
    }
  }

  PreparedSubmission& out_;
  const std::string& issuer_;
  int prefecture_;
  const LedgerId& ledger_;
};

}  // namespace

PreparedSubmission PrepareSubmission(std::string_view record, const std::string& issuer, int prefecture,
                                     const LedgerId& ledger, std::span<const HpkeKeyPair> intake) {
  PreparedSubmission out;
  Preparer(out, issuer, prefecture, ledger).Run(record, intake);
  return out;
}

}  // namespace daicho
