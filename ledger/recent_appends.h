// RecentAppends: what this process has just appended to the topics that it also reads. Its readers
// take it from here and do not wait for the broker to send it back. Any thread.
//
// A reader takes a record from here only where it stands directly behind the one that the reader
// had last: whatever somebody else wrote in between is read from the broker, in its place.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "ledger/log.h"

namespace daicho {

class RecentAppends {
 public:
  struct Kept {
    Cursor cursor;
    std::string key, value;
    // At cursor - 1 stands the end of the writer's transaction before, and no record.
    bool behind_marker = false;
  };
  // Reads one topic. `wake` is called, by who appends, when there is more; it must not call back.
  // Goes before its RecentAppends.
  class Follower;

  struct Appended {
    const std::string& topic;
    const Record& record;
    Cursor cursor;  // kUnknown where it is not known
  };
  // All of one append, committed, in order. `writer`: the name of who appended it in a transaction,
  // or nothing.
  void Add(std::span<const Appended> records, std::string_view writer);

  static constexpr Cursor kUnknown{~std::uint64_t{0}};
  // Of a topic. An append above it is not kept at all: a bulk load is read from the broker, in
  // bulk.
  static constexpr std::size_t kBytesMax = 1u << 20;

 private:
  struct Topic {
    std::vector<const Follower*> followers;
    std::deque<std::shared_ptr<const Kept>> kept;  // without gaps but markers
    std::size_t bytes = 0;
    Cursor end;  // behind what was appended last
    // Whose transaction ends with the last of them, whose marker is still to come: others may
    // append before it, the same writer cannot.
    std::string marker_of;

    void Keep(const Record& record, Cursor cursor, std::string_view writer);
    void Clear();
  };

  using Topics = std::map<std::string, Topic, std::less<>>;

  std::mutex mutex_;
  Topics topics_;  // those that have followers; guarded by mutex_
};

class RecentAppends::Follower {
 public:
  Follower(RecentAppends& recent, const std::string& topic, std::function<void()> wake);
  ~Follower();
  Follower(const Follower&) = delete;
  // At most `most` records of which the first stands at `next`. None where what stands there is not
  // kept.
  std::vector<std::shared_ptr<const Kept>> From(Cursor next, std::size_t most) const;
  // Whether this process has appended something at or behind `next` that From may not give.
  bool Lacks(Cursor next) const;

 private:
  friend class RecentAppends;
  RecentAppends& recent_;
  Topics::iterator topic_;
  const std::function<void()> wake_;
};

}  // namespace daicho
