#include "train/objective_cpu.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include <ATen/ATen.h>
#include <ATen/Dispatch.h>

#include "conflict/penalty.h"
#include "train/balance_loss.h"

namespace cdsp {
namespace {

struct CrossEntropy {
  at::Tensor losses;  // [batch]
  double mean;
  at::Tensor gradient;  // of the mean, [batch, classes]: (softmax - label) / batch
};

CrossEntropy cross_entropy(const at::Tensor& logits_in, const at::Tensor& labels_in) {
  const at::Tensor logits = logits_in.contiguous(), labels = labels_in.contiguous();
  const int64_t batch = logits.size(0), classes = logits.size(1);
  CrossEntropy result{at::empty({batch}, logits.options()), 0.0, at::empty_like(logits)};
  const int64_t* label = labels.data_ptr<int64_t>();
  AT_DISPATCH_FLOATING_TYPES(logits.scalar_type(), "cross_entropy", [&] {
    const scalar_t* row = logits.data_ptr<scalar_t>();
    scalar_t *loss = result.losses.data_ptr<scalar_t>(),
             *slope = result.gradient.data_ptr<scalar_t>();
    double sum_of_losses = 0.0;
    for (int64_t i = 0; i < batch; ++i, row += classes, slope += classes) {
      TORCH_CHECK(label[i] >= 0 && label[i] < classes, "label ", label[i], " of ", classes,
                  " classes");
      const scalar_t largest = *std::max_element(row, row + classes);
      scalar_t sum = 0;
      for (int64_t c = 0; c < classes; ++c) {
        slope[c] = std::exp(row[c] - largest);
        sum += slope[c];
      }
      loss[i] = std::log(sum) - (row[label[i]] - largest);
      sum_of_losses += static_cast<double>(loss[i]);
      for (int64_t c = 0; c < classes; ++c) {
        const scalar_t is_label = c == label[i] ? scalar_t(1) : scalar_t(0);
        slope[c] = (slope[c] / sum - is_label) / static_cast<scalar_t>(batch);
      }
    }
    result.mean = sum_of_losses / static_cast<double>(batch);
  });
  return result;
}

}  // namespace

ObjectiveAndGradient objective_and_gradient_cpu(const Config& config, const ForwardResult& forward,
                                                const at::Tensor& labels,
                                                const std::vector<at::Tensor>& conflicts) {
  const CrossEntropy task = cross_entropy(forward.logits, labels);
  OutputGradients gradient;
  gradient.logits = task.gradient;
  double conflict = 0.0, reg = 0.0, balance = 0.0, total = task.mean;
  if (config.variant == Variant::kCdsp) {
    for (size_t layer = 0; layer < forward.sites.size(); ++layer) {
      const TopologyTerms terms =
          topology_terms_cpu(forward.sites[layer].alpha, conflicts[layer], config.conflict);
      conflict += terms.conflict;
      reg += terms.reg;
      gradient.alpha.push_back(terms.gradient);
    }
    total += conflict * config.conflict.lambda + reg;
  } else {
    for (const Routing& routing : forward.routing) {
      const BalanceAndSlope layer = balance_loss_cpu(routing, config.balance.kind);
      balance += layer.loss;
      if (layer.slope.defined())
        gradient.probabilities.push_back(layer.slope.mul_(config.balance.lambda));
    }
    total += balance * config.balance.lambda;
  }
  // Stored as the network's numbers are: what those cannot hold becomes infinite and is named by
  // whoever looks.
  const auto tensor = [&](double value) {
    at::Tensor scalar = at::empty({}, task.losses.options());
    AT_DISPATCH_FLOATING_TYPES(scalar.scalar_type(), "objective", [&] {
      *scalar.data_ptr<scalar_t>() = static_cast<scalar_t>(value);
    });
    return scalar;
  };
  return {{tensor(total), tensor(task.mean), tensor(conflict), tensor(reg), tensor(balance),
           task.losses},
          std::move(gradient)};
}

}  // namespace cdsp
