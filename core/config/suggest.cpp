#include "config/suggest.h"

#include <algorithm>
#include <tuple>
#include <vector>

#include "config/keys.h"
#include "config/yaml_text.h"

namespace cdsp {
namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

struct Candidate {
  std::string section;
  std::string field;
  int field_distance = 0;
  int section_distance = 0;

  std::string name() const { return section.empty() ? field : section + "." + field; }
  /// A wrong section is a smaller slip than a wrong letter.
  int cost() const { return 2 * field_distance + (section_distance > 0 ? 1 : 0); }
};

/// A third of a word may be wrong, but never all of it.
bool is_near(int distance, const std::string& word) {
  const int length = static_cast<int>(word.size());
  return distance <= std::min(std::max(2, length / 3), length - 1);
}

std::vector<Candidate> candidates_for(const std::string& section, const std::string& field) {
  std::vector<Candidate> found;
  const auto add = [&](const std::string& its_section, const std::string& its_field) {
    const int distance = edit_distance(field, its_field);
    if (is_near(distance, its_field) && is_near(distance, field))
      found.push_back({its_section, its_field, distance, edit_distance(section, its_section)});
  };
  for (const ConfigKey& key : config_keys()) add(key.section, key.field);
  if (!section.empty()) return found;
  add("", kBaseKey);
  for (const ConfigSection& candidate : config_sections()) add("", candidate.name);
  return found;
}

/// Of equally near keys, those in a section of nearly the given name, else all.
std::vector<std::string> nearest(const std::string& section, const std::string& field) {
  std::vector<Candidate> found = candidates_for(section, field);
  if (found.empty()) return {};
  const auto rank = [&](const Candidate& c) {
    const bool is_misspelt = !section.empty() && is_near(c.section_distance, section);
    return std::make_tuple(c.cost(), is_misspelt ? c.section_distance : 1000);
  };
  const auto best = rank(*std::min_element(
      found.begin(), found.end(), [&](const auto& a, const auto& b) { return rank(a) < rank(b); }));
  std::vector<std::string> names;
  for (const Candidate& candidate : found)
    if (rank(candidate) == best) names.push_back(candidate.name());
  return names;
}

}  // namespace

int edit_distance(const std::string& a, const std::string& b) {
  std::vector<std::vector<int>> table(a.size() + 1, std::vector<int>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) table[i][0] = static_cast<int>(i);
  for (size_t j = 0; j <= b.size(); ++j) table[0][j] = static_cast<int>(j);
  for (size_t i = 1; i <= a.size(); ++i) {
    for (size_t j = 1; j <= b.size(); ++j) {
      const int replace = lower(a[i - 1]) == lower(b[j - 1]) ? 0 : 1;
      int best =
          std::min({table[i - 1][j] + 1, table[i][j - 1] + 1, table[i - 1][j - 1] + replace});
      const bool swapped = i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) &&
                           lower(a[i - 2]) == lower(b[j - 1]);
      if (swapped) best = std::min(best, table[i - 2][j - 2] + 1);
      table[i][j] = best;
    }
  }
  return table[a.size()][b.size()];
}

std::string names_in(const std::string& section) {
  std::string names;
  const auto add = [&](const std::string& name) { names += (names.empty() ? "" : ", ") + name; };
  for (const ConfigKey& key : config_keys())
    if (key.section == section) add(key.field);
  if (!section.empty()) return names;
  add(kBaseKey);
  for (const ConfigSection& each : config_sections()) add(each.name);
  return names;
}

std::string unknown_key(const std::string& name) {
  constexpr size_t kLongestCompared = 100;
  const std::string text = "found no such key";
  const size_t dot = name.find('.');
  const std::string section = dot == std::string::npos ? "" : name.substr(0, dot);
  const std::string field = dot == std::string::npos ? name : name.substr(dot + 1);
  const auto names =
      name.size() > kLongestCompared ? std::vector<std::string>() : nearest(section, field);
  if (names.empty())
    return text + "; allowed" +
           (is_section(section) ? " in " + section + ": " + names_in(section)
                                : ": " + names_in(""));
  std::string list;
  for (size_t i = 0; i < names.size(); ++i)
    list += (i == 0 ? "" : i + 1 == names.size() ? " or " : ", ") + names[i];
  return text + "; did you mean " + list + "?";
}

}  // namespace cdsp
