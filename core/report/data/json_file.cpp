#include "report/data/json_file.h"

#include <limits>

#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "base/error.h"

namespace cdsp::page {
namespace {

using Json = nlohmann::ordered_json;

double number_from(const Json& value) {
  return value.is_null() ? std::numeric_limits<double>::quiet_NaN() : value.get<double>();
}

/// The library's sentence without its number in brackets.
std::string plain(const std::string& message) {
  const size_t end = message.find("] ");
  return end == std::string::npos ? message : message.substr(end + 2);
}

}  // namespace

void read_json_file(const std::filesystem::path& path,
                    const std::function<void(const Json&)>& take) {
  const std::string content = read_file(path);
  try {
    take(Json::parse(content));
  } catch (const nlohmann::json::exception& error) {
    throw InputError(path.string() + ": is not as cdsp writes it: " + plain(error.what()));
  } catch (const std::invalid_argument& error) {
    throw InputError(path.string() + ": is not as cdsp writes it: " + error.what());
  }
}

double number_of(const Json& object, const std::string& key) {
  const auto found = object.find(key);
  return found == object.end() ? std::numeric_limits<double>::quiet_NaN() : number_from(*found);
}

std::vector<double> numbers_of(const Json& object, const std::string& key) {
  std::vector<double> numbers;
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return numbers;
  if (!found->is_array()) throw std::invalid_argument("'" + key + "' must be a list of numbers");
  for (const Json& value : *found) numbers.push_back(number_from(value));
  return numbers;
}

std::string text_of(const Json& object, const std::string& key) {
  const auto found = object.find(key);
  return found == object.end() ? "" : shown(*found);
}

std::optional<std::pair<double, double>> interval_of(const Json& object, const std::string& key) {
  const auto numbers = numbers_of(object, key);
  if (numbers.empty()) return std::nullopt;
  if (numbers.size() != 2) throw std::invalid_argument("'" + key + "' must be two numbers or null");
  return std::make_pair(numbers[0], numbers[1]);
}

std::vector<RoutingRows> layers_of(const Json& value) {
  auto layers = value.get<std::vector<RoutingRows>>();
  for (const RoutingRows& rows : layers) {
    for (const auto& row : rows) {
      if (rows.size() != layers.front().size() || row.empty() ||
          row.size() != layers.front().front().size()) {
        throw std::invalid_argument("its layers' tables differ in shape");
      }
    }
    if (rows.empty()) throw std::invalid_argument("a layer's table is empty");
  }
  return layers;
}

std::string shown(const Json& value) {
  if (value.is_null()) return "";
  if (value.is_string()) return value.get<std::string>();
  if (!value.is_array()) return value.dump();
  std::string text;
  for (const Json& item : value) text += (text.empty() ? "" : ", ") + shown(item);
  return text;
}

}  // namespace cdsp::page
