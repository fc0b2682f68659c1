#include "train/device_step.h"

#include <algorithm>

#include <ATen/ATen.h>
#include <ATen/Dispatch.h>
#include <spdlog/spdlog.h>

#include "base/error.h"
#include "conflict/lagged_signal.h"
#include "kernels/optional_input.h"
#include "kernels/side_stream.h"
#include "model/topology.h"
#include "train/log_step_blocks.h"
#include "train/loss_and_gradient.h"
#include "train/metrics.h"
#include "train/reached_blocks.h"

namespace cdsp {
namespace {

/// Rows of the log: read in one piece when a row of metrics.csv is due, or when it is full.
constexpr int64_t kLogRows = 512;

}  // namespace

StepForm resolve_step(StepForm choice, at::Device device) {
  const bool can_capture = device.is_cuda() && StepGraph::is_available();
  if (choice == StepForm::kAuto) return can_capture ? StepForm::kGraph : StepForm::kEager;
  if (choice == StepForm::kGraph && !can_capture) {
    throw InputError(
        "train.step: graph needs a GPU and a program built with its own CUDA kernels (preset "
        "cuda); use auto, eager or device");
  }
  if (choice == StepForm::kDevice && device.is_cuda() && !StepGraph::is_available()) {
    throw InputError(
        "train.step: device needs a program built with its own CUDA kernels (preset cuda) on " +
        device.str() + "; use auto or eager");
  }
  return choice;
}

DeviceStep::DeviceStep(const Config& config, const DeviceSplit& split, const Network& network,
                       const DeviceStepState& state, const std::vector<int64_t>& updates,
                       bool capture)
    : config_(config), split_(split), network_(network), state_(state), capture_(capture) {
  const auto& all = network.parameters().all();
  std::vector<int32_t> owner;
  std::vector<double> rate, decay;
  std::vector<int64_t> reached_untold;
  for (const Parameter& parameter : all) {
    const bool is_topology = parameter.group == ParameterGroup::kTopology;
    owner.insert(owner.end(), static_cast<size_t>(parameter.value.numel()),
                 static_cast<int32_t>(rate.size()));
    rate.push_back(is_topology ? config.optimizer.topology_lr : config.optimizer.lr);
    decay.push_back(is_topology ? 0.0 : config.optimizer.weight_decay);
    reached_untold.push_back(parameter.input == ParameterInput::kTask ? 0 : 1);
  }
  const at::Device device = network.device();
  adamw_.value = network.parameters().flat();
  adamw_.first_moment = state_.first_moment;
  adamw_.second_moment = state_.second_moment;
  adamw_.owner = at::tensor(owner, at::kInt).to(device);
  adamw_.updates = at::tensor(updates, at::kLong).to(device);
  adamw_.rate = at::tensor(rate, at::kDouble).to(device);
  adamw_.decay = at::tensor(decay, at::kDouble).to(device);
  adamw_.spoilt = at::zeros({1}, at::TensorOptions().dtype(at::kInt).device(device));
  reached_untold_ = at::tensor(reached_untold, at::kLong).to(at::kByte).to(device);
  std::vector<int64_t> alpha_offsets;
  for (const at::Tensor& alpha : network.alphas())
    alpha_offsets.push_back(alpha.storage_offset() - adamw_.value.storage_offset());
  alpha_offsets_ = at::tensor(alpha_offsets, at::kLong).to(device);

  for (const at::Tensor& lagged : state_.lagged) {
    games_.emplace_back(config.conflict.gradient);
    games_.back().restore(lagged);
  }
  counters_ =
      at::zeros({step_counter::kCounters}, at::TensorOptions().dtype(at::kLong).device(device));
  log_ = at::zeros({kLogRows, metric_slot::kScalars + state_.epoch_sums.numel()},
                   state_.epoch_sums.options());
}

void DeviceStep::begin_epoch(const std::vector<int64_t>& order) {
  const at::Tensor on_host = at::tensor(order, at::kLong);
  if (order_.defined()) {
    order_.copy_(on_host);  // in place: a graph has captured where it lies
  } else {
    order_ = on_host.to(network_.device());
  }
}

void DeviceStep::run(int64_t step, int64_t begin, int64_t count) {
  const std::vector<int64_t> wanted = {step, begin, logged_};
  if (expected_ != wanted) counters_.copy_(at::tensor(wanted, at::kLong));
  if (capture_) {
    run_captured(count);
  } else {
    enqueue(count);
  }
  ++logged_;
  expected_ = {step + 1, begin + count, logged_};
}

void DeviceStep::run_captured(int64_t count) {
  if (has_failed()) return enqueue(count);
  const auto found = std::find_if(graphs_.begin(), graphs_.end(),
                                  [count](const auto& graph) { return graph->batch() == count; });
  const bool is_new = found == graphs_.end();
  if (is_new) graphs_.push_back(std::make_unique<StepGraph>(count, log_.get_device()));
  StepGraph& graph = is_new ? *graphs_.back() : **found;
  graph.run([this, count] { enqueue(count); });
  if (!graph.trouble().empty()) {
    spdlog::warn(
        "steps of {} images could not be captured as a CUDA graph; all steps are made call by "
        "call from here on: {}",
        count, graph.trouble());
  }
}

void DeviceStep::enqueue(int64_t count) {
  const int64_t num_tasks = network_.input_shape().tasks, device = log_.get_device();
  const DeviceBatch made = make_device_batch(split_, order_, counters_, count, num_tasks,
                                             network_.dtype(), config_.router, config_.seed);
  SideStream side(device);
  // Before the update: the measures are of the parameters that this step's loss sees.
  const AsideResults topology =
      run_early(device, [this]() -> AsideResults { return {topology_numbers()}; });
  // Which parameters a loss can reach is known from the first step on.
  AsideResults reached;
  if (reached_.defined())
    reached = run_aside(device, [&]() -> AsideResults { return {reached_now(made.told)}; });
  const LossAndGradient found =
      loss_and_gradient(config_, network_, made.batch, made.tasks, games_, state_.epoch_conflict);
  const ForwardResult& forward = found.forward;
  const Objective& terms = found.terms;
  const FlatGradient& gradient = found.gradient;

  const at::Tensor grad_norm = at::empty({1}, gradient.flat.options());
  run_aside(device, [&]() -> AsideResults {
    write_lagged_signals(forward.sites, config_.conflict.gradient, state_.lagged);
    return {};
  });
  if (keep_reached(gradient.reached)) reached = {reached_now(made.told)};
  clipped_adamw_step(adamw_, gradient.flat, reached[0], terms.total.detach(),
                     config_.optimizer.clip_norm, grad_norm);

  const at::Tensor logits = forward.logits.detach().contiguous(),
                   losses = terms.sample_losses.contiguous();
  AT_DISPATCH_FLOATING_TYPES(logits.scalar_type(), "log_step", [&] {
    const auto pointer = [](const at::Tensor& tensor) { return tensor.data_ptr<scalar_t>(); };
    run_grid(LogStep<scalar_t>{pointer(terms.total), pointer(terms.task), pointer(terms.conflict),
                               pointer(terms.reg), pointer(terms.balance), pointer(grad_norm),
                               pointer_or_null<double>(topology[0]), pointer(logits),
                               pointer(losses), made.batch.labels.data_ptr<int64_t>(),
                               made.batch.tasks.data_ptr<int64_t>(), log_.data_ptr<double>(),
                               state_.epoch_sums.data_ptr<double>(), counters_.data_ptr<int64_t>(),
                               count, num_tasks, static_cast<int>(logits.size(1))},
             device);
  });
  side.join();
}

at::Tensor DeviceStep::topology_numbers() const {
  if (alpha_offsets_.numel() == 0) return {};
  const int64_t experts = config_.moe.num_experts;
  return topology_numbers_cuda(adamw_.value, alpha_offsets_, experts * experts);
}

bool DeviceStep::keep_reached(const std::vector<bool>& reached) {
  // The same in every step, so uploaded in the first one only: a capture may not.
  if (reached_.defined() && reached == reached_on_host_) return false;
  std::vector<int64_t> flags(reached.begin(), reached.end());
  reached_ = at::tensor(flags, at::kLong).to(at::kByte).to(network_.device());
  reached_on_host_ = reached;
  return true;
}

at::Tensor DeviceStep::reached_now(const at::Tensor& told) const {
  // With the task withheld from the whole batch no loss reaches the embeddings, which then must not
  // move.
  at::Tensor now = at::empty_like(reached_);
  run_grid(ReachedParameters{reached_.data_ptr<uint8_t>(), reached_untold_.data_ptr<uint8_t>(),
                             told.data_ptr<uint8_t>(), now.data_ptr<uint8_t>(), told.numel(),
                             static_cast<int>(reached_.numel())},
           reached_.get_device());
  return now;
}

at::Tensor DeviceStep::take_log() {
  at::Tensor rows = log_.narrow(0, 0, logged_)
                        .to(at::kCPU, at::kDouble,
                            /*non_blocking=*/false, /*copy=*/true);
  logged_ = 0;
  return rows;
}

std::vector<int64_t> DeviceStep::updates() const {
  const at::Tensor host = adamw_.updates.to(at::kCPU);
  return {host.data_ptr<int64_t>(), host.data_ptr<int64_t>() + host.numel()};
}

bool DeviceStep::has_failed() const {
  return std::any_of(graphs_.begin(), graphs_.end(),
                     [](const auto& graph) { return !graph->trouble().empty(); });
}

bool DeviceStep::replays() const {
  return !graphs_.empty() && std::all_of(graphs_.begin(), graphs_.end(),
                                         [](const auto& graph) { return graph->is_captured(); });
}

}  // namespace cdsp
