#include "report/page/explorer.h"

#include <algorithm>

#include "report/page/page_numbers.h"
#include "report/page/seeded_pictures.h"
#include "report/terminal_heatmap.h"

namespace cdsp::page {
namespace {

using Json = nlohmann::ordered_json;
using LayersOfEpoch = Layers EpochTables::*;
using Runs = std::vector<const RunData*>;

/// So many numbers are 2 to 3 MB of a page that stays below 5 MB.
constexpr size_t kMostNumbers = 450'000;

bool has_routing(const RunData& run) {
  return std::any_of(run.tables.begin(), run.tables.end(),
                     [](const auto& entry) { return !entry.second.routing.empty(); });
}

/// The numbers in all of a run's tables.
size_t numbers_in(const RunData& run) {
  size_t count = 0;
  for (const auto& [epoch, tables] : run.tables) {
    for (const Layers* layers : {&tables.routing, &tables.topology, &tables.conflict}) {
      for (const RoutingRows& rows : *layers) count += rows.size() * rows.front().size();
    }
  }
  return count;
}

/// How many seeds of every arm there is room for, at least one.
size_t seeds_that_fit(const std::vector<Runs>& arms) {
  size_t most = 0, total = 0;
  for (const Runs& runs : arms) most = std::max(most, runs.size());
  for (size_t seeds = 0; seeds < most; ++seeds) {
    for (const Runs& runs : arms) total += seeds < runs.size() ? numbers_in(*runs[seeds]) : 0;
    if (total > kMostNumbers) return std::max<size_t>(1, seeds);
  }
  return most;
}

/// The largest conflict of all runs that are shown.
double largest_conflict(const std::vector<Runs>& arms) {
  double largest = 0;
  for (const Runs& runs : arms) {
    for (const RunData* run : runs) {
      for (const auto& [epoch, tables] : run->tables) {
        for (const RoutingRows& rows : tables.conflict) {
          largest = std::max(largest, largest_share(rows));
        }
      }
    }
  }
  return largest;
}

std::vector<int64_t> epochs_of(const RunData& run) {
  std::vector<int64_t> epochs;
  for (const auto& [epoch, tables] : run.tables) {
    if (!tables.routing.empty()) epochs.push_back(epoch);
  }
  return epochs;
}

/// One arm's pictures, drawn for its first seed, and the numbers of all its seeds.
class ExplorerArm {
 public:
  ExplorerArm(const Runs& runs, double conflict, FigureSet& figures)
      : runs_(runs), first_(*runs.front()), last_(epochs_of(first_).back()), figures_(figures) {
    for (const RunData* run : runs) {
      numbers_["runs"].push_back(
          {{"seed", std::to_string(run->seed)}, {"epochs", epochs_of(*run)}});
    }
    numbers_["panels"] = Json::array();
    add("Routing", &EpochTables::routing, {figures.routing_scale(), 2});
    add("Topology", &EpochTables::topology, matrix_look(MatrixKind::kTopology, 1));
    add("Conflict", &EpochTables::conflict, matrix_look(MatrixKind::kConflict, conflict));
    if (first_.tables.at(last_).topology.empty()) {
      pictures_ += fill("no-topology", {{"arm", arm_title(first_.arm)}});
    }
  }

  Json numbers() const { return numbers_; }
  Html html() const { return fill("explorer-arm", {{"arm", first_.arm}, {"figures", pictures_}}); }

 private:
  std::string draw(const std::string& name, size_t layer, const RoutingRows& rows,
                   const MatrixLook& look) const {
    const std::string title =
        name + ", layer " + std::to_string(layer) + ", " + arm_title(first_.arm);
    const std::string subtitle =
        "Epoch " + std::to_string(last_) + ", seed " + std::to_string(first_.seed);
    if (name == "Routing") return routing_svg(title, subtitle, rows, first_.tasks, look.scale);
    const MatrixKind kind = name == "Topology" ? MatrixKind::kTopology : MatrixKind::kConflict;
    return matrix_svg(kind, title, subtitle, rows, look);
  }

  void add(const std::string& name, LayersOfEpoch part, const MatrixLook& look) {
    const Layers& last = first_.tables.at(last_).*part;
    std::string file = name;
    file.front() = static_cast<char>(file.front() - 'A' + 'a');
    Html row;
    for (size_t layer = 0; layer < last.size(); ++layer) {
      row += figures_.add(file + "_" + first_.arm + "_layer_" + std::to_string(layer),
                          draw(name, layer, last[layer], look));
      Json panel;
      panel["kind"] = file;
      panel["layer"] = layer;
      panel["scale"] = look.scale;
      panel["decimals"] = look.decimals;
      panel["columns"] = last[layer].front().size();
      if (name == "Routing") panel["rows"] = first_.tasks;
      panel["values"] = Json::array();
      for (const RunData* run : runs_) {
        Json of_run = Json::array();
        for (const int64_t epoch : epochs_of(*run)) {
          const Layers& layers = run->tables.at(epoch).*part;
          // An epoch without this file, or of another shape, shows no numbers.
          const bool fits = layer < layers.size() && layers[layer].size() == last[layer].size() &&
                            layers[layer].front().size() == last[layer].front().size();
          of_run.push_back(fits ? cell_numbers(layers[layer]) : Json(nullptr));
        }
        panel["values"].push_back(of_run);
      }
      numbers_["panels"].push_back(panel);
    }
    if (!row.empty()) pictures_ += fill("pair", {{"figures", row}});
  }

  const Runs& runs_;
  const RunData& first_;
  int64_t last_;  // the first run's last epoch
  FigureSet& figures_;
  Html pictures_;
  Json numbers_;
};

std::string seeds_left_out(size_t shown, size_t most) {
  if (shown >= most) return "";
  return "The page has room for the first " + std::to_string(shown) + " of " +
         std::to_string(most) + " seeds; the runs' folders hold the tables of all.";
}

}  // namespace

Html explorer(const ReportData& data, const std::string& first, FigureSet& figures) {
  std::vector<std::string> names = data.arms();
  std::stable_partition(names.begin(), names.end(),
                        [&](const std::string& name) { return name == first; });
  std::vector<Runs> arms;
  size_t most = 0;
  for (const std::string& name : names) {
    Runs runs;
    for (const RunData* run : data.runs_of(name)) {
      if (has_routing(*run)) runs.push_back(run);
    }
    most = std::max(most, runs.size());
    if (!runs.empty()) arms.push_back(runs);
  }
  if (arms.empty()) return {};
  const size_t shown = seeds_that_fit(arms);
  std::vector<uint64_t> seeds;
  for (Runs& runs : arms) {
    if (runs.size() > shown) runs.resize(shown);
    for (const RunData* run : runs) {
      if (std::find(seeds.begin(), seeds.end(), run->seed) == seeds.end())
        seeds.push_back(run->seed);
    }
  }
  const double conflict = largest_conflict(arms);
  Html options, blocks;
  Json numbers;
  for (const Runs& runs : arms) {
    const std::string& name = runs.front()->arm;
    const ExplorerArm arm(runs, conflict, figures);
    options += fill("option", {{"value", name}, {"label", arm_title(name)}});
    blocks += arm.html();
    numbers["arms"][name] = arm.numbers();
  }
  return fill("explorer", {{"options", options},
                           {"seeds", seed_options(seeds)},
                           {"left_out", seeds_left_out(shown, most)},
                           {"arms", blocks},
                           {"numbers", script_json(numbers)}});
}

}  // namespace cdsp::page
