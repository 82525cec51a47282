// Residents: what the sequencer remembers of each resident to decide on the next notice, and the rules
// by which a notice follows the one before it. The same code decides at admission and re-applies at
// replay, so a sequencer that restarts knows exactly what it knew.
//
//                 entry n=1                     removal n+1
//   (unknown) ───────────────► resident ◄────────────────────────► removed
//                              │   ▲  │        entry n+1 (re-entry)
//                    amend n+1 └───┘  │
//                                     │ move_in n+2 by another municipality: MOVED_AHEAD; the removal
//                                     ▼ n+1 stays outstanding and is taken later as REMOVED_LATE
//                                  resident
//
// Belongs to the thread of its overlay.
#pragma once

#include <vector>

#include "events/event.h"
#include "events/resident.pb.h"
#include "ledger/key_store.h"
#include "ledger/state_overlay.h"

namespace daicho {

struct Resident {
  std::string code;                // 住民票コード now
  SubjectHandle handle{};
  KeySlot slot;                    // data key of its notices
  std::uint32_t next_step = 0;     // ratchet step of its next notice
  std::uint32_t update_number = 0; // highest admitted
  bool removed = false;
  std::string municipality;        // whose resident it is, or was last
  std::string individual_number;   // empty: none yet
  std::string notice_digest;       // of the notice `update_number`
  struct Outstanding {             // a removal that a move_in overtook
    std::uint32_t update_number;
    std::string municipality;
    friend bool operator==(const Outstanding&, const Outstanding&) = default;
  };
  std::vector<Outstanding> outstanding;
};

// Bounds what one resident may leave open.
inline constexpr std::size_t kOutstandingRemovalsMax = 8;

struct ResidentFamilies {
  Family residents;  // 住民票コード → Resident, or the code that replaced it
  Family numbers;    // 個人番号 → handle of who has or had it
  Family notices;    // handle ‖ update number → digest of an older notice
};

struct Decision {
  v1::Effect effect = v1::EFFECT_NONE;
  std::vector<v1::Violation> violations;  // not empty: refused
  Resident resident;                      // before; of ENTERED: blank
};

class Residents {
 public:
  // Both borrowed.
  Residents(StateOverlay& state, ResidentFamilies families) : state_(state), families_(families) {}

  // Requires: `notice` passed CheckNotice for `issuer`. `digest` names the notice's exact bytes.
  Result<Decision> Decide(const v1::UpdateNotice& notice, const std::string& issuer,
                          const std::string& digest) const;
  // Takes the decided notice into the state. For ENTERED the decision's resident has its handle and slot
  // set by the caller. Counts one ratchet step.
  Status Apply(const Decision& decision, const v1::UpdateNotice& notice, const std::string& issuer,
               const std::string& digest);
  // Takes an admitted notice of a subject whose earlier notices are erased. `key`: blank but for handle, slot, the
  // notice's step, and the municipality whose resident it was.
  Status Adopt(Resident key, v1::Effect effect, const v1::UpdateNotice& notice, const std::string& issuer,
               const std::string& digest);

 private:
  // The resident after a notice that is its newest.
  void Take(Resident& resident, const v1::UpdateNotice& notice, const std::string& issuer, const std::string& digest);
  // The resident that has, or under a former code had, that code. `former` says which.
  Result<std::optional<Resident>> Find(const std::string& code, bool& former) const;
  Result<std::string> DigestOf(const Resident& resident, std::uint32_t update_number) const;

  StateOverlay& state_;
  ResidentFamilies families_;
};

// Names a notice's bytes for comparison with a repeat: 16 bytes of their SHA-256.
std::string NoticeDigest(std::string_view payload);

}  // namespace daicho
