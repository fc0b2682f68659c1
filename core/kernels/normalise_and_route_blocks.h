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
#include "kernels/router_inputs.h"
#include "kernels/top_k_row.h"

namespace cdsp {

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
/// Lanes share a token: each keeps every eighth quad of its row in registers, and multiplies it by
/// the rows of eight experts in shared memory. From there on a lane has an expert. Rows longer than
/// a stretch of columns, and more experts, take turns. The first block sums the weights.
///
/// The time goes to instructions and to waits between barriers more than to the products. Hence the
/// programs for tiles (RouterInputs), a single division, and blocks so small that all
/// multiprocessors have as many: 263 for the 6272 tokens of the paper's batch.
template <typename T, bool kIsTile>
struct RouteForward {
  static constexpr int kLanes = 8, kTokens = 24, kThreads = kTokens * kLanes;
  /// Without this the compiler saves registers: it has one read wait for another, and computes the
  /// thread's place anew in every phase.
  static constexpr int kBlocksTogether = 2;
  static constexpr int kExperts = router_block::kExperts, kColumns = router_block::kColumns;
  static constexpr int kQuads = kColumns / 4 / kLanes;  // of a lane
  static constexpr int kHeld = 32;     // experts, at most, whose logits a block can hold
  static constexpr int kShares = 4;    // of a task's product, added up in the end
  static constexpr int kWarpRows = 4;  // tokens of a warp
  static_assert(kExperts == kLanes, "a lane an expert");
  using Quad = cdsp::Quad<T>;
  using Key = router_block::Key<T>;
  using View = RouterView<T, kIsTile>;
  using Index = typename View::Index;
  struct alignas(16) Shared {
    Quad weights[kExperts][kColumns / 4];
    T sums[kTokens][kLanes], squares[kTokens][kLanes];
    /// Of W_x n, for four experts each. The padding has tokens begin in different banks.
    struct alignas(16) Half {
      Quad parts[kTokens][kLanes + 2];
      T padding[4];
    } halves[kExperts / 4];
    T of_task[kTokens][kExperts][kShares];  // of W_v v, by image
    Key keys[kTokens][kHeld];               // of the logits
    T shares[kTokens][kHeld];               // exp(logit - largest)
    T chosen[kTokens][kHeld];               // the same, 0 where not chosen
  };
  struct Registers {
    Quad x[kQuads];
    T sums[kExperts];
    T mean, inverse_std, bias;
    Index first_image;   // of the block
    int position;        // of the block's first token in it
    int image;           // the token's, counted from there
    int expert, column;  // first ones of the turn
    int rows;            // of the block's that are tokens
  };

  View in;
  int64_t* indices;
  T *weights, *probabilities, *mean, *inverse_std, *products, *weight_sums, *logits;
  T epsilon;
  int k;

  /// Else `logits` is used.
  static bool holds_logits(int64_t experts) { return experts <= kHeld; }

  int64_t blocks() const { return in.tokens() > 0 ? (in.tokens() + kTokens - 1) / kTokens + 1 : 0; }
  static constexpr int kPhasesOfStatistics = 2;
  CDSP_HOST_DEVICE int phases_of_logits() const {
    return 2 * router_block::chunks(in.experts()) * router_block::stretches(in.d());
  }
  /// No fewer than the first block needs. Of a tile a constant.
  CDSP_HOST_DEVICE int phases(int64_t) const {
    return kPhasesOfStatistics + phases_of_logits() + (in.experts() <= kHeld ? 2 : 0);
  }
  CDSP_HOST_DEVICE void run(int phase, int64_t block, int thread, Shared& shared,
                            Registers& own) const {
    // Lanes stand apart, so that neighbours, of different tokens, read the same weights at once.
    const unsigned number = static_cast<unsigned>(thread);
    const int row = static_cast<int>(number / 32 * kWarpRows + number % kWarpRows);
    const int lane = static_cast<int>(number / kWarpRows % kLanes);
    if (block == 0) return sum_weights(phase, row, lane, shared);
    const Index first_token = static_cast<Index>(block - 1) * kTokens;
    if (phase == 0) return begin(first_token, thread, row, lane, shared, own);
    if (phase == 1) return square(first_token, row, lane, shared, own);
    const int in_logits = phase - kPhasesOfStatistics;
    const int in_choice = in_logits - phases_of_logits();
    if (in_choice < 0) {
      if (in_logits == 0) finish_statistics(first_token, row, lane, shared, own);
      if (in_logits % 2 == 0) return multiply(first_token, thread, row, lane, shared, own);
      if (is_last_stretch(own)) finish_logits(first_token, row, lane, shared, own);
      if (!kIsTile) next_turn(thread, lane, shared, own);
      return;
    }
    if (row >= own.rows) return;
    if (in_choice == 0) {
      rank_experts(first_token + row, row, lane, shared);
    } else {
      share_out(first_token + row, row, lane, shared);
    }
  }

  /// The block's rows are experts here.
  CDSP_HOST_DEVICE void sum_weights(int phase, int row, int lane, Shared& shared) const {
    const int expert = phase / 2 * kTokens + row;
    if (expert >= in.experts()) return;
    if (phase % 2 == 0) {
      const T* from = in.weight + static_cast<Index>(expert) * in.columns();
      T sum = 0;
      CDSP_UNROLL_BY_4
      for (int c = lane; c < in.d(); c += kLanes) sum += from[c];
      shared.sums[row][lane] = sum;
    } else if (lane == 0) {
      weight_sums[expert] = router_block::sum_of_lanes(shared.sums[row]);
    }
  }

  CDSP_HOST_DEVICE static int first_expert(const Registers& own) {
    return kIsTile ? 0 : own.expert;
  }
  CDSP_HOST_DEVICE static int first_column(const Registers& own) {
    return kIsTile ? 0 : own.column;
  }
  CDSP_HOST_DEVICE bool is_last_stretch(const Registers& own) const {
    return first_column(own) + kColumns >= in.d();
  }
  CDSP_HOST_DEVICE static int column_of_quad(int quad, int lane) {
    return 4 * (quad * kLanes + lane);
  }
  /// The lane's quads of the stretch of columns from `column` on.
  CDSP_HOST_DEVICE void read_row(Index first_token, int row, int lane, int column,
                                 Registers& own) const {
    const Index at = first_token * in.d() + row * in.d() + column;
    const int left = row < own.rows ? in.d() - column : 0;
    CDSP_UNROLL
    for (int q = 0; q < kQuads; ++q) {
      const int c = column_of_quad(q, lane);
      own.x[q] = router_block::read_four(in.x, at + c, left - c, in.has_quads());
    }
  }

  CDSP_HOST_DEVICE void begin(Index first_token, int thread, int row, int lane, Shared& shared,
                              Registers& own) const {
    const Index left = in.tokens() - first_token;
    own.rows = static_cast<int>(left < kTokens ? left : kTokens);
    own.expert = 0;
    own.column = 0;
    read_row(first_token, row, lane, 0, own);
    read_weights(thread, lane, shared, own);
    if (in.one_hot != nullptr || !in.by_token) {
      const auto place = in.place(first_token);
      own.first_image = place.image;
      own.position = place.position;
      own.image = in.images_on(place.position + row);
    }
    if (in.one_hot != nullptr) multiply_tasks(thread, shared, own);
    if (!in.by_token) {
      const Index image = row < own.rows ? own.first_image + own.image : own.first_image;
      own.mean = mean[image];
      own.inverse_std = inverse_std[image];
      return;
    }
    T sum = 0;
    for (int column = 0; column < in.d(); column += kColumns) {
      if (column > 0) read_row(first_token, row, lane, column, own);
      CDSP_UNROLL
      for (int q = 0; q < kQuads; ++q) sum += router_block::sum_of_quad(own.x[q]);
    }
    shared.sums[row][lane] = sum;
  }

  CDSP_HOST_DEVICE void square(Index first_token, int row, int lane, Shared& shared,
                               Registers& own) const {
    if (!in.by_token) return;
    const T m = router_block::sum_of_lanes(shared.sums[row]) / static_cast<T>(in.d());
    T sum = 0;
    for (int column = 0; column < in.d(); column += kColumns) {
      if (in.d() > kColumns) read_row(first_token, row, lane, column, own);
      CDSP_UNROLL
      for (int q = 0; q < kQuads; ++q) {
        const int left = in.d() - column - column_of_quad(q, lane);
        Quad from_mean;
        CDSP_UNROLL
        for (int c = 0; c < 4; ++c) from_mean.x[c] = own.x[q].x[c] - m;
        if (!kIsTile && left < 4) {
          CDSP_UNROLL
          for (int c = 0; c < 4; ++c) from_mean.x[c] = c < left ? from_mean.x[c] : T(0);
        }
        sum += attention_block::dot_quads(from_mean, from_mean);
      }
    }
    shared.squares[row][lane] = sum;
    own.mean = m;
  }

  CDSP_HOST_DEVICE void finish_statistics(Index first_token, int row, int lane,
                                          const Shared& shared, Registers& own) const {
    if (!in.by_token) return;
    const T variance = router_block::sum_of_lanes(shared.squares[row]) / static_cast<T>(in.d());
    own.inverse_std = router_block::inverse_root(variance + epsilon);
    if (lane != 0 || row >= own.rows) return;
    mean[first_token + row] = own.mean;
    inverse_std[first_token + row] = own.inverse_std;
  }

  /// W_x of the turn, a thread a quad, zeros where there is none; and the lane's bias.
  CDSP_HOST_DEVICE void read_weights(int thread, int lane, Shared& shared, Registers& own) const {
    constexpr int kQuadsOfRow = kColumns / 4;
    static_assert(kExperts * kQuadsOfRow <= kThreads, "at once");
    const int left = in.experts() - first_expert(own);
    own.bias = lane < left ? in.bias[first_expert(own) + lane] : T(0);
    if (thread >= kExperts * kQuadsOfRow) return;
    const unsigned number = static_cast<unsigned>(thread);
    const int e = static_cast<int>(number / kQuadsOfRow),
              quad = static_cast<int>(number % kQuadsOfRow);
    const Index at = static_cast<Index>(first_expert(own)) * in.columns();
    const int column = first_column(own) + 4 * quad;
    shared.weights[e][quad] =
        router_block::read_four(in.weight, at + (e * in.columns() + column),
                                e < left ? in.d() - column : 0, in.has_quads());
  }

  /// W_v v of the turn's experts, for each image of the block, in shares that have every fourth
  /// quad of columns.
  CDSP_HOST_DEVICE void multiply_tasks(int thread, Shared& shared, const Registers& own) const {
    constexpr int kTasksAtOnce = 4;
    // The threads that read no weights take it first.
    constexpr unsigned kReaders = kExperts * kColumns / 4, kOthers = kThreads - kReaders;
    const unsigned number = static_cast<unsigned>(thread);
    const unsigned turn = number < kReaders ? kOthers + number : number - kReaders;
    const int left = in.experts() - first_expert(own);
    const int images = in.images_on(own.position + kTokens - 1) + 1;
    const Index weight = static_cast<Index>(first_expert(own)) * in.columns() + in.d();
    for (unsigned i = turn; i < static_cast<unsigned>(images * kExperts * kShares); i += kThreads) {
      const int share = static_cast<int>(i % kShares), e = static_cast<int>(i / kShares % kExperts),
                image = static_cast<int>(i / kShares / kExperts);
      if (e >= left || own.first_image + image >= in.images) continue;
      const Index told = (own.first_image + image) * in.tasks;
      T sum = 0;
      for (int j = 4 * share; j < in.width; j += 4 * kShares) {
        const auto read = [&](const T* from, Index row) {
          if (kIsTile) return cdsp::read_piece<Quad>(from + (row + j));
          return router_block::read_four(from, row + j, in.width - j, in.has_quads());
        };
        const Quad of_expert = read(in.weight, weight + e * in.columns());
        for (int first = 0; first < in.tasks; first += kTasksAtOnce) {
          Quad of_task[kTasksAtOnce];
          T factor[kTasksAtOnce];
          // Tasks that do not exist read the last one, so that all reads are on their way at once.
          CDSP_UNROLL
          for (int n = 0; n < kTasksAtOnce; ++n) {
            const int task = first + n < in.tasks ? first + n : in.tasks - 1;
            factor[n] = in.one_hot[told + task];
            of_task[n] = read(in.embedding, static_cast<Index>(task) * in.width);
          }
          CDSP_UNROLL
          for (int n = 0; n < kTasksAtOnce; ++n) {
            const T dot = attention_block::dot_quads(of_expert, of_task[n]);
            sum += first + n < in.tasks ? factor[n] * dot : T(0);
          }
        }
      }
      shared.of_task[image][e][share] = sum;
    }
  }

  CDSP_HOST_DEVICE void multiply(Index first_token, int thread, int row, int lane, Shared& shared,
                                 Registers& own) const {
    if (first_column(own) == 0) {
      CDSP_UNROLL
      for (int e = 0; e < kExperts; ++e) own.sums[e] = 0;
      // The first turn's are made already.
      if (first_expert(own) > 0 && in.one_hot != nullptr) multiply_tasks(thread, shared, own);
    }
    if (in.d() > kColumns) read_row(first_token, row, lane, first_column(own), own);
    CDSP_UNROLL
    for (int q = 0; q < kQuads; ++q) {
      Quad n;
      CDSP_UNROLL
      for (int c = 0; c < 4; ++c) n.x[c] = (own.x[q].x[c] - own.mean) * own.inverse_std;
      CDSP_UNROLL
      for (int e = 0; e < kExperts; ++e) {
        const auto weight = cdsp::read_piece<Quad>(shared.weights[e][q * kLanes + lane].x);
        CDSP_UNROLL
        for (int c = 0; c < 4; ++c) own.sums[e] += n.x[c] * weight.x[c];
      }
    }
    if (!is_last_stretch(own)) return;
    CDSP_UNROLL
    for (int e = 0; e < kExperts; e += 4) {
      const Quad part = {{own.sums[e], own.sums[e + 1], own.sums[e + 2], own.sums[e + 3]}};
      cdsp::write_piece(part, shared.halves[e / 4].parts[row][lane].x);
    }
  }

  /// A lane an expert. Those that do not exist rank behind all that do, with no share.
  CDSP_HOST_DEVICE void finish_logits(Index first_token, int row, int lane, Shared& shared,
                                      const Registers& own) const {
    if (row >= own.rows) return;
    const auto& parts = shared.halves[lane / 4].parts[row];
    T even = 0, odd = 0;
    CDSP_UNROLL
    for (int i = 0; i < kLanes; i += 2) {
      even += parts[i].x[lane % 4];
      odd += parts[i + 1].x[lane % 4];
    }
    const int expert = first_expert(own) + lane;
    const bool is_expert = expert < in.experts();
    T logit = even + odd;
    const Index at = (first_token + row) * in.experts() + expert;
    if (is_expert) products[at] = logit;
    T constant = own.bias;
    if (in.one_hot != nullptr) {
      constant +=
          router_block::sum_of_quad(cdsp::read_piece<Quad>(shared.of_task[own.image][lane]));
    }
    logit = is_expert ? logit + constant : -router_block::kInfinity<T>;
    if (in.experts() <= kHeld) {
      shared.keys[row][expert] = router_block::key_of(logit);
    } else if (is_expert) {
      logits[at] = logit;
    }
  }

  /// Experts' turns hold those of columns.
  CDSP_HOST_DEVICE void next_turn(int thread, int lane, Shared& shared, Registers& own) const {
    own.column += kColumns;
    if (own.column >= in.d()) {
      own.column = 0;
      own.expert += kExperts;
    }
    if (own.expert < in.experts()) read_weights(thread, lane, shared, own);
  }

  CDSP_HOST_DEVICE void rank_experts(Index token, int row, int lane, Shared& shared) const {
    const Key(&all)[kHeld] = shared.keys[row];
    for (int first = 0; first < in.experts(); first += kExperts) {
      const int expert = first + lane;
      const Key own = all[expert];
      Key largest = own;
      int rank = 0;
      for (int others = 0; others < in.experts(); others += kExperts) {
        CDSP_UNROLL
        for (int q = 0; q < kExperts; q += 4) {
          const auto keys = cdsp::read_piece<cdsp::Quad<Key>>(all + others + q);
          CDSP_UNROLL
          for (int c = 0; c < 4; ++c) {
            const Key other = keys.x[c];
            const bool is_lower = others + q + c < expert;  // so it comes first if they tie
            rank += ((other > own) | ((other == own) & is_lower)) ? 1 : 0;
            largest = other > largest ? other : largest;
          }
        }
      }
      const T share = std::exp(router_block::logit_of<T>(own) - router_block::logit_of<T>(largest));
      shared.shares[row][expert] = share;
      shared.chosen[row][expert] = rank < k ? share : T(0);
      if (rank < k) indices[token * k + rank] = expert;
    }
  }

  CDSP_HOST_DEVICE T sum_of_experts(const T (&values)[kHeld]) const {
    T sum = 0;
    for (int expert = 0; expert < in.experts(); expert += kExperts) {
      sum += router_block::sum_of_quad(cdsp::read_piece<Quad>(values + expert)) +
             router_block::sum_of_quad(cdsp::read_piece<Quad>(values + expert + 4));
    }
    return sum;
  }

  /// Both softmaxes have the same largest logit.
  CDSP_HOST_DEVICE void share_out(Index token, int row, int lane, const Shared& shared) const {
    const Index at = token * in.experts();
    const T of_chosen = T(1) / sum_of_experts(shared.chosen[row]);
    for (int expert = lane; expert < in.experts(); expert += kLanes) {
      const T share = shared.chosen[row][expert];
      // 0 for the others, also where the sum is NaN.
      weights[at + expert] = share != T(0) ? share * of_chosen : T(0);
    }
    if (probabilities == nullptr) return;
    const T of_all = T(1) / sum_of_experts(shared.shares[row]);
    for (int expert = lane; expert < in.experts(); expert += kLanes) {
      probabilities[at + expert] = shared.shares[row][expert] * of_all;
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
