// The objective (objective.h) and its gradient as block programs: the balance losses layer by
// layer, then the cross entropy and the sum of all terms.
#pragma once

#include <cmath>

#include "kernels/block_grid.h"
#include "kernels/block_sum.h"

namespace cdsp {

/// The balance loss `switch`, a block an expert: counts [experts] and probabilities [tokens,
/// experts] -> part [experts] of the loss, and its slope times lambda in each token's
/// probabilities, [experts].
template <typename T>
struct SwitchBalance {
  static constexpr int kThreads = 256;
  struct Shared {
    double sums[kThreads];
  };
  using Registers = Nothing;

  const T *counts, *probabilities;
  double* part;
  T* slope;
  int64_t tokens;
  int experts, k;
  double lambda;

  int64_t blocks() const { return experts; }
  CDSP_HOST_DEVICE int phases(int64_t) const { return 3; }
  CDSP_HOST_DEVICE void run(int phase, int64_t expert, int thread, Shared& shared,
                            Registers&) const {
    if (phase == 0) {
      double sum = 0;
      for (int64_t token = thread; token < tokens; token += kThreads) {
        sum += static_cast<double>(probabilities[token * experts + expert]);
      }
      shared.sums[thread] = sum;
    } else if (phase == 1) {
      sum_groups(shared.sums, thread);
    } else if (thread == 0) {
      const double share = static_cast<double>(counts[expert]) / static_cast<double>(tokens * k);
      const double rate = experts * share / static_cast<double>(tokens);
      part[expert] = rate * sum_of_groups(shared.sums);
      slope[expert] = static_cast<T>(lambda * rate);
    }
  }
};

/// The balance loss `cv2`, one block: counts [experts] -> part [experts], the first of which is the
/// loss.
template <typename T>
struct VariationBalance {
  static constexpr int kThreads = 32;
  using Shared = Nothing;
  using Registers = Nothing;

  const T* counts;
  double* part;
  int experts;

  int64_t blocks() const { return 1; }
  CDSP_HOST_DEVICE int phases(int64_t) const { return 1; }
  CDSP_HOST_DEVICE void run(int, int64_t, int thread, Shared&, Registers&) const {
    for (int expert = thread; expert < experts; expert += kThreads) {
      if (expert > 0) part[expert] = 0;
    }
    if (thread > 0) return;
    double sum = 0, squares = 0;
    for (int expert = 0; expert < experts; ++expert) sum += static_cast<double>(counts[expert]);
    const double mean = sum / experts;
    for (int expert = 0; expert < experts; ++expert) {
      const double off = static_cast<double>(counts[expert]) - mean;
      squares += off * off;
    }
    const double level = mean + 1e-6;
    part[0] = experts > 1 ? squares / (experts - 1) / (level * level) : 0;
  }
};

/// logits [images, classes], labels [images] -> losses [images] and the gradient of their mean,
/// d_logits. Then with terms [2] (conflict, reg) and balance_parts [parts], each null where there
/// is none, totals [5]: total, task, conflict, reg, balance. One block.
template <typename T>
struct SumObjective {
  static constexpr int kThreads = 256;
  struct Shared {
    double losses[kThreads];
  };
  using Registers = Nothing;

  const T* logits;
  const int64_t* labels;
  const double *terms, *balance_parts;
  T *losses, *d_logits, *totals;
  int64_t images;
  int classes, parts;
  double conflict_lambda, balance_lambda;

  int64_t blocks() const { return 1; }
  CDSP_HOST_DEVICE int phases(int64_t) const { return 3; }
  CDSP_HOST_DEVICE void run(int phase, int64_t, int thread, Shared& shared, Registers&) const {
    if (phase == 0) {
      double sum = 0;
      for (int64_t image = thread; image < images; image += kThreads) {
        sum += static_cast<double>(cross_entropy(image));
      }
      shared.losses[thread] = sum;
    } else if (phase == 1) {
      sum_groups(shared.losses, thread);
    } else if (thread == 0) {
      const double task = sum_of_groups(shared.losses) / static_cast<double>(images);
      const double conflict = terms != nullptr ? terms[0] : 0;
      const double reg = terms != nullptr ? terms[1] : 0;
      double balance = 0;
      for (int i = 0; balance_parts != nullptr && i < parts; ++i) balance += balance_parts[i];
      const double total = task + conflict_lambda * conflict + reg + balance_lambda * balance;
      totals[0] = static_cast<T>(total);
      totals[1] = static_cast<T>(task);
      totals[2] = static_cast<T>(conflict);
      totals[3] = static_cast<T>(reg);
      totals[4] = static_cast<T>(balance);
    }
  }

  CDSP_HOST_DEVICE T cross_entropy(int64_t image) const {
    const T* row = logits + image * classes;
    T* slope = d_logits + image * classes;
    const int64_t label = labels[image];
    T largest = row[0];
    for (int c = 1; c < classes; ++c) largest = row[c] > largest ? row[c] : largest;
    T sum = 0;
    for (int c = 0; c < classes; ++c) {
      slope[c] = std::exp(row[c] - largest);
      sum += slope[c];
    }
    for (int c = 0; c < classes; ++c) {
      slope[c] = (slope[c] / sum - (c == label ? T(1) : T(0))) / static_cast<T>(images);
    }
    // A label that the head does not have: a loss that is no number, which stops the run.
    const bool is_known = label >= 0 && label < classes;
    losses[image] = is_known ? std::log(sum) - (row[label] - largest) : static_cast<T>(NAN);
    return losses[image];
  }
};

}  // namespace cdsp
