// The router (normalise_and_route.h, from x on) as block programs, a block an image. With the
// LayerNorm's r = 1 / sqrt(var + eps), n = (x - mean) r, and G = dL/dlogits:
//
//   logits_t = W_x n_t + W_v v + b        v = the image's task embedding
//   dW_x = sum_t G_t n_t^T     db = sum_t G_t     dW_v = (sum_t G_t) v^T     dv = W_v^T sum_t G_t
//   dx = r (D - mean(D) - n mean(D n))            D = W_x^T G
//
// where the means are over the numbers that the LayerNorm averages: a token's or an image's.
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
  int positions, d, experts, k, tasks, width;
  bool by_token;  // what a mean is over: a token, or else an image

  CDSP_HOST_DEVICE int columns() const { return d + width; }
  CDSP_HOST_DEVICE int numbers() const { return positions * d; }
  /// Place of the mean and r of a token.
  CDSP_HOST_DEVICE int64_t group(int64_t image, int position) const {
    return by_token ? image * positions + position : image;
  }
};

namespace router_block {
inline constexpr int kThreads = 128;
}

/// -> indices [tokens, k], weights [tokens, experts], probabilities the same where not null. Kept
/// for the way back: mean, inverse_std [images], or [tokens] by token; task_vectors [images,
/// width], where there are tasks. For the block's own use: task_logits [images, experts], logits
/// [tokens, experts].
template <typename T>
struct RouteForward {
  static constexpr int kThreads = router_block::kThreads;
  struct Shared {
    T sums[kThreads], squares[kThreads];
  };
  using Registers = Nothing;

  RouterInputs<T> in;
  int64_t* indices;
  T *weights, *probabilities, *mean, *inverse_std, *task_vectors, *task_logits, *logits;
  T epsilon;

  int64_t blocks() const { return in.images; }
  CDSP_HOST_DEVICE int phases_of_statistics() const { return in.by_token ? 2 : 4; }
  CDSP_HOST_DEVICE int phases(int64_t) const { return phases_of_statistics() + 2; }
  CDSP_HOST_DEVICE void run(int phase, int64_t image, int thread, Shared& shared,
                            Registers&) const {
    const int after = phase - phases_of_statistics();
    if (phase == 0) vector_of_task(image, thread);
    if (phase == 1) logits_of_task(image, thread);
    if (after < 0) {
      if (in.by_token) {
        if (phase == 0) statistics_of_tokens(image, thread);
      } else {
        statistics_of_image(phase, image, thread, shared);
      }
    } else if (after == 0) {
      logits_of_tokens(image, thread, shared);
    } else {
      route(image, thread);
    }
  }

  CDSP_HOST_DEVICE void vector_of_task(int64_t image, int thread) const {
    for (int j = thread; in.one_hot != nullptr && j < in.width; j += kThreads) {
      T sum = 0;
      for (int task = 0; task < in.tasks; ++task) {
        sum += in.one_hot[image * in.tasks + task] * in.embedding[task * in.width + j];
      }
      task_vectors[image * in.width + j] = sum;
    }
  }

  CDSP_HOST_DEVICE void logits_of_task(int64_t image, int thread) const {
    for (int expert = thread; expert < in.experts; expert += kThreads) {
      const T* row = in.weight + static_cast<int64_t>(expert) * in.columns() + in.d;
      T sum = in.bias[expert];
      for (int j = 0; in.one_hot != nullptr && j < in.width; ++j) {
        sum += row[j] * task_vectors[image * in.width + j];
      }
      task_logits[image * in.experts + expert] = sum;
    }
  }

  CDSP_HOST_DEVICE void statistics_of_tokens(int64_t image, int thread) const {
    for (int position = thread; position < in.positions; position += kThreads) {
      const int64_t token = image * in.positions + position;
      const T* row = in.x + token * in.d;
      T sum = 0, squares = 0;
      for (int c = 0; c < in.d; ++c) sum += row[c];
      const T m = sum / static_cast<T>(in.d);
      for (int c = 0; c < in.d; ++c) squares += (row[c] - m) * (row[c] - m);
      mean[token] = m;
      inverse_std[token] = T(1) / std::sqrt(squares / static_cast<T>(in.d) + epsilon);
    }
  }

  CDSP_HOST_DEVICE void statistics_of_image(int phase, int64_t image, int thread,
                                            Shared& shared) const {
    const T* from = in.x + image * in.numbers();
    if (phase == 0) {
      T sum = 0;
      for (int i = thread; i < in.numbers(); i += kThreads) sum += from[i];
      shared.sums[thread] = sum;
    } else if (phase == 1) {
      sum_groups(shared.sums, thread);
    } else if (phase == 2) {
      const T m = sum_of_groups(shared.sums) / static_cast<T>(in.numbers());
      T sum = 0;
      for (int i = thread; i < in.numbers(); i += kThreads) sum += (from[i] - m) * (from[i] - m);
      shared.squares[thread] = sum;
      if (thread == 0) mean[image] = m;
    } else {
      sum_groups(shared.squares, thread);
    }
  }

  CDSP_HOST_DEVICE void logits_of_tokens(int64_t image, int thread, const Shared& shared) const {
    T r_of_image = 0;
    if (!in.by_token) {
      const T variance = sum_of_groups(shared.squares) / static_cast<T>(in.numbers());
      r_of_image = T(1) / std::sqrt(variance + epsilon);
      if (thread == 0) inverse_std[image] = r_of_image;
    }
    for (int pair = thread; pair < in.positions * in.experts; pair += kThreads) {
      const int position = pair / in.experts, expert = pair % in.experts;
      const int64_t token = image * in.positions + position;
      const T m = mean[in.group(image, position)];
      const T r = in.by_token ? inverse_std[token] : r_of_image;
      const T* row = in.x + token * in.d;
      const T* column = in.weight + static_cast<int64_t>(expert) * in.columns();
      T sum = 0;
      for (int c = 0; c < in.d; ++c) sum += (row[c] - m) * r * column[c];
      logits[token * in.experts + expert] = sum + task_logits[image * in.experts + expert];
    }
  }

  CDSP_HOST_DEVICE void route(int64_t image, int thread) const {
    for (int position = thread; position < in.positions; position += kThreads) {
      const int64_t token = image * in.positions + position, row = token * in.experts;
      choose_top_k(logits + row, in.experts, in.k, indices + token * in.k, weights + row);
      if (probabilities != nullptr) softmax_of(logits + row, in.experts, probabilities + row);
    }
  }
};

/// upstream in weights [tokens, experts], in probabilities [tokens, experts] (a row for all tokens
/// where probability_stride is 0), and in x [tokens, d] from elsewhere, which d_x begins with; each
/// may be null. -> d_x [tokens, d], and of each image a row of parameter_parts, to be summed over
/// images: W_g, b_g, and the task embeddings where there are tasks. For the block's own use:
/// d_logits [tokens, experts], pull [images, 2] or [tokens, 2].
template <typename T>
struct RouteBackward {
  static constexpr int kThreads = router_block::kThreads;
  struct Shared {
    T sums[kThreads], products[kThreads];  // of D and of D n
  };
  using Registers = Nothing;

  RouterInputs<T> in;
  const int64_t* indices;
  const T *weights, *probabilities, *mean, *inverse_std, *task_vectors;
  const T *d_weights, *d_probabilities, *d_x_beside;
  int64_t probability_stride;
  T *d_logits, *pull, *d_x, *parameter_parts;

  CDSP_HOST_DEVICE int64_t parameters() const {
    const int64_t of_router = static_cast<int64_t>(in.experts) * (in.columns() + 1);
    return of_router + (in.one_hot != nullptr ? static_cast<int64_t>(in.tasks) * in.width : 0);
  }
  int64_t blocks() const { return in.images; }
  CDSP_HOST_DEVICE int phases(int64_t) const { return 4; }
  CDSP_HOST_DEVICE void run(int phase, int64_t image, int thread, Shared& shared,
                            Registers&) const {
    if (phase == 0) {
      slopes_of_logits(image, thread);
    } else if (phase == 1) {
      slopes_of_normed(image, thread, shared);
      slopes_of_router(image, thread);
    } else if (phase == 2) {
      if (in.by_token) {
        pull_of_tokens(image, thread);
      } else {
        sum_groups(shared.sums, thread);
        sum_groups(shared.products, thread);
      }
      slopes_of_task(image, thread);
    } else {
      slopes_of_x(image, thread, shared);
    }
  }

  CDSP_HOST_DEVICE T normed(int64_t image, int position, int c) const {
    const int64_t group = in.group(image, position);
    return (in.x[(image * in.positions + position) * in.d + c] - mean[group]) * inverse_std[group];
  }

  CDSP_HOST_DEVICE void slopes_of_logits(int64_t image, int thread) const {
    for (int position = thread; position < in.positions; position += kThreads) {
      const int64_t token = image * in.positions + position, row = token * in.experts;
      if (d_weights != nullptr) {
        top_k_slopes(indices + token * in.k, weights + row, d_weights + row, in.experts, in.k,
                     d_logits + row);
      } else {
        for (int expert = 0; expert < in.experts; ++expert) d_logits[row + expert] = 0;
      }
      if (d_probabilities == nullptr) continue;
      const T* up = d_probabilities + token * probability_stride;
      T expected = 0;
      for (int expert = 0; expert < in.experts; ++expert) {
        expected += probabilities[row + expert] * up[expert];
      }
      for (int expert = 0; expert < in.experts; ++expert) {
        d_logits[row + expert] += probabilities[row + expert] * (up[expert] - expected);
      }
    }
  }

  /// D, which d_x holds for now.
  CDSP_HOST_DEVICE void slopes_of_normed(int64_t image, int thread, Shared& shared) const {
    T sum = 0, product = 0;
    for (int i = thread; i < in.numbers(); i += kThreads) {
      const int position = i / in.d, c = i % in.d;
      const T* row = d_logits + (image * in.positions + position) * in.experts;
      T slope = 0;
      for (int expert = 0; expert < in.experts; ++expert) {
        slope += row[expert] * in.weight[static_cast<int64_t>(expert) * in.columns() + c];
      }
      d_x[image * in.numbers() + i] = slope;
      sum += slope;
      product += slope * normed(image, position, c);
    }
    shared.sums[thread] = sum;
    shared.products[thread] = product;
  }

  CDSP_HOST_DEVICE void slopes_of_router(int64_t image, int thread) const {
    T* parts = parameter_parts + image * parameters();
    const T* first = d_logits + image * in.positions * in.experts;
    for (int i = thread; i < in.experts * in.d; i += kThreads) {
      const int expert = i / in.d, c = i % in.d;
      T sum = 0;
      for (int position = 0; position < in.positions; ++position) {
        sum += first[position * in.experts + expert] * normed(image, position, c);
      }
      parts[static_cast<int64_t>(expert) * in.columns() + c] = sum;
    }
    for (int expert = thread; expert < in.experts; expert += kThreads) {
      T sum = 0;
      for (int position = 0; position < in.positions; ++position) {
        sum += first[position * in.experts + expert];
      }
      parts[static_cast<int64_t>(in.experts) * in.columns() + expert] = sum;
    }
  }

  CDSP_HOST_DEVICE void slopes_of_task(int64_t image, int thread) const {
    T* parts = parameter_parts + image * parameters();
    const T* sums = parts + static_cast<int64_t>(in.experts) * in.columns();  // sum_t G_t
    for (int i = thread; i < in.experts * in.width; i += kThreads) {
      const int expert = i / in.width, j = i % in.width;
      parts[static_cast<int64_t>(expert) * in.columns() + in.d + j] =
          in.one_hot != nullptr ? sums[expert] * task_vectors[image * in.width + j] : T(0);
    }
    if (in.one_hot == nullptr) return;
    T* of_embedding = parts + static_cast<int64_t>(in.experts) * (in.columns() + 1);
    for (int i = thread; i < in.tasks * in.width; i += kThreads) {
      const int task = i / in.width, j = i % in.width;
      T slope = 0;
      for (int expert = 0; expert < in.experts; ++expert) {
        slope += sums[expert] * in.weight[static_cast<int64_t>(expert) * in.columns() + in.d + j];
      }
      of_embedding[i] = in.one_hot[image * in.tasks + task] * slope;
    }
  }

  CDSP_HOST_DEVICE void pull_of_tokens(int64_t image, int thread) const {
    for (int position = thread; position < in.positions; position += kThreads) {
      const int64_t token = image * in.positions + position;
      T sum = 0, product = 0;
      for (int c = 0; c < in.d; ++c) {
        const T slope = d_x[token * in.d + c];
        sum += slope;
        product += slope * normed(image, position, c);
      }
      pull[2 * token] = sum / static_cast<T>(in.d);
      pull[2 * token + 1] = product / static_cast<T>(in.d);
    }
  }

  CDSP_HOST_DEVICE void slopes_of_x(int64_t image, int thread, const Shared& shared) const {
    T sum = 0, product = 0;
    if (!in.by_token) {
      sum = sum_of_groups(shared.sums) / static_cast<T>(in.numbers());
      product = sum_of_groups(shared.products) / static_cast<T>(in.numbers());
    }
    for (int i = thread; i < in.numbers(); i += kThreads) {
      const int position = i / in.d, c = i % in.d;
      const int64_t group = in.group(image, position), at = image * in.numbers() + i;
      if (in.by_token) {
        sum = pull[2 * group];
        product = pull[2 * group + 1];
      }
      const T own = inverse_std[group] * (d_x[at] - sum - normed(image, position, c) * product);
      d_x[at] = d_x_beside != nullptr ? d_x_beside[at] + own : own;
    }
  }
};

}  // namespace cdsp
