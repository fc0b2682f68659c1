#include "experiment/ablation.h"

#include <regex>

#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "base/csv.h"
#include "base/error.h"
#include "base/json_text.h"
#include "config/keys.h"
#include "config/suggest.h"
#include "config/yaml_tree.h"
#include "experiment/comparison_files.h"
#include "experiment/fingerprint.h"
#include "experiment/provenance.h"

namespace cdsp {
namespace fs = std::filesystem;
namespace {

using Kind = YamlNode::Kind;

constexpr const char* kStudyForm =
    "allowed: title, config, key, values: [...] and set: [KEY=VALUE, ...]";

class StudyReader {
 public:
  explicit StudyReader(const fs::path& file) : file_(file) {}

  AblationStudy read() {
    const YamlRef root = parse_yaml(read_file(file_), file_.string());
    if (root->kind != Kind::kMap)
      throw InputError(file_.string() + ": is no ablation study; " + kStudyForm);
    AblationStudy study;
    for (const YamlEntry& entry : root->entries) {
      if (entry.key == "title") {
        study.title = text_of(entry);
      } else if (entry.key == "config") {
        study.config = (file_.parent_path() / text_of(entry)).lexically_normal();
      } else if (entry.key == "key") {
        study.key = text_of(entry);
      } else if (entry.key == "values") {
        study.values = list_of(entry);
      } else if (entry.key == "set") {
        study.overrides = list_of(entry);
      } else {
        fail(entry.line, "found no such key " + entry.key + "; " + kStudyForm);
      }
    }
    for (const auto& [name, absent] : {std::pair<const char*, bool>{"config", study.config.empty()},
                                       {"key", study.key.empty()},
                                       {"values", study.values.empty()}}) {
      if (absent) throw InputError(file_.string() + ": has no " + name + "; " + kStudyForm);
    }
    return study;
  }

 private:
  [[noreturn]] void fail(int line, const std::string& what) const {
    throw InputError(file_.string() + ":" + std::to_string(line) + ": " + what);
  }

  std::string text_of(const YamlEntry& entry) const {
    if (entry.value->kind != Kind::kScalar || entry.value->text.empty())
      fail(entry.line, entry.key + ": found " + describe(*entry.value) + "; allowed: a text");
    return entry.value->text;
  }

  std::vector<std::string> list_of(const YamlEntry& entry) const {
    if (entry.value->kind != Kind::kList)
      fail(entry.line, entry.key + ": found " + describe(*entry.value) + "; allowed: a list");
    std::vector<std::string> texts;
    for (const YamlRef& item : entry.value->items) {
      if (item->kind != Kind::kScalar)
        fail(item->line, entry.key + ": found " + describe(*item) + "; allowed: single values");
      texts.push_back(item->text);
    }
    return texts;
  }

  fs::path file_;
};

/// Throws unless the runs of this key's values can stand side by side.
void require_ablatable(const std::string& key) {
  if (is_section(key))
    throw InputError("--key: " + key + ": found a section; allowed: one of its keys, " + key +
                     ".KEY with KEY of " + names_in(key));
  const ConfigKey* known = find_key(key);
  if (known == nullptr) throw InputError("--key: " + key + ": " + unknown_key(key));
  if (key == "seed")
    throw InputError("--key: seed: cannot be ablated; --seeds gives the seeds of every value");
  if (known->section == "data" || key == "model.classes" || key == "model.patch_size")
    throw InputError("--key: " + key +
                     ": cannot be ablated; the runs of an ablation share their data");
  if (!shapes_results(key))
    throw InputError("--key: " + key + ": cannot be ablated; it changes nothing but the speed");
}

std::vector<SuiteArm> arms_of(const AblationOptions& options) {
  const AblationStudy& study = options.study;
  require_ablatable(study.key);
  reject_seed_overrides(study.overrides);
  reject_seed_overrides(options.overrides);
  if (study.values.empty()) throw InputError("--values: is empty; allowed: VALUE,VALUE,...");
  std::vector<std::string> overrides = study.overrides;
  overrides.insert(overrides.end(), options.overrides.begin(), options.overrides.end());
  static const std::regex folder_name("[A-Za-z0-9_.+-]{1,64}");
  std::vector<SuiteArm> arms;
  for (const std::string& value : study.values) {
    if (!std::regex_match(value, folder_name))
      throw InputError("--values: '" + value +
                       "' cannot name a folder; allowed: 1 to 64 letters, digits, - + _ or .");
    auto settings = overrides;
    settings.push_back(study.key + "=" + value);
    SuiteArm arm{study.key + "=" + value, study.config.string(),
                 load_config(study.config, settings)};
    for (const SuiteArm& other : arms) {
      if (differing_keys(other.config, arm.config).empty())
        throw InputError("--values: " + arm.name + " and " + other.name + " are the same");
    }
    arms.push_back(std::move(arm));
  }
  return arms;
}

RunRequest request_of(const AblationOptions& options) {
  return {arms_of(options), options.seeds, options.out, options.from};
}

std::string base_value_of(const AblationOptions& options) {
  std::vector<std::string> overrides = options.study.overrides;
  overrides.insert(overrides.end(), options.overrides.begin(), options.overrides.end());
  const Config base = load_config(options.study.config, overrides);
  const auto arms = arms_of(options);
  for (size_t i = 0; i < arms.size(); ++i) {
    if (differing_keys(base, arms[i].config).empty()) return options.study.values[i];
  }
  return options.study.values.front();
}

}  // namespace

AblationStudy load_study(const fs::path& file) { return StudyReader(file).read(); }

RunPlan plan_ablation(const AblationOptions& options) {
  return plan_whole_runs(request_of(options));
}

std::optional<Ablation> run_ablation(const AblationOptions& options, const RunLauncher& launcher,
                                     QueueObserver& observer) {
  RunPlan plan = plan_ablation(options);
  make_folder(options.out);
  if (!work_off(plan.runs, {options.jobs, options.stop}, launcher, observer)) return std::nullopt;
  Ablation ablation;
  ablation.study = options.study;
  ablation.tasks = plan.data.task_names;
  ablation.seeds = options.seeds;
  for (const PlannedRun& run : plan.runs) {
    ablation.runs.push_back(read_compared_run(run.folder, run.arm, run.config));
  }
  ablation.base = base_value_of(options);
  ablation.provenance = provenance_of(plan.data.fingerprint, ablation.runs);
  ablation.notes = notes_on_makers(ablation.runs);
  for (const std::string& note : notes_on_other_runs(ablation.runs, options.out))
    ablation.notes.push_back(note);
  return ablation;
}

Spread difference_to_base(const Ablation& ablation, const std::string& value,
                          const std::string& measure) {
  return spread_of(values_of(
      paired_differences(seed_values(ablation.runs, ablation.arm(value), measure),
                         seed_values(ablation.runs, ablation.arm(ablation.base), measure))));
}

nlohmann::ordered_json ablation_json(const Ablation& ablation, const fs::path& out) {
  nlohmann::ordered_json json;
  json["format"] = 1;
  json["title"] = ablation.study.title;
  json["key"] = ablation.study.key;
  json["values"] = ablation.study.values;
  json["config"] = ablation.study.config.generic_string();
  json["tasks"] = ablation.tasks;
  json["seeds"] = ablation.seeds;
  json["base"] = ablation.base;
  for (const std::string& measure : measure_names(ablation.runs)) {
    for (const std::string& value : ablation.study.values) {
      nlohmann::ordered_json entry = {{"value", value}};
      entry.update(spread_json(spread_over_seeds(ablation.runs, ablation.arm(value), measure)));
      if (value != ablation.base)
        entry["difference_to_base"] = spread_json(difference_to_base(ablation, value, measure));
      json["measures"][measure].push_back(entry);
    }
  }
  for (const ComparedRun& run : ablation.runs) {
    nlohmann::ordered_json entry;
    entry["value"] = run.arm.substr(ablation.study.key.size() + 1);
    entry.update(run_json(run, out));
    json["runs"].push_back(entry);
  }
  for (const auto& [name, value] : ablation.provenance) json["provenance"][name] = value;
  json["notes"] = ablation.notes;
  return json;
}

std::string ablation_csv(const Ablation& ablation) {
  const auto measures = measure_names(ablation.runs);
  CsvRow header;
  header.add("key").add("value").add("seed");
  for (const std::string& measure : measures) header.add(measure);
  std::string text = header.text() + '\n';
  for (const ComparedRun& run : ablation.runs) {
    CsvRow row;
    row.add(ablation.study.key).add(run.arm.substr(ablation.study.key.size() + 1));
    row.add(std::to_string(run.seed));
    for (const std::string& measure : measures) row.add(run.measures.get(measure));
    text += row.text() + '\n';
  }
  return text;
}

std::vector<fs::path> write_ablation(const Ablation& ablation, const fs::path& out) {
  std::vector<fs::path> files = {out / "ablation.json", out / "ablation.csv"};
  write_file_atomically(files[0], json_text(ablation_json(ablation, out), 1) + "\n");
  write_file_atomically(files[1], ablation_csv(ablation));
  return files;
}

}  // namespace cdsp
