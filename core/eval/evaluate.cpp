#include "eval/evaluate.h"

#include <algorithm>

#include <ATen/ATen.h>

#include "base/error.h"
#include "eval/routing_sums.h"
#include "eval/task_input.h"
#include "train/metrics.h"
#include "train/objective.h"

namespace cdsp {
namespace {

/// Sums of one protocol over the batches, on the device.
struct Sums {
  at::Tensor answers;                  // [3 * tasks]: images, correct, loss
  std::vector<at::Tensor> selections;  // per layer [tasks, N]
  std::vector<at::Tensor>
      agreements;  // per layer [tasks, 2]: same set, Jaccard, summed over tokens
};

std::vector<double> ratio(const at::Tensor& sums, const at::Tensor& counts) {
  const at::Tensor host = (sums / counts).to(at::kCPU).contiguous();
  return {host.data_ptr<double>(), host.data_ptr<double>() + host.numel()};
}

void add_to(at::Tensor& sum, const at::Tensor& value) { sum = sum.defined() ? sum + value : value; }

Evaluation finish(const Protocol& protocol, const Sums& sums, int64_t tasks, int64_t positions,
                  int64_t top_k) {
  Evaluation result;
  result.protocol = protocol;
  const at::Tensor answers = sums.answers.view({3, tasks});
  result.images = ratio(answers[0], at::ones_like(answers[0]));
  result.accuracy = ratio(answers[1], answers[0]);
  result.loss = ratio(answers[2], answers[0]);
  const at::Tensor tokens = answers[0] * static_cast<double>(positions);
  for (size_t layer = 0; layer < sums.selections.size(); ++layer) {
    const at::Tensor share =
        sums.selections[layer] / (tokens * static_cast<double>(top_k)).unsqueeze(1);
    std::vector<std::vector<double>> table;
    for (int64_t task = 0; task < tasks; ++task)
      table.push_back(ratio(share[task], at::ones_like(share[task])));
    result.routing.push_back(table);
    result.same_route.push_back(ratio(sums.agreements[layer].select(1, 0), tokens));
    result.route_jaccard.push_back(ratio(sums.agreements[layer].select(1, 1), tokens));
  }
  return result;
}

}  // namespace

std::vector<Evaluation> evaluate(const Network& network, const DeviceSplit& split,
                                 const std::vector<Protocol>& protocols, int64_t batch_size,
                                 const std::function<bool()>& keep_going) {
  at::NoGradGuard no_grad;
  const int64_t n = split.labels.size(0), tasks = network.input_shape().tasks;
  std::vector<Sums> sums(protocols.size());
  int64_t positions = 0, top_k = 0;
  for (int64_t begin = 0; begin < n; begin += batch_size) {
    if (keep_going && !keep_going()) throw WorkError("evaluation interrupted");
    const Batch batch = slice(split, begin, std::min(batch_size, n - begin));
    std::vector<Routing> first_routes;  // of the first protocol, per layer
    for (size_t p = 0; p < protocols.size(); ++p) {
      const at::Tensor told = task_input(protocols[p], batch.tasks, tasks, network.dtype());
      const ForwardResult forward = network.forward(batch.images, told);
      const at::Tensor losses = cross_entropy_per_image(forward.logits, batch.labels);
      add_to(sums[p].answers,
             per_task_sums(forward.logits, batch.labels, batch.tasks, losses, tasks));
      sums[p].selections.resize(forward.routing.size());
      sums[p].agreements.resize(forward.routing.size());
      positions = forward.routing[0].indices.size(0) / batch.labels.size(0);
      top_k = forward.routing[0].indices.size(1);
      if (p == 0) first_routes = forward.routing;
      for (size_t layer = 0; layer < forward.routing.size(); ++layer) {
        const RoutingSums of_batch = routing_sums(forward.routing[layer], first_routes[layer],
                                                  batch.tasks, tasks, network.engine());
        add_to(sums[p].selections[layer], of_batch.selections);
        add_to(sums[p].agreements[layer], of_batch.agreements);
      }
    }
  }
  std::vector<Evaluation> results;
  for (size_t p = 0; p < protocols.size(); ++p) {
    results.push_back(finish(protocols[p], sums[p], tasks, positions, top_k));
  }
  return results;
}

}  // namespace cdsp
