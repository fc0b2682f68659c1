#include "experiment/theory_run.h"

#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "experiment/run_directory.h"
#include "experiment/run_tables.h"

namespace cdsp {
namespace fs = std::filesystem;
namespace {

/// The columns that a row of sigma(A) selects: the r largest, ties to the lowest index. sigma is
/// constant on a block of B columns, so whole blocks go in order, and the last one is cut.
std::vector<bool> selected_columns(const std::vector<double>& row, int64_t d_base, int64_t rank) {
  const auto width = d_base / static_cast<int64_t>(row.size());
  std::vector<size_t> order(row.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&row](size_t a, size_t b) { return row[a] > row[b]; });
  std::vector<bool> selected(static_cast<size_t>(d_base), false);
  int64_t left = rank;
  const auto take = [&](int64_t begin, int64_t length) {
    for (int64_t c = begin; c < begin + length && left > 0; ++c, --left)
      selected[static_cast<size_t>(c)] = true;
  };
  for (const size_t owner : order) take(static_cast<int64_t>(owner) * width, width);
  const int64_t owned = width * static_cast<int64_t>(row.size());
  take(owned, d_base - owned);
  return selected;
}

}  // namespace

double TheoryRun::most_entropy() const {
  return static_cast<double>(config.model.layers * experts() * experts());
}

TheoryRun read_theory_run(const fs::path& folder) {
  const auto record = read_run_record(folder);
  if (!record) throw InputError(folder.string() + ": holds no run of cdsp");
  if (record->status != "finished") {
    throw InputError(folder.string() + ": the run is " + record->status +
                     ", the theory is held against a finished one");
  }
  TheoryRun run;
  run.folder = folder;
  run.config = load_config(folder / "config.yaml");
  if (run.config.variant != Variant::kCdsp) {
    throw InputError(folder.string() + ": is a run of variant " + to_string(run.config.variant) +
                     ", which has no topology; a run of variant cdsp is needed");
  }
  const CsvTable metrics(folder / "metrics.csv");
  run.steps = metrics.numbers("step");
  run.entropy = metrics.numbers("structural_entropy");
  for (const double number : CsvTable(folder / "epochs.csv").numbers("epoch")) {
    TheoryEpoch epoch;
    epoch.epoch = static_cast<int64_t>(number);
    epoch.links = read_layer_tables(epoch_table(folder / "topology", epoch.epoch));
    epoch.conflict = read_layer_tables(epoch_table(folder / "conflict", epoch.epoch));
    run.epochs.push_back(std::move(epoch));
  }
  if (run.epochs.empty() || run.steps.empty())
    throw InputError(folder.string() + ": has no epoch or no logged step");
  return run;
}

std::vector<std::vector<int64_t>> shared_columns(const std::vector<std::vector<double>>& links,
                                                 int64_t d_base, int64_t rank) {
  std::vector<std::vector<bool>> selected;
  selected.reserve(links.size());
  for (const auto& row : links) selected.push_back(selected_columns(row, d_base, rank));
  std::vector<std::vector<int64_t>> shared(links.size(), std::vector<int64_t>(links.size(), 0));
  for (size_t i = 0; i < links.size(); ++i) {
    for (size_t j = 0; j < links.size(); ++j) {
      for (size_t c = 0; c < selected[i].size(); ++c)
        shared[i][j] += selected[i][c] && selected[j][c] ? 1 : 0;
    }
  }
  return shared;
}

}  // namespace cdsp
