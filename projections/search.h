// Search (本人確認情報検索): the persons that a condition describes, as known after any entry of the ledger.
//
// What matches is the matching definition's to say (matching.h); the index (search_index.h) only leads to those
// who may, and the record itself is asked where the index does not know. Several families may lead; which is
// found by trying: each in turn may cost a little, then eight times that, until one is through. So a page
// follows from the condition, the position, the page before and the definition alone, whatever came later.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "projections/search_index.h"
#include "projections/version_cache.h"

namespace daicho {

// How a search was carried out.
struct SearchExplanation {
  std::string family;               // that led: "codes", "search_names" …
  std::vector<std::string> given_up;  // families that cost more than their share, in order
  std::uint64_t entries = 0;        // index entries read
  std::uint64_t records = 0;        // records read
};

// Where the next page of the same condition as of the same position begins.
struct SearchCursor {
  std::string family;      // that led to the page before; empty: the first page
  std::uint64_t skip = 0;  // persons passed over
};

struct SearchPage {
  std::vector<Version> hits;  // of each person the version that holds
  bool more = false;          // others match
  bool too_broad = false;     // given up at Search::kCostMax: then there are no hits
  SearchExplanation explanation;
};

class Search {
 public:
  // What one search may cost, in index entries; a record counts as kRecordCost of them, but for the first kShownFree
  // persons on the page.
  static constexpr std::uint64_t kCostMax = 1u << 15;
  static constexpr std::uint64_t kRecordCost = 16;
  static constexpr std::uint64_t kShownFree = 256;

  // All borrowed, and kept up to date by a Projector. `cache_bytes`: of versions found lately.
  Search(const Store& store, std::shared_ptr<const Matching> matching, const SearchParts& parts, std::size_t cache_bytes)
      : store_(store), file_(store), versions_(store, cache_bytes), matching_(std::move(matching)), parts_(parts) {}

  const Matching& matching() const { return *matching_; }

  // The persons that match, in a lasting order, at most `limit` from `from` on. Someone who
  // was removed is found too. `on`: the day for which the version that holds is shown and matched, not before
  // the day of `at`. Errors: kInvalid in Japanese, naming the field and the rule; kCorrupt.
  // Requires: `at` is visible. Thread-safe.
  Result<SearchPage> Find(const v1::SearchCondition& condition, Position at, Date on, std::size_t limit,
                          const SearchCursor& from) const;

 private:
  const Store& store_;
  RecordFile file_;
  VersionCache versions_;
  std::shared_ptr<const Matching> matching_;
  const SearchParts& parts_;
};

}  // namespace daicho
