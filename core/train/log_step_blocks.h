// The end of a step in its device form (device_step.h) as a block program of one block: its row in
// the log of metrics, the epoch's sums, and the counters moved on to the next step.
#pragma once

#include "kernels/block_grid.h"
#include "train/metric_slots.h"
#include "train/step_counters.h"

namespace cdsp {

/// A task's images are shared out to kLanes threads, kTasks tasks at a time.
template <typename T>
struct LogStep {
  static constexpr int kLanes = 16;
  static constexpr int kTasks = 16;
  static constexpr int kThreads = kLanes * kTasks;
  static constexpr int kSums = 3;  // images, correct answers, losses
  struct Shared {
    double sums[kSums][kThreads];
  };
  struct Registers {
    int64_t row;
  };

  const T *total, *task_loss, *conflict, *reg, *balance, *grad_norm;  // one number each
  const double* topology;         // [2]; null where there is none
  const T *logits, *losses;       // [images, classes], [images]
  const int64_t *labels, *tasks;  // [images]
  double *log, *epoch_sums;       // [rows, kScalars + 3 num_tasks], [3 num_tasks]
  int64_t* counters;              // step_counter
  int64_t images, num_tasks;
  int classes;

  int64_t blocks() const { return 1; }
  CDSP_HOST_DEVICE int phases(int64_t) const {
    return 1 + 2 * static_cast<int>((num_tasks + kTasks - 1) / kTasks);
  }
  CDSP_HOST_DEVICE double* row_of(const Registers& own) const {
    return log + own.row * (metric_slot::kScalars + kSums * num_tasks);
  }
  CDSP_HOST_DEVICE void run(int phase, int64_t block, int thread, Shared& shared,
                            Registers& own) const {
    if (phase == 0) {
      own.row = counters[step_counter::kLogRow];
      if (thread == 0) write_scalars(row_of(own));
      return;
    }
    if (phase == phases(block) - 1 && thread == 0) {
      counters[step_counter::kStep] += 1;
      counters[step_counter::kBegin] += images;
      counters[step_counter::kLogRow] += 1;
    }
    const int64_t first_task = (phase - 1) / 2 * kTasks;
    if (phase % 2 == 1) {
      share_of(first_task + thread / kLanes, thread, shared);
    } else if (thread < kTasks * kSums) {
      const int64_t task = first_task + thread % kTasks;
      if (task >= num_tasks) return;
      const int which = thread / kTasks;
      double sum = 0;
      for (int lane = 0; lane < kLanes; ++lane) {
        sum += shared.sums[which][thread % kTasks * kLanes + lane];
      }
      row_of(own)[metric_slot::kScalars + which * num_tasks + task] = sum;
      epoch_sums[which * num_tasks + task] += sum;
    }
  }

  CDSP_HOST_DEVICE void write_scalars(double* row) const {
    row[metric_slot::kLossTotal] = static_cast<double>(*total);
    row[metric_slot::kLossTask] = static_cast<double>(*task_loss);
    row[metric_slot::kLossConflict] = static_cast<double>(*conflict);
    row[metric_slot::kLossReg] = static_cast<double>(*reg);
    row[metric_slot::kLossBalance] = static_cast<double>(*balance);
    row[metric_slot::kGradNorm] = static_cast<double>(*grad_norm);
    row[metric_slot::kAlphaSparsity] = topology != nullptr ? topology[0] : 0;
    row[metric_slot::kStructuralEntropy] = topology != nullptr ? topology[1] : 0;
  }

  CDSP_HOST_DEVICE void share_of(int64_t task, int thread, Shared& shared) const {
    double count = 0, correct = 0, loss = 0;
    for (int64_t image = thread % kLanes; image < images; image += kLanes) {
      if (tasks[image] != task) continue;
      count += 1;
      correct += answer(image) == labels[image] ? 1 : 0;
      loss += static_cast<double>(losses[image]);
    }
    shared.sums[0][thread] = count;
    shared.sums[1][thread] = correct;
    shared.sums[2][thread] = loss;
  }

  /// The first of the largest; what is no number is larger, as for argmax.
  CDSP_HOST_DEVICE int64_t answer(int64_t image) const {
    const T* row = logits + image * classes;
    int best = 0;
    for (int c = 1; c < classes; ++c) {
      if (row[c] > row[best] || (row[c] != row[c] && row[best] == row[best])) best = c;
    }
    return best;
  }
};

}  // namespace cdsp
