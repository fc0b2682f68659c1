#include "experiment/suite.h"

#include <algorithm>
#include <regex>

#include "base/atomic_file.h"
#include "base/error.h"
#include "config/keys.h"
#include "config/yaml_tree.h"

namespace cdsp {
namespace fs = std::filesystem;
namespace {

using Kind = YamlNode::Kind;

constexpr const char* kFileForm =
    "allowed: arms: {NAME: {config: FILE, set: [KEY=VALUE, ...]}, ...}";

[[noreturn]] void fail(const std::string& origin, int line, const std::string& what) {
  throw InputError(origin + ":" + std::to_string(line) + ": " + what);
}

/// Arms are folders of the comparison, beside the ones that it writes itself.
bool is_arm_name(const std::string& name) {
  static const std::regex pattern(kNamePattern);
  return std::regex_match(name, pattern) && name != "experiments" && name != "report";
}

SuiteArm arm_of(const std::string& name, const fs::path& file, const std::string& origin,
                const std::vector<std::string>& overrides) {
  SuiteArm arm{name, origin, load_config(file, overrides)};
  const auto& standard = standard_arms();
  const bool is_standard = std::find(standard.begin(), standard.end(), name) != standard.end();
  if (is_standard && name != to_string(arm.config.variant)) {
    throw InputError(origin + ": has variant: " + to_string(arm.config.variant) +
                     ", its name asks for " + name);
  }
  return arm;
}

std::vector<SuiteArm> arms_of_folder(const fs::path& folder,
                                     const std::vector<std::string>& overrides) {
  std::vector<SuiteArm> arms;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const fs::path& file = entry.path();
    if (file.extension() != ".yaml") continue;
    const std::string name = file.stem().string();
    if (!is_arm_name(name))
      throw InputError(file.string() + ": its name cannot be an arm's; allowed: 1 to 64 letters, " +
                       "digits, - or _, other than experiments and report");
    arms.push_back(arm_of(name, file, file.string(), overrides));
  }
  if (arms.empty()) {
    throw InputError("--suite: " + folder.string() +
                     " holds no *.yaml; allowed: a folder of configs, each an arm, or a suite "
                     "file that lists arms");
  }
  return arms;
}

std::vector<std::string> own_settings(const YamlNode& node, const std::string& origin,
                                      const std::string& place) {
  if (node.kind != Kind::kList)
    fail(origin, node.line, place + ".set: found " + describe(node) + "; allowed: a list");
  std::vector<std::string> settings;
  for (const YamlRef& item : node.items) {
    if (item->kind != Kind::kScalar || item->text.find('=') == std::string::npos)
      fail(origin, item->line,
           place + ".set: found " + describe(*item) + "; allowed: KEY=VALUE, as in moe.top_k=1");
    settings.push_back(item->text);
  }
  return settings;
}

SuiteArm arm_of_entry(const YamlEntry& entry, const fs::path& file,
                      std::vector<std::string> overrides) {
  const std::string origin = file.string(), place = "arms." + entry.key;
  if (!is_arm_name(entry.key))
    fail(origin, entry.line,
         place +
             ": cannot be an arm's name; allowed: 1 to 64 letters, digits, - or _, other than "
             "experiments and report");
  if (entry.value->kind != Kind::kMap)
    fail(origin, entry.line, place + ": found " + describe(*entry.value) + "; " + kFileForm);
  fs::path config;
  for (const YamlEntry& field : entry.value->entries) {
    if (field.key == "set") {
      const auto own = own_settings(*field.value, origin, place);
      reject_seed_overrides(own);
      overrides.insert(overrides.end(), own.begin(), own.end());
    } else if (field.key == "config") {
      if (field.value->kind != Kind::kScalar || field.value->text.empty())
        fail(origin, field.line,
             place + ".config: found " + describe(*field.value) +
                 "; allowed: the path of a config, relative to this file");
      config = (file.parent_path() / field.value->text).lexically_normal();
      if (!fs::is_regular_file(config))
        fail(origin, field.line, place + ".config: " + config.string() + " is no file");
    } else {
      fail(origin, field.line, place + ": found no such key " + field.key + "; " + kFileForm);
    }
  }
  if (config.empty()) fail(origin, entry.line, place + ": has no config; " + kFileForm);
  return arm_of(entry.key, config, origin + ":" + std::to_string(entry.line) + ": " + place,
                overrides);
}

std::vector<SuiteArm> arms_of_file(const fs::path& file,
                                   const std::vector<std::string>& overrides) {
  const YamlRef root = parse_yaml(read_file(file), file.string());
  const YamlEntry* list = nullptr;
  if (root->kind == Kind::kMap) {
    for (const YamlEntry& entry : root->entries) {
      if (entry.key != "arms")
        fail(file.string(), entry.line, "found " + entry.key + " in a suite file; " + kFileForm);
      list = &entry;
    }
  }
  if (list == nullptr) throw InputError(file.string() + ": is no suite file; " + kFileForm);
  if (list->value->kind != Kind::kMap || list->value->entries.empty())
    fail(file.string(), list->line, "arms: found " + describe(*list->value) + "; " + kFileForm);
  std::vector<SuiteArm> arms;
  for (const YamlEntry& entry : list->value->entries) {
    arms.push_back(arm_of_entry(entry, file, overrides));
  }
  return arms;
}

/// The named arms of a suite, in its order.
std::vector<SuiteArm> chosen_arms(const Suite& suite, const std::vector<std::string>& names) {
  std::string there;
  for (const SuiteArm& arm : suite.arms) there += (there.empty() ? "" : ", ") + arm.name;
  for (size_t i = 0; i < names.size(); ++i) {
    if (std::find(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(i), names[i]) !=
        names.begin() + static_cast<std::ptrdiff_t>(i))
      throw InputError("--arms: " + names[i] + " stands there twice");
    const bool known = std::any_of(suite.arms.begin(), suite.arms.end(),
                                   [&](const SuiteArm& arm) { return arm.name == names[i]; });
    if (!known)
      throw InputError("--arms: " + suite.name + " has no arm '" + names[i] + "'; it has " + there);
  }
  std::vector<SuiteArm> chosen;
  for (const SuiteArm& arm : suite.arms) {
    if (std::find(names.begin(), names.end(), arm.name) != names.end()) chosen.push_back(arm);
  }
  return chosen;
}

}  // namespace

const std::vector<std::string>& standard_arms() {
  static const std::vector<std::string> arms = {"baseline", "blind", "cdsp"};
  return arms;
}

bool arm_stands_before(const std::string& a, const std::string& b) {
  const auto& standard = standard_arms();
  const auto place_a = std::find(standard.begin(), standard.end(), a);
  const auto place_b = std::find(standard.begin(), standard.end(), b);
  return place_a != place_b ? place_a < place_b : a < b;
}

fs::path suite_with_controls(const fs::path& suite) {
  if (!fs::is_directory(suite)) return suite;
  fs::path folder = suite.lexically_normal();
  if (folder.filename().empty()) folder = folder.parent_path();
  const fs::path controls = folder.parent_path() / (folder.filename().string() + "-controls.yaml");
  return fs::is_regular_file(controls) ? controls : fs::path();
}

void reject_seed_overrides(const std::vector<std::string>& overrides) {
  for (const std::string& text : overrides) {
    const size_t first = text.find_first_not_of(' ');
    if (first == std::string::npos || text.compare(first, 4, "seed") != 0) continue;
    const size_t next = text.find_first_not_of(' ', first + 4);
    if (next != std::string::npos && text[next] == '=')
      throw InputError("--set: seed: found in a comparison; its seeds are given by --seeds");
  }
}

void require_same_data(const std::vector<SuiteArm>& arms) {
  const auto first = flatten(arms.front().config);
  for (const SuiteArm& arm : arms) {
    const auto other = flatten(arm.config);
    for (size_t key = 0; key < first.size(); ++key) {
      const std::string& name = first[key].first;
      const bool shapes_data =
          name.rfind("data.", 0) == 0 || name == "model.classes" || name == "model.patch_size";
      if (shapes_data && first[key] != other[key]) {
        throw InputError(arm.origin + ": has " + name + ": " + other[key].second + ", " +
                         arms.front().name + " has " + first[key].second +
                         "; a comparison needs the same data");
      }
    }
  }
}

Suite load_suite(const fs::path& suite, const std::vector<std::string>& overrides,
                 const std::vector<std::string>& names) {
  reject_seed_overrides(overrides);
  Suite result;
  result.name = suite.lexically_normal().string();
  if (!fs::exists(suite))
    throw InputError("--suite: " + suite.string() + " is no folder of configs and no suite file");
  result.arms =
      fs::is_directory(suite) ? arms_of_folder(suite, overrides) : arms_of_file(suite, overrides);
  std::sort(result.arms.begin(), result.arms.end(),
            [](const SuiteArm& a, const SuiteArm& b) { return arm_stands_before(a.name, b.name); });
  if (!names.empty()) result.arms = chosen_arms(result, names);
  require_same_data(result.arms);
  return result;
}

}  // namespace cdsp
