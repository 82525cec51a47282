// A SoftHSM token of this process: PKCS#11 as a real token speaks it, in a temporary directory. The
// module reads its configuration once, so a process has one.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>

#include "ledger/files.h"
#include "tests/prefecture.h"

namespace daicho {

class SoftToken {
 public:
  static SoftToken& Get() {
    static SoftToken token;
    return token;
  }

  static constexpr char kModule[] = "/usr/lib/softhsm/libsofthsm2.so";
  std::string Path(const std::string& name) const { return directory_ / name; }
  std::string Uri(const std::string& object) const {
    return "pkcs11:token=daicho;object=" + object + "?module-path=" + kModule +
           "&pin-source=file:" + Path("pin");
  }

 private:
  SoftToken() {
    CHECK(FileExists(kModule));  // ops/install brings softhsm2
    CHECK(MakeDirectories(Path("tokens")).ok());
    CHECK(WriteFileDurably(Path("softhsm2.conf"),
                           "directories.tokendir = " + Path("tokens") +
                               "\nobjectstore.backend = file\nlog.level = ERROR\n")
              .ok());
    CHECK(WriteFileDurably(Path("pin"), "8271\n").ok());
    CHECK(::setenv("SOFTHSM2_CONF", Path("softhsm2.conf").c_str(), 1) == 0);
    CHECK(std::system("softhsm2-util --init-token --free --label daicho --so-pin 9911 --pin 8271 "
                      ">/dev/null") == 0);
  }

  TemporaryDirectory directory_;
};

}  // namespace daicho
