// The stand-in's side of a comparison of copies (kikou_line.proto, 整合性確認): for each session its copy as of one moment, and
// the answers from it. A few sessions at a time: each keeps the store as it was. Thread-safe; a session answers one question
// at a time.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "consumers/kikou_holding.h"
#include "consumers/kikou_line.pb.h"

namespace daicho {

class KikouCopySessions {
 public:
  explicit KikouCopySessions(const KikouHolding& holding);  // borrowed
  ~KikouCopySessions();
  KikouCopySessions(const KikouCopySessions&) = delete;

  // All of the answer but question_digest. Errors: kInvalid with the field and its rule; kNotFound without a session that
  // the question could go on with; kPushback when there are as many as there may be and all are busy; those of TakeCopy.
  Result<kikou::CopyAnswer> Answer(const kikou::CopyQuestion& question, TimeMicros now);

 private:
  struct Session;
  Result<std::shared_ptr<Session>> Begin(TimeMicros now);
  Result<std::shared_ptr<Session>> Find(const std::string& name, TimeMicros now);
  void ForgetIdle(TimeMicros now);
  void Forget(const std::string& name);

  const KikouHolding& holding_;
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<Session>> sessions_;  // guarded by mutex_; by CopyAnswer.session
};

}  // namespace daicho
