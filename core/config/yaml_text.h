// Scalars as YAML text: what a plain one means, how values are written, and how text is shown in
// messages.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace cdsp {

/// What a plain (unquoted) scalar is, by the YAML 1.2 core schema (decimal integers only).
enum class PlainType { kNull, kBoolean, kInteger, kNumber, kText };
PlainType plain_type(std::string_view text);

/// The value of a plain integer; empty if it does not fit.
template <class Integer>
std::optional<Integer> parse_integer(std::string_view text);

/// The value of a plain integer or number (`.inf` and `.nan` too); empty if a double cannot hold
/// it.
std::optional<double> parse_number(std::string_view text);

/// The shortest text that reads back as exactly this double, with a point: 10.0, 0.001, 1.0e-5.
std::string number_text(double value);

/// `text` as a YAML scalar: plain where every YAML reader takes it for text, else in double quotes.
std::string scalar_text(std::string_view text);

/// `text` in double quotes on one line.
std::string double_quoted(std::string_view text);

/// `text` with control characters escaped, so that it stays on one line.
std::string one_line(std::string_view text);

/// At most about 60 characters of `text`, the rest as "...".
std::string shortened(const std::string& text);

/// The first line (from 1) that holds a control character or bytes that are not UTF-8; 0 if there
/// is none.
int first_line_not_text(std::string_view text);

}  // namespace cdsp
