#include "consumers/matching_files.h"

#include <utility>

#include "ledger/files.h"

namespace daicho {
namespace {

constexpr std::pair<const char*, std::string VariantFiles::*> kFiles[] = {
    {"mj-list", &VariantFiles::mj_list},
    {"shrink-map", &VariantFiles::shrink_map},
    {"substitutes", &VariantFiles::substitutes}};

std::string CurrentPath(const Home& home) { return home.Path("matching/current"); }
std::string DirectoryOf(const Home& home, const std::string& id) { return home.Path("matching/" + id); }

Result<std::shared_ptr<const Matching>> Load(const VariantFiles& files) {
  ASSIGN_OR_RETURN(auto variants, VariantTable::Load(files));
  return std::make_shared<const Matching>(std::move(variants));
}

}  // namespace

Result<std::shared_ptr<const Matching>> CurrentMatching(const Home& home) {
  const auto id = ReadFile(CurrentPath(home));
  if (id.status().code() == Code::kNotFound) return Matching::Shipped();
  RETURN_IF_ERROR(id.status());
  return FindMatching(home, *id);
}

Result<std::shared_ptr<const Matching>> FindMatching(const Home& home, const std::string& id) {
  if (id == Matching::Shipped()->id()) return Matching::Shipped();
  if (id.find_first_not_of("0123456789abcdef+") != id.npos) return Invalid("id: not one of a matching definition");
  VariantFiles files;
  for (const auto& [name, file] : kFiles) {
    if (const std::string path = DirectoryOf(home, id) + "/" + name; FileExists(path)) files.*file = path;
  }
  if (files.shrink_map.empty() && files.substitutes.empty()) return NotFound("no matching definition " + id);
  ASSIGN_OR_RETURN(auto matching, Load(files));
  if (matching->id() != id) return Invalid(DirectoryOf(home, id) + ": the files are not those of the definition");
  return matching;
}

Result<std::string> KeepMatching(const Home& home, const VariantFiles& files) {
  ASSIGN_OR_RETURN(const auto matching, Load(files));
  const std::string id = matching->id();
  if (id == Matching::Shipped()->id()) return id;
  RETURN_IF_ERROR(MakeDirectories(DirectoryOf(home, id)));
  for (const auto& [name, file] : kFiles) {
    if ((files.*file).empty()) continue;
    ASSIGN_OR_RETURN(const std::string text, ReadFile(files.*file));
    RETURN_IF_ERROR(WriteFileDurably(DirectoryOf(home, id) + "/" + name, text, 0644));
  }
  return id;
}

Status SetCurrentMatching(const Home& home, const std::string& id) {
  RETURN_IF_ERROR(MakeDirectories(home.Path("matching")));
  return WriteFileDurably(CurrentPath(home), id, 0644);
}

}  // namespace daicho
