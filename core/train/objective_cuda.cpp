#include "train/objective_cuda.h"

#include <ATen/ATen.h>
#include <ATen/Dispatch.h>

#include "conflict/conflict_terms.h"
#include "kernels/optional_input.h"
#include "kernels/side_stream.h"
#include "train/objective_blocks.h"

namespace cdsp {
namespace {

/// C of the game is L of the last step where there was one.
at::Tensor lagged_of(const LaggedGame& game, const at::Tensor& alpha) {
  return game.lagged().defined() ? game.lagged() : at::zeros_like(alpha.detach());
}

/// The loss of one layer, spread over parts float64 [N]; returns its slope as OutputGradients has
/// it, times lambda.
at::Tensor balance_loss_cuda(const Routing& routing, const BalanceConfig& config,
                             const at::Tensor& parts) {
  const at::Tensor counts = selection_counts(routing).contiguous();
  const int64_t device = counts.get_device();
  const auto experts = static_cast<int>(counts.size(0));
  at::Tensor slope;
  AT_DISPATCH_FLOATING_TYPES(counts.scalar_type(), "balance_loss", [&] {
    const auto* count = counts.data_ptr<scalar_t>();
    auto* part = parts.data_ptr<double>();
    switch (config.kind) {
      case BalanceKind::kSwitch: {
        const at::Tensor probabilities = routing.probabilities.contiguous();
        slope = at::empty_like(counts);
        run_grid(SwitchBalance<scalar_t>{count, probabilities.data_ptr<scalar_t>(), part,
                                         slope.data_ptr<scalar_t>(), probabilities.size(0), experts,
                                         static_cast<int>(routing.indices.size(1)), config.lambda},
                 device);
        break;
      }
      case BalanceKind::kCv2:
        run_grid(VariationBalance<scalar_t>{count, part, experts}, device);
        break;
    }
  });
  return slope;
}

}  // namespace

ObjectiveAndGradient objective_and_gradient_cuda(const Config& config, const ForwardResult& forward,
                                                 const at::Tensor& labels_in,
                                                 const std::vector<LaggedGame>& games,
                                                 const std::vector<at::Tensor>& epoch_conflict) {
  const at::Tensor logits = forward.logits.detach().contiguous(), labels = labels_in.contiguous();
  const at::TensorOptions sums = logits.options().dtype(at::kDouble);
  const bool has_game = config.variant == Variant::kCdsp;
  OutputGradients gradient;
  at::Tensor terms, balance_parts;
  if (has_game) {
    TORCH_CHECK(!forward.sites.empty(), "a cdsp network's layers, asked for the game's sites");
    // Of tokens it needs only who has some, which was counted aside.
    const AsideResults found = run_aside_at_once(logits.get_device(), [&]() -> AsideResults {
      AsideResults results = {at::empty({2}, sums)};
      for (size_t layer = 0; layer < forward.sites.size(); ++layer) {
        const ConflictSite& site = forward.sites[layer];
        results.push_back(conflict_terms_cuda(
            site.alpha.detach(), lagged_of(games[layer], site.alpha), site.active, config.conflict,
            layer == 0, epoch_conflict[layer], results[0]));
      }
      return results;
    });
    terms = found[0];
    gradient.alpha.assign(found.begin() + 1, found.end());
  } else {
    join_aside(logits.get_device());  // the experts' tokens were counted there
    const auto layers = static_cast<int64_t>(forward.routing.size());
    balance_parts = at::empty({layers, config.moe.num_experts}, sums);
    for (int64_t layer = 0; layer < layers; ++layer) {
      const at::Tensor slope = balance_loss_cuda(forward.routing[static_cast<size_t>(layer)],
                                                 config.balance, balance_parts[layer]);
      if (slope.defined()) gradient.probabilities.push_back(slope);
    }
  }
  join_aside(logits.get_device());
  at::Tensor losses = at::empty({logits.size(0)}, logits.options()),
             totals = at::empty({5}, logits.options());
  gradient.logits = at::empty_like(logits);
  AT_DISPATCH_FLOATING_TYPES(logits.scalar_type(), "sum_objective", [&] {
    run_grid(
        SumObjective<scalar_t>{
            logits.data_ptr<scalar_t>(), labels.data_ptr<int64_t>(), pointer_or_null<double>(terms),
            pointer_or_null<double>(balance_parts), losses.data_ptr<scalar_t>(),
            gradient.logits.data_ptr<scalar_t>(), totals.data_ptr<scalar_t>(), logits.size(0),
            static_cast<int>(logits.size(1)),
            balance_parts.defined() ? static_cast<int>(balance_parts.numel()) : 0,
            config.conflict.lambda, config.balance.lambda},
        logits.get_device());
  });
  return {{totals[0], totals[1], totals[2], totals[3], totals[4], losses}, std::move(gradient)};
}

}  // namespace cdsp
