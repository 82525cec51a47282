// Both places where holder keys live, under the same rows: a directory, and a token (SoftHSM). Then
// what a file alone can have: modes, damage, what is left of it on the disk.
#include "ledger/key_holder.h"

#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/soft_token.h"

namespace daicho {
namespace {

class HolderTest : public ::testing::TestWithParam<bool> {
 protected:
  HolderTest() {
    const std::string name = "holder-" + ToHex(View(RandomArray<4>()));
    where_ = GetParam() ? SoftToken::Get().Uri(name) : directory_ / name;
    holder_ = Open();
  }
  std::unique_ptr<KeyHolder> Open() { return OpenKeyHolder(where_).value(); }

  TemporaryDirectory directory_;
  std::string where_;
  std::unique_ptr<KeyHolder> holder_;
  const Key256 secret_ = RandomArray<32>();
};

TEST_P(HolderTest, WhatIsWrappedOpensAgainAlsoLater) {
  ASSERT_TRUE(holder_->Create("root").ok());
  const std::string wrapped = holder_->Wrap("root", secret_, "aad").value();
  EXPECT_EQ(wrapped.size(), kWrappedKeyBytes);
  EXPECT_EQ(wrapped.find(View(secret_)), std::string::npos);
  EXPECT_NE(wrapped, holder_->Wrap("root", secret_, "aad").value());
  EXPECT_EQ(Open()->Unwrap("root", wrapped, "aad").value(), secret_);
}

TEST_P(HolderTest, NothingElseOpens) {
  ASSERT_TRUE(holder_->Create("root").ok());
  ASSERT_TRUE(holder_->Create("other").ok());
  const std::string wrapped = holder_->Wrap("root", secret_, "aad").value();
  EXPECT_EQ(holder_->Unwrap("root", wrapped, "aae").status().code(), Code::kTampered);
  EXPECT_EQ(holder_->Unwrap("other", wrapped, "aad").status().code(), Code::kTampered);
  EXPECT_EQ(holder_->Unwrap("root", wrapped.substr(1), "aad").status().code(), Code::kCorrupt);
  for (std::size_t i = 0; i < wrapped.size(); i += 7) {
    std::string changed = wrapped;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    EXPECT_EQ(holder_->Unwrap("root", changed, "aad").status().code(), Code::kTampered) << i;
  }
}

TEST_P(HolderTest, ADestroyedKeyIsGoneAndANewOneOfItsNameIsAnother) {
  ASSERT_TRUE(holder_->Create("epoch-1").ok());
  const std::string wrapped = holder_->Wrap("epoch-1", secret_, "").value();
  ASSERT_TRUE(holder_->Destroy("epoch-1").ok());
  ASSERT_TRUE(holder_->Destroy("epoch-1").ok());
  EXPECT_FALSE(holder_->Has("epoch-1").value());
  EXPECT_EQ(holder_->Unwrap("epoch-1", wrapped, "").status().code(), Code::kNotFound);
  ASSERT_TRUE(holder_->Create("epoch-1").ok());
  EXPECT_EQ(holder_->Unwrap("epoch-1", wrapped, "").status().code(), Code::kTampered);
}

TEST_P(HolderTest, AKeyIsNotMadeTwice) {
  ASSERT_TRUE(holder_->Create("root").ok());
  const std::string wrapped = holder_->Wrap("root", secret_, "").value();
  EXPECT_EQ(holder_->Create("root").code(), Code::kConflict);
  EXPECT_TRUE(holder_->Has("root").value());
  EXPECT_EQ(holder_->Unwrap("root", wrapped, "").value(), secret_);
}

TEST_P(HolderTest, ANameThatIsNoneIsInvalid) {
  for (const std::string& name :
       {std::string(), std::string("a/b"), std::string("A"), std::string(65, 'a')}) {
    EXPECT_EQ(holder_->Create(name).code(), Code::kInvalid);
    EXPECT_EQ(holder_->Has(name).status().code(), Code::kInvalid);
    EXPECT_EQ(holder_->Wrap(name, secret_, "").status().code(), Code::kInvalid);
    EXPECT_EQ(holder_->Destroy(name).code(), Code::kInvalid);
  }
}

INSTANTIATE_TEST_SUITE_P(Holder, HolderTest, ::testing::Bool(), [](const auto& row) {
  return std::string(row.param ? "Token" : "Files");
});

TEST(FileHolder, AKeyThatOthersCanReadIsRefused) {
  TemporaryDirectory directory;
  const auto holder = OpenFileHolder(directory / "h").value();
  ASSERT_TRUE(holder->Create("root").ok());
  const std::string path = directory / "h/root.key";
  struct stat info{};
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  ASSERT_EQ(::chmod(path.c_str(), 0640), 0);
  EXPECT_EQ(holder->Wrap("root", Key256{}, "").status().code(), Code::kDenied);
}

TEST(FileHolder, ADestroyedKeyIsOverwrittenWhereItStood) {
  TemporaryDirectory directory;
  const auto holder = OpenFileHolder(directory / "h").value();
  ASSERT_TRUE(holder->Create("root").ok());
  const std::string path = directory / "h/root.key", link = directory / "link";
  const std::string key = ReadFile(path).value();
  ASSERT_EQ(::link(path.c_str(), link.c_str()), 0);
  ASSERT_TRUE(holder->Destroy("root").ok());
  EXPECT_FALSE(FileExists(path));
  EXPECT_EQ(ReadFile(link).value().size(), key.size());
  EXPECT_NE(ReadFile(link).value(), key);
}

TEST(FileHolder, ACutKeyIsCorrupt) {
  TemporaryDirectory directory;
  const auto holder = OpenFileHolder(directory / "h").value();
  ASSERT_TRUE(holder->Create("root").ok());
  ASSERT_TRUE(WriteFileDurably(directory / "h/root.key", "short").ok());
  EXPECT_EQ(holder->Wrap("root", Key256{}, "").status().code(), Code::kCorrupt);
}

TEST(ProcessMemory, IsClosedToOthers) {
  const pid_t child = ::fork();
  if (child == 0) {
    const bool closed = ProtectProcessMemory().ok();
    ::_exit(closed && ::prctl(PR_GET_DUMPABLE) == 0 ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace daicho
