// What the measures are called, and in which unit they are shown.
#include <cctype>
#include <map>

#include "report/page/html_table.h"

namespace cdsp::page {
namespace {

constexpr const char* kBlind = "blind_";

bool ends_with(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

bool starts_with(const std::string& text, const std::string& start) {
  return text.compare(0, start.size(), start) == 0;
}

/// "alpha_sparsity" -> "Alpha sparsity"
std::string words_of(const std::string& name) {
  std::string words = name;
  for (char& c : words) {
    if (c == '_') c = ' ';
  }
  if (!words.empty()) {
    words[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(words[0])));
  }
  return words;
}

struct Named {
  std::string title, unit;  // unit: "" for a plain number
};

const std::map<std::string, Named>& named_measures() {
  static const std::map<std::string, Named> names = {
      {"train_loss", {"Training loss", "nats"}},
      {"test_loss", {"Test loss", "nats"}},
      {"train_accuracy", {"Training accuracy", "%"}},
      {"test_accuracy", {"Test accuracy", "%"}},
      {"blind_loss", {"Test loss, task withheld", "nats"}},
      {"blind_accuracy", {"Test accuracy, task withheld", "%"}},
      {"blind_accuracy_drop", {"Drop when the task is withheld", "points"}},
      {"test_accuracy_gap_to_baseline", {"Test accuracy, gap to baseline", "points"}},
      {"train_accuracy_gap_to_baseline", {"Training accuracy, gap to baseline", "points"}},
      {"alpha_sparsity", {"Alpha sparsity", "share"}},
      {"structural_entropy", {"Structural entropy", "bits"}},
      {"rank_overlap", {"Rank overlap, mean over pairs of experts", "share"}},
      {"route_consistency", {"Same experts, informed and withheld", "share of tokens"}},
      {"route_jaccard", {"Overlap of experts, informed and withheld", "Jaccard index"}}};
  return names;
}

/// Measures of a routing table, informed and, with the prefix blind_, the task withheld.
const std::map<std::string, Named>& routing_measures() {
  static const std::map<std::string, Named> names = {
      {"separation_index", {"Separation index", "bits"}},
      {"nmi", {"NMI of task and expert", ""}},
      {"specialisation", {"Specialisation, mean over experts", "bits"}},
      {"load_cv2", {"Load cv²", ""}},
      {"jensen_shannon", {"Jensen-Shannon divergence", "bits"}},
      {"total_variation", {"Total variation", ""}},
      {"pearson", {"Pearson correlation", ""}}};
  return names;
}

std::string task_name(const std::vector<std::string>& tasks, char digit) {
  const auto task = static_cast<size_t>(digit - '0');
  return task < tasks.size() ? tasks[task] : "task " + std::string(1, digit);
}

/// Empty title if it is no measure of a routing table.
Named routing_measure(const std::string& name, const std::vector<std::string>& tasks) {
  const bool blind = starts_with(name, kBlind);
  std::string stem = blind ? name.substr(std::string(kBlind).size()) : name, pair;
  const size_t size = stem.size();
  const auto digit = [&](size_t at) { return std::isdigit(static_cast<unsigned char>(stem[at])); };
  if (size > 4 && stem[size - 4] == '_' && stem[size - 2] == '_' && digit(size - 3) &&
      digit(size - 1)) {
    pair = ", " + task_name(tasks, stem[size - 3]) + " and " + task_name(tasks, stem[size - 1]);
    stem.resize(size - 4);
  }
  const auto found = routing_measures().find(stem);
  if (found == routing_measures().end()) return {};
  return {found->second.title + pair + (blind ? ", task withheld" : ", informed"),
          found->second.unit};
}

}  // namespace

MeasureStyle style_of_measure(const std::string& name, const std::vector<std::string>& tasks) {
  MeasureStyle style;
  const bool accuracy = name.find("accuracy") != std::string::npos;
  style.sign = name.find("_gap_") != std::string::npos || ends_with(name, "_drop");
  if (accuracy) {
    style.scale = 100;
    style.decimals = 2;
  } else if (name.find("loss") != std::string::npos) {
    style.decimals = 4;
  }
  const auto found = named_measures().find(name);
  Named named = found != named_measures().end() ? found->second : routing_measure(name, tasks);
  if (named.title.empty()) named = {words_of(name), !accuracy ? "" : style.sign ? "points" : "%"};
  style.title = named.title + (named.unit.empty() ? "" : " (" + named.unit + ")");
  style.unit = named.unit;
  return style;
}

}  // namespace cdsp::page
