#include "projections/search.h"

#include <algorithm>
#include <unordered_set>

#include "events/codes.h"

namespace daicho {
namespace {

using search_index::BirthNumber;
using search_index::HeldName;
using search_index::Kind;
using search_index::Period;
using search_index::Periods;

constexpr std::uint64_t kFirstShare = 512;
constexpr std::uint64_t kShareGrowth = 8;
// So many rows in a row that the birth or the municipality rules out, and a seek past them pays.
constexpr int kStepsBeforeSeek = 8;
// Rows that only later entries brought do not count as read, but so many end a search all the same.
constexpr std::uint64_t kUnseenMax = Search::kCostMax * 8;

// From `first` to `last`, both included.
struct Span {
  std::uint32_t first, last;
};

// Ascending, those that a record's birth may be when `asked` is asked for.
std::vector<Span> BirthSpans(const BirthQuery& asked) {
  const LenientDate& date = asked.date;
  std::vector<Span> out = {{0, 0}};
  if (asked.unknown || date.year == 0) return out;
  const std::uint32_t year = BirthNumber({date.year, 0, 0});
  if (date.month == 0) {
    out.push_back({year, year + 511});
    return out;
  }
  out.push_back({year, year});
  const std::uint32_t month = BirthNumber({date.year, date.month, 0});
  if (date.day == 0) {
    out.push_back({month, month + 31});
    return out;
  }
  out.push_back({month, month});
  out.push_back({month + date.day, month + date.day});
  return out;
}

struct Query {
  std::optional<NameQuery> name, kana;
  v1::NameMatch how = v1::NAME_MATCH_PREFIX;
  std::optional<BirthQuery> birth;
  v1::Sex sex = v1::SEX_UNSPECIFIED;
  std::optional<AddressQuery> address;
  std::string municipality;
  bool former = false;
  // Derived: none, any.
  std::vector<std::uint32_t> municipalities;  // ascending
  std::vector<Span> births;
  bool nowhere = false;  // municipality and address exclude each other

  bool HasBirth(std::uint32_t number) const {
    return births.empty() || std::ranges::any_of(births, [&](const Span& span) {
             return number >= span.first && number <= span.last;
           });
  }
  bool HasMunicipality(std::uint32_t number) const {
    return municipalities.empty() || std::ranges::binary_search(municipalities, number);
  }
};

Result<Query> Parse(const Matching& matching, const v1::SearchCondition& condition) {
  Query out;
  out.how = condition.name_match();
  out.sex = condition.sex();
  out.former = condition.former();
  if (!v1::NameMatch_IsValid(out.how) || !v1::Sex_IsValid(out.sex)) return Invalid("condition: unknown value");
  if (!condition.name().empty()) {
    auto name = matching.ParseName(condition.name());
    if (!name.ok()) return name.status().With("name");
    out.name = *std::move(name);
  }
  if (!condition.kana().empty()) {
    auto kana = matching.ParseKana(condition.kana());
    if (!kana.ok()) return kana.status().With("kana");
    out.kana = *std::move(kana);
  }
  if (!condition.birth().empty()) {
    auto birth = matching.ParseBirth(condition.birth());
    if (!birth.ok()) return birth.status().With("birth");
    out.births = BirthSpans(*birth);
    out.birth = *std::move(birth);
  }
  if (!condition.address().empty()) {
    auto address = matching.ParseAddress(condition.address());
    if (!address.ok()) return address.status().With("address");
    for (const std::string& code : address->municipalities) {
      out.municipalities.push_back(search_index::MunicipalityNumber(code));
    }
    std::ranges::sort(out.municipalities);
    out.address = *std::move(address);
  }
  if (!condition.municipality().empty()) {
    if (!IsValidMunicipalityCode(condition.municipality())) {
      return Invalid("municipality: 市町村コードの検査数字が一致しません");
    }
    const std::uint32_t number = search_index::MunicipalityNumber(condition.municipality());
    out.nowhere = !out.HasMunicipality(number);
    out.municipalities = {number};
    out.municipality = condition.municipality();
  }
  return out;
}

bool MatchesAny(const NameQuery& query, v1::NameMatch how, std::initializer_list<const std::string*> names,
                const std::function<FoldedName(const std::string&)>& fold) {
  return std::ranges::any_of(
      names, [&](const std::string* name) { return !name->empty() && Matches(query, how, fold(*name)); });
}

bool MatchesRecord(const Matching& matching, const Query& query, const v1::ResidentRecord& record) {
  if (query.sex != v1::SEX_UNSPECIFIED && record.sex() != query.sex) return false;
  const v1::Address& address = record.address();
  if (!query.municipality.empty() && address.municipality() != query.municipality) return false;
  if (query.birth && !Matches(*query.birth, ParseLenientDate(record.birth()).value_or(LenientDate()))) return false;
  if (query.name && !MatchesAny(*query.name, query.how,
                                {&record.name(), &record.former_name().name(), &record.alias().name(),
                                 &record.latin_name()},
                                [&](const std::string& name) { return matching.FoldName(name); })) {
    return false;
  }
  if (query.kana && !MatchesAny(*query.kana, query.how,
                                {&record.kana(), &record.former_name().kana(), &record.alias().kana()},
                                [&](const std::string& kana) { return matching.FoldKana(kana); })) {
    return false;
  }
  return !query.address ||
         Matches(*query.address, address.municipality(), matching.FoldAddress(address.text()));
}

std::string AfterPrefix(std::string prefix) {
  while (!prefix.empty() && prefix.back() == '\xff') prefix.pop_back();
  if (!prefix.empty()) ++prefix.back();
  return prefix;
}

// Rows [begin, end) of a family.
struct Range {
  std::string begin, end;
};

// What of a family leads to all who match.
struct Plan {
  Family family;
  std::vector<Range> ranges;
  Kind kind = Kind::kText;  // whose condition the ranges carry; of names and given names only
};

// A family's key ends in `bytes`: the first of them are constrained, the last five are the slot.
std::size_t TailBytes(Family family) {
  switch (family) {
    case RecordFile::kSearchNames: return 8;
    case RecordFile::kSearchGiven: return 11;
    default: return 5;
  }
}

Range Prefix(std::string begin) {
  std::string end = AfterPrefix(begin);
  return {std::move(begin), std::move(end)};
}

// Rows behind `lead` whose birth, which follows, is asked for; all, if none is.
void AppendBirthRanges(const Query& query, const std::string& lead, std::vector<Range>& out) {
  if (query.births.empty()) return out.push_back(Prefix(lead));
  for (const Span& span : query.births) {
    std::string begin = lead, last = lead;
    AppendU24(begin, span.first);
    AppendU24(last, span.last);
    out.push_back({std::move(begin), AfterPrefix(std::move(last))});
  }
}

// Rows of one 名, `lead`, of the municipality and the births that are asked for, if they are.
void AppendGivenRanges(const Query& query, std::string lead, std::vector<Range>& out) {
  if (query.municipalities.size() != 1) return out.push_back(Prefix(std::move(lead)));
  AppendU24(lead, query.municipalities[0]);
  AppendBirthRanges(query, lead, out);
}

// By the beginning of a name, by all of it, or by a piece.
std::vector<Plan> NamePlans(const Query& asked, const NameQuery& query, Kind kind, const SearchParts& parts,
                            Position at) {
  const v1::NameMatch how = asked.how;
  const std::string lead(1, static_cast<char>(kind));
  Plan names{RecordFile::kSearchNames, {}, kind}, given{RecordFile::kSearchGiven, {}, kind};
  for (const FoldedName& reading : query.any) {
    const std::string whole = how == v1::NAME_MATCH_WHOLE ? std::string(1, '\0') : "";
    const bool of_given = query.divided && reading.first == 0;
    if (how != v1::NAME_MATCH_INFIX) {
      (of_given ? given : names).ranges.push_back(Prefix(lead + reading.text + whole));
    } else if (query.divided && !of_given) {
      names.ranges.push_back(Prefix(lead + std::string(reading.First())));
    } else {
      for (const std::string& part : parts.Containing(kind, true, reading.text, at)) {
        AppendGivenRanges(asked, lead + part + '\0', given.ranges);
      }
      if (of_given) continue;
      for (const std::string& part : parts.Containing(kind, false, reading.text, at)) {
        names.ranges.push_back(Prefix(lead + part));
      }
    }
  }
  std::vector<Plan> out;
  if (!names.ranges.empty()) out.push_back(std::move(names));
  if (!given.ranges.empty()) out.push_back(std::move(given));
  return out;
}

std::vector<std::uint32_t> MunicipalitiesOf(const Query& query, const SearchParts& parts, Position at) {
  return query.municipalities.empty() ? parts.Municipalities(at) : query.municipalities;
}

Plan AddressPlan(const Query& query, const SearchParts& parts, Position at) {
  Plan out{RecordFile::kSearchAddresses, {}};
  for (const std::uint32_t municipality : MunicipalitiesOf(query, parts, at)) {
    std::string begin;
    AppendU24(begin, municipality);
    out.ranges.push_back(Prefix(begin + query.address->text));
  }
  return out;
}

Plan PeoplePlan(const Query& query, const SearchParts& parts, Position at) {
  Plan out{RecordFile::kSearchPeople, {}};
  for (const std::uint32_t municipality : MunicipalitiesOf(query, parts, at)) {
    std::string lead;
    AppendU24(lead, municipality);
    AppendBirthRanges(query, lead, out.ranges);
  }
  return out;
}

// One way to find all who match.
struct Way {
  std::string name;
  int breadth;  // a guess from the condition's form: the narrowest is tried first
  // Carried out one after the other.
  std::function<std::vector<Plan>()> plan;
  std::optional<std::vector<Plan>> plans = {};  // once it was tried
};

// Bytes of a folded 氏 and 名 together, as against a 氏 alone.
constexpr std::size_t kTextOfBoth = 9, kKanaOfBoth = 6;

// Borrows.
std::vector<Way> WaysOf(const Query& query, const SearchParts& parts, Position at) {
  std::vector<Way> out;
  const bool infix = query.how == v1::NAME_MATCH_INFIX;
  const auto by_name = [&](const std::string& name, const std::optional<NameQuery>& typed, Kind kind, std::size_t both) {
    if (!typed) return;
    const FoldedName& first = typed->any.front();
    const bool full = typed->divided ? first.first > 0 && !first.Second().empty() : first.text.size() >= both;
    out.push_back({name, infix ? 5 : full ? 1 : 4,
                   [&query, &parts, &typed, kind, at] { return NamePlans(query, *typed, kind, parts, at); }});
  };
  by_name(infix ? "search_parts" : "search_names", query.name, Kind::kText, kTextOfBoth);
  by_name(infix ? "search_parts(kana)" : "search_names(kana)", query.kana, Kind::kKana, kKanaOfBoth);
  const bool one_place = query.municipalities.size() == 1;
  if (query.address && !query.address->text.empty()) {
    const bool numbered = query.address->text.find('-') != std::string::npos;
    out.push_back({"search_addresses", numbered ? (one_place ? 2 : 3) : 6,
                   [&query, &parts, at] { return std::vector{AddressPlan(query, parts, at)}; }});
  }
  const bool by_month = query.birth && query.birth->date.month != 0;
  out.push_back({"search_people", by_month && one_place ? (query.birth->date.day != 0 ? 0 : 2) : 7,
                 [&query, &parts, at] { return std::vector{PeoplePlan(query, parts, at)}; }});
  std::ranges::stable_sort(out, {}, &Way::breadth);
  return out;
}

class Finding {
 public:
  Finding(const Store& store, const VersionCache& versions, const Matching& matching, const Query& query, Position at,
          Date on, std::size_t limit, std::uint64_t skip)
      : store_(store),
        versions_(versions),
        matching_(matching),
        query_(query),
        at_(at),
        on_(on),
        limit_(limit),
        skip_(skip) {}

  // False when `share` did not suffice.
  Result<bool> Run(Way& way, std::uint64_t share) {
    if (!way.plans) way.plans = way.plan();
    page_ = SearchPage();
    page_.explanation.family = way.name;
    passed_ = unseen_ = 0;
    share_ = share;
    seen_.clear();
    for (const Plan& plan : *way.plans) {
      for (const Range& range : plan.ranges) {
        if (done()) break;
        RETURN_IF_ERROR(Scan(plan, range));
      }
    }
    return page_.more || !spent();
  }

  // Whether the subject matches. `sure`: it does; `stands`: where the version stands that holds, if it is known.
  Status Consider(KeySlot slot, bool sure, std::optional<Position> stands) {
    if (!seen_.insert(slot.value()).second) return {};
    ++page_.explanation.records;
    auto version = Read(slot, stands);
    if (version.status().code() == Code::kNotFound) return {};
    RETURN_IF_ERROR(version.status());
    if (!sure && !MatchesRecord(matching_, query_, version->notice.record())) {
      if (!query_.former) return {};
      ASSIGN_OR_RETURN(const auto history, RecordFile::VersionsOf(Iterator(RecordFile::kVersions), slot, at_));
      const bool once = std::ranges::any_of(history, [&](const Version& earlier) {
        return MatchesRecord(matching_, query_, earlier.notice.record());
      });
      if (!once) return {};
    }
    if (passed_ < skip_) {
      ++passed_;
    } else if (page_.hits.size() < limit_) {
      page_.hits.push_back(std::move(*version));
    } else {
      page_.more = true;
    }
    return {};
  }

  SearchPage& page() { return page_; }

 private:
  std::uint64_t cost() const {
    const std::uint64_t wanted = std::min<std::uint64_t>(page_.hits.size(), Search::kShownFree);
    return page_.explanation.entries + (page_.explanation.records - wanted) * Search::kRecordCost;
  }
  bool spent() const { return cost() > share_ || unseen_ > kUnseenMax; }
  bool done() const { return page_.more || spent(); }

  Result<Version> Read(KeySlot slot, std::optional<Position> stands) {
    return stands ? versions_.Read(slot, *stands)
                  : RecordFile::Read(Iterator(RecordFile::kVersions), slot, at_, on_);
  }

  Status Scan(const Plan& plan, const Range& range) {
    const std::size_t tail = TailBytes(plan.family);
    StoreIterator& it = Iterator(plan.family);
    int missed = 0;
    ++page_.explanation.entries;  // a seek costs, also one that finds nothing
    for (it.Seek(range.begin); it.Valid() && (range.end.empty() || it.key() < range.end) && !done();) {
      const std::string_view key = it.key();
      if (key.size() < tail) return Corrupt("search index: a key cannot be decoded");
      bool visible = false;
      Candidate found;
      RETURN_IF_ERROR(Look(plan, key, it.value(), visible, found));
      ++(visible ? page_.explanation.entries : unseen_);
      if (found.possible) RETURN_IF_ERROR(Consider(SlotOf(key), found.sure, found.stands));
      missed = visible && found.ruled_out ? missed + 1 : found.possible ? 0 : missed;
      if (missed < kStepsBeforeSeek) {
        it.Next();
      } else {
        missed = 0;
        it.Seek(Beyond(plan, key));
      }
    }
    return it.status();
  }

  StoreIterator& Iterator(Family family) {
    auto found = iterators_.find(family);
    if (found == iterators_.end()) found = iterators_.emplace(family, store_.NewIterator(family)).first;
    return found->second;
  }

  static KeySlot SlotOf(std::string_view key) {
    std::uint64_t slot = 0;
    for (const char byte : key.substr(key.size() - 5)) slot = slot << 8 | static_cast<std::uint8_t>(byte);
    return KeySlot(slot);
  }

  struct Candidate {
    bool possible = false;
    bool sure = false;       // and no more to ask
    std::optional<Position> stands;  // the version that holds, if it is known
    bool ruled_out = false;  // by what the key itself says of birth or municipality
  };

  // What a row says: whether it was there at the position, and whether someone who matches may be behind it.
  Status Look(const Plan& plan, std::string_view key, std::string_view value, bool& visible, Candidate& out) {
    const std::string_view end = key.substr(key.size() - TailBytes(plan.family));
    std::optional<std::uint32_t> birth, municipality;
    if (plan.family == RecordFile::kSearchNames) birth = ReadU24(end);
    if (plan.family == RecordFile::kSearchGiven) birth = ReadU24(end.substr(3)), municipality = ReadU24(end);
    if (plan.family == RecordFile::kSearchPeople) {
      if (key.size() != 11) return Corrupt("search index: a key cannot be decoded");
      birth = ReadU24(key.substr(3)), municipality = ReadU24(key);
    }
    if (plan.family == RecordFile::kSearchAddresses) municipality = ReadU24(key);
    out.ruled_out = (birth && !query_.HasBirth(*birth)) || (municipality && !query_.HasMunicipality(*municipality));
    Periods periods(plan.family, value);
    while (periods.Next(period_)) {
      if (period_.from > at_) continue;
      visible = true;
      if (out.ruled_out) break;
      const bool holds = !period_.until || *period_.until > at_;
      if ((holds || query_.former) && Suits(plan, key)) {
        out.possible = true;
        const bool alone = holds && period_.sole && !query_.former;
        out.sure = out.sure || (alone && CarriedBy(plan));
        if (alone && period_.newest && *period_.newest <= at_) out.stands = period_.newest;
      }
      if (holds && !query_.former && period_.sole) break;
    }
    return periods.ok() ? Status() : Corrupt("search index: a row cannot be decoded");
  }

  // Whether what the period says fits.
  bool Suits(const Plan& plan, std::string_view key) {
    if (query_.sex != v1::SEX_UNSPECIFIED && period_.sex != query_.sex) return false;
    if (plan.family == RecordFile::kSearchNames) {
      name_.text.assign(key.substr(1, key.size() - 1 - TailBytes(plan.family) - 1));
      name_.first = period_.first;
      return query_.HasMunicipality(period_.municipality) && MayLiveThere(period_.address_head) &&
             Matches(plan.kind == Kind::kText ? *query_.name : *query_.kana, query_.how, name_);
    }
    if (plan.family == RecordFile::kSearchGiven) return true;
    if (plan.family == RecordFile::kSearchAddresses && !query_.HasBirth(period_.birth)) return false;
    return (!query_.name || HasName(*query_.name, Kind::kText)) && (!query_.kana || HasName(*query_.kana, Kind::kKana));
  }

  bool MayLiveThere(std::string_view head) const {
    if (!query_.address) return true;
    const std::string_view asked = query_.address->text;
    const std::size_t both = std::min(head.size(), asked.size());
    return head.substr(0, both) == asked.substr(0, both) &&
           (asked.size() <= head.size() || head.size() == search_index::kAddressHeadBytes);
  }

  bool HasName(const NameQuery& query, Kind kind) {
    return std::ranges::any_of(period_.names, [&](const HeldName& held) {
      if (held.kind != kind) return false;
      name_.text.assign(held.text);
      name_.first = held.first;
      return Matches(query, query_.how, name_);
    });
  }

  // Whether the plan's rows carry all that is asked for.
  bool CarriedBy(const Plan& plan) const {
    const std::size_t address = query_.address ? query_.address->text.size() : 0;
    const bool one_name = !query_.name || !query_.kana;
    switch (plan.family) {
      case RecordFile::kSearchNames: return one_name && address <= search_index::kAddressHeadBytes;
      case RecordFile::kSearchGiven: return one_name && address == 0;
      case RecordFile::kSearchPeople: return address == 0;
      default: return true;
    }
  }

  // Where a scan goes on after rows that their birth or municipality rules out: the next of the same name that may
  // do, or the next name.
  std::string Beyond(const Plan& plan, std::string_view key) const {
    const std::size_t tail = TailBytes(plan.family);
    const std::string_view head = key.substr(0, key.size() - tail), end = key.substr(head.size(), tail - 5);
    std::string best;
    const auto offer = [&](std::uint32_t municipality, bool has_municipality, std::uint32_t birth) {
      std::string at;
      if (has_municipality) AppendU24(at, municipality);
      AppendU24(at, birth);
      if (at > end && (best.empty() || at < best)) best = std::move(at);
    };
    if (plan.family == RecordFile::kSearchNames) {
      for (const Span& span : query_.births) offer(0, false, span.first);
    } else if (plan.family == RecordFile::kSearchGiven) {
      std::vector<std::uint32_t> places = query_.municipalities;
      // Of any municipality: within this one, else from the next on.
      if (places.empty()) places = {ReadU24(end), ReadU24(end) + 1};
      for (const std::uint32_t place : places) {
        if (query_.births.empty()) offer(place, true, 0);
        for (const Span& span : query_.births) offer(place, true, span.first);
      }
    }
    std::string target(head);
    if (best.empty()) {
      target.back() = '\x01';  // in place of the 00 that ends the name
      return target;
    }
    return target + best;
  }

  const Store& store_;
  const VersionCache& versions_;
  const Matching& matching_;
  const Query& query_;
  const Position at_;
  const Date on_;
  const std::size_t limit_;
  const std::uint64_t skip_;

  std::map<Family, StoreIterator> iterators_;
  SearchPage page_;
  std::unordered_set<std::uint64_t> seen_;
  std::uint64_t share_ = 0, passed_ = 0, unseen_ = 0;
  Period period_;    // whose storage serves every row
  FoldedName name_;  // likewise
};

}  // namespace

Result<SearchPage> Search::Find(const v1::SearchCondition& condition, Position at, Date on, std::size_t limit,
                                const SearchCursor& from) const {
  ASSIGN_OR_RETURN(const Query query, Parse(*matching_, condition));
  Finding finding(store_, versions_, *matching_, query, at, on, limit, from.skip);
  const bool by_code = !condition.resident_code().empty(), by_number = !condition.individual_number().empty();
  if (by_code || by_number || !condition.subject().empty()) {
    auto slot = [&]() -> Result<KeySlot> {
      if (by_code) return file_.FindByResidentCode(condition.resident_code(), at);
      if (by_number) return file_.FindByIndividualNumber(condition.individual_number(), at);
      ASSIGN_OR_RETURN(const SubjectHandle handle, ToArray<16>(condition.subject()));
      return file_.FindByHandle(handle);
    }();
    if (by_code && by_number && slot.ok()) {
      const auto other = file_.FindByIndividualNumber(condition.individual_number(), at);
      if (!other.ok() || *other != *slot) slot = NotFound("no such resident");
    }
    finding.page().explanation.family = by_code ? "codes" : by_number ? "numbers" : "handles";
    if (slot.status().code() == Code::kNotFound || query.nowhere) return std::move(finding.page());
    RETURN_IF_ERROR(slot.status());
    RETURN_IF_ERROR(finding.Consider(*slot, false, std::nullopt));
    return std::move(finding.page());
  }
  if (!query.name && !query.kana && !query.birth && !query.address && query.municipality.empty()) {
    return Invalid("condition: 氏名、振り仮名、生年月日、住所、市町村のいずれかを指定してください");
  }
  if (query.nowhere) return SearchPage();
  std::vector<Way> ways = WaysOf(query, parts_, at);
  if (!from.family.empty()) std::erase_if(ways, [&](const Way& way) { return way.name != from.family; });
  if (ways.empty()) return Invalid("after: 同じ条件の前の答えのものではありません");
  std::vector<std::string> given_up;
  std::uint64_t entries = 0, records = 0;
  for (std::uint64_t share = ways.size() == 1 ? kCostMax : kFirstShare;; share = std::min(share * kShareGrowth, kCostMax)) {
    for (Way& way : ways) {
      ASSIGN_OR_RETURN(const bool through, finding.Run(way, share));
      SearchExplanation& explanation = finding.page().explanation;
      entries += explanation.entries;
      records += explanation.records;
      if (through) {
        explanation = {way.name, std::move(given_up), entries, records};
        return std::move(finding.page());
      }
      if (std::ranges::find(given_up, way.name) == given_up.end()) given_up.push_back(way.name);
    }
    if (share == kCostMax) break;
  }
  SearchPage out;
  out.too_broad = true;
  out.explanation = {"", std::move(given_up), entries, records};
  return out;
}

}  // namespace daicho
