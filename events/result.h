// Status and Result<T>: how every Daichō function reports failure. No exceptions leave our code;
// a dropped error does not compile (-Werror=unused-result). Messages name events, fields and rules,
// never a person's data.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace daicho {

enum class Code {
  kOk,
  kInvalid,      // the caller's data breaks a rule
  kNotFound,
  kConflict,     // expected position, duplicate, or fenced by a newer writer
  kDenied,
  kErased,       // the key was lawfully destroyed: not an error of the system
  kTampered,     // a hash, an order or a signature disagrees
  kCorrupt,      // bytes are damaged or cannot be decoded
  kUnsupported,  // a newer or unknown format: refused, never guessed
  kPushback,     // try later
  kUnavailable,  // I/O that may succeed when repeated; the outcome of a write is unknown
  kInternal,
};

std::string_view CodeName(Code code);

class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(Code code, std::string message) : code_(code), message_(std::move(message)) {}

  bool ok() const { return code_ == Code::kOk; }
  Code code() const { return code_; }
  const std::string& message() const { return message_; }
  bool retriable() const { return code_ == Code::kPushback || code_ == Code::kUnavailable; }

  // The same status, its message preceded by what was being done.
  Status With(std::string_view context) const {
    return ok() ? *this : Status(code_, std::string(context) + ": " + message_);
  }
  // "tampered: issuer head disagrees", for logs and people.
  std::string ToString() const;

 private:
  Code code_ = Code::kOk;
  std::string message_;
};

inline Status Invalid(std::string m) { return {Code::kInvalid, std::move(m)}; }
inline Status NotFound(std::string m) { return {Code::kNotFound, std::move(m)}; }
inline Status Conflict(std::string m) { return {Code::kConflict, std::move(m)}; }
inline Status Denied(std::string m) { return {Code::kDenied, std::move(m)}; }
inline Status Erased(std::string m) { return {Code::kErased, std::move(m)}; }
inline Status Tampered(std::string m) { return {Code::kTampered, std::move(m)}; }
inline Status Corrupt(std::string m) { return {Code::kCorrupt, std::move(m)}; }
inline Status Unsupported(std::string m) { return {Code::kUnsupported, std::move(m)}; }
inline Status Pushback(std::string m) { return {Code::kPushback, std::move(m)}; }
inline Status Unavailable(std::string m) { return {Code::kUnavailable, std::move(m)}; }
inline Status Internal(std::string m) { return {Code::kInternal, std::move(m)}; }

[[noreturn]] inline void Die(const char* file, int line, std::string_view what) {
  std::fprintf(stderr, "%s:%d: %.*s\n", file, line, static_cast<int>(what.size()), what.data());
  std::abort();
}

// For programmer errors and impossible states only; input never reaches a CHECK.
#define CHECK(condition) \
  ((condition) ? static_cast<void>(0) : ::daicho::Die(__FILE__, __LINE__, "CHECK: " #condition))

// A value or the status that says why there is none.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}                           // NOLINT: implicit
  Result(Status status) : status_(std::move(status)) { CHECK(!status_.ok()); }  // NOLINT

  bool ok() const { return value_.has_value(); }
  const Status& status() const { return status_; }
  T& value() & { return Checked(); }
  const T& value() const& { return const_cast<Result*>(this)->Checked(); }
  T&& value() && { return std::move(Checked()); }
  T& operator*() & { return Checked(); }
  const T& operator*() const& { return value(); }
  T* operator->() { return &Checked(); }
  const T* operator->() const { return &value(); }

 private:
  T& Checked() {
    if (!value_) Die(__FILE__, __LINE__, status_.ToString());
    return *value_;
  }

  std::optional<T> value_;
  Status status_;
};

#define DAICHO_JOIN_(a, b) a##b
#define DAICHO_JOIN(a, b) DAICHO_JOIN_(a, b)
#define RETURN_IF_ERROR(expr) RETURN_IF_ERROR_(DAICHO_JOIN(failed_, __LINE__), expr)
#define RETURN_IF_ERROR_(failed, expr)                                \
  do {                                                                \
    if (::daicho::Status failed = (expr); !failed.ok()) return failed; \
  } while (false)
#define ASSIGN_OR_RETURN(declaration, expr) \
  ASSIGN_OR_RETURN_(DAICHO_JOIN(result_, __LINE__), declaration, expr)
#define ASSIGN_OR_RETURN_(result, declaration, expr) \
  auto result = (expr);                              \
  if (!result.ok()) return result.status();          \
  declaration = std::move(result).value()

}  // namespace daicho
