#include "report/page/explorer.h"

#include <algorithm>
#include <cmath>

#include <nlohmann/json.hpp>

#include "report/colour_scale.h"
#include "report/terminal_heatmap.h"
#include "report/text_table.h"

namespace cdsp::page {
namespace {

using Json = nlohmann::ordered_json;

std::string seed_name(const RunData& run) { return "seed " + std::to_string(run.seed); }

/// Colours by steps of a hundredth, with the ink that is read on them: what the page needs to
/// colour a cell as the pictures do.
Json colour_steps() {
  Json steps = Json::array();
  for (int step = 0; step <= 100; ++step) {
    const Colour colour = viridis(step / 100.0);
    steps.push_back({hex_code(colour), needs_white_text(colour) ? "#ffffff" : "#000000"});
  }
  return steps;
}

/// Four decimals are more than a cell shows, and half as long.
Json rounded(const RoutingRows& rows) {
  Json values = Json::array();
  for (const auto& row : rows) {
    for (const double value : row) {
      values.push_back(std::isfinite(value) ? Json(std::round(value * 1e4) / 1e4) : Json(nullptr));
    }
  }
  return values;
}

using LayersOfEpoch = Layers EpochTables::*;

/// The largest conflict of all runs that are shown.
double largest_conflict(const std::vector<const RunData*>& runs) {
  double largest = 0;
  for (const RunData* run : runs) {
    for (const auto& [epoch, tables] : run->tables) {
      for (const RoutingRows& rows : tables.conflict) {
        largest = std::max(largest, largest_share(rows));
      }
    }
  }
  return largest;
}

/// One arm's pictures and the numbers behind them.
class ExplorerArm {
 public:
  ExplorerArm(const RunData& run, double conflict, FigureSet& figures)
      : run_(run), figures_(figures) {
    for (const auto& [epoch, tables] : run.tables) {
      if (!tables.routing.empty()) epochs_.push_back(epoch);
    }
    if (epochs_.empty()) return;
    numbers_["seed"] = run.seed;
    numbers_["epochs"] = epochs_;
    numbers_["panels"] = Json::array();
    add("routing", &EpochTables::routing, {figures.routing_scale(), 2});
    add("topology", &EpochTables::topology, matrix_look(MatrixKind::kTopology, 1));
    add("conflict", &EpochTables::conflict, matrix_look(MatrixKind::kConflict, conflict));
    if (run.tables.at(epochs_.back()).topology.empty()) {
      pictures_ += fill("no-topology", {{"arm", arm_title(run.arm)}});
    }
  }

  bool empty() const { return epochs_.empty(); }
  Json numbers() const { return numbers_; }
  Html html() const { return fill("explorer-arm", {{"arm", run_.arm}, {"figures", pictures_}}); }

 private:
  void add(const std::string& kind, LayersOfEpoch part, const MatrixLook& look) {
    const Layers& last = run_.tables.at(epochs_.back()).*part;
    Html row;
    for (size_t layer = 0; layer < last.size(); ++layer) {
      const std::string name = kind == "routing"    ? "Routing"
                               : kind == "topology" ? "Topology"
                                                    : "Conflict";
      const std::string title =
          name + ", layer " + std::to_string(layer) + ", " + arm_title(run_.arm);
      const std::string subtitle =
          "Epoch " + std::to_string(epochs_.back()) + ", " + seed_name(run_);
      const std::string svg =
          kind == "routing"
              ? routing_svg(title, subtitle, last[layer], run_.tasks, look.scale)
              : matrix_svg(kind == "topology" ? MatrixKind::kTopology : MatrixKind::kConflict,
                           title, subtitle, last[layer], look);
      row += figures_.add(kind + "_" + run_.arm + "_layer_" + std::to_string(layer), svg);
      Json panel;
      panel["kind"] = kind;
      panel["layer"] = layer;
      panel["scale"] = look.scale;
      panel["decimals"] = look.decimals;
      panel["columns"] = last[layer].front().size();
      if (kind == "routing") panel["rows"] = run_.tasks;
      panel["values"] = Json::array();
      for (const int64_t epoch : epochs_) {
        const Layers& layers = run_.tables.at(epoch).*part;
        // An epoch without this file, or of another shape, shows no numbers.
        const bool fits = layer < layers.size() && layers[layer].size() == last[layer].size() &&
                          layers[layer].front().size() == last[layer].front().size();
        panel["values"].push_back(fits ? rounded(layers[layer]) : Json(nullptr));
      }
      numbers_["panels"].push_back(panel);
    }
    if (!row.empty()) pictures_ += fill("figures", {{"figures", row}});
  }

  const RunData& run_;
  FigureSet& figures_;
  std::vector<int64_t> epochs_;
  Html pictures_;
  Json numbers_;
};

/// JSON inside a script element must not end it.
Html script_json(const Json& json) {
  Html html;
  for (const char c : json.dump()) {
    html.markup += c == '<' ? std::string("\\u003c") : std::string(1, c);
  }
  return html;
}

}  // namespace

Html explorer(const ReportData& data, const std::string& first, FigureSet& figures) {
  Html options, arms;
  Json numbers;
  numbers["colours"] = colour_steps();
  std::vector<std::string> names = data.arms();
  std::stable_partition(names.begin(), names.end(),
                        [&](const std::string& name) { return name == first; });
  std::vector<const RunData*> runs;
  for (const std::string& name : names) {
    const RunData* run = data.shown_run(name);
    if (run != nullptr) runs.push_back(run);
  }
  const double conflict = largest_conflict(runs);
  for (const RunData* run : runs) {
    const ExplorerArm arm(*run, conflict, figures);
    if (arm.empty()) continue;
    options += fill("explorer-option",
                    {{"arm", run->arm}, {"label", arm_title(run->arm) + ", " + seed_name(*run)}});
    arms += arm.html();
    numbers["arms"][run->arm] = arm.numbers();
  }
  if (arms.empty()) return {};
  return fill("explorer",
              {{"options", options}, {"arms", arms}, {"numbers", script_json(numbers)}});
}

Html overlap_figures(const RunData& run, FigureSet& figures) {
  Html pictures;
  for (size_t layer = 0; layer < run.rank_overlap.size(); ++layer) {
    const std::string number = std::to_string(layer);
    pictures += figures.add(
        "overlap_" + run.arm + "_layer_" + number,
        matrix_svg(MatrixKind::kOverlap,
                   "Overlap of subspaces, layer " + number + ", " + arm_title(run.arm),
                   "End of training, " + seed_name(run), run.rank_overlap[layer], {1, 2}));
  }
  return pictures.empty() ? Html{} : fill("figures", {{"figures", pictures}});
}

Html informed_and_blind(const RunData& run, FigureSet& figures) {
  if (run.blind.empty()) {
    return fill("paragraph", {{"text", arm_title(run.arm) + ", " + seed_name(run) +
                                           ": there is no blind evaluation to show."}});
  }
  const std::string when = "Layer 0, all test images, " + seed_name(run);
  const auto picture = [&](const std::string& how, const Layers& layers, const std::string& words) {
    return figures.add("routing_" + run.arm + "_" + how,
                       routing_svg(arm_title(run.arm) + ", " + words, when, layers.front(),
                                   run.tasks, figures.routing_scale()));
  };
  Html pictures;
  if (run.variant() == "blind") {
    pictures += picture("blind", run.blind, "which never sees a task");
  } else {
    if (!run.informed.empty()) pictures += picture("informed", run.informed, "informed");
    pictures += picture("blind", run.blind, "task withheld");
  }
  return fill("figures", {{"figures", pictures}});
}

}  // namespace cdsp::page
