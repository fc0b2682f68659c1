// JSON files whose every fault is an InputError that names the file and the key.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "eval/routing_measures.h"

namespace cdsp::page {

/// Reads a file and hands its content to `take`. Throws InputError naming the file if it is no
/// JSON, or if `take` asks it for something that it does not hold.
void read_json_file(const std::filesystem::path& path,
                    const std::function<void(const nlohmann::ordered_json&)>& take);

/// A number; NaN for null and for what is not there.
double number_of(const nlohmann::ordered_json& object, const std::string& key);
/// A list of numbers, null being NaN; empty if it is not there.
std::vector<double> numbers_of(const nlohmann::ordered_json& object, const std::string& key);
/// A text; empty if it is not there or null. Numbers and truth values are written out.
std::string text_of(const nlohmann::ordered_json& object, const std::string& key);
/// Two numbers; nothing for null and for what is not there.
std::optional<std::pair<double, double>> interval_of(const nlohmann::ordered_json& object,
                                                     const std::string& key);
/// A table for each layer. Throws InputError (through read_json_file) unless all have one shape.
std::vector<RoutingRows> layers_of(const nlohmann::ordered_json& value);
/// A value as a table shows it: text as it stands, lists joined by ", ", nothing for null.
std::string shown(const nlohmann::ordered_json& value);

}  // namespace cdsp::page
