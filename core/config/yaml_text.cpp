#include "config/yaml_text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <limits>

namespace cdsp {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

bool is_one_of(std::string_view text, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), text) != words.end();
}

std::string_view without_sign(std::string_view text) {
  if (!text.empty() && (text.front() == '+' || text.front() == '-')) text.remove_prefix(1);
  return text;
}

size_t leading_digits(std::string_view text) {
  return static_cast<size_t>(std::find_if_not(text.begin(), text.end(), is_digit) - text.begin());
}

/// [-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?
bool looks_like_number(std::string_view text) {
  text = without_sign(text);
  const size_t whole = leading_digits(text);
  text.remove_prefix(whole);
  size_t fraction = 0;
  if (!text.empty() && text.front() == '.') {
    text.remove_prefix(1);
    fraction = leading_digits(text);
    text.remove_prefix(fraction);
  }
  if (whole + fraction == 0) return false;
  if (text.empty()) return true;
  if (text.front() != 'e' && text.front() != 'E') return false;
  text = without_sign(text.substr(1));
  return !text.empty() && leading_digits(text) == text.size();
}

/// Bytes of the UTF-8 character at the start of `text`, 0 if it is none.
size_t utf8_length(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  const size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i)
    if ((byte(i) & 0xC0U) != 0x80) return 0;
  // Overlong forms, surrogates and what lies beyond U+10FFFF.
  if ((first == 0xE0 && byte(1) < 0xA0) || (first == 0xED && byte(1) > 0x9F)) return 0;
  if ((first == 0xF0 && byte(1) < 0x90) || (first == 0xF4 && byte(1) > 0x8F)) return 0;
  return length;
}

void append_escaped(std::string& out, char c) {
  std::array<char, 8> buffer{};
  std::snprintf(buffer.data(), buffer.size(), "\\x%02x",
                static_cast<unsigned>(static_cast<unsigned char>(c)));
  out += buffer.data();
}

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; }

}  // namespace

PlainType plain_type(std::string_view text) {
  if (is_one_of(text, {"", "~", "null", "Null", "NULL"})) return PlainType::kNull;
  if (is_one_of(text, {"true", "True", "TRUE", "false", "False", "FALSE"}))
    return PlainType::kBoolean;
  const std::string_view digits = without_sign(text);
  if (!digits.empty() && leading_digits(digits) == digits.size()) return PlainType::kInteger;
  if (looks_like_number(text) || is_one_of(text, {".nan", ".NaN", ".NAN"}) ||
      is_one_of(digits, {".inf", ".Inf", ".INF"}))
    return PlainType::kNumber;
  return PlainType::kText;
}

template <class Integer>
std::optional<Integer> parse_integer(std::string_view text) {
  if (!text.empty() && text.front() == '+') text.remove_prefix(1);
  Integer value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}
template std::optional<int64_t> parse_integer<int64_t>(std::string_view);
template std::optional<uint64_t> parse_integer<uint64_t>(std::string_view);

std::optional<double> parse_number(std::string_view text) {
  const std::string_view unsigned_text = without_sign(text);
  if (is_one_of(unsigned_text, {".inf", ".Inf", ".INF"}))
    return text.front() == '-' ? -std::numeric_limits<double>::infinity()
                               : std::numeric_limits<double>::infinity();
  if (is_one_of(text, {".nan", ".NaN", ".NAN"})) return std::numeric_limits<double>::quiet_NaN();
  if (!text.empty() && text.front() == '+') text.remove_prefix(1);
  double value = 0.0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::string number_text(double value) {
  if (std::isnan(value)) return ".nan";
  if (std::isinf(value)) return value < 0 ? "-.inf" : ".inf";
  std::array<char, 32> buffer{};
  const auto result = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
  std::string text(buffer.data(), result.ptr);
  const size_t exponent = text.find('e');
  std::string mantissa = text.substr(0, exponent);
  if (mantissa.find('.') == std::string::npos)
    mantissa += ".0";  // readers of YAML 1.1 need the point
  if (exponent == std::string::npos) return mantissa;
  std::string power = text.substr(exponent + 2);
  power.erase(0, std::min(power.find_first_not_of('0'), power.size() - 1));
  return mantissa + "e" + text[exponent + 1] + power;
}

std::string scalar_text(std::string_view text) {
  const auto is_plain = [](char c) {
    return is_letter(c) || is_digit(c) ||
           (c != '\0' && std::string_view("._/-").find(c) != std::string_view::npos);
  };
  const bool starts_as_text =
      !text.empty() && (is_letter(text.front()) || text.front() == '_' || text.front() == '/' ||
                        text.substr(0, 2) == "./" || text.substr(0, 3) == "../");
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  const bool is_word =
      is_one_of(lower, {"null", "true", "false", "yes", "no", "on", "off", "y", "n"});
  if (starts_as_text && !is_word && std::all_of(text.begin(), text.end(), is_plain))
    return std::string(text);
  return double_quoted(text);
}

std::string double_quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (is_control(c)) {
      append_escaped(out, c);
    } else {
      if (c == '"' || c == '\\') out += '\\';
      out += c;
    }
  }
  return out + '"';
}

std::string one_line(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (is_control(c)) {
      append_escaped(out, c);
    } else {
      out += c;
    }
  }
  return out;
}

std::string shortened(const std::string& text) {
  constexpr size_t kLongest = 60;
  if (text.size() <= kLongest) return text;
  size_t end = kLongest - 3;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80) --end;
  return text.substr(0, end) + "...";
}

int first_line_not_text(std::string_view text) {
  int line = 1;
  while (!text.empty()) {
    const char c = text.front();
    const size_t length = utf8_length(text);
    const bool is_space = c == '\n' || c == '\r' || c == '\t';
    if (length == 0 || (is_control(c) && !is_space)) return line;
    if (c == '\n') ++line;
    text.remove_prefix(length);
  }
  return 0;
}

}  // namespace cdsp
