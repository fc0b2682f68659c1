// The end of a step in its device form (device_step.h) as a block program of one block: its row in
// the log of metrics, the epoch's sums, and the counters moved on to the next step.
//
//   sums[task] = images of the task, those answered with their label, their losses
//
// Every image is looked at once, by a thread of its own, and what the sums need of it lies in
// shared memory from then on.
#pragma once

#include "kernels/block_grid.h"
#include "train/metric_slots.h"
#include "train/step_counters.h"

namespace cdsp {

/// kChunk images at a time. Their sums are shared out to kLanes threads a task, kTasks tasks at a
/// time: with more tasks than that, all images are looked at again.
template <typename T>
struct LogStep {
  static constexpr int kLanes = 16;
  static constexpr int kTasks = 16;
  static constexpr int kThreads = kLanes * kTasks;
  static constexpr int kSums = 3;  // images, correct answers, losses
  // With less shared memory nvcc leaves room for more blocks than there are, in registers: too few
  // for the logits of an image at once.
  static constexpr int kChunk = 2048;
  static constexpr int kLogitsAtOnce = 10;  // as many as the usual data has classes
  struct Shared {
    double loss[kChunk];
    int task[kChunk];
    bool is_correct[kChunk];
    // One wider than they are many, so that the tasks' lanes do not lie in the same banks.
    double sums[kSums][kTasks][kLanes + 1];
  };
  struct Registers {
    int64_t row;
    int count, correct;
    double loss, epoch_sum;  // the latter of the sum that the thread writes
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
    return static_cast<int>((num_tasks + kTasks - 1) / kTasks) * phases_of_tasks();
  }
  /// For kTasks tasks: two for each chunk of images, and the sums over the lanes.
  CDSP_HOST_DEVICE int phases_of_tasks() const {
    return 2 * static_cast<int>(images > 0 ? (images + kChunk - 1) / kChunk : 1) + 1;
  }
  CDSP_HOST_DEVICE double* row_of(const Registers& own) const {
    return log + own.row * (metric_slot::kScalars + kSums * num_tasks);
  }
  CDSP_HOST_DEVICE void run(int phase, int64_t, int thread, Shared& shared, Registers& own) const {
    if (phase == 0) {
      own.row = counters[step_counter::kLogRow];
      const int slot = thread - (kThreads - static_cast<int>(metric_slot::kScalars));
      if (slot >= 0) row_of(own)[slot] = scalar(slot);
    } else if (phase == 1 && thread == kThreads - 1) {  // everyone knows the row by now
      counters[step_counter::kStep] += 1;
      counters[step_counter::kBegin] += images;
      counters[step_counter::kLogRow] = own.row + 1;
    }
    const int phases_each = phases_of_tasks(), within = phase % phases_each;
    const int64_t first_task = static_cast<int64_t>(phase / phases_each) * kTasks;
    const int64_t first_image = static_cast<int64_t>(within / 2) * kChunk;
    if (within == phases_each - 1) {
      write_sum(first_task, thread, shared, own);
    } else if (within % 2 == 0) {
      if (within == 0) begin_sums(first_task, thread, own);
      look_at_images(first_image, thread, shared);
    } else {
      add_up(first_task, first_image, thread, shared, own);
    }
  }

  /// Which number is a choice of address, not of a branch: the threads then wait for all at once.
  CDSP_HOST_DEVICE double scalar(int slot) const {
    if (slot >= metric_slot::kAlphaSparsity) {
      return topology != nullptr ? topology[slot - metric_slot::kAlphaSparsity] : 0;
    }
    const T* from = total;
    if (slot == metric_slot::kLossTask) from = task_loss;
    if (slot == metric_slot::kLossConflict) from = conflict;
    if (slot == metric_slot::kLossReg) from = reg;
    if (slot == metric_slot::kLossBalance) from = balance;
    if (slot == metric_slot::kGradNorm) from = grad_norm;
    return static_cast<double>(*from);
  }

  CDSP_HOST_DEVICE void begin_sums(int64_t first_task, int thread, Registers& own) const {
    own.count = own.correct = 0;
    own.loss = 0;
    const int64_t task = first_task + thread % kTasks;
    if (thread < kTasks * kSums && task < num_tasks) {
      own.epoch_sum = epoch_sums[thread / kTasks * num_tasks + task];
    }
  }

  CDSP_HOST_DEVICE void look_at_images(int64_t first, int thread, Shared& shared) const {
    for (int local = thread; local < kChunk && first + local < images; local += kThreads) {
      const int64_t image = first + local, label = labels[image], task = tasks[image];
      const T loss = losses[image];
      shared.is_correct[local] = answer(image) == label;
      shared.task[local] = static_cast<int>(task);
      shared.loss[local] = static_cast<double>(loss);
    }
  }

  CDSP_HOST_DEVICE void add_up(int64_t first_task, int64_t first_image, int thread, Shared& shared,
                               Registers& own) const {
    const int local_task = thread / kLanes, lane = thread % kLanes;
    const int task = static_cast<int>(first_task) + local_task;
    const int count =
        static_cast<int>(images - first_image < kChunk ? images - first_image : kChunk);
    for (int local = lane; local < count; local += kLanes) {
      const bool is_own = shared.task[local] == task;
      own.count += is_own ? 1 : 0;
      own.correct += is_own && shared.is_correct[local] ? 1 : 0;
      own.loss += is_own ? shared.loss[local] : 0;
    }
    shared.sums[0][local_task][lane] = own.count;
    shared.sums[1][local_task][lane] = own.correct;
    shared.sums[2][local_task][lane] = own.loss;
  }

  CDSP_HOST_DEVICE void write_sum(int64_t first_task, int thread, const Shared& shared,
                                  const Registers& own) const {
    const int64_t task = first_task + thread % kTasks;
    if (thread >= kTasks * kSums || task >= num_tasks) return;
    const int which = thread / kTasks;
    double sum = 0;
    CDSP_UNROLL
    for (int lane = 0; lane < kLanes; ++lane) sum += shared.sums[which][thread % kTasks][lane];
    row_of(own)[metric_slot::kScalars + which * num_tasks + task] = sum;
    epoch_sums[which * num_tasks + task] = own.epoch_sum + sum;
  }

  /// The first of the largest; what is no number is larger, as for argmax. A few are read at once,
  /// so that they are waited for once.
  CDSP_HOST_DEVICE int64_t answer(int64_t image) const {
    const T* row = logits + image * classes;
    int best = 0;
    T largest = 0;
    for (int first = 0; first < classes; first += kLogitsAtOnce) {
      T values[kLogitsAtOnce];
      CDSP_UNROLL
      for (int i = 0; i < kLogitsAtOnce; ++i) {
        // Beyond the last class it is the last one again, which is not larger than itself.
        values[i] = row[first + i < classes ? first + i : classes - 1];
      }
      if (first == 0) largest = values[0];
      CDSP_UNROLL
      for (int i = 0; i < kLogitsAtOnce; ++i) {
        if (values[i] > largest || (values[i] != values[i] && largest == largest)) {
          best = first + i;
          largest = values[i];
        }
      }
    }
    return best;
  }
};

}  // namespace cdsp
