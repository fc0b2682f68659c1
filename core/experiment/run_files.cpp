#include "experiment/run_files.h"

#include <cstdio>
#include <numeric>

#include <ATen/ATen.h>
#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "base/json_number.h"
#include "eval/routing_measures.h"
#include "eval/topology_measures.h"
#include "model/topology.h"
#include "train/trainer.h"

namespace cdsp {
namespace {

double total(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0);
}

std::optional<double> ratio(double sum, double count) {
  if (count == 0.0) return std::nullopt;
  return sum / count;
}

std::string epoch_file(int64_t epoch, const char* ending) {
  char name[32];
  std::snprintf(name, sizeof name, "epoch_%03lld%s", static_cast<long long>(epoch), ending);
  return name;
}

CsvRow with_experts(CsvRow row, size_t experts) {
  for (size_t e = 0; e < experts; ++e) row.add("expert_" + std::to_string(e));
  return row;
}

}  // namespace

CsvRow metrics_header(const std::vector<std::string>& tasks) {
  CsvRow row;
  for (const char* name : {"step", "epoch", "images", "loss_total", "loss_task", "loss_conflict",
                           "loss_reg", "loss_balance", "accuracy"}) {
    row.add(name);
  }
  for (const std::string& task : tasks) row.add("accuracy_" + task);
  return row.add("alpha_sparsity").add("structural_entropy").add("grad_norm");
}

CsvRow metrics_row(const StepMetrics& metrics) {
  CsvRow row;
  row.add(metrics.step).add(metrics.epoch).add(metrics.images);
  row.add(metrics.loss_total)
      .add(metrics.loss_task)
      .add(metrics.loss_conflict)
      .add(metrics.loss_reg);
  row.add(metrics.loss_balance).add(metrics.accuracy());
  for (size_t task = 0; task < metrics.task_count.size(); ++task)
    row.add(metrics.task_accuracy(task));
  return row.add(metrics.alpha_sparsity).add(metrics.structural_entropy).add(metrics.grad_norm);
}

CsvRow timing_header() { return CsvRow().add("step").add("seconds").add("images_per_s"); }

CsvRow timing_row(int64_t step, double seconds, double images_per_second) {
  return CsvRow().add(step).add(seconds).add(images_per_second);
}

CsvRow epochs_header(const std::vector<std::string>& tasks) {
  // The step comes first: it is what a resumed run keeps rows by.
  CsvRow row;
  row.add("step").add("epoch");
  for (const char* split : {"train", "test"}) {
    for (const char* measure : {"loss", "accuracy"}) {
      const std::string column = std::string(split) + "_" + measure;
      row.add(column);
      for (const std::string& task : tasks) row.add(column + "_" + task);
    }
  }
  return row;
}

CsvRow epochs_row(const EpochRecord& record) {
  const EpochSums& train = record.train;
  CsvRow row;
  row.add(record.step).add(record.epoch);
  for (const std::vector<double>* sums : {&train.loss, &train.correct}) {
    row.add(ratio(total(*sums), total(train.count)));
    for (size_t task = 0; task < sums->size(); ++task)
      row.add(ratio((*sums)[task], train.count[task]));
  }
  row.add(record.test.total_loss()).add(record.test.loss);
  row.add(record.test.total_accuracy()).add(record.test.accuracy);
  return row;
}

std::string routing_csv(const RoutingTable& routing, const std::vector<std::string>& tasks) {
  std::string text =
      with_experts(CsvRow().add("layer").add("task"), routing.front().front().size()).text() + '\n';
  for (size_t layer = 0; layer < routing.size(); ++layer) {
    for (size_t task = 0; task < tasks.size(); ++task) {
      text += CsvRow()
                  .add(static_cast<int64_t>(layer))
                  .add(tasks[task])
                  .add(routing[layer][task])
                  .text() +
              '\n';
    }
  }
  return text;
}

std::string matrices_csv(const std::vector<std::vector<std::vector<double>>>& matrices) {
  std::string text =
      with_experts(CsvRow().add("layer").add("expert"), matrices.front().size()).text() + '\n';
  for (size_t layer = 0; layer < matrices.size(); ++layer) {
    for (size_t expert = 0; expert < matrices[layer].size(); ++expert) {
      text += CsvRow()
                  .add(static_cast<int64_t>(layer))
                  .add(static_cast<int64_t>(expert))
                  .add(matrices[layer][expert])
                  .text() +
              '\n';
    }
  }
  return text;
}

nlohmann::json routing_measures_json(const RoutingTable& routing) {
  nlohmann::json layers = nlohmann::json::array();
  for (const RoutingRows& table : routing) {
    nlohmann::json measures;
    measures["separation_index"] = number_json(separation_index(table));
    measures["nmi"] = number_json(normalised_mutual_information(table));
    measures["load_cv2"] = number_json(load_cv2(table));
    measures["preferred_expert"] = preferred_experts(table);
    measures["task_entropy_of_expert"] = nlohmann::json::array();
    for (const double bits : task_entropy_of_experts(table)) {
      measures["task_entropy_of_expert"].push_back(number_json(bits));
    }
    measures["pairs"] = nlohmann::json::array();
    for (size_t a = 0; a < table.size(); ++a) {
      for (size_t b = a + 1; b < table.size(); ++b) {
        measures["pairs"].push_back(
            {{"tasks", {a, b}},
             {"jensen_shannon", number_json(jensen_shannon(table[a], table[b]))},
             {"total_variation", number_json(total_variation(table[a], table[b]))},
             {"pearson", number_json(pearson(table[a], table[b]))}});
      }
    }
    layers.push_back(measures);
  }
  return layers;
}

void write_epoch_files(const RunDirectory& directory, const Config& config, const Trainer& trainer,
                       const EpochRecord& record) {
  const auto& tasks = trainer.data().task_names;
  const RoutingTable& routing = record.test.routing;
  nlohmann::ordered_json json;
  json["epoch"] = record.epoch;
  json["step"] = record.step;
  json["split"] = "test";
  json["protocol"] = record.test.protocol.name();
  json["tasks"] = tasks;
  json["routing"] = routing;
  json["measures"] = routing_measures_json(routing);
  const auto routing_folder = directory.folder("routing");
  write_file_atomically(routing_folder / epoch_file(record.epoch, ".json"), json.dump(1) + "\n");
  write_file_atomically(routing_folder / epoch_file(record.epoch, ".csv"),
                        routing_csv(routing, tasks));

  if (config.variant != Variant::kCdsp) return;
  std::vector<std::vector<std::vector<double>>> links, conflicts;
  for (const at::Tensor& alpha : trainer.network().alphas()) links.push_back(link_strengths(alpha));
  for (const at::Tensor& mean : trainer.epoch_mean_conflict()) conflicts.push_back(rows_of(mean));
  write_file_atomically(directory.folder("topology") / epoch_file(record.epoch, ".csv"),
                        matrices_csv(links));
  write_file_atomically(directory.folder("conflict") / epoch_file(record.epoch, ".csv"),
                        matrices_csv(conflicts));
}

void write_summary(const RunDirectory& directory, const Config& config, const Trainer& trainer,
                   const EpochRecord& record) {
  const auto& tasks = trainer.data().task_names;
  const EpochSums& train = record.train;
  nlohmann::ordered_json json;
  json["variant"] = to_string(config.variant);
  json["seed"] = config.seed;
  json["tasks"] = tasks;
  json["epochs"] = record.epoch;
  json["steps"] = record.step;
  json["parameters"] = trainer.network().parameters().count();
  json["train"]["loss"] = total(train.loss) / total(train.count);
  json["train"]["accuracy"] = total(train.correct) / total(train.count);
  nlohmann::json task_accuracy = nlohmann::json::array();
  for (size_t task = 0; task < tasks.size(); ++task) {
    task_accuracy.push_back(number_json(train.correct[task] / train.count[task]));
  }
  json["train"]["task_accuracy"] = task_accuracy;
  json["test"]["protocol"] = record.test.protocol.name();
  json["test"]["loss"] = record.test.total_loss();
  json["test"]["accuracy"] = record.test.total_accuracy();
  json["test"]["task_loss"] = record.test.loss;
  json["test"]["task_accuracy"] = record.test.accuracy;
  json["routing_measures"] = routing_measures_json(record.test.routing);
  if (config.variant == Variant::kCdsp) {
    double sparsity = 0.0, entropy = 0.0;
    const auto alphas = trainer.network().alphas();
    for (const at::Tensor& alpha : alphas) {
      sparsity += alpha_sparsity(alpha).item<double>() / static_cast<double>(alphas.size());
      entropy += structural_entropy(alpha).item<double>();
      json["topology"]["rank_overlap"].push_back(
          rank_overlap(alpha, config.moe.d_base, config.moe.resolved_rank()));
    }
    json["topology"]["alpha_sparsity"] = sparsity;
    json["topology"]["structural_entropy"] = entropy;
  }
  write_file_atomically(directory.file("summary.json"), json.dump(2) + "\n");
}

}  // namespace cdsp
