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
  bool has_quads;  // experts is a multiple of 4, and all of these are aligned to 16 bytes

  /// A stretch of a token's experts; zeros where there are none.
  struct Stretch {
    T weight[kExperts], up[kExperts], probability[kExperts], up_probability[kExperts];
    T product[kExperts], weight_sum[kExperts];
  };
  template <bool kIsTile, typename Index>
  CDSP_HOST_DEVICE void read(const T* from, Index offset, int left, T (&to)[kExperts]) const {
    CDSP_UNROLL
    for (int e = 0; e < kExperts; e += 4) {
      const auto quad = router_block::read_four(from, offset + e, left - e, kIsTile || has_quads);
      CDSP_UNROLL
      for (int c = 0; c < 4; ++c) to[e + c] = quad.x[c];
    }
  }
  /// Of a tile (RouterInputs) the experts are as many as a stretch, and has_quads is true.
  template <bool kIsTile, typename Index>
  CDSP_HOST_DEVICE void load(Index token, int first, Stretch& to) const {
    const int count = kIsTile ? kExperts : experts, left = count - first;
    const Index row = token * count + first;
    const int of_weights = d_weights != nullptr ? left : 0;
    const int of_probabilities = d_probabilities != nullptr ? left : 0;
    read<kIsTile>(products, row, left, to.product);
    read<kIsTile>(weight_sums, first, left, to.weight_sum);
    read<kIsTile>(weights, row, of_weights, to.weight);
    read<kIsTile>(d_weights, row, of_weights, to.up);
    read<kIsTile>(probabilities, row, of_probabilities, to.probability);
    read<kIsTile>(d_probabilities, token * probability_stride + first, of_probabilities,
                  to.up_probability);
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
  /// Given the first stretch in `at`, which is left there where it is the only one. In two sums
  /// each, as a sum waits for the one before it.
  template <bool kIsTile, typename Index>
  CDSP_HOST_DEVICE Sums sums_of(Index token, Stretch& at) const {
    Expected expected[2] = {{0, 0}, {0, 0}};
    const int count = kIsTile ? kExperts : experts;
    for (int first = 0; first < count; first += kExperts) {
      if (first > 0) load<kIsTile>(token, first, at);
      CDSP_UNROLL
      for (int e = 0; e < kExperts; ++e) {
        expected[e % 2].up += at.weight[e] != T(0) ? at.weight[e] * at.up[e] : T(0);
        expected[e % 2].up_probability += at.probability[e] * at.up_probability[e];
      }
    }
    Sums sums;
    sums.expected = {expected[0].up + expected[1].up,
                     expected[0].up_probability + expected[1].up_probability};
    T slope_sums[2] = {0, 0}, product_sums[2] = {0, 0};
    for (int first = 0; first < count; first += kExperts) {
      if (count > kExperts) load<kIsTile>(token, first, at);
      CDSP_UNROLL
      for (int e = 0; e < kExperts; ++e) {
        const T own = slope(at, e, sums.expected);
        slope_sums[e % 2] += own * at.weight_sum[e];
        product_sums[e % 2] += own * at.product[e];
      }
    }
    sums.slope = slope_sums[0] + slope_sums[1];
    sums.product = product_sums[0] + product_sums[1];
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
        const int64_t token = image * positions + position;
        slopes.template load<false>(token, 0, at);
        const auto sums = slopes.template sums_of<false>(token, at);
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
/// Most threads, the carriers, have four columns of some of the block's tokens, and take eight
/// experts at a time: what they read of G and of n serves both D and dW_x, all of which are in
/// registers. Meanwhile the others, the keepers, make G, a thread a token, and then its sums.
/// Blocks are few and large, since each gives a row to add up: 131 for the 6272 tokens of the
/// paper's batch.
template <typename T, bool kIsTile>
struct RouteBackward {
  static constexpr bool kIsShort = sizeof(T) == sizeof(float);
  static constexpr int kColumns = router_block::kColumns, kQuads = kColumns / 4;
  static constexpr int kTokensOfGroup = 3, kGroups = kIsShort ? 16 : 8;
  static constexpr int kTokens = kGroups * kTokensOfGroup;
  static constexpr int kCarriers = kQuads * kGroups, kKeepers = 64;
  static constexpr int kThreads = kCarriers + kKeepers;
  static constexpr int kExperts = router_block::kExperts;
  static constexpr int kHeld = router_block::kHeld;
  static_assert(kTokens <= kKeepers, "a keeper a token");
  /// Without this the compiler saves registers, and has one read wait for another.
  static constexpr int kBlocksTogether = 1;
  using Quad = cdsp::Quad<T>;
  using View = RouterView<T, kIsTile>;
  using Index = typename View::Index;
  struct alignas(16) TokenNumbers {
    T mean, inverse_std, pull, product_pull;  // the last two: mean(D) and mean(D n)
  };
  struct alignas(16) Shared {
    T slopes[kTokens][kExperts];  // G
    Quad parts[kGroups][kExperts][kQuads];
    TokenNumbers tokens[kTokens];
    T task_slopes[kHeld];
  };
  struct Carrier {
    Quad number[kTokensOfGroup], beside[kTokensOfGroup], slope[kTokensOfGroup];
    Quad weight[kExperts];
  };
  struct Keeper {
    typename RoutingSlopes<T>::Stretch at;
    typename RoutingSlopes<T>::Expected expected;
    TokenNumbers numbers;
  };
  struct Registers {
    /// No thread is both.
    union {
      Carrier carrier;
      Keeper keeper;
    };
    Index first_image;  // of the block
    int position;       // of the block's first token in it
  };

  View in;
  RoutingSlopes<T> slopes;
  const T *mean, *inverse_std, *d_x_beside, *pull;
  T *d_x, *parameter_parts, *task_slopes;
  bool has_quads;  // in.has_quads, and d_x_beside, d_x and rows of parameter_parts are aligned too

  /// Whether `task_slopes` is not used.
  static bool holds_task_slopes(int64_t tasks, int64_t experts) { return tasks * experts <= kHeld; }

  CDSP_HOST_DEVICE int64_t parameters() const {
    const int64_t of_router = static_cast<int64_t>(in.experts()) * (in.columns() + 1);
    return of_router + (in.one_hot != nullptr ? static_cast<int64_t>(in.tasks) * in.width : 0);
  }
  /// Turns: stretches of experts for each stretch of columns.
  CDSP_HOST_DEVICE int items() const {
    return router_block::stretches(in.d()) * router_block::chunks(in.experts());
  }
  int64_t blocks() const { return (in.tokens() + kTokens - 1) / kTokens; }
  CDSP_HOST_DEVICE int phases(int64_t) const { return 2 * items() + 2; }
  CDSP_HOST_DEVICE void run(int phase, int64_t block, int thread, Shared& shared,
                            Registers& own) const {
    const Index first_token = static_cast<Index>(block) * kTokens;
    if (phase == 0) {
      if (thread < kCarriers) return read_turn(0, first_token, thread, own);
      return read_token(first_token, thread - kCarriers, own);
    }
    const int item = (phase - 1) / 2;
    if (phase % 2 == 0) {
      if (thread < kCarriers) return carry(item, first_token, thread, shared, own);
      // G is the same for all stretches of columns.
      if (first_column(item) == 0) add_up_slopes(item, block, thread - kCarriers, shared, own);
      return;
    }
    if (item > 0) add_up_groups(item - 1, block, thread, shared);
    if (item == items()) return slopes_of_task(block, kThreads - 1 - thread, shared);
    if (thread >= kCarriers) return make_slopes(item, first_token, thread - kCarriers, shared, own);
    if (item > 0) read_turn(item, first_token, thread, own);
  }

  // Division only where there are several turns.
  CDSP_HOST_DEVICE int first_expert(int item) const {
    return item == 0 ? 0 : item % router_block::chunks(in.experts()) * kExperts;
  }
  CDSP_HOST_DEVICE int first_column(int item) const {
    return item == 0 ? 0 : item / router_block::chunks(in.experts()) * kColumns;
  }

  CDSP_HOST_DEVICE static int group_of(int thread) {
    return static_cast<int>(static_cast<unsigned>(thread) / kQuads);
  }
  CDSP_HOST_DEVICE static int quad_of(int thread) {
    return static_cast<int>(static_cast<unsigned>(thread) % kQuads);
  }
  CDSP_HOST_DEVICE static int first_row(int carrier) { return group_of(carrier) * kTokensOfGroup; }
  /// Of a carrier's rows, those that are tokens; fewer than one where none is.
  CDSP_HOST_DEVICE int count_of(Index first_token, int row) const {
    const Index left = in.tokens() - first_token;
    return static_cast<int>(left < kTokens ? left : kTokens) - row;
  }

  /// What a carrier needs in the next phase.
  CDSP_HOST_DEVICE void read_turn(int item, Index first_token, int thread, Registers& own) const {
    const int first = first_expert(item), row = first_row(thread);
    const int column = first_column(item) + quad_of(thread) * 4, left = in.d() - column;
    if (first == 0) {
      const Index at = first_token * in.d() + (row * in.d() + column);
      const int count = count_of(first_token, row);
      CDSP_UNROLL
      for (int i = 0; i < kTokensOfGroup; ++i) {
        const int there = i < count ? left : 0;
        own.carrier.number[i] =
            router_block::read_four(in.x, at + i * in.d(), there, kIsTile || has_quads);
        own.carrier.beside[i] = router_block::read_four(
            d_x_beside, at + i * in.d(), d_x_beside != nullptr ? there : 0, kIsTile || has_quads);
        own.carrier.slope[i] = {{0, 0, 0, 0}};
      }
    }
    const Index at = static_cast<Index>(first) * in.columns() + column;
    CDSP_UNROLL
    for (int e = 0; e < kExperts; ++e) {
      own.carrier.weight[e] =
          router_block::read_four(in.weight, at + e * in.columns(),
                                  first + e < in.experts() ? left : 0, kIsTile || has_quads);
    }
  }

  /// What a keeper needs for the first turn, in a phase of its own: with the sums behind them in
  /// the same one, the compiler would have some reads wait for others.
  CDSP_HOST_DEVICE void read_token(Index first_token, int row, Registers& own) const {
    if (in.one_hot != nullptr) {
      const auto place = in.place(first_token);
      own.first_image = place.image;
      own.position = place.position;
    }
    own.keeper.numbers = {0, 0, 0, 0};
    if (row >= kTokens || first_token + row >= in.tokens()) return;
    const Index token = first_token + row;
    Index group = token;
    if (!in.by_token) {
      group = in.place(token).image;
      own.keeper.numbers.pull = pull[2 * group];
      own.keeper.numbers.product_pull = pull[2 * group + 1];
    }
    own.keeper.numbers.mean = mean[group];
    own.keeper.numbers.inverse_std = inverse_std[group];
    slopes.template load<kIsTile>(token, 0, own.keeper.at);
  }

  /// A keeper makes G of a token for the turn's experts; in the first turn also what its carriers
  /// need to know.
  CDSP_HOST_DEVICE void make_slopes(int item, Index first_token, int row, Shared& shared,
                                    Registers& own) const {
    // Of eight experts at most G is there from the first turn on.
    if (row >= kTokens || (item > 0 && in.experts() <= kExperts)) return;
    const Index token = first_token + row;
    if (token >= in.tokens()) {
      CDSP_UNROLL
      for (int e = 0; e < kExperts; ++e) shared.slopes[row][e] = 0;
      shared.tokens[row] = own.keeper.numbers;
      return;
    }
    auto& at = own.keeper.at;
    if (item == 0) {
      const auto sums = slopes.template sums_of<kIsTile>(token, at);
      own.keeper.expected = sums.expected;
      const T of_count = T(1) / static_cast<T>(in.d());
      if (in.by_token) {
        own.keeper.numbers.pull = sums.slope * of_count;
        own.keeper.numbers.product_pull = sums.product * of_count;
      }
      shared.tokens[row] = own.keeper.numbers;
    }
    if (in.experts() > kExperts) slopes.template load<kIsTile>(token, first_expert(item), at);
    CDSP_UNROLL
    for (int e = 0; e < kExperts; e += 4) {
      Quad quad;
      CDSP_UNROLL
      for (int c = 0; c < 4; ++c)
        quad.x[c] = RoutingSlopes<T>::slope(at, e + c, own.keeper.expected);
      cdsp::write_piece(quad, shared.slopes[row] + e);
    }
  }

  CDSP_HOST_DEVICE void carry(int item, Index first_token, int thread, Shared& shared,
                              Registers& own) const {
    const int column = first_column(item) + quad_of(thread) * 4;
    if (column >= in.d()) return;
    const int row = first_row(thread);
    const bool is_last = first_expert(item) + kExperts >= in.experts();
    T* to = d_x + first_token * in.d() + (row * in.d() + column);
    const int left = in.d() - column, count = count_of(first_token, row);
    Quad sums[kExperts] = {};
    CDSP_UNROLL
    for (int i = 0; i < kTokensOfGroup; ++i) {
      const TokenNumbers token = shared.tokens[row + i];
      Quad n;
      CDSP_UNROLL
      for (int c = 0; c < 4; ++c)
        n.x[c] = (own.carrier.number[i].x[c] - token.mean) * token.inverse_std;
      CDSP_UNROLL
      for (int quad = 0; quad < kExperts; quad += 4) {
        const auto slope = cdsp::read_piece<Quad>(shared.slopes[row + i] + quad);
        CDSP_UNROLL
        for (int e = 0; e < 4; ++e) {
          attention_block::add_product(slope.x[e], own.carrier.weight[quad + e],
                                       own.carrier.slope[i]);
          attention_block::add_product(slope.x[e], n, sums[quad + e]);
        }
      }
      if (!is_last || i >= count) continue;
      Quad answer;
      CDSP_UNROLL
      for (int c = 0; c < 4; ++c) {
        answer.x[c] = own.carrier.beside[i].x[c] +
                      token.inverse_std *
                          (own.carrier.slope[i].x[c] - token.pull - n.x[c] * token.product_pull);
      }
      router_block::write_four(answer, to + i * in.d(), left, kIsTile || has_quads);
    }
    CDSP_UNROLL
    for (int e = 0; e < kExperts; ++e) {
      cdsp::write_piece(sums[e], shared.parts[group_of(thread)][e][quad_of(thread)].x);
    }
  }

  /// H of the block.
  CDSP_HOST_DEVICE T* slopes_by_task(int64_t block, Shared& shared) const {
    const int64_t numbers = static_cast<int64_t>(in.tasks) * in.experts();
    return kIsTile || numbers <= kHeld ? shared.task_slopes : task_slopes + block * numbers;
  }

  /// db, and H of the block, for the turn's experts: sums of G over the tokens of an image, and of
  /// these by what it is told. A keeper has an expert and some of the tasks, the first being db's.
  CDSP_HOST_DEVICE void add_up_slopes(int item, int64_t block, int keeper, Shared& shared,
                                      const Registers& own) const {
    const unsigned number = static_cast<unsigned>(keeper);
    const int e = static_cast<int>(number % kExperts), expert = first_expert(item) + e;
    if (expert >= in.experts()) return;
    const int count = count_of(static_cast<Index>(block) * kTokens, 0),
              tasks = in.one_hot != nullptr ? in.tasks : 0;
    for (int sum_of = static_cast<int>(number / kExperts); sum_of <= tasks;
         sum_of += kKeepers / kExperts) {
      const int task = sum_of - 1;
      T total = 0;
      Index image = own.first_image;
      int row = 0, end = sum_of == 0 ? count : in.positions - own.position;
      while (row < count) {
        const T factor = sum_of == 0 ? T(1) : in.one_hot[image * in.tasks + task];
        if (end > count) end = count;
        T even = 0, odd = 0;
        CDSP_UNROLL_BY_4
        for (; row + 1 < end; row += 2) {
          even += shared.slopes[row][e];
          odd += shared.slopes[row + 1][e];
        }
        if (row < end) even += shared.slopes[row++][e];
        total += factor * (even + odd);
        ++image;
        end += in.positions;
      }
      if (sum_of > 0) {
        slopes_by_task(block, shared)[static_cast<Index>(task) * in.experts() + expert] = total;
      } else {
        T* biases = parameter_parts + block * parameters() +
                    static_cast<Index>(in.experts()) * in.columns();
        biases[expert] = total;
      }
    }
  }

  CDSP_HOST_DEVICE void add_up_groups(int item, int64_t block, int thread, Shared& shared) const {
    static_assert(kExperts * kQuads <= kThreads, "at once");
    if (thread >= kExperts * kQuads) return;
    const int e = group_of(thread), quad = quad_of(thread), expert = first_expert(item) + e;
    const int column = first_column(item) + 4 * quad;
    if (expert >= in.experts() || column >= in.d()) return;
    Quad sum = {{0, 0, 0, 0}};
    CDSP_UNROLL
    for (int group = 0; group < kGroups; ++group) {
      const auto part = cdsp::read_piece<Quad>(shared.parts[group][e][quad].x);
      CDSP_UNROLL
      for (int c = 0; c < 4; ++c) sum.x[c] += part.x[c];
    }
    T* row = parameter_parts + block * parameters() + static_cast<Index>(expert) * in.columns();
    router_block::write_four(sum, row + column, in.d() - column, kIsTile || has_quads);
  }

  /// dW_v and dembedding from H; without tasks dW_v is zero.
  CDSP_HOST_DEVICE void slopes_of_task(int64_t block, int thread, Shared& shared) const {
    constexpr int kAtOnce = 4;
    T* parts = parameter_parts + block * parameters();
    T* of_embedding = parts + static_cast<Index>(in.experts()) * (in.columns() + 1);
    const T* by_task = slopes_by_task(block, shared);
    const int tasks = in.one_hot != nullptr ? in.tasks : 0;
    for (int i = thread; i < (in.experts() + tasks) * in.width; i += kThreads) {
      const int row = static_cast<int>(static_cast<unsigned>(i) / static_cast<unsigned>(in.width));
      const int j = i - row * in.width;
      const bool is_weight = row < in.experts();
      const int task = row - in.experts();
      // A column of H, or else a row, by rows of the embedding, or else of W_v.
      const T* slope = is_weight ? by_task + row : by_task + task * in.experts();
      const T* other = is_weight ? in.embedding + j : in.weight + in.d() + j;
      const int slope_stride = is_weight ? in.experts() : 1;
      const int other_stride = is_weight ? in.width : in.columns();
      const int count = is_weight ? tasks : in.experts();
      T sum = 0;
      for (int n = 0; n < count; n += kAtOnce) {
        T others[kAtOnce];
        CDSP_UNROLL
        for (int m = 0; m < kAtOnce; ++m) {
          others[m] = n + m < count ? other[static_cast<Index>(n + m) * other_stride] : T(0);
        }
        CDSP_UNROLL
        for (int m = 0; m < kAtOnce; ++m) {
          if (n + m < count) sum += slope[static_cast<Index>(n + m) * slope_stride] * others[m];
        }
      }
      if (is_weight) {
        parts[static_cast<Index>(row) * in.columns() + in.d() + j] = sum;
      } else {
        of_embedding[task * in.width + j] = sum;
      }
    }
  }
};

}  // namespace cdsp
