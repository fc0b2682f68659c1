#include "train/trainer.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <sstream>

#include <ATen/ATen.h>

#include "base/error.h"
#include "kernels/flat_updates.h"
#include "model/weights.h"
#include "train/loss_and_gradient.h"
#include "train/metric_vector.h"
#include "train/task_dropout.h"

namespace cdsp {
namespace {

InputShape input_shape(const Dataset& data) {
  return {data.train.rows, data.train.cols, data.train.tasks()};
}

/// The largest parameter norms, non-finite ones first, for the message of a run that blew up.
std::string describe_norms(const Network& network) {
  std::vector<std::pair<double, std::string>> norms;
  for (const Parameter& parameter : network.parameters().all()) {
    norms.emplace_back(parameter.value.detach().to(at::kDouble).norm().item<double>(),
                       parameter.name);
  }
  const auto rank = [](double norm) { return std::isfinite(norm) ? norm : HUGE_VAL; };
  std::stable_sort(norms.begin(), norms.end(),
                   [&](const auto& a, const auto& b) { return rank(a.first) > rank(b.first); });
  std::ostringstream text;
  text.precision(4);
  for (size_t i = 0; i < norms.size(); ++i) {
    text << (i == 0 ? "" : ", ") << norms[i].second << ' ' << norms[i].first;
  }
  return text.str();
}

}  // namespace

Trainer::Trainer(const Config& config, const Dataset& data, at::Device device)
    : config_(config),
      data_(data),
      device_(device),
      sampler_(config, data.train),
      train_(place(data.train, device)),
      network_(std::make_unique<Network>(config, input_shape(data), device)),
      form_(resolve_step(config.train.step, device)) {
  if (config.train.init_from) load_weights(*network_, *config.train.init_from);
  optimizer_ =
      std::make_unique<AdamW>(network_->parameters(), config.optimizer, network_->engine());
  games_.assign(network_->alphas().size(),
                LaggedGame(config.conflict.gradient, network_->engine()));

  const int64_t batch = config.train.batch_size;
  steps_per_epoch_ = (sampler_.epoch_size() + batch - 1) / batch;
  total_steps_ = steps_per_epoch_ * config.train.epochs;
  if (config.train.max_steps > 0) total_steps_ = std::min(total_steps_, config.train.max_steps);
  begin_epoch();
  make_device_step();
}

void Trainer::make_device_step() {
  if (form_ == StepForm::kEager) return;
  DeviceStepState state{
      optimizer_->first_moment, optimizer_->second_moment, epoch_sums_, epoch_conflict_, {}};
  for (LaggedGame& game : games_) {
    if (!game.lagged().defined()) {
      const int64_t experts = config_.moe.num_experts;
      game.restore(at::zeros({experts, experts}, network_->parameters().flat().options()));
    }
    state.lagged.push_back(game.lagged());
  }
  device_step_ = std::make_unique<DeviceStep>(config_, train_, *network_, state,
                                              optimizer_->updates, form_ == StepForm::kGraph);
  plan_.epoch = -1;
}

bool Trainer::must_read_metrics() const {
  return device_step_ != nullptr && device_step_->log_is_full();
}

StepForm Trainer::form_of_steps() const {
  if (device_step_ == nullptr) return StepForm::kEager;
  return device_step_->replays() ? StepForm::kGraph : StepForm::kDevice;
}

bool Trainer::awaits_capture() const {
  return device_step_ != nullptr && device_step_->awaits_capture();
}

void Trainer::begin_epoch() {
  epoch_steps_ = 0;
  if (device_step_) {  // which adds to these very tensors
    epoch_sums_.zero_();
    for (const at::Tensor& sum : epoch_conflict_) sum.zero_();
    return;
  }
  const auto options = at::TensorOptions().dtype(at::kDouble).device(device_);
  epoch_sums_ = at::zeros({3 * data_.train.tasks()}, options);
  const int64_t experts = config_.moe.num_experts;
  epoch_conflict_.clear();
  for (size_t layer = 0; layer < games_.size(); ++layer) {
    epoch_conflict_.push_back(at::zeros({experts, experts}, options));
  }
}

bool Trainer::at_epoch_end() const {
  return steps_done_ > 0 && (steps_done_ % steps_per_epoch_ == 0 || finished());
}

void Trainer::step() {
  if (device_step_) return device_step();
  const Batch batch = next_batch();
  const at::Tensor tasks = draw_tasks(batch);

  const auto [forward, terms, gradient] =
      loss_and_gradient(config_, *network_, batch, tasks, games_, epoch_conflict_);
  const at::Tensor grad_norm =
      clip_to_norm(gradient.flat, config_.optimizer.clip_norm, network_->engine());
  record(terms, grad_norm, forward, batch);
  // On the host looking is free, and the parameters stay those of the last good step.
  if (device_.is_cpu()) check_finite(unpack_metrics(unread_.back(), !games_.empty()));

  if (device_.is_cpu()) {
    optimizer_->step(gradient.flat, gradient.reached);
  } else {
    step_unless_spoilt(gradient, at::isfinite(terms.total.detach() + grad_norm));
  }
  for (size_t layer = 0; layer < games_.size(); ++layer) games_[layer].store(forward.sites[layer]);
}

void Trainer::device_step() {
  const int64_t epoch = steps_done_ / steps_per_epoch_, position = steps_done_ % steps_per_epoch_;
  if (epoch != plan_.epoch) {
    device_step_->begin_epoch(sampler_.epoch_order(epoch));
    plan_.epoch = epoch;
  }
  if (device_step_->log_is_full()) read_metrics();
  const int64_t begin = position * config_.train.batch_size;
  const int64_t count = std::min(config_.train.batch_size, sampler_.epoch_size() - begin);
  ++steps_done_;
  device_step_->run(steps_done_, begin, count);
  unread_headers_.push_back(count_step(count));
}

StepMetrics Trainer::count_step(int64_t images) {
  images_seen_ += images;
  ++epoch_steps_;
  StepMetrics header;
  header.step = steps_done_;
  header.epoch = epoch();
  header.images = images_seen_;
  return header;
}

void Trainer::step_unless_spoilt(const FlatGradient& gradient, const at::Tensor& is_finite) {
  all_finite_ = all_finite_.defined() ? all_finite_.logical_and(is_finite) : is_finite;
  const at::Tensor state[] = {network_->parameters().flat(), optimizer_->first_moment,
                              optimizer_->second_moment};
  std::vector<at::Tensor> before;
  for (const at::Tensor& tensor : state) before.push_back(tensor.clone());
  optimizer_->step(gradient.flat, gradient.reached);
  for (size_t i = 0; i < before.size(); ++i) {
    state[i].copy_(at::where(all_finite_, state[i], before[i]));
  }
}

void Trainer::plan_epoch(int64_t epoch) {
  const std::vector<int64_t> order = sampler_.epoch_order(epoch);
  const auto n = static_cast<int64_t>(order.size());
  std::vector<double> kept;
  plan_.told.clear();
  for (int64_t begin = 0; begin < n && network_->sees_tasks(); begin += config_.train.batch_size) {
    const int64_t step = epoch * steps_per_epoch_ + begin / config_.train.batch_size + 1;
    const std::vector<double> of_step = draw_task_kept(
        config_.router, config_.seed, step, std::min(config_.train.batch_size, n - begin));
    const auto told = std::count(of_step.begin(), of_step.end(), 1.0);
    plan_.told.push_back(told == 0                                     ? Told::kNobody
                         : told < static_cast<int64_t>(of_step.size()) ? Told::kSome
                                                                       : Told::kAll);
    kept.insert(kept.end(), of_step.begin(), of_step.end());
  }
  plan_.epoch = epoch;
  plan_.order = at::tensor(order, at::kLong).to(device_);
  plan_.kept = at::tensor(kept, at::kDouble).unsqueeze(1).to(device_, network_->dtype());
}

Batch Trainer::next_batch() {
  const int64_t epoch = steps_done_ / steps_per_epoch_, position = steps_done_ % steps_per_epoch_;
  if (epoch != plan_.epoch) plan_epoch(epoch);
  const int64_t begin = position * config_.train.batch_size;
  const int64_t count = std::min(config_.train.batch_size, plan_.order.size(0) - begin);
  ++steps_done_;
  return gather(train_, plan_.order.narrow(0, begin, count));
}

at::Tensor Trainer::draw_tasks(const Batch& batch) const {
  if (!network_->sees_tasks()) return {};
  const int64_t position = (steps_done_ - 1) % steps_per_epoch_;
  const Told told = plan_.told[static_cast<size_t>(position)];
  // With the task withheld from the whole batch no loss reaches the embedding, which then must not
  // move.
  if (told == Told::kNobody) return {};
  at::Tensor one_hot = one_hot_tasks(batch.tasks, data_.train.tasks(), network_->dtype());
  if (told == Told::kAll) return one_hot;
  return one_hot * plan_.kept.narrow(0, position * config_.train.batch_size, batch.tasks.size(0));
}

void Trainer::record(const Objective& terms, const at::Tensor& grad_norm,
                     const ForwardResult& forward, const Batch& batch) {
  const StepVector numbers = (device_.is_cpu() ? metric_vector_cpu : metric_vector)(
      terms, grad_norm, forward, batch, data_.train.tasks());
  epoch_sums_ += numbers.task_sums;
  if (device_.is_cpu()) {  // checked at once, so only the last is ever read
    unread_.clear();
    unread_headers_.clear();
  }
  unread_headers_.push_back(count_step(batch.labels.size(0)));
  unread_.push_back(numbers.whole);
}

StepMetrics Trainer::read_metrics() {
  if (device_step_) {
    for (const at::Tensor& row : device_step_->take_log().unbind(0)) unread_.push_back(row);
  }
  const at::Tensor host = at::stack(unread_).to(at::kCPU);
  StepMetrics metrics;
  for (size_t i = 0; i < unread_.size(); ++i) {
    metrics = unpack_metrics(host.select(0, static_cast<int64_t>(i)), !games_.empty());
    metrics.step = unread_headers_[i].step;
    metrics.epoch = unread_headers_[i].epoch;
    metrics.images = unread_headers_[i].images;
    check_finite(metrics);
  }
  unread_ = {unread_.back()};
  unread_headers_ = {unread_headers_.back()};
  return metrics;
}

void Trainer::check_finite(const StepMetrics& metrics) const {
  const std::string term = first_non_finite(metrics);
  if (term.empty()) return;
  const int64_t step = metrics.step > 0 ? metrics.step : steps_done_;
  throw WorkError("step " + std::to_string(step) + ": " + term +
                  " is not finite; parameter norms: " + describe_norms(*network_));
}

void Trainer::check_parameters() const {
  const at::Tensor state[] = {network_->parameters().flat(), optimizer_->first_moment,
                              optimizer_->second_moment};
  for (const at::Tensor& tensor : state) {
    if (at::isfinite(tensor).all().item<bool>()) continue;
    throw WorkError("step " + std::to_string(steps_done_) +
                    ": its update left parameters that are not finite; parameter norms: " +
                    describe_norms(*network_));
  }
}

EpochSums Trainer::epoch_sums() const {
  const at::Tensor host = epoch_sums_.to(at::kCPU);
  const double* sums = host.data_ptr<double>();
  const int64_t tasks = data_.train.tasks();
  return {
      {sums, sums + tasks}, {sums + tasks, sums + 2 * tasks}, {sums + 2 * tasks, sums + 3 * tasks}};
}

std::vector<at::Tensor> Trainer::epoch_mean_conflict() const {
  std::vector<at::Tensor> means;
  for (const at::Tensor& sum : epoch_conflict_) {
    means.push_back(sum.to(at::kCPU) / static_cast<double>(std::max<int64_t>(epoch_steps_, 1)));
  }
  return means;
}

TensorFile Trainer::state() const {
  TensorFile state;
  if (device_step_) optimizer_->updates = device_step_->updates();
  state.tensors["optimizer.first_moment"] = optimizer_->first_moment;
  state.tensors["optimizer.second_moment"] = optimizer_->second_moment;
  state.tensors["optimizer.updates"] = at::tensor(optimizer_->updates, at::kLong);
  state.tensors["epoch.sums"] = epoch_sums_;
  for (size_t layer = 0; layer < games_.size(); ++layer) {
    const std::string prefix = "layers." + std::to_string(layer);
    state.tensors[prefix + ".epoch_conflict"] = epoch_conflict_[layer];
    if (games_[layer].lagged().defined())
      state.tensors[prefix + ".lagged"] = games_[layer].lagged();
  }
  state.metadata["step"] = std::to_string(steps_done_);
  state.metadata["images"] = std::to_string(images_seen_);
  state.metadata["epoch_steps"] = std::to_string(epoch_steps_);
  state.metadata["data"] = data_.fingerprint;
  return state;
}

void Trainer::restore(const TensorFile& state, const std::filesystem::path& origin) {
  const auto tensor = [&](const std::string& name, const at::Tensor& like) {
    const auto found = state.tensors.find(name);
    if (found == state.tensors.end())
      throw InputError(origin.string() + ": tensor " + name + " is missing");
    if (found->second.sizes() != like.sizes()) {
      throw InputError(origin.string() + ": tensor " + name +
                       " belongs to a network of another size");
    }
    return found->second.to(like.device(), like.scalar_type());
  };
  const auto number = [&](const std::string& name) {
    const auto found = state.metadata.find(name);
    try {
      if (found != state.metadata.end()) return static_cast<int64_t>(std::stoll(found->second));
    } catch (const std::exception&) {
    }
    throw InputError(origin.string() + ": metadata " + name + " is missing or not a number");
  };
  const auto data = state.metadata.find("data");
  if (data == state.metadata.end() || data->second != data_.fingerprint) {
    throw InputError(origin.string() + ": was written on other data (fingerprint " +
                     (data == state.metadata.end() ? "none" : data->second) +
                     ", the config's data has " + data_.fingerprint + ")");
  }
  const at::Tensor updates =
      tensor("optimizer.updates", at::tensor(optimizer_->updates, at::kLong));
  optimizer_->first_moment = tensor("optimizer.first_moment", optimizer_->first_moment);
  optimizer_->second_moment = tensor("optimizer.second_moment", optimizer_->second_moment);
  optimizer_->updates.assign(updates.data_ptr<int64_t>(),
                             updates.data_ptr<int64_t>() + updates.numel());
  epoch_sums_ = tensor("epoch.sums", epoch_sums_);
  const at::Tensor game_like =
      at::zeros({config_.moe.num_experts, config_.moe.num_experts},
                at::TensorOptions().dtype(network_->dtype()).device(device_));
  steps_done_ = number("step");
  images_seen_ = number("images");
  epoch_steps_ = number("epoch_steps");
  for (size_t layer = 0; layer < games_.size(); ++layer) {
    const std::string prefix = "layers." + std::to_string(layer);
    epoch_conflict_[layer] = tensor(prefix + ".epoch_conflict", epoch_conflict_[layer]);
    if (steps_done_ > 0) games_[layer].restore(tensor(prefix + ".lagged", game_like));
  }
  make_device_step();  // on the tensors that are now there
}

}  // namespace cdsp
