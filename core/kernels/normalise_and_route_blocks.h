// The router (normalise_and_route.h, from x on) as block programs. With the LayerNorm's
// r = 1 / sqrt(var + eps) and n = (x - mean) r, over the numbers of a token or of an image:
//
//   logits_t = W_x n_t + W_v v + b        v = the embedding of the task of t's image
//
// Blocks are stretches of the flat list of tokens, whichever their images. What the tokens of an
// image have in common (the LayerNorm by image) is found by a program of its own, a block an image.
// The way back is in normalise_and_route_backward_blocks.h.
#pragma once

#include <cmath>

#include "kernels/block_grid.h"
#include "kernels/block_sum.h"
#include "kernels/top_k_row.h"

namespace cdsp {

/// What both directions read.
template <typename T>
struct RouterInputs {
  const T* x;          // [images * positions, d]
  const T* weight;     // W_g [experts, d + width]: W_x beside W_v
  const T* bias;       // [experts]
  const T* embedding;  // [tasks, width]
  const T* one_hot;    // [images, tasks]; null where no image has a task
  int64_t images;
  int positions, d, experts, tasks, width;
  bool by_token;  // what a mean is over: a token, or else an image

  CDSP_HOST_DEVICE int columns() const { return d + width; }
  CDSP_HOST_DEVICE int numbers() const { return positions * d; }
  CDSP_HOST_DEVICE int64_t tokens() const { return images * positions; }
  /// Place of the mean and r of a token.
  CDSP_HOST_DEVICE int64_t group(int64_t token) const {
    return by_token ? token : token / positions;
  }
};

namespace router_block {
inline constexpr int kExperts = 8;  // that are gone through at once, their sums in registers

CDSP_HOST_DEVICE int chunks(int experts) { return (experts + kExperts - 1) / kExperts; }

/// Of one number a lane. Two sums side by side, as a sum waits for the one before it.
template <int kLanes, typename T>
CDSP_HOST_DEVICE T sum_of_lanes(const T (&values)[kLanes]) {
  static_assert(kLanes % 2 == 0, "pairs");
  T even = 0, odd = 0;
  CDSP_UNROLL
  for (int i = 0; i < kLanes; i += 2) {
    even += values[i];
    odd += values[i + 1];
  }
  return even + odd;
}
}  // namespace router_block

/// x -> mean, inverse_std [images]: of the LayerNorm by image.
template <typename T>
struct ImageStatistics {
  static constexpr int kThreads = 256;
  struct Shared {
    T sums[kThreads], squares[kThreads];
  };
  using Registers = Nothing;

  const T* x;  // [images, numbers]
  T *mean, *inverse_std;
  int64_t images;
  int numbers;
  T epsilon;

  int64_t blocks() const { return images; }
  CDSP_HOST_DEVICE int phases(int64_t) const { return 5; }
  CDSP_HOST_DEVICE void run(int phase, int64_t image, int thread, Shared& shared,
                            Registers&) const {
    const T* from = x + image * numbers;
    if (phase == 0) {
      T sum = 0;
      for (int i = thread; i < numbers; i += kThreads) sum += from[i];
      shared.sums[thread] = sum;
    } else if (phase == 1) {
      sum_groups(shared.sums, thread);
    } else if (phase == 2) {
      const T m = sum_of_groups(shared.sums) / static_cast<T>(numbers);
      T sum = 0;
      for (int i = thread; i < numbers; i += kThreads) sum += (from[i] - m) * (from[i] - m);
      shared.squares[thread] = sum;
      if (thread == 0) mean[image] = m;
    } else if (phase == 3) {
      sum_groups(shared.squares, thread);
    } else if (thread == 0) {
      const T variance = sum_of_groups(shared.squares) / static_cast<T>(numbers);
      inverse_std[image] = T(1) / std::sqrt(variance + epsilon);
    }
  }
};

/// -> indices [tokens, k], weights [tokens, experts], probabilities the same where not null. Kept
/// for the way back: products W_x n [tokens, experts]; weight_sums [experts], W_x over its columns;
/// mean, inverse_std [tokens], which by image are read. Of more experts than holds_logits() allows
/// only logits [tokens, experts], from which ChooseExperts makes the first three.
///
/// Lanes share a token, each with columns of its own. One more block sums the weights.
template <typename T>
struct RouteForward {
  static constexpr int kLanes = 16, kTokens = 8, kThreads = kTokens * kLanes;
  static constexpr int kExperts = router_block::kExperts;
  static constexpr int kHeld = 32;          // experts, at most, whose logits a block can hold
  static constexpr int kColumnsAtOnce = 4;  // of a lane, so that many reads are on their way
  static_assert(kExperts <= kLanes, "a lane an expert");
  struct Shared {
    T sums[kTokens][kLanes], squares[kTokens][kLanes];
    // Of W_x n and of W_v v. Rows of nine begin in different banks of shared memory.
    T of_x[kTokens][kLanes][kExperts + 1], of_task[kTokens][kLanes][kExperts + 1];
    T logits[kTokens][kHeld];
    T shares[kTokens][kHeld];   // exp(logit - largest)
    int ranks[kTokens][kHeld];  // of the experts, by falling logit
  };
  struct Registers {
    T mean, inverse_std;
  };

  RouterInputs<T> in;
  int64_t* indices;
  T *weights, *probabilities, *mean, *inverse_std, *products, *weight_sums, *logits;
  T epsilon;
  int k;

  /// Else `logits` is used.
  static bool holds_logits(int64_t experts) { return experts <= kHeld; }

  CDSP_HOST_DEVICE int64_t blocks_of_tokens() const {
    return (in.tokens() + kTokens - 1) / kTokens;
  }
  int64_t blocks() const { return in.tokens() > 0 ? blocks_of_tokens() + 1 : 0; }
  CDSP_HOST_DEVICE int phases_of_statistics() const { return in.by_token ? 2 : 0; }
  CDSP_HOST_DEVICE int phases_of_logits() const { return 2 * router_block::chunks(in.experts); }
  CDSP_HOST_DEVICE int phases(int64_t block) const {
    if (block == blocks_of_tokens()) return 2 * ((in.experts + kTokens - 1) / kTokens);
    return phases_of_statistics() + phases_of_logits() + (in.experts <= kHeld ? 2 : 0);
  }
  CDSP_HOST_DEVICE void run(int phase, int64_t block, int thread, Shared& shared,
                            Registers& own) const {
    const int row = thread / kLanes, lane = thread % kLanes;
    if (block == blocks_of_tokens()) return sum_weights(phase, row, lane, shared);
    const int64_t token = block * kTokens + row;
    if (token >= in.tokens()) return;
    const int in_logits = phase - phases_of_statistics();
    const int in_choice = in_logits - phases_of_logits();
    if (in_logits < 0) {
      statistics(phase, token, row, lane, shared, own);
    } else if (in_choice < 0) {
      const int first = in_logits / 2 * kExperts;
      if (in_logits == 0) finish_statistics(token, row, lane, shared, own);
      if (in_logits % 2 == 0) {
        columns_of_lane(first, token, row, lane, shared, own);
      } else {
        logits_of_token(first, token, row, lane, shared);
      }
    } else if (in_choice == 0) {
      rank_experts(token, row, lane, shared);
    } else {
      share_out(token, row, lane, shared);
    }
  }

  /// The block's rows are experts here.
  CDSP_HOST_DEVICE void sum_weights(int phase, int row, int lane, Shared& shared) const {
    const int expert = phase / 2 * kTokens + row;
    if (expert >= in.experts) return;
    if (phase % 2 == 0) {
      const T* from = in.weight + static_cast<int64_t>(expert) * in.columns() + lane;
      T sum = 0;
      for (int c = 0; c < in.d - lane; c += kLanes) sum += from[c];
      shared.sums[row][lane] = sum;
    } else if (lane == 0) {
      weight_sums[expert] = router_block::sum_of_lanes(shared.sums[row]);
    }
  }

  CDSP_HOST_DEVICE void statistics(int phase, int64_t token, int row, int lane, Shared& shared,
                                   Registers& own) const {
    const T* from = in.x + token * in.d + lane;
    T sum = 0;
    if (phase == 0) {
      for (int c = 0; c < in.d - lane; c += kLanes) sum += from[c];
      shared.sums[row][lane] = sum;
      return;
    }
    const T m = router_block::sum_of_lanes(shared.sums[row]) / static_cast<T>(in.d);
    for (int c = 0; c < in.d - lane; c += kLanes) sum += (from[c] - m) * (from[c] - m);
    shared.squares[row][lane] = sum;
    own.mean = m;
  }

  CDSP_HOST_DEVICE void finish_statistics(int64_t token, int row, int lane, const Shared& shared,
                                          Registers& own) const {
    if (!in.by_token) {
      own.mean = mean[in.group(token)];
      own.inverse_std = inverse_std[in.group(token)];
      return;
    }
    const T variance = router_block::sum_of_lanes(shared.squares[row]) / static_cast<T>(in.d);
    own.inverse_std = T(1) / std::sqrt(variance + epsilon);
    if (lane != 0) return;
    mean[token] = own.mean;
    inverse_std[token] = own.inverse_std;
  }

  /// sums[i] += number(c) W_g[first + i][begin + c] over the lane's columns c < count. Reads of
  /// experts and columns that do not exist go to the last ones instead: all at once, no branches.
  template <int kAtOnce, typename Number>
  CDSP_HOST_DEVICE void add_columns(int first, int begin, int count, int lane, const Number& number,
                                    T (&sums)[kExperts]) const {
    const T* from = in.weight + static_cast<int64_t>(first) * in.columns() + begin;
    const int last = in.experts - 1 - first;
    for (int stretch = lane; stretch < count; stretch += kAtOnce * kLanes) {
      T numbers[kAtOnce], weights_of[kAtOnce][kExperts];
      CDSP_UNROLL
      for (int i = 0; i < kAtOnce; ++i) {
        const int c = stretch + i * kLanes, column = c < count ? c : count - 1;
        CDSP_UNROLL
        for (int e = 0; e < kExperts; ++e) {
          weights_of[i][e] = from[(e < last ? e : last) * in.columns() + column];
        }
        numbers[i] = c < count ? number(c) : T(0);
      }
      CDSP_UNROLL
      for (int i = 0; i < kAtOnce; ++i) {
        CDSP_UNROLL
        for (int e = 0; e < kExperts; ++e) sums[e] += numbers[i] * weights_of[i][e];
      }
    }
  }

  CDSP_HOST_DEVICE void columns_of_lane(int first, int64_t token, int row, int lane, Shared& shared,
                                        const Registers& own) const {
    const T* from = in.x + token * in.d;
    T sums[kExperts];
    CDSP_UNROLL
    for (int e = 0; e < kExperts; ++e) sums[e] = 0;
    add_columns<kColumnsAtOnce>(
        first, 0, in.d, lane, [&](int c) { return (from[c] - own.mean) * own.inverse_std; }, sums);
    CDSP_UNROLL
    for (int e = 0; e < kExperts; ++e) shared.of_x[row][lane][e] = sums[e];
    if (in.one_hot == nullptr) return;
    const T* told = in.one_hot + token / in.positions * in.tasks;
    CDSP_UNROLL
    for (int e = 0; e < kExperts; ++e) sums[e] = 0;
    add_columns<1>(
        first, in.d, in.width, lane,
        [&](int j) {
          T sum = 0;
          for (int task = 0; task < in.tasks; ++task) {
            sum += told[task] * in.embedding[static_cast<int64_t>(task) * in.width + j];
          }
          return sum;
        },
        sums);
    CDSP_UNROLL
    for (int e = 0; e < kExperts; ++e) shared.of_task[row][lane][e] = sums[e];
  }

  /// A lane an expert.
  CDSP_HOST_DEVICE void logits_of_token(int first, int64_t token, int row, int lane,
                                        Shared& shared) const {
    const int expert = first + lane;
    if (lane >= kExperts || expert >= in.experts) return;
    T of_x[2] = {0, 0}, of_task[2] = {0, 0};
    CDSP_UNROLL
    for (int i = 0; i < kLanes; ++i) of_x[i % 2] += shared.of_x[row][i][lane];
    if (in.one_hot != nullptr) {
      CDSP_UNROLL
      for (int i = 0; i < kLanes; ++i) of_task[i % 2] += shared.of_task[row][i][lane];
    }
    const T product = of_x[0] + of_x[1];
    const T logit = product + (in.bias[expert] + (of_task[0] + of_task[1]));
    products[token * in.experts + expert] = product;
    if (in.experts <= kHeld) {
      shared.logits[row][expert] = logit;
    } else {
      logits[token * in.experts + expert] = logit;
    }
  }

  CDSP_HOST_DEVICE void rank_experts(int64_t token, int row, int lane, Shared& shared) const {
    const T(&all)[kHeld] = shared.logits[row];
    CDSP_UNROLL
    for (int i = 0; i < kHeld / kLanes; ++i) {
      const int expert = lane + i * kLanes;
      if (expert >= in.experts) continue;
      const T own = all[expert];
      T largest = own;  // NaN where there is any: no number is larger
      int rank = 0;
      for (int other = 0; other < in.experts; ++other) {
        rank += routed_before(all[other], other, own, expert) ? 1 : 0;
        if (all[other] > largest || all[other] != all[other]) largest = all[other];
      }
      shared.ranks[row][expert] = rank;
      shared.shares[row][expert] = std::exp(own - largest);
      if (rank < k) indices[token * k + rank] = expert;
    }
  }

  /// Both softmaxes have the same largest logit.
  CDSP_HOST_DEVICE void share_out(int64_t token, int row, int lane, const Shared& shared) const {
    if (lane >= in.experts) return;
    T chosen = 0, all = 0;
    for (int expert = 0; expert < in.experts; ++expert) {
      const T share = shared.shares[row][expert];
      all += share;
      chosen += shared.ranks[row][expert] < k ? share : T(0);
    }
    const T of_chosen = T(1) / chosen, of_all = T(1) / all;
    const int64_t at = token * in.experts + lane;
    T* to = weights + at;
    T* to_probabilities = probabilities != nullptr ? probabilities + at : nullptr;
    CDSP_UNROLL
    for (int i = 0; i < kHeld / kLanes; ++i) {
      const int expert = lane + i * kLanes;
      if (expert >= in.experts) continue;
      const T share = shared.shares[row][expert];
      to[i * kLanes] = shared.ranks[row][expert] < k ? share * of_chosen : T(0);
      if (probabilities != nullptr) to_probabilities[i * kLanes] = share * of_all;
    }
  }
};

/// logits -> indices, weights, probabilities as RouteForward gives them, a thread a token.
template <typename T>
struct ChooseExperts {
  static constexpr int kThreads = 128;
  using Shared = Nothing;
  using Registers = Nothing;

  const T* logits;
  int64_t* indices;
  T *weights, *probabilities;
  int64_t tokens;
  int experts, k;

  int64_t blocks() const { return (tokens + kThreads - 1) / kThreads; }
  CDSP_HOST_DEVICE int phases(int64_t) const { return 1; }
  CDSP_HOST_DEVICE void run(int, int64_t block, int thread, Shared&, Registers&) const {
    const int64_t token = block * kThreads + thread, row = token * experts;
    if (token >= tokens) return;
    choose_top_k(logits + row, experts, k, indices + token * k, weights + row);
    if (probabilities != nullptr) softmax_of(logits + row, experts, probabilities + row);
  }
};

}  // namespace cdsp
