#include "config/yaml_tree.h"

#include <algorithm>
#include <map>
#include <sstream>

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include "base/error.h"
#include "config/yaml_text.h"

namespace cdsp {
namespace {

using Kind = YamlNode::Kind;

/// Turns yaml-cpp's events into a YamlNode.
class TreeBuilder : public YAML::EventHandler {
 public:
  TreeBuilder(const std::string& origin, bool numbered) : origin_(origin), numbered_(numbered) {}

  YamlRef root() const { return root_; }

  [[noreturn]] void fail(int line, const std::string& what) const {
    throw InputError(origin_ + (numbered_ && line > 0 ? ":" + std::to_string(line) : "") + ": " +
                     what);
  }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ > 1) fail(mark.line + 1, "found a second document; allowed: one");
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    auto node = make(Kind::kNull, mark);
    finish(node, anchor, node->line);
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    check_tag(tag, mark);
    auto node = make(Kind::kScalar, mark);
    node->text = value;
    node->quoted = tag == "!" || tag == "tag:yaml.org,2002:str";
    finish(node, anchor, node->line);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end())
      fail(mark.line + 1, "an alias stands inside the node that it names");
    attach(found->second, mark.line + 1);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(Kind::kList, mark, tag, anchor);
  }
  void OnSequenceEnd() override { close(); }

  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(Kind::kMap, mark, tag, anchor);
  }
  void OnMapEnd() override {
    merge(*open_.back().node);
    close();
  }

 private:
  struct Frame {
    std::shared_ptr<YamlNode> node;
    YAML::anchor_t anchor = 0;
    bool key_read = false;  // of a map: the next node is the value of its last entry
  };

  static std::shared_ptr<YamlNode> make(Kind kind, const YAML::Mark& mark) {
    auto node = std::make_shared<YamlNode>();
    node->kind = kind;
    node->line = mark.line + 1;
    return node;
  }

  void check_tag(const std::string& tag, const YAML::Mark& mark) const {
    static const std::string standard = "tag:yaml.org,2002:";
    if (!tag.empty() && tag != "?" && tag != "!" && tag.compare(0, standard.size(), standard) != 0)
      fail(mark.line + 1, "found the tag " + double_quoted(tag) + "; allowed: no tags");
  }

  void open(Kind kind, const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    check_tag(tag, mark);
    open_.push_back({make(kind, mark), anchor, false});
  }

  void close() {
    const Frame frame = open_.back();
    open_.pop_back();
    finish(frame.node, frame.anchor, frame.node->line);
  }

  void finish(const YamlRef& node, YAML::anchor_t anchor, int line) {
    if (anchor != 0) anchors_[anchor] = node;
    attach(node, line);
  }

  void attach(const YamlRef& node, int line) {
    if (open_.empty()) {
      root_ = node;
      return;
    }
    Frame& frame = open_.back();
    if (frame.node->kind == Kind::kList) {
      frame.node->items.push_back(node);
    } else if (frame.key_read) {
      frame.node->entries.back().value = node;
      frame.key_read = false;
    } else {
      add_key(frame, *node, line);
    }
  }

  void add_key(Frame& frame, const YamlNode& key, int line) {
    if (key.kind != Kind::kScalar)
      fail(line, "found " + describe(key) + " as a key; allowed: a name");
    for (const YamlEntry& entry : frame.node->entries)
      if (entry.key == key.text)
        fail(line, path_to(key.text) + ": found a second time, first in line " +
                       std::to_string(entry.line) + "; allowed: each key once");
    frame.node->entries.push_back({key.text, line, nullptr});
    frame.key_read = true;
  }

  /// Dotted name of a key of the innermost open map.
  std::string path_to(const std::string& key) const {
    std::string path;
    for (size_t depth = 0; depth + 1 < open_.size(); ++depth)
      if (!open_[depth].node->entries.empty()) path += open_[depth].node->entries.back().key + ".";
    return one_line(path + key);
  }

  /// Replaces `<<: map` or `<<: [map, ...]` by those keys of the maps that the node does not have
  /// itself.
  void merge(YamlNode& map) const {
    auto& entries = map.entries;
    const auto marker =
        std::find_if(entries.begin(), entries.end(), [](const auto& e) { return e.key == "<<"; });
    if (marker == entries.end()) return;
    const YamlEntry merged = *marker;
    entries.erase(marker);
    const auto sources = merged.value->kind == Kind::kList ? merged.value->items
                                                           : std::vector<YamlRef>{merged.value};
    for (const YamlRef& source : sources) {
      if (source->kind != Kind::kMap)
        fail(merged.line, path_to("<<") + ": found " + describe(*source) + "; allowed: a section");
      for (const YamlEntry& entry : source->entries)
        if (std::none_of(entries.begin(), entries.end(),
                         [&](const auto& own) { return own.key == entry.key; }))
          entries.push_back(entry);
    }
  }

  std::string origin_;
  bool numbered_;
  int documents_ = 0;
  YamlRef root_;
  std::vector<Frame> open_;
  std::map<YAML::anchor_t, YamlRef> anchors_;
};

}  // namespace

YamlRef parse_yaml(const std::string& text, const std::string& origin, bool numbered) {
  TreeBuilder builder(origin, numbered);
  if (const int line = first_line_not_text(text))
    builder.fail(line, "found bytes that are no UTF-8 text; allowed: YAML");
  try {
    std::istringstream stream(text);
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const YAML::Exception& error) {
    builder.fail(error.mark.is_null() ? 0 : error.mark.line + 1,
                 "is not valid YAML: " + one_line(error.msg));
  }
  return builder.root() ? builder.root() : std::make_shared<const YamlNode>();
}

std::string describe(const YamlNode& node) {
  switch (node.kind) {
    case Kind::kNull:
      return "nothing";
    case Kind::kList:
      return "a list";
    case Kind::kMap:
      return "a section";
    case Kind::kScalar:
      break;
  }
  if (node.quoted || plain_type(node.text) == PlainType::kText)
    return "the text " + shortened(double_quoted(node.text));
  return shortened(node.text);
}

}  // namespace cdsp
