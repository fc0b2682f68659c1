#include "config/values.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <regex>
#include <set>

#include "config/yaml_text.h"

namespace cdsp {
namespace {

using Kind = YamlNode::Kind;

bool matches(const std::string& text, const char* pattern) {
  return std::regex_match(text, std::regex(pattern));
}

[[noreturn]] void reject(const ConfigKey& key, const std::string& found, int line = 0) {
  throw BadValue{"found " + found + "; allowed: " + allowed_text(key), line};
}

/// The type of a scalar; text for a quoted one.
PlainType type_of(const YamlNode& node) {
  if (node.kind == Kind::kNull) return PlainType::kNull;
  return node.quoted ? PlainType::kText : plain_type(node.text);
}

template <class Value, class Parse>
Value parse_or_reject(const ConfigKey& key, const YamlNode& node, const Parse& parse) {
  const std::optional<Value> value = parse(node.text);
  if (!value) reject(key, describe(node));
  return *value;
}

std::string read_text(const ConfigKey& key, const YamlNode& node, int line = 0) {
  if (node.kind != Kind::kScalar) reject(key, describe(node), line);
  if (type_of(node) != PlainType::kText) {
    const bool is_choice = key.type == KeyType::kChoice || key.type == KeyType::kDevice;
    reject(key,
           describe(node) +
               (is_choice ? "" : " (text that looks like a number or a truth value needs quotes)"),
           line);
  }
  return node.text;
}

std::vector<std::string> read_names(const ConfigKey& key, const YamlNode& node) {
  if (node.kind != Kind::kList) reject(key, describe(node));
  std::vector<std::string> names;
  for (const YamlRef& item : node.items) {
    const std::string name = read_text(key, *item, item->line);
    if (!matches(name, kNamePattern)) reject(key, describe(*item), item->line);
    if (std::find(names.begin(), names.end(), name) != names.end())
      reject(key, double_quoted(name) + " twice", item->line);
    names.push_back(name);
  }
  return names;
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (size_t i = 0; i < words.size(); ++i) {
    if (i > 0) text += i + 1 == words.size() ? " or " : ", ";
    text += words[i];
  }
  return text;
}

std::string allowed_integers(const IntegerRange& range) {
  return "an integer from " + std::to_string(range.minimum) + " to " +
         std::to_string(range.maximum);
}

/// 0 rather than 0.0: a bound is read, not computed with.
std::string bound_text(double bound) {
  const std::string text = number_text(bound);
  const size_t end = text.size() - 2;
  return text.size() > 2 && text.compare(end, 2, ".0") == 0 ? text.substr(0, end) : text;
}

std::string allowed_numbers(const NumberRange& range) {
  return std::string("a number ") + (range.minimum_excluded ? "above " : "from ") +
         bound_text(range.minimum) + " to " + bound_text(range.maximum);
}

std::optional<std::string> problem_in_names(const std::vector<std::string>& names) {
  if (names.empty()) return "an empty list";
  std::set<std::string> seen;
  for (const std::string& name : names) {
    if (!matches(name, kNamePattern)) return "the text " + shortened(double_quoted(name));
    if (!seen.insert(name).second) return double_quoted(name) + " twice";
  }
  return std::nullopt;
}

/// What is wrong with the value, as messages put it after "found".
std::optional<std::string> found_wrong(const ConfigKey& key, const ConfigValue& value) {
  if (std::holds_alternative<std::monostate>(value))
    return key.empty_word.empty() ? std::optional<std::string>("nothing") : std::nullopt;
  const std::string text = value_text(key, value);
  switch (key.type) {
    case KeyType::kBoolean:
    case KeyType::kUnsigned:
      return std::nullopt;
    case KeyType::kInteger: {
      const int64_t integer = std::get<int64_t>(value);
      const bool is_inside = integer >= key.integers.minimum && integer <= key.integers.maximum;
      return is_inside ? std::nullopt : std::optional(text);
    }
    case KeyType::kNumber: {
      const double number = std::get<double>(value);
      const NumberRange& range = key.numbers;
      const bool above = range.minimum_excluded ? number > range.minimum : number >= range.minimum;
      return std::isfinite(number) && above && number <= range.maximum ? std::nullopt
                                                                       : std::optional(text);
    }
    case KeyType::kChoice: {
      const auto& word = std::get<std::string>(value);
      const bool is_choice =
          std::find(key.choices.begin(), key.choices.end(), word) != key.choices.end();
      return is_choice ? std::nullopt : std::optional("the text " + shortened(double_quoted(word)));
    }
    case KeyType::kPath:
      return std::get<std::string>(value).empty() ? std::optional<std::string>("an empty text")
                                                  : std::nullopt;
    case KeyType::kDevice: {
      const auto& word = std::get<std::string>(value);
      return matches(word, kDevicePattern)
                 ? std::nullopt
                 : std::optional("the text " + shortened(double_quoted(word)));
    }
    case KeyType::kNames:
      return problem_in_names(std::get<std::vector<std::string>>(value));
  }
  return std::nullopt;
}

}  // namespace

ConfigValue read_value(const ConfigKey& key, const YamlNode& node) {
  const PlainType type =
      node.kind == Kind::kScalar || node.kind == Kind::kNull ? type_of(node) : PlainType::kText;
  const bool is_null_word = type == PlainType::kNull && key.empty_word == "null";
  const bool is_auto_word =
      node.kind == Kind::kScalar && key.empty_word == "auto" && node.text == "auto";
  if (is_null_word || is_auto_word) return ConfigValue();

  ConfigValue value;
  switch (key.type) {
    case KeyType::kBoolean:
      if (node.kind != Kind::kScalar || type != PlainType::kBoolean) reject(key, describe(node));
      value = node.text.front() == 't' || node.text.front() == 'T';
      break;
    case KeyType::kInteger:
      if (node.kind != Kind::kScalar || type != PlainType::kInteger) reject(key, describe(node));
      value = parse_or_reject<int64_t>(key, node, parse_integer<int64_t>);
      break;
    case KeyType::kUnsigned:
      if (node.kind != Kind::kScalar || type != PlainType::kInteger) reject(key, describe(node));
      value = parse_or_reject<uint64_t>(key, node, parse_integer<uint64_t>);
      break;
    case KeyType::kNumber:
      if (node.kind != Kind::kScalar || (type != PlainType::kInteger && type != PlainType::kNumber))
        reject(key, describe(node));
      value = parse_or_reject<double>(key, node, parse_number);
      break;
    case KeyType::kChoice:
    case KeyType::kPath:
    case KeyType::kDevice:
      value = read_text(key, node);
      break;
    case KeyType::kNames:
      value = read_names(key, node);
      break;
  }
  const auto found = found_wrong(key, value);
  const bool is_number = key.type == KeyType::kInteger || key.type == KeyType::kNumber;
  if (found) reject(key, is_number ? describe(node) : *found);  // a number as the file spells it
  return value;
}

std::optional<std::string> problem_with(const ConfigKey& key, const ConfigValue& value) {
  const auto found = found_wrong(key, value);
  if (!found) return std::nullopt;
  return "found " + *found + "; allowed: " + allowed_text(key);
}

std::string allowed_text(const ConfigKey& key) {
  std::string text;
  switch (key.type) {
    case KeyType::kBoolean:
      text = "true or false";
      break;
    case KeyType::kInteger:
      text = allowed_integers(key.integers);
      break;
    case KeyType::kUnsigned:
      text = "an integer from 0 to " + std::to_string(std::numeric_limits<uint64_t>::max());
      break;
    case KeyType::kNumber:
      text = allowed_numbers(key.numbers);
      break;
    case KeyType::kChoice:
      text = joined(key.choices);
      break;
    case KeyType::kPath:
      text = "a path";
      break;
    case KeyType::kNames:
      text = "a list of names, each once (1 to 64 letters, digits, - or _)";
      break;
    case KeyType::kDevice:
      text = "auto, cpu, cuda or cuda:N";
      break;
  }
  return key.empty_word.empty() ? text : key.empty_word + " or " + text;
}

std::string value_text(const ConfigKey& key, const ConfigValue& value) {
  if (std::holds_alternative<std::monostate>(value)) return key.empty_word;
  if (const auto* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
  if (const auto* integer = std::get_if<int64_t>(&value)) return std::to_string(*integer);
  if (const auto* integer = std::get_if<uint64_t>(&value)) return std::to_string(*integer);
  if (const auto* number = std::get_if<double>(&value)) return number_text(*number);
  if (const auto* text = std::get_if<std::string>(&value))
    return key.type == KeyType::kDevice && matches(*text, kDevicePattern) ? *text
                                                                          : scalar_text(*text);
  std::string list;
  for (const std::string& name : std::get<std::vector<std::string>>(value))
    list += (list.empty() ? "" : ", ") + scalar_text(name);
  return "[" + list + "]";
}

}  // namespace cdsp
