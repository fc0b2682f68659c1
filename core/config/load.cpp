// Reading config files and overrides. Every mistake ends as one InputError: place, key, found,
// allowed.
#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "base/atomic_file.h"
#include "base/error.h"
#include "config/config.h"
#include "config/keys.h"
#include "config/rules.h"
#include "config/suggest.h"
#include "config/values.h"
#include "config/yaml_text.h"
#include "config/yaml_tree.h"

namespace cdsp {
namespace fs = std::filesystem;
namespace {

using Kind = YamlNode::Kind;

constexpr const char* kOverride = "--set";

class Loader {
 public:
  void add_file(const fs::path& file) {
    const std::string text = read_file(file);
    chain_.push_back(identity(file));
    add_text(text, file.string());
    chain_.pop_back();
  }

  void add_text(const std::string& text, const std::string& origin) {
    const YamlRef root = parse_yaml(text, origin);
    if (root->kind == Kind::kNull || (root->kind == Kind::kMap && root->entries.empty()))
      throw InputError(origin + ": is empty; allowed: at least one key of " + names_in(""));
    if (root->kind != Kind::kMap)
      fail(place(origin, root->line),
           "found " + describe(*root) + " at the top level; allowed: " + names_in(""));
    // The file built on comes first, wherever the key stands.
    for (const YamlEntry& entry : root->entries)
      if (entry.key == kBaseKey) add_base(entry, origin);
    for (const YamlEntry& entry : root->entries)
      if (entry.key != kBaseKey) add_top_level(entry, origin);
  }

  void add_override(const std::string& text) {
    const size_t equals = text.find('=');
    const std::string name = trimmed(text.substr(0, equals));
    if (equals == std::string::npos || name.empty())
      fail(kOverride,
           "found " + shortened(double_quoted(text)) + "; allowed: KEY=VALUE, as in moe.top_k=1");
    const std::string shown = std::string(kOverride) + ": " + shortened(one_line(name));
    const YamlRef value = parse_yaml(text.substr(equals + 1), shown, false);
    if (is_section(name))
      fail(shown, "found a section; allowed: one of its keys, " + name + ".KEY=VALUE with KEY of " +
                      names_in(name));
    if (name == kBaseKey) fail(shown, "found in an override; allowed: in config files only");
    const ConfigKey* key = find_key(name);
    if (!key) fail(shown, unknown_key(name));
    assign(*key, *value, kOverride);
  }

  /// Throws unless `text` is a value of that key.
  void check(const std::string& name, const std::string& text, const std::string& origin) {
    const ConfigKey* key = find_key(name);
    if (!key) fail(origin, unknown_key(name));
    YamlNode plain;  // an option's value is no YAML: "cuda:" is not the beginning of a section
    plain.kind = Kind::kScalar;
    plain.text = text;
    try {
      read_value(*key, plain);
    } catch (const BadValue& bad) {
      fail(origin, bad.message);
    }
  }

  Config finish(const std::string& origin) {
    if (config_.data.source == DataSource::kGlyphs && places_.count("data.tasks") == 0)
      config_.data.tasks = glyph_task_names();
    if (const auto rule = first_broken_rule(config_))
      fail(place_of(rule->keys, origin), rule->keys.front() + ": " + rule->message);
    return std::move(config_);
  }

 private:
  [[noreturn]] static void fail(const std::string& place, const std::string& what) {
    throw InputError(place + ": " + what);
  }

  static std::string place(const std::string& origin, int line) {
    return origin + ":" + std::to_string(line);
  }

  static std::string trimmed(const std::string& text) {
    const size_t first = text.find_first_not_of(' ');
    if (first == std::string::npos) return "";
    return text.substr(first, text.find_last_not_of(' ') - first + 1);
  }

  /// One path for one file, however it is written.
  static fs::path identity(const fs::path& file) {
    std::error_code code;
    fs::path path = fs::weakly_canonical(file, code);
    return code ? file : path;
  }

  void add_base(const YamlEntry& entry, const std::string& origin) {
    const std::string here = place(origin, entry.line) + ": " + kBaseKey;
    const YamlNode& node = *entry.value;
    if (node.kind != Kind::kScalar || node.text.empty())
      fail(here, "found " + describe(node) +
                     "; allowed: the path of a config file, relative to this one");
    const fs::path file = (fs::path(origin).parent_path() / node.text).lexically_normal();
    if (std::find(chain_.begin(), chain_.end(), identity(file)) != chain_.end())
      fail(here, "found " + double_quoted(node.text) +
                     ", which leads back here; allowed: a chain of files that ends");
    std::error_code code;
    const fs::file_status status = fs::status(file, code);
    if (!fs::exists(status) || fs::is_directory(status))
      fail(here, "found " + double_quoted(node.text) + ", but " + file.string() +
                     (fs::is_directory(status) ? " is a folder" : " does not exist") +
                     "; allowed: the path of a config file, relative to this one");
    add_file(file);
  }

  void add_top_level(const YamlEntry& entry, const std::string& origin) {
    const std::string here = place(origin, entry.line) + ": " + shortened(one_line(entry.key));
    if (is_section(entry.key)) {
      if (entry.value->kind != Kind::kMap)
        fail(here, "found " + describe(*entry.value) + "; allowed: a section with keys of " +
                       names_in(entry.key));
      for (const YamlEntry& inner : entry.value->entries) add_key(entry.key, inner, origin);
      return;
    }
    const ConfigKey* key = find_key(entry.key);
    if (!key) fail(here, unknown_key(entry.key));
    if (!key->section.empty())
      fail(here, "found a dotted name; allowed: " + key->section + ": {" + key->field + ": ...}");
    assign(*key, *entry.value, place(origin, entry.line));
  }

  void add_key(const std::string& section, const YamlEntry& entry, const std::string& origin) {
    const std::string name = section + "." + entry.key;
    const ConfigKey* key = find_key(name);
    if (!key) fail(place(origin, entry.line) + ": " + shortened(one_line(name)), unknown_key(name));
    assign(*key, *entry.value, place(origin, entry.line), origin);
  }

  void assign(const ConfigKey& key, const YamlNode& node, const std::string& where,
              const std::string& origin = "") {
    try {
      key.set(config_, read_value(key, node));
    } catch (const BadValue& bad) {
      const bool has_own_line = bad.line > 0 && !origin.empty();
      fail(has_own_line ? place(origin, bad.line) : where, key.name() + ": " + bad.message);
    }
    places_[key.name()] = {where, ++assignments_};
  }

  /// Where the latest of the keys was given; `origin` if none was.
  std::string place_of(const std::vector<std::string>& keys, const std::string& origin) const {
    std::pair<std::string, int> latest = {origin, 0};
    for (const std::string& key : keys) {
      const auto found = places_.find(key);
      if (found != places_.end() && found->second.second > latest.second) latest = found->second;
    }
    return latest.first;
  }

  Config config_;
  std::vector<fs::path> chain_;  // the files being read, outermost first
  std::map<std::string, std::pair<std::string, int>> places_;
  int assignments_ = 0;
};

}  // namespace

Config load_config(const fs::path& file, const std::vector<std::string>& overrides) {
  Loader loader;
  loader.add_file(file);
  for (const std::string& text : overrides) loader.add_override(text);
  return loader.finish(file.string());
}

void check_value(const std::string& key, const std::string& text, const std::string& origin) {
  Loader().check(key, text, origin);
}

Config parse_config(const std::string& yaml, const std::string& origin,
                    const std::vector<std::string>& overrides) {
  Loader loader;
  loader.add_text(yaml, origin);
  for (const std::string& text : overrides) loader.add_override(text);
  return loader.finish(origin);
}

}  // namespace cdsp
