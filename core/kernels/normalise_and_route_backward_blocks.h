// The way back of the router's block programs (normalise_and_route_blocks.h). With G = dL/dlogits:
//
//   dW_x = sum_t G_t n_t^T     db = sum_t G_t     dx = r (D - mean(D) - n mean(D n)), D = W_x^T G
//   H = sum_t o_t G_t^T        o = what one_hot says of t's image
//   dW_v = H^T embedding       dembedding = H W_v
//
// The means are over the numbers that the LayerNorm averages: a token's or an image's. They need no
// walk over D: W_x summed over its columns, and the products W_x n, come from the way forward.
//
//   sum_c D_c = sum_e G_e sum_c W_ec        sum_c D_c n_c = sum_e G_e (W_x n)_e
#pragma once

#include "kernels/block_grid.h"
#include "kernels/block_sum.h"
#include "kernels/normalise_and_route_blocks.h"

namespace cdsp {

/// From what arrives at the routing to G.
template <typename T>
struct RoutingSlopes {
  static constexpr int kExperts = router_block::kExperts;

  const T *weights, *probabilities, *products, *weight_sums;  // as RouteForward gave them
  const T *d_weights, *d_probabilities;  // [tokens, experts]; either may be null
  int64_t probability_stride;            // of d_probabilities; 0 where it is a row for all tokens
  int experts;

  /// A stretch of a token's experts; zeros where there are none.
  struct Stretch {
    T weight[kExperts], up[kExperts], probability[kExperts], up_probability[kExperts];
    T product[kExperts], weight_sum[kExperts];
  };
  CDSP_HOST_DEVICE void load(int64_t token, int first, Stretch& to) const {
    const int64_t row = token * experts + first;
    const int64_t up_row = token * probability_stride + first;
    CDSP_UNROLL
    for (int e = 0; e < kExperts; ++e) {
      const bool is_there = first + e < experts;
      to.weight[e] = is_there && d_weights != nullptr ? weights[row + e] : T(0);
      to.up[e] = is_there && d_weights != nullptr ? d_weights[row + e] : T(0);
      to.probability[e] = is_there && d_probabilities != nullptr ? probabilities[row + e] : T(0);
      to.up_probability[e] =
          is_there && d_probabilities != nullptr ? d_probabilities[up_row + e] : T(0);
      to.product[e] = is_there ? products[row + e] : T(0);
      to.weight_sum[e] = is_there ? weight_sums[first + e] : T(0);
    }
  }

  /// Over all experts: w dL/dw and p dL/dp.
  struct Expected {
    T up, up_probability;
  };
  /// What arrives at an expert that was not chosen does not count.
  CDSP_HOST_DEVICE static T slope(const Stretch& at, int e, const Expected& expected) {
    const T of_weights = at.weight[e] != T(0) ? at.weight[e] * (at.up[e] - expected.up) : T(0);
    return of_weights + at.probability[e] * (at.up_probability[e] - expected.up_probability);
  }

  struct Sums {
    Expected expected;
    T slope, product;  // of D and of D n over the token's columns
  };
  /// Leaves the first stretch in `at` where it is the only one.
  CDSP_HOST_DEVICE Sums sums_of(int64_t token, Stretch& at) const {
    Sums sums = {{0, 0}, 0, 0};
    load(token, 0, at);
    for (int first = 0; first < experts; first += kExperts) {
      if (first > 0) load(token, first, at);
      CDSP_UNROLL
      for (int e = 0; e < kExperts; ++e) {
        sums.expected.up += at.weight[e] != T(0) ? at.weight[e] * at.up[e] : T(0);
        sums.expected.up_probability += at.probability[e] * at.up_probability[e];
      }
    }
    for (int first = 0; first < experts; first += kExperts) {
      if (experts > kExperts) load(token, first, at);
      CDSP_UNROLL
      for (int e = 0; e < kExperts; ++e) {
        const T own = slope(at, e, sums.expected);
        sums.slope += own * at.weight_sum[e];
        sums.product += own * at.product[e];
      }
    }
    return sums;
  }
};

/// -> pull [images, 2], mean(D) and mean(D n): of the LayerNorm by image.
template <typename T>
struct ImagePull {
  static constexpr int kThreads = 64;
  struct Shared {
    T slopes[kThreads], products[kThreads];
  };
  using Registers = Nothing;

  RoutingSlopes<T> slopes;
  T* pull;
  int64_t images;
  int positions, numbers;

  int64_t blocks() const { return images; }
  CDSP_HOST_DEVICE int phases(int64_t) const { return 3; }
  CDSP_HOST_DEVICE void run(int phase, int64_t image, int thread, Shared& shared,
                            Registers&) const {
    if (phase == 0) {
      typename RoutingSlopes<T>::Stretch at;
      T slope = 0, product = 0;
      for (int position = thread; position < positions; position += kThreads) {
        const auto sums = slopes.sums_of(image * positions + position, at);
        slope += sums.slope;
        product += sums.product;
      }
      shared.slopes[thread] = slope;
      shared.products[thread] = product;
    } else if (phase == 1) {
      sum_groups(shared.slopes, thread);
      sum_groups(shared.products, thread);
    } else if (thread == 0) {
      pull[2 * image] = sum_of_groups(shared.slopes) / static_cast<T>(numbers);
      pull[2 * image + 1] = sum_of_groups(shared.products) / static_cast<T>(numbers);
    }
  }
};

/// Also d_x_beside [tokens, d], which d_x begins with, or null -> d_x [tokens, d], and of each
/// block a row of parameter_parts, to be summed over blocks: W_g, b_g, and the task embeddings
/// where there are tasks. By image, pull as ImagePull gives it. For the block's own use, where it
/// cannot hold H itself: task_slopes [blocks, tasks * experts].
///
/// The sums over tokens are those of one product: G by the rows [n, 1, o]. A thread has a column of
/// these, of a group of the block's tokens, and a stretch of the experts at a time. Blocks are few
/// and large, since each gives a row to add up: 131 for the 6272 tokens of the paper's batch.
template <typename T>
struct RouteBackward {
  static constexpr int kColumns = 80, kGroups = 6, kThreads = kColumns * kGroups;
  static constexpr int kTokensOfGroup = 8, kTokens = kGroups * kTokensOfGroup;
  static constexpr int kExperts = router_block::kExperts;
  static constexpr int kHeld = 128;  // numbers of H, at most, that a block can hold
  struct TokenNumbers {
    T mean, inverse_std, pull, product_pull;  // the last two: mean(D) and mean(D n)
  };
  struct Shared {
    alignas(16) T slopes[kTokens][kExperts];  // G
    T parts[kGroups][kExperts][kColumns];
    alignas(16) TokenNumbers tokens[kTokens];
    T task_slopes[kHeld];
  };
  struct Registers {
    typename RoutingSlopes<T>::Expected expected;  // of a thread that is a token's
    T number[kTokensOfGroup], beside[kTokensOfGroup], slope[kTokensOfGroup];
    T weight[kExperts];
  };

  RouterInputs<T> in;
  RoutingSlopes<T> slopes;
  const T *mean, *inverse_std, *d_x_beside, *pull;
  T *d_x, *parameter_parts, *task_slopes;

  /// Whether `task_slopes` is not used.
  static bool holds_task_slopes(int64_t tasks, int64_t experts) { return tasks * experts <= kHeld; }

  CDSP_HOST_DEVICE int64_t parameters() const {
    const int64_t of_router = static_cast<int64_t>(in.experts) * (in.columns() + 1);
    return of_router + (in.one_hot != nullptr ? static_cast<int64_t>(in.tasks) * in.width : 0);
  }
  /// Of the rows [n, 1, o].
  CDSP_HOST_DEVICE int row_length() const {
    return in.d + 1 + (in.one_hot != nullptr ? in.tasks : 0);
  }
  /// Stretches of experts for each stretch of columns.
  CDSP_HOST_DEVICE int items() const {
    return (row_length() + kColumns - 1) / kColumns * router_block::chunks(in.experts);
  }
  int64_t blocks() const { return (in.tokens() + kTokens - 1) / kTokens; }
  CDSP_HOST_DEVICE int phases(int64_t) const { return 2 * items() + 2; }
  CDSP_HOST_DEVICE void run(int phase, int64_t block, int thread, Shared& shared,
                            Registers& own) const {
    const int item = phase / 2;
    if (phase == 2 * items() + 1) return slopes_of_task(block, thread, shared);
    if (phase % 2 == 1) return add_up_tokens(item, block, thread, shared, own);
    if (item < items()) prepare(item, block, thread, shared, own);
    if (item > 0) add_up_groups(item - 1, block, thread, shared);
  }

  CDSP_HOST_DEVICE int first_expert(int item) const {
    return item % router_block::chunks(in.experts) * kExperts;
  }
  CDSP_HOST_DEVICE int first_column(int item) const {
    return item / router_block::chunks(in.experts) * kColumns;
  }

  /// G of the stretch of experts, a thread a token; and what each thread reads for the next phase.
  CDSP_HOST_DEVICE void prepare(int item, int64_t block, int thread, Shared& shared,
                                Registers& own) const {
    const int first = first_expert(item), column = first_column(item) + thread % kColumns;
    const int64_t first_token = block * kTokens;
    if (first == 0) {
      read_column(column, first_token + thread / kColumns * kTokensOfGroup, own);
    }
    CDSP_UNROLL
    for (int e = 0; e < kExperts; ++e) {
      const bool is_there = column < in.d && first + e < in.experts;
      own.weight[e] =
          is_there ? in.weight[static_cast<int64_t>(first + e) * in.columns() + column] : T(0);
    }
    if (thread >= kTokens) return;
    const int64_t token = first_token + thread;
    if (token >= in.tokens()) {
      CDSP_UNROLL
      for (int e = 0; e < kExperts; ++e) shared.slopes[thread][e] = 0;
      shared.tokens[thread] = {0, 0, 0, 0};
      return;
    }
    typename RoutingSlopes<T>::Stretch at;
    if (item == 0) {
      const int64_t group = in.group(token);
      const T m = mean[group], r = inverse_std[group];
      const auto sums = slopes.sums_of(token, at);
      own.expected = sums.expected;
      const T count = static_cast<T>(in.d);
      shared.tokens[thread] = {m, r, in.by_token ? sums.slope / count : pull[2 * group],
                               in.by_token ? sums.product / count : pull[2 * group + 1]};
    }
    if (item > 0 || in.experts > kExperts) slopes.load(token, first, at);
    CDSP_UNROLL
    for (int e = 0; e < kExperts; ++e) {
      shared.slopes[thread][e] = RoutingSlopes<T>::slope(at, e, own.expected);
    }
  }

  /// A column of the rows [x, 1, o] of the group's tokens, and of d_x_beside.
  CDSP_HOST_DEVICE void read_column(int column, int64_t first_token, Registers& own) const {
    const int64_t at = first_token * in.d + column, left = in.tokens() - first_token;
    const int count = column < in.d && left > 0
                          ? static_cast<int>(left < kTokensOfGroup ? left : kTokensOfGroup)
                          : 0;
    CDSP_UNROLL
    for (int i = 0; i < kTokensOfGroup; ++i) {
      own.number[i] = i < count ? in.x[at + i * in.d] : T(1);
      own.beside[i] = i < count && d_x_beside != nullptr ? d_x_beside[at + i * in.d] : T(0);
      own.slope[i] = 0;
    }
    if (column <= in.d || column >= row_length()) return;
    int64_t image = first_token / in.positions;
    int left_of_image = static_cast<int>((image + 1) * in.positions - first_token);
    CDSP_UNROLL
    for (int i = 0; i < kTokensOfGroup; ++i) {
      own.number[i] = image < in.images ? in.one_hot[image * in.tasks + column - in.d - 1] : T(0);
      if (--left_of_image > 0) continue;
      ++image;
      left_of_image = in.positions;
    }
  }

  CDSP_HOST_DEVICE void add_up_tokens(int item, int64_t block, int thread, Shared& shared,
                                      Registers& own) const {
    const int group = thread / kColumns, first_row = group * kTokensOfGroup;
    const int column = first_column(item) + thread % kColumns;
    if (column >= row_length()) return;
    T sums[kExperts];
    CDSP_UNROLL
    for (int e = 0; e < kExperts; ++e) sums[e] = 0;
    CDSP_UNROLL
    for (int i = 0; i < kTokensOfGroup; ++i) {
      const int row = first_row + i;
      const TokenNumbers& token = shared.tokens[row];
      const T number =
          column < in.d ? (own.number[i] - token.mean) * token.inverse_std : own.number[i];
      CDSP_UNROLL
      for (int e = 0; e < kExperts; ++e) {
        const T slope = shared.slopes[row][e];
        own.slope[i] += slope * own.weight[e];
        sums[e] += slope * number;
      }
    }
    CDSP_UNROLL
    for (int e = 0; e < kExperts; ++e) shared.parts[group][e][thread % kColumns] = sums[e];
    if (column >= in.d || first_expert(item) + kExperts < in.experts) return;
    CDSP_UNROLL
    for (int i = 0; i < kTokensOfGroup; ++i) {
      const TokenNumbers& token = shared.tokens[first_row + i];
      const T r = token.inverse_std, normed = (own.number[i] - token.mean) * r;
      own.slope[i] = own.beside[i] + r * (own.slope[i] - token.pull - normed * token.product_pull);
    }
    const int64_t first_token = block * kTokens + first_row;
    T* to = d_x + first_token * in.d + column;
    CDSP_UNROLL
    for (int i = 0; i < kTokensOfGroup; ++i) {
      if (first_token + i < in.tokens()) to[i * in.d] = own.slope[i];
    }
  }

  /// H of the block.
  CDSP_HOST_DEVICE T* slopes_by_task(int64_t block, Shared& shared) const {
    const int64_t numbers = static_cast<int64_t>(in.tasks) * in.experts;
    return numbers <= kHeld ? shared.task_slopes : task_slopes + block * numbers;
  }

  CDSP_HOST_DEVICE void add_up_groups(int item, int64_t block, int thread, Shared& shared) const {
    T* parts = parameter_parts + block * parameters();
    for (int i = thread; i < kExperts * kColumns; i += kThreads) {
      const int e = i / kColumns, expert = first_expert(item) + e;
      const int column = first_column(item) + i % kColumns;
      if (expert >= in.experts || column >= row_length()) continue;
      T sum = 0;
      CDSP_UNROLL
      for (int group = 0; group < kGroups; ++group) sum += shared.parts[group][e][i % kColumns];
      if (column < in.d) {
        parts[static_cast<int64_t>(expert) * in.columns() + column] = sum;
      } else if (column == in.d) {
        parts[static_cast<int64_t>(in.experts) * in.columns() + expert] = sum;
      } else {
        const int64_t task = column - in.d - 1;
        slopes_by_task(block, shared)[task * in.experts + expert] = sum;
      }
    }
  }

  /// From H; without tasks dW_v is zero.
  CDSP_HOST_DEVICE void slopes_of_task(int64_t block, int thread, Shared& shared) const {
    T* parts = parameter_parts + block * parameters();
    T* of_embedding = parts + static_cast<int64_t>(in.experts) * (in.columns() + 1);
    const T* by_task = slopes_by_task(block, shared);
    const int rows = in.experts + (in.one_hot != nullptr ? in.tasks : 0);
    for (int i = thread; i < rows * in.width; i += kThreads) {
      const int row = i / in.width, j = i % in.width;
      T sum = 0;
      if (row < in.experts) {
        for (int task = 0; in.one_hot != nullptr && task < in.tasks; ++task) {
          sum += by_task[static_cast<int64_t>(task) * in.experts + row] *
                 in.embedding[static_cast<int64_t>(task) * in.width + j];
        }
        parts[static_cast<int64_t>(row) * in.columns() + in.d + j] = sum;
        continue;
      }
      const int64_t task = row - in.experts;
      for (int expert = 0; expert < in.experts; ++expert) {
        sum += by_task[task * in.experts + expert] *
               in.weight[static_cast<int64_t>(expert) * in.columns() + in.d + j];
      }
      of_embedding[task * in.width + j] = sum;
    }
  }
};

}  // namespace cdsp
