// YAML text as a tree that remembers lines, with the checks yaml-cpp leaves out: one document,
// UTF-8 text, no key twice, no tags, no alias inside the node it names. Merge keys (`<<`) are
// resolved.
#pragma once

#include <memory>
#include <string>
#include <vector>

namespace cdsp {

struct YamlNode;
/// Shared, so that aliases cost nothing however often they are used.
using YamlRef = std::shared_ptr<const YamlNode>;

struct YamlEntry {
  std::string key;
  int line = 0;
  YamlRef value;
};

struct YamlNode {
  enum class Kind { kNull, kScalar, kList, kMap };

  Kind kind = Kind::kNull;
  int line = 0;         // counted from 1
  std::string text;     // of a scalar
  bool quoted = false;  // a scalar that is text whatever it looks like
  std::vector<YamlRef> items;
  std::vector<YamlEntry> entries;  // of a map: its own keys in file order, then merged ones
};

/// Parses one document; no document gives a null node. Throws InputError "ORIGIN:LINE: ..." (or
/// "ORIGIN: ..." when `numbered` is false, for text that is no file).
YamlRef parse_yaml(const std::string& text, const std::string& origin, bool numbered = true);

/// A node in a few words for messages: `5`, `the text "abc"`, `a list`, `a section`, `nothing`.
std::string describe(const YamlNode& node);

}  // namespace cdsp
