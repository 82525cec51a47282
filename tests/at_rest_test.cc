// Keys of encrypted stores: one per store, useless for any other, gone when destroyed. Method:
// stores and their keys in a temporary directory, exchanged, changed and destroyed, with the holder's
// keys in files and in a token.
#include "ledger/at_rest.h"

#include <filesystem>

#include "ledger/store.h"
#include "tests/soft_token.h"

namespace daicho {
namespace {

class AtRest : public ::testing::TestWithParam<bool> {
 protected:
  AtRest() {
    const std::string name = "at-rest-" + ToHex(View(RandomArray<4>()));
    holder_ =
        OpenKeyHolder(GetParam() ? SoftToken::Get().Uri(name) : directory_ / "holder").value();
  }
  std::string Dir(const std::string& name = "records") const { return directory_ / name; }
  Code CodeOf(const std::string& name, std::string_view purpose) {
    return OpenStoreKey(*holder_, Dir(name), purpose).status().code();
  }

  TemporaryDirectory directory_;
  std::unique_ptr<KeyHolder> holder_;
};

TEST_P(AtRest, AStoreOpensUnderItsKeyAndNotOnceThatIsDestroyed) {
  StoreOptions options;
  options.path = Dir();
  options.families = {"f"};
  options.file_key = CreateStoreKey(*holder_, Dir(), "records").value();
  ASSERT_TRUE(Store::Open(options).ok());
  options.file_key = OpenStoreKey(*holder_, Dir(), "records").value();
  ASSERT_TRUE(Store::Open(options).ok());

  ASSERT_TRUE(DestroyStoreKey(*holder_, Dir()).ok());
  ASSERT_TRUE(DestroyStoreKey(*holder_, Dir()).ok());
  EXPECT_EQ(CodeOf("records", "records"), Code::kNotFound);
  // A fresh key would not open what is there.
  EXPECT_EQ(CreateStoreKey(*holder_, Dir(), "records").status().code(), Code::kConflict);
  ASSERT_TRUE(Store::Destroy(Dir()).ok());
  const Key256 fresh = CreateStoreKey(*holder_, Dir(), "records").value();
  EXPECT_NE(fresh, *options.file_key);
}

TEST_P(AtRest, AKeyIsOfItsStoreAndPurpose) {
  const Key256 key = CreateStoreKey(*holder_, Dir("a") + "/", "p").value();
  EXPECT_EQ(OpenStoreKey(*holder_, Dir("a"), "p").value(), key);
  EXPECT_NE(CreateStoreKey(*holder_, Dir("b"), "p").value(), key);
  EXPECT_EQ(CodeOf("a", "q"), Code::kTampered);
  std::filesystem::copy_file(Dir("a.key"), Dir("c.key"));
  EXPECT_EQ(CodeOf("c", "p"), Code::kTampered);
}

TEST_P(AtRest, ADestroyedKeyIsGoneForACopyMadeBeforeAndForNoOtherStore) {
  const Key256 other = CreateStoreKey(*holder_, Dir("b"), "p").value();
  ASSERT_TRUE(CreateStoreKey(*holder_, Dir(), "p").ok());
  const std::string copy = ReadFile(Dir("records.key")).value();
  ASSERT_TRUE(DestroyStoreKey(*holder_, Dir()).ok());
  ASSERT_TRUE(WriteFileDurably(Dir("records.key"), copy).ok());
  EXPECT_EQ(CodeOf("records", "p"), Code::kNotFound);
  EXPECT_EQ(OpenStoreKey(*holder_, Dir("b"), "p").value(), other);
}

TEST_P(AtRest, AKeyIsNotMadeTwiceAndADamagedOneIsRefused) {
  ASSERT_TRUE(CreateStoreKey(*holder_, Dir(), "p").ok());
  EXPECT_EQ(CreateStoreKey(*holder_, Dir(), "p").status().code(), Code::kConflict);
  const std::string bytes = ReadFile(Dir("records.key")).value();
  EXPECT_EQ(bytes.size(), 27 + kWrappedKeyBytes);
  for (std::size_t at = 0; at < bytes.size(); at += 9) {
    std::string changed = bytes;
    changed[at] = static_cast<char>(changed[at] ^ 1);
    ASSERT_TRUE(WriteFileDurably(Dir("records.key"), changed).ok());
    EXPECT_EQ(CodeOf("records", "p"), at < 19 ? Code::kCorrupt : Code::kTampered) << at;
  }
  ASSERT_TRUE(WriteFileDurably(Dir("records.key"), bytes.substr(0, 40)).ok());
  EXPECT_EQ(CodeOf("records", "p"), Code::kCorrupt);
}

INSTANTIATE_TEST_SUITE_P(Holder, AtRest, ::testing::Bool(), [](const auto& row) {
  return std::string(row.param ? "Token" : "Files");
});

}  // namespace
}  // namespace daicho
