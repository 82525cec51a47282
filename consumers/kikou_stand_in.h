// A stand-in for 機構, for tests and trials: speaks the line to 機構 (kikou_line.proto) from a directory of its own.
//
//   K/keys/kikou.key   its private key;  K/kikou.pub, the public one
//   K/prefecture.pub   public keys of the prefecture's role kikou, one a line: whose messages it takes
//   K/copy.key         by what its copy is compared with the prefecture's (ReadCopyKeyFile); none: it is not compared
//   K/held/            what it holds (kikou_holding.h)
//   K/listen           where it answers at the moment
//
// Another protocol step is another row of its table of handlers. Any thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "consumers/http.h"
#include "consumers/kikou_holding.h"
#include "events/clock.h"

namespace daicho {

struct KikouStandInOptions {
  std::string dir;
  // Files with the prefecture's public key; none: those given before.
  std::vector<std::string> prefecture_keys;
  // Legal bases on which it answers inquiries; none: all.
  std::vector<std::string> bases;
  const Clock* clock = nullptr;  // borrowed
  std::string copy_key_file = {};  // empty: the one given before, if any
};

class KikouStandIn {
 public:
  // A new directory with a fresh key. Returns the public key in hex. Errors: kConflict when there is one already.
  static Result<std::string> Create(const std::string& dir);
  // Errors: kNotFound; kInvalid for keys that are none; kUnavailable when another process has it.
  static Result<std::unique_ptr<KikouStandIn>> Open(KikouStandInOptions options);
  ~KikouStandIn();
  KikouStandIn(const KikouStandIn&) = delete;

  HttpResponse Handle(const HttpRequest& request);
  KikouHolding& holding();

 private:
  struct Impl;
  explicit KikouStandIn(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace daicho
