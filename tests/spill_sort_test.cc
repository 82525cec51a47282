// The sort against std::stable_sort, with runs of every size: all in memory, one row each, and between.
#include "ledger/spill_sort.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <random>
#include <vector>

#include "prefecture.h"

namespace daicho {
namespace {

using Rows = std::vector<std::pair<std::string, std::string>>;

Rows RandomRows(std::size_t count, unsigned seed) {
  std::mt19937_64 random(seed);
  Rows rows;
  for (std::size_t i = 0; i < count; ++i) {
    rows.emplace_back(std::to_string(random() % (count / 2 + 1)), std::string(random() % 300, 'v') + std::to_string(i));
  }
  if (count > 2) rows[1].first = "", rows[2].second = "";
  return rows;
}

std::vector<std::string> Sorted(Rows rows) {
  std::ranges::stable_sort(rows, {}, &Rows::value_type::first);
  std::vector<std::string> values;
  for (auto& row : rows) values.push_back(std::move(row.second));
  return values;
}

std::vector<std::string> Read(SpillSort& sort) {
  std::vector<std::string> values;
  std::string_view value;
  while (sort.Next(value).value()) values.emplace_back(value);
  EXPECT_FALSE(sort.Next(value).value());
  return values;
}

TEST(SpillSort, SortsStablyWhateverFitsInMemory) {
  const TemporaryDirectory directory;
  for (const std::size_t run_bytes : {1u, 1'000u, 100'000u, 100'000'000u}) {
    for (const std::size_t count : {0u, 1u, 3u, 2'000u}) {
      const Rows rows = RandomRows(count, static_cast<unsigned>(count));
      SpillSort sort(directory / "", run_bytes);
      for (const auto& [key, value] : rows) ASSERT_TRUE(sort.Add(key, value).ok());
      ASSERT_TRUE(sort.Finish().ok());
      EXPECT_EQ(Read(sort), Sorted(rows)) << run_bytes << " " << count;
      ASSERT_TRUE(sort.Rewind().ok());
      SpillSort moved = std::move(sort);
      EXPECT_EQ(Read(moved), Sorted(rows)) << run_bytes << " " << count;
    }
  }
}

TEST(SpillSort, RowsLargerThanAPieceComeBack) {
  const TemporaryDirectory directory;
  const Rows rows = {{"b", std::string(3'000'000, 'x')}, {"a", std::string(700'000, 'y')}, {"c", "z"}};
  SpillSort sort(directory / "", 1'000'000);
  for (const auto& [key, value] : rows) ASSERT_TRUE(sort.Add(key, value).ok());
  ASSERT_TRUE(sort.Finish().ok());
  EXPECT_EQ(Read(sort), Sorted(rows));
}

TEST(SpillSort, LeavesNoNameBehind) {
  const TemporaryDirectory directory;
  SpillSort sort(directory / "", 10);
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(sort.Add("key", "value").ok());
  EXPECT_TRUE(std::filesystem::is_empty(directory / ""));
}

TEST(SpillSort, SaysThatItHasNowhereToPutThem) {
  SpillSort sort("/nowhere/at/all", 10);
  EXPECT_FALSE(sort.Add("key", "a value of more than ten bytes").ok());
}

}  // namespace
}  // namespace daicho
