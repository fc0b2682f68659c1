#include "report/page/routing_pictures.h"

#include <algorithm>

#include "report/page/seeded_pictures.h"

namespace cdsp::page {
namespace {

/// The epoch of the paper's first stage.
constexpr int64_t kSecondEpoch = 2;

/// The seeds of these arms, each once, in the order of the runs.
std::vector<uint64_t> seeds_of(const ReportData& data, const std::vector<std::string>& arms) {
  std::vector<uint64_t> seeds;
  for (const std::string& arm : arms) {
    for (const RunData* run : data.runs_of(arm)) {
      if (std::find(seeds.begin(), seeds.end(), run->seed) == seeds.end())
        seeds.push_back(run->seed);
    }
  }
  return seeds;
}

/// A table of every seed's run of the arm, chosen by `table`; empty where there is none.
template <class Table>
std::vector<RoutingRows> of_seeds(const ReportData& data, const std::string& arm,
                                  const std::vector<uint64_t>& seeds, const Table& table) {
  std::vector<RoutingRows> found(seeds.size());
  for (const RunData* run : data.runs_of(arm)) {
    const auto at = std::find(seeds.begin(), seeds.end(), run->seed) - seeds.begin();
    if (static_cast<size_t>(at) < seeds.size()) found[static_cast<size_t>(at)] = table(*run);
  }
  return found;
}

}  // namespace

Html two_stages(const ReportData& data, const std::string& arm, FigureSet& figures) {
  const auto seeds = seeds_of(data, {arm});
  const RunData* shown = data.shown_run(arm);
  if (shown == nullptr) return {};
  const auto last_routing = [](const RunData& run) -> int64_t {
    int64_t last = 0;
    for (const auto& [epoch, tables] : run.tables) last = tables.routing.empty() ? last : epoch;
    return last;
  };
  const auto routing_at = [](const RunData& run, int64_t epoch) {
    const auto found = run.tables.find(epoch);
    const bool known = found != run.tables.end() && !found->second.routing.empty();
    return known ? found->second.routing.front() : RoutingRows{};
  };
  SeededPictures pictures(seeds);
  const int64_t last = last_routing(*shown);
  for (const int64_t epoch : {kSecondEpoch, last}) {
    if (epoch == kSecondEpoch && last <= kSecondEpoch) continue;
    const std::string number = std::to_string(epoch);
    SeededPicture picture{"routing_" + arm + "_epoch_" + number,
                          arm_title(arm) + ", epoch " + number,
                          "Layer 0, all test images, informed"};
    picture.tasks = shown->tasks;
    picture.of_seeds =
        of_seeds(data, arm, seeds, [&](const RunData& run) { return routing_at(run, epoch); });
    pictures.add(picture, figures);
  }
  return pictures.empty() ? Html{} : pictures.html();
}

Html overlap_figures(const ReportData& data, const std::string& arm, FigureSet& figures) {
  const auto seeds = seeds_of(data, {arm});
  size_t layers = 0;
  for (const RunData* run : data.runs_of(arm)) layers = std::max(layers, run->rank_overlap.size());
  SeededPictures pictures(seeds);
  for (size_t layer = 0; layer < layers; ++layer) {
    const std::string number = std::to_string(layer);
    SeededPicture picture{"overlap_" + arm + "_layer_" + number,
                          "Overlap of subspaces, layer " + number + ", " + arm_title(arm),
                          "End of training"};
    picture.of_seeds = of_seeds(data, arm, seeds, [&](const RunData& run) {
      return layer < run.rank_overlap.size() ? run.rank_overlap[layer] : RoutingRows{};
    });
    pictures.add(picture, figures);
  }
  return pictures.html();
}

Html informed_and_blind(const ReportData& data, const std::vector<std::string>& arms,
                        FigureSet& figures) {
  const auto seeds = seeds_of(data, arms);
  SeededPictures pictures(seeds);
  Html without;
  for (const std::string& arm : arms) {
    const auto runs = data.runs_of(arm);
    const auto judged = std::find_if(runs.begin(), runs.end(),
                                     [](const RunData* run) { return !run->blind.empty(); });
    if (judged == runs.end()) {
      without +=
          fill("paragraph", {{"text", arm_title(arm) + ": there is no blind evaluation to show."}});
      continue;
    }
    const auto add = [&](const char* how, Layers RunData::*layers, const std::string& words) {
      SeededPicture picture{"routing_" + arm + "_" + how, arm_title(arm) + ", " + words,
                            "Layer 0, all test images"};
      picture.tasks = (*judged)->tasks;
      picture.of_seeds = of_seeds(data, arm, seeds, [&](const RunData& run) {
        return (run.*layers).empty() ? RoutingRows{} : (run.*layers).front();
      });
      pictures.add(picture, figures);
    };
    pictures.begin_row();
    if ((*judged)->variant() == "blind") {
      add("blind", &RunData::blind, "which never sees a task");
    } else {
      add("informed", &RunData::informed, "informed");
      add("blind", &RunData::blind, "task withheld");
    }
  }
  Html body = pictures.empty() ? Html{} : pictures.html();
  return body += without;
}

}  // namespace cdsp::page
