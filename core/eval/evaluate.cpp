#include "eval/evaluate.h"

#include <algorithm>
#include <utility>

#include <ATen/ATen.h>

#include "base/error.h"
#include "eval/routing_sums.h"
#include "eval/task_input.h"
#include "train/metrics.h"
#include "train/objective.h"

namespace cdsp {

/// Sums of one protocol over the batches, on the device.
struct Evaluator::Sums {
  at::Tensor answers;                  // [3 * tasks]: images, correct, loss
  std::vector<at::Tensor> selections;  // per layer [tasks, N]
  std::vector<at::Tensor>
      agreements;  // per layer [tasks, 2]: same set, Jaccard, summed over tokens

  Evaluation finished(const Protocol& protocol, int64_t tasks, int64_t positions,
                      int64_t top_k) const;
};

namespace {

std::vector<double> ratio(const at::Tensor& sums, const at::Tensor& counts) {
  const at::Tensor host = (sums / counts).to(at::kCPU).contiguous();
  return {host.data_ptr<double>(), host.data_ptr<double>() + host.numel()};
}

void add_to(at::Tensor& sum, const at::Tensor& value) { sum = sum.defined() ? sum + value : value; }

}  // namespace

Evaluation Evaluator::Sums::finished(const Protocol& protocol, int64_t tasks, int64_t positions,
                                     int64_t top_k) const {
  Evaluation result;
  result.protocol = protocol;
  const at::Tensor counts = answers.view({3, tasks});
  result.images = ratio(counts[0], at::ones_like(counts[0]));
  result.accuracy = ratio(counts[1], counts[0]);
  result.loss = ratio(counts[2], counts[0]);
  const at::Tensor tokens = counts[0] * static_cast<double>(positions);
  for (size_t layer = 0; layer < selections.size(); ++layer) {
    const at::Tensor share = selections[layer] / (tokens * static_cast<double>(top_k)).unsqueeze(1);
    std::vector<std::vector<double>> table;
    for (int64_t task = 0; task < tasks; ++task)
      table.push_back(ratio(share[task], at::ones_like(share[task])));
    result.routing.push_back(table);
    result.same_route.push_back(ratio(agreements[layer].select(1, 0), tokens));
    result.route_jaccard.push_back(ratio(agreements[layer].select(1, 1), tokens));
  }
  return result;
}

Evaluator::Evaluator(const Network& network, const DeviceSplit& split,
                     std::vector<Protocol> protocols, int64_t batch_size)
    : network_(network),
      split_(split),
      protocols_(std::move(protocols)),
      batch_size_(batch_size),
      sums_(protocols_.size()) {}

Evaluator::~Evaluator() = default;

void Evaluator::advance() {
  const at::NoGradGuard no_grad;
  const int64_t n = split_.labels.size(0), tasks = network_.input_shape().tasks;
  const Batch batch = slice(split_, begin_, std::min(batch_size_, n - begin_));
  begin_ += batch_size_;
  std::vector<Routing> first_routes;  // of the first protocol, per layer
  for (size_t p = 0; p < protocols_.size(); ++p) {
    Sums& sums = sums_[p];
    const at::Tensor told = task_input(protocols_[p], batch.tasks, tasks, network_.dtype());
    const ForwardResult forward = network_.forward(batch.images, told);
    const at::Tensor losses = cross_entropy_per_image(forward.logits, batch.labels);
    add_to(sums.answers, per_task_sums(forward.logits, batch.labels, batch.tasks, losses, tasks));
    sums.selections.resize(forward.routing.size());
    sums.agreements.resize(forward.routing.size());
    positions_ = forward.routing[0].indices.size(0) / batch.labels.size(0);
    top_k_ = forward.routing[0].indices.size(1);
    if (p == 0) first_routes = forward.routing;
    for (size_t layer = 0; layer < forward.routing.size(); ++layer) {
      const RoutingSums of_batch = routing_sums(forward.routing[layer], first_routes[layer],
                                                batch.tasks, tasks, network_.engine());
      add_to(sums.selections[layer], of_batch.selections);
      add_to(sums.agreements[layer], of_batch.agreements);
    }
  }
}

std::vector<Evaluation> Evaluator::results() const {
  std::vector<Evaluation> results;
  for (size_t p = 0; p < protocols_.size(); ++p) {
    results.push_back(
        sums_[p].finished(protocols_[p], network_.input_shape().tasks, positions_, top_k_));
  }
  return results;
}

std::vector<Evaluation> evaluate(const Network& network, const DeviceSplit& split,
                                 const std::vector<Protocol>& protocols, int64_t batch_size,
                                 const std::function<bool()>& keep_going) {
  Evaluator evaluator(network, split, protocols, batch_size);
  while (evaluator.has_next()) {
    if (keep_going && !keep_going()) throw WorkError("evaluation interrupted");
    evaluator.advance();
  }
  return evaluator.results();
}

}  // namespace cdsp
