#include "eval/evaluate.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "base/error.h"
#include "eval/routing_sums.h"
#include "eval/task_input.h"
#include "kernels/work_queue.h"
#include "train/metrics.h"
#include "train/objective.h"

namespace cdsp {

/// Sums of one protocol over the images, on the device.
struct Evaluator::Sums {
  at::Tensor answers;                  // [3 * tasks]: images, correct, loss
  std::vector<at::Tensor> selections;  // per layer [tasks, N]
  std::vector<at::Tensor>
      agreements;  // per layer [tasks, 2]: same set, Jaccard, summed over tokens
  int64_t positions = 0, top_k = 0;

  void add(const Sums& others);
  Evaluation finished(const Protocol& protocol, int64_t tasks) const;
};

namespace {

std::vector<double> ratio(const at::Tensor& sums, const at::Tensor& counts) {
  const at::Tensor host = (sums / counts).to(at::kCPU).contiguous();
  return {host.data_ptr<double>(), host.data_ptr<double>() + host.numel()};
}

void add_to(at::Tensor& sum, const at::Tensor& value) { sum = sum.defined() ? sum + value : value; }

/// Images that one thread takes through the whole network by itself, where there are several:
/// threads that meet after every kernel wait for each other. Fixed, so that sums do not depend on
/// the number of threads.
constexpr int64_t kImagesOfThread = 64;

/// Threads share out so much before they wait for each other, if they can.
constexpr std::chrono::milliseconds kLongEnough{100};

}  // namespace

void Evaluator::Sums::add(const Sums& others) {
  positions = others.positions;
  top_k = others.top_k;
  add_to(answers, others.answers);
  selections.resize(others.selections.size());
  agreements.resize(others.agreements.size());
  for (size_t layer = 0; layer < others.selections.size(); ++layer) {
    add_to(selections[layer], others.selections[layer]);
    add_to(agreements[layer], others.agreements[layer]);
  }
}

Evaluation Evaluator::Sums::finished(const Protocol& protocol, int64_t tasks) const {
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
                     std::vector<Protocol> protocols, int64_t batch_size, int64_t parts_at_first)
    : network_(network),
      split_(split),
      protocols_(std::move(protocols)),
      batch_size_(batch_size),
      sums_(protocols_.size()),
      parts_at_once_(parts_at_first) {}

Evaluator::~Evaluator() = default;

std::vector<Evaluator::Sums> Evaluator::sums_of(const Batch& batch) const {
  const at::NoGradGuard no_grad;  // each thread has its own mode
  const int64_t tasks = network_.input_shape().tasks;
  std::vector<Sums> of_protocols;
  std::vector<Routing> first_routes;  // of the first protocol, per layer
  for (const Protocol& protocol : protocols_) {
    const at::Tensor told = task_input(protocol, batch.tasks, tasks, network_.dtype());
    const ForwardResult forward = network_.forward(batch.images, told);
    const at::Tensor losses = cross_entropy_per_image(forward.logits, batch.labels);
    if (of_protocols.empty()) first_routes = forward.routing;
    Sums sums;
    sums.positions = forward.routing[0].indices.size(0) / batch.labels.size(0);
    sums.top_k = forward.routing[0].indices.size(1);
    sums.answers = per_task_sums(forward.logits, batch.labels, batch.tasks, losses, tasks);
    for (size_t layer = 0; layer < forward.routing.size(); ++layer) {
      const RoutingSums of_layer = routing_sums(forward.routing[layer], first_routes[layer],
                                                batch.tasks, tasks, network_.engine());
      sums.selections.push_back(of_layer.selections);
      sums.agreements.push_back(of_layer.agreements);
    }
    of_protocols.push_back(std::move(sums));
  }
  return of_protocols;
}

double Evaluator::share_done() const {
  return static_cast<double>(begin_) / static_cast<double>(split_.labels.size(0));
}

void Evaluator::advance() {
  // The reference path is as it is, and a GPU has no use for small batches.
  const bool is_cut = network_.engine() == Engine::kFused && split_.labels.device().is_cpu();
  const int64_t images = is_cut ? std::min(kImagesOfThread, batch_size_) : batch_size_;
  const int64_t begin = begin_, count = std::min(is_cut ? parts_at_once_ * images : images,
                                                 split_.labels.size(0) - begin);
  begin_ += count;
  const auto start = std::chrono::steady_clock::now();
  std::vector<std::vector<Sums>> parts(static_cast<size_t>(pieces_of(count, images)));
  const auto work = [&](int64_t part) {
    const int64_t first = part * images;
    parts[static_cast<size_t>(part)] =
        sums_of(slice(split_, begin + first, std::min(images, count - first)));
  };
  if (parts.size() == 1) {
    work(0);  // all threads in every kernel
  } else {
    for_each_piece(static_cast<int64_t>(parts.size()), work);
  }
  for (const std::vector<Sums>& part : parts) {
    for (size_t p = 0; p < part.size(); ++p) sums_[p].add(part[p]);
  }
  // How many parts go together changes no sum: each is what it is, and they are added in their
  // order.
  if (is_cut && std::chrono::steady_clock::now() - start < kLongEnough) parts_at_once_ *= 2;
}

std::vector<Evaluation> Evaluator::results() const {
  std::vector<Evaluation> results;
  for (size_t p = 0; p < protocols_.size(); ++p) {
    results.push_back(sums_[p].finished(protocols_[p], network_.input_shape().tasks));
  }
  return results;
}

std::vector<Evaluation> evaluate(const Network& network, const DeviceSplit& split,
                                 const std::vector<Protocol>& protocols, int64_t batch_size,
                                 const std::function<bool(double)>& keep_going) {
  Evaluator evaluator(network, split, protocols, batch_size);
  while (evaluator.has_next()) {
    if (keep_going && !keep_going(evaluator.share_done()))
      throw WorkError("evaluation interrupted");
    evaluator.advance();
  }
  return evaluator.results();
}

}  // namespace cdsp
