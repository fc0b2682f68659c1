// The two-speed training loop of all variants, one step at a time.
//
// A step: batch -> task dropout -> forward -> conflict of the last step's gradients -> objective
// -> backward -> clip -> AdamW -> keep this step's per-expert gradients as the next step's signal.
//
// Everything that decides a run's numbers is here; writing files, evaluating and showing progress
// is the caller's work (experiment/train_run.h).
#pragma once

#include <memory>
#include <vector>

#include <ATen/core/Tensor.h>

#include "config/config.h"
#include "conflict/lagged_game.h"
#include "data/dataset.h"
#include "data/sampler.h"
#include "model/network.h"
#include "model/safetensors.h"
#include "train/adamw.h"
#include "train/device_split.h"
#include "train/device_step.h"
#include "train/flat_gradient.h"
#include "train/metrics.h"
#include "train/objective.h"

namespace cdsp {

class Trainer {
 public:
  /// Builds network and optimiser; loads train.init_from if there is one. `data` must outlive this.
  /// Throws InputError for weights or an order file that do not fit.
  Trainer(const Config& config, const Dataset& data, at::Device device);

  /// One optimiser step. In its eager form on the host, throws WorkError at the first loss or
  /// gradient norm that is not finite, before the parameters are touched; in every other form and
  /// on a GPU the check waits for read_metrics(), and parameters, moments and counts stay as they
  /// were before the bad step.
  void step();

  /// True once the epochs, or max_steps, are done.
  bool finished() const { return steps_done_ >= total_steps_; }
  /// True right after the last step of an epoch (a last epoch cut short by max_steps included).
  bool at_epoch_end() const;

  int64_t steps_done() const { return steps_done_; }
  /// Training images seen so far, repeats counted.
  int64_t images_seen() const { return images_seen_; }
  int64_t total_steps() const { return total_steps_; }
  int64_t steps_per_epoch() const { return steps_per_epoch_; }
  /// Epoch of the last step done, counted from 1; 0 before the first.
  int64_t epoch() const { return (steps_done_ + steps_per_epoch_ - 1) / steps_per_epoch_; }

  /// Whether the next step would have to look at the numbers of those before it.
  bool must_read_metrics() const;
  /// The last step's numbers. Waits for the device; checks every step since the last call for
  /// non-finite terms and throws WorkError as step() does.
  StepMetrics read_metrics();
  /// Throws WorkError if parameters or moments are not all finite: a finite loss says nothing of
  /// the update that follows it.
  void check_parameters() const;

  /// Sums over the current epoch so far.
  EpochSums epoch_sums() const;
  /// Mean over the epoch's steps of C, per CDSP layer [N, N] on the host (a pair that does not
  /// count adds 0).
  std::vector<at::Tensor> epoch_mean_conflict() const;
  /// Forgets the epoch's sums; call after at_epoch_end().
  void begin_epoch();

  /// How steps are made by now: `graph` once the graphs of all batch sizes so far are there, until
  /// then, and where a capture failed, `device`.
  StepForm form_of_steps() const;
  /// Whether the next step may be one of those made before the step's CUDA graph is there.
  bool awaits_capture() const;

  const Network& network() const { return *network_; }
  const Dataset& data() const { return data_; }

  /// Everything beyond the weights that resuming needs. restore() throws InputError (naming
  /// `origin`) if the state belongs to another network or data set.
  TensorFile state() const;
  void restore(const TensorFile& state, const std::filesystem::path& origin);

 private:
  /// What is known of an epoch before it begins, on the device in one piece: a step then only takes
  /// its stretch, and waits for nothing.
  enum class Told { kNobody, kSome, kAll };
  struct EpochPlan {
    int64_t epoch = -1;  // counted from 0
    at::Tensor order;    // int64 [samples]
    at::Tensor kept;     // [samples, 1] in the network's dtype: 1 where the image keeps its task
    std::vector<Told> told;  // per step: who of the batch keeps the task
  };
  void plan_epoch(int64_t epoch);
  Batch next_batch();
  at::Tensor draw_tasks(const Batch& batch) const;
  void record(const Objective& terms, const at::Tensor& grad_norm, const ForwardResult& forward,
              const Batch& batch);
  void check_finite(const StepMetrics& metrics) const;
  /// The update where looking at the numbers would make the host wait: from the first step that is
  /// not finite on, the device keeps parameters and moments as they were.
  void step_unless_spoilt(const FlatGradient& gradient, const at::Tensor& is_finite);
  /// step() in its device form.
  void device_step();
  void make_device_step();
  StepMetrics count_step(int64_t images);

  Config config_;
  const Dataset& data_;
  at::Device device_;
  Sampler sampler_;
  DeviceSplit train_;
  std::unique_ptr<Network> network_;
  std::unique_ptr<AdamW> optimizer_;
  std::vector<LaggedGame> games_;  // per CDSP layer
  StepForm form_;
  std::unique_ptr<DeviceStep> device_step_;  // in the forms that have one

  int64_t steps_per_epoch_ = 0, total_steps_ = 0, steps_done_ = 0;
  int64_t images_seen_ = 0;
  EpochPlan plan_;
  at::Tensor all_finite_;  // 0-dimensional bool, on a GPU only

  std::vector<StepMetrics> unread_headers_;  // step, epoch, images of the vectors below
  std::vector<at::Tensor> unread_;           // device vectors since the last read_metrics()
  at::Tensor epoch_sums_;                    // float64 [3 * tasks], device
  std::vector<at::Tensor> epoch_conflict_;   // per CDSP layer, float64 [N, N], device
  int64_t epoch_steps_ = 0;
};

}  // namespace cdsp
