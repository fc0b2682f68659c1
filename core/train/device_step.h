// The training step in its device form: nothing of a step comes from the host, so that it can be
// captured once as a CUDA graph and replayed.
//
// The order of samples is on the device as the images are; the number of the step, the place in the
// order, the draws of task dropout, the counts and learning rates of AdamW, and the log of metrics
// too. enqueue() is the step, the same code on the host's tensors, on a GPU call by call, and while
// a graph is captured: a host scalar in it would freeze in the graph, and a read-back would end the
// capture. run() does what is left to the host, which is to count.
#pragma once

#include <memory>
#include <vector>

#include <ATen/core/Tensor.h>

#include "config/config.h"
#include "conflict/lagged_game.h"
#include "kernels/clipped_adamw.h"
#include "model/network.h"
#include "train/device_batch.h"
#include "train/device_split.h"
#include "train/step_graph.h"

namespace cdsp {

/// What a trainer shares with the step; all tensors are changed in place.
struct DeviceStepState {
  at::Tensor first_moment, second_moment;  // AdamW's, [parameters]
  at::Tensor epoch_sums;                   // float64 [3 * tasks]
  std::vector<at::Tensor> epoch_conflict;  // per CDSP layer, float64 [N, N]
  std::vector<at::Tensor> lagged;          // per CDSP layer, [N, N]: the last step's signal
};

class DeviceStep {
 public:
  /// `network` must outlive this. `updates`: AdamW's counts so far, per parameter.
  DeviceStep(const Config& config, const DeviceSplit& split, const Network& network,
             const DeviceStepState& state, const std::vector<int64_t>& updates, bool capture);

  /// The order of the epoch at hand, the same length every time.
  void begin_epoch(const std::vector<int64_t>& order);

  /// Step number `step` on the `count` images from place `begin` of the order on. Does not wait for
  /// the device.
  void run(int64_t step, int64_t begin, int64_t count);

  /// Whether take_log() must be called before the next run().
  bool log_is_full() const { return logged_ == log_.size(0); }
  /// Waits; the metric vectors of all steps since the last call, float64 [steps, ...] on the host.
  at::Tensor take_log();

  /// Waits; AdamW's counts, per parameter.
  std::vector<int64_t> updates() const;

  /// Whether the steps of every batch size so far are replayed by now.
  bool replays() const;
  /// Whether steps are to be replayed, and are not yet.
  bool awaits_capture() const { return capture_ && !replays() && !has_failed(); }

 private:
  void run_captured(int64_t count);
  /// Whether a capture has failed: what one batch size could not, another one cannot either.
  bool has_failed() const;
  void enqueue(int64_t count);
  /// Sparsity and entropy of the topologies as they are, float64 [2]; undefined where there is
  /// none.
  at::Tensor topology_numbers() const;
  /// Which parameters a loss can reach; true where that is news.
  bool keep_reached(const std::vector<bool>& reached);
  /// uint8 [P]: which parameters a loss reaches in this step.
  at::Tensor reached_now(const at::Tensor& told) const;

  const Config config_;
  const DeviceSplit split_;
  const Network& network_;
  DeviceStepState state_;
  FlatAdamWState adamw_;
  std::vector<LaggedGame> games_;  // their signals are state_.lagged
  at::Tensor reached_untold_;      // uint8 [P]: 0 for those that a loss reaches through a task only
  at::Tensor reached_;             // uint8 [P]: which parameters a loss can reach
  at::Tensor alpha_offsets_;       // int64 [CDSP layers]: where their logits begin in flat()
  std::vector<bool> reached_on_host_;
  at::Tensor order_;               // int64 [epoch size]
  at::Tensor counters_;            // step_counter
  std::vector<int64_t> expected_;  // what they hold
  at::Tensor log_;                 // float64 [rows, metrics]
  int64_t logged_ = 0;
  bool capture_;
  std::vector<std::unique_ptr<StepGraph>> graphs_;  // one a batch size
};

/// What `train.step` comes to on a device. Throws InputError for a form that this program or device
/// does not have.
StepForm resolve_step(StepForm choice, at::Device device);

}  // namespace cdsp
