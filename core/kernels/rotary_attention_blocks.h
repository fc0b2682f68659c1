// Rotary causal grouped-query attention as block programs. A thread owns a query (or, for the
// gradients of keys and values, a key) and goes through the others in tiles that its block shares;
// the softmax is kept running (Milakov & Gimelshein, arXiv:1805.02867; Dao et al.,
// arXiv:2205.14135), so no table of scores exists. With l = log sum_j exp(s_j), P_j = exp(s_j - l),
// O = sum_j P_j v_j, scale = 1 / sqrt(d_head), upstream E:
//
//   delta = E . O      dS_j = P_j (E . v_j - delta)
//   dq = scale sum_j dS_j k_j        dk_j = scale sum_i dS_ij q_i        dv_j = sum_i P_ij E_i
//
// A key/value head's gradients are summed over its heads and queries in one thread: no atomics.
#pragma once

#include <cmath>

#include "kernels/block_grid.h"

namespace cdsp {

namespace attention_block {
inline constexpr int kThreads = 64;
}  // namespace attention_block

/// What all attention programs know. turns [positions, d_head / 2] pairs (cosine, sine).
template <typename T>
struct AttentionSizes {
  int64_t batch;
  int positions, heads, kv_heads, d_head;
  T scale;

  /// Blocks that the positions of a head take, a thread a position.
  CDSP_HOST_DEVICE int64_t tiles() const {
    return (positions + attention_block::kThreads - 1) / attention_block::kThreads;
  }
  /// Keys that some query of the block may see.
  CDSP_HOST_DEVICE int keys_of(int64_t block) const {
    const int end = static_cast<int>(block % tiles() + 1) * attention_block::kThreads;
    return end < positions ? end : positions;
  }
  CDSP_HOST_DEVICE int64_t row_length() const {
    return static_cast<int64_t>(heads + 2 * kv_heads) * d_head;
  }
  /// First of the d_head numbers of head `head` (q, then k, then v) of a position in qkv.
  CDSP_HOST_DEVICE int64_t packed(int64_t image, int position, int head) const {
    return (image * positions + position) * row_length() + static_cast<int64_t>(head) * d_head;
  }
  /// The same in a tensor [batch, positions, heads, d_head].
  CDSP_HOST_DEVICE int64_t mixed(int64_t image, int position, int head) const {
    return ((image * positions + position) * heads + head) * d_head;
  }
  CDSP_HOST_DEVICE int64_t query(int64_t image, int position, int head) const {
    return (image * heads + head) * positions + position;
  }
};

/// Reads d_head numbers into kHead registers, the rest zero.
template <typename T, int kHead>
CDSP_HOST_DEVICE void load_head(const T* from, int d_head, T (&to)[kHead]) {
  CDSP_UNROLL
  for (int c = 0; c < kHead; ++c) to[c] = c < d_head ? from[c] : T(0);
}

/// Turns each adjacent pair; `direction` 1 forward, -1 back (the gradient's way).
template <typename T, int kHead>
CDSP_HOST_DEVICE void turn_head(T (&x)[kHead], const T* turns, int d_head, T direction) {
  CDSP_UNROLL
  for (int c = 0; c < kHead; c += 2) {
    if (c >= d_head) continue;
    const T cosine = turns[c], sine = direction * turns[c + 1];
    const T a = x[c], b = x[c + 1];
    x[c] = a * cosine - b * sine;
    x[c + 1] = a * sine + b * cosine;
  }
}

template <typename T, int kHead>
CDSP_HOST_DEVICE void store_head(const T (&x)[kHead], int d_head, T* to) {
  CDSP_UNROLL
  for (int c = 0; c < kHead; ++c) {
    if (c < d_head) to[c] = x[c];
  }
}

template <typename T, int kHead>
CDSP_HOST_DEVICE T dot_head(const T (&a)[kHead], const T (&b)[kHead]) {
  T sum = 0;
  CDSP_UNROLL
  for (int c = 0; c < kHead; ++c) sum += a[c] * b[c];
  return sum;
}

template <typename T, int kHead>
CDSP_HOST_DEVICE void add_head(T factor, const T (&x)[kHead], T (&to)[kHead]) {
  CDSP_UNROLL
  for (int c = 0; c < kHead; ++c) to[c] += factor * x[c];
}

namespace attention_block {
/// Rows of a tile: two tables of them in 32 KB of shared memory.
template <typename T, int kHead>
constexpr int tile_rows() {
  constexpr int fit = 32 * 1024 / (2 * kHead * static_cast<int>(sizeof(T)));
  return fit < kThreads ? fit : kThreads;
}
}  // namespace attention_block

/// Keys, turned, and values that the queries of a block go through together.
template <typename T, int kHead>
struct KeyValueTile {
  static constexpr int kRows = attention_block::tile_rows<T, kHead>();
  T key[kRows][kHead], value[kRows][kHead];

  /// Each thread its own row: that of position `from`, if there is one.
  CDSP_HOST_DEVICE void load(const AttentionSizes<T>& size, const T* qkv, const T* turns,
                             int64_t image, int kv_head, int from, int row) {
    if (row >= kRows || from >= size.positions) return;
    load_head(qkv + size.packed(image, from, size.heads + kv_head), size.d_head, key[row]);
    turn_head(key[row], turns + from * size.d_head, size.d_head, T(1));
    load_head(qkv + size.packed(image, from, size.heads + size.kv_heads + kv_head), size.d_head,
              value[row]);
  }
};

/// qkv -> mixed [batch, positions, heads, d_head], log_sums [batch, heads, positions].
template <typename T, int kHead>
struct AttentionForward {
  static constexpr int kThreads = attention_block::kThreads;
  static constexpr int kTile = attention_block::tile_rows<T, kHead>();
  using Shared = KeyValueTile<T, kHead>;
  struct Registers {
    T query[kHead], sum[kHead];
    T largest, weight;  // running maximum of the scores, sum of exp(score - largest)
  };

  AttentionSizes<T> size;
  const T *qkv, *turns;
  T *mixed, *log_sums;

  int64_t blocks() const { return size.batch * size.heads * size.tiles(); }
  CDSP_HOST_DEVICE int phases(int64_t block) const {
    return 2 * ((size.keys_of(block) + kTile - 1) / kTile) + 1;
  }
  CDSP_HOST_DEVICE void run(int phase, int64_t block, int thread, Shared& shared,
                            Registers& own) const {
    const int query = static_cast<int>(block % size.tiles()) * kThreads + thread;
    const int head = static_cast<int>(block / size.tiles() % size.heads);
    const int64_t image = block / size.tiles() / size.heads;
    const int kv_head = head / (size.heads / size.kv_heads);
    const bool is_query = query < size.positions;
    if (phase == phases(block) - 1) {
      if (!is_query) return;
      CDSP_UNROLL
      for (int c = 0; c < kHead; ++c) own.sum[c] /= own.weight;
      store_head(own.sum, size.d_head, mixed + size.mixed(image, query, head));
      log_sums[size.query(image, query, head)] = own.largest + std::log(own.weight);
      return;
    }
    const int first = phase / 2 * kTile;
    if (phase % 2 == 0) {
      shared.load(size, qkv, turns, image, kv_head, first + thread, thread);
      if (phase == 0 && is_query) {
        load_head(qkv + size.packed(image, query, head), size.d_head, own.query);
        turn_head(own.query, turns + query * size.d_head, size.d_head, T(1));
        CDSP_UNROLL
        for (int c = 0; c < kHead; ++c) own.sum[c] = 0;
        own.largest = -HUGE_VAL;
        own.weight = 0;
      }
      return;
    }
    if (!is_query) return;
    for (int j = 0; j < kTile && first + j <= query; ++j) {
      const T score = size.scale * dot_head(own.query, shared.key[j]);
      if (score > own.largest) {
        const T shrink = std::exp(own.largest - score);
        own.weight *= shrink;
        CDSP_UNROLL
        for (int c = 0; c < kHead; ++c) own.sum[c] *= shrink;
        own.largest = score;
      }
      const T part = std::exp(score - own.largest);
      own.weight += part;
      add_head(part, shared.value[j], own.sum);
    }
  }
};

/// upstream, mixed [batch, positions, heads, d_head] -> the queries' part of d_qkv, and
/// deltas [batch, heads, positions] for AttentionBackwardKeys.
template <typename T, int kHead>
struct AttentionBackwardQueries {
  static constexpr int kThreads = attention_block::kThreads;
  static constexpr int kTile = attention_block::tile_rows<T, kHead>();
  using Shared = KeyValueTile<T, kHead>;
  struct Registers {
    T query[kHead], upstream[kHead], gradient[kHead];
    T log_sum, delta;
  };

  AttentionSizes<T> size;
  const T *qkv, *turns, *mixed, *log_sums, *upstream;
  T *d_qkv, *deltas;

  int64_t blocks() const { return size.batch * size.heads * size.tiles(); }
  CDSP_HOST_DEVICE int phases(int64_t block) const {
    return 2 * ((size.keys_of(block) + kTile - 1) / kTile) + 1;
  }
  CDSP_HOST_DEVICE void run(int phase, int64_t block, int thread, Shared& shared,
                            Registers& own) const {
    const int query = static_cast<int>(block % size.tiles()) * kThreads + thread;
    const int head = static_cast<int>(block / size.tiles() % size.heads);
    const int64_t image = block / size.tiles() / size.heads;
    const int kv_head = head / (size.heads / size.kv_heads);
    const bool is_query = query < size.positions;
    if (phase == phases(block) - 1) {
      if (!is_query) return;
      turn_head(own.gradient, turns + query * size.d_head, size.d_head, T(-1));
      store_head(own.gradient, size.d_head, d_qkv + size.packed(image, query, head));
      return;
    }
    const int first = phase / 2 * kTile;
    if (phase % 2 == 0) {
      shared.load(size, qkv, turns, image, kv_head, first + thread, thread);
      if (phase == 0 && is_query) {
        load_head(mixed + size.mixed(image, query, head), size.d_head, own.query);
        load_head(upstream + size.mixed(image, query, head), size.d_head, own.upstream);
        own.delta = dot_head(own.query, own.upstream);
        own.log_sum = log_sums[size.query(image, query, head)];
        deltas[size.query(image, query, head)] = own.delta;
        load_head(qkv + size.packed(image, query, head), size.d_head, own.query);
        turn_head(own.query, turns + query * size.d_head, size.d_head, T(1));
        CDSP_UNROLL
        for (int c = 0; c < kHead; ++c) own.gradient[c] = 0;
      }
      return;
    }
    if (!is_query) return;
    for (int j = 0; j < kTile && first + j <= query; ++j) {
      const T share = std::exp(size.scale * dot_head(own.query, shared.key[j]) - own.log_sum);
      const T d_score = share * (dot_head(own.upstream, shared.value[j]) - own.delta);
      add_head(size.scale * d_score, shared.key[j], own.gradient);
    }
  }
};

/// -> the keys' and values' parts of d_qkv.
template <typename T, int kHead>
struct AttentionBackwardKeys {
  static constexpr int kThreads = attention_block::kThreads;
  static constexpr int kTile = attention_block::tile_rows<T, kHead>();
  struct Shared {
    T query[kTile][kHead], upstream[kTile][kHead];
    T log_sum[kTile], delta[kTile];
  };
  struct Registers {
    T key[kHead], value[kHead], d_key[kHead], d_value[kHead];
  };

  AttentionSizes<T> size;
  const T *qkv, *turns, *log_sums, *upstream, *deltas;
  T* d_qkv;

  int64_t blocks() const { return size.batch * size.kv_heads * size.tiles(); }
  /// Tiles of queries from the block's first key to the end: earlier ones see none of its keys.
  CDSP_HOST_DEVICE int tiles_per_head(int64_t block) const {
    const int first_key = static_cast<int>(block % size.tiles()) * kThreads;
    return (size.positions - first_key + kTile - 1) / kTile;
  }
  CDSP_HOST_DEVICE int phases(int64_t block) const {
    return 2 * (size.heads / size.kv_heads) * tiles_per_head(block) + 1;
  }
  CDSP_HOST_DEVICE void run(int phase, int64_t block, int thread, Shared& shared,
                            Registers& own) const {
    const int first_key = static_cast<int>(block % size.tiles()) * kThreads;
    const int key = first_key + thread;
    const int kv_head = static_cast<int>(block / size.tiles() % size.kv_heads);
    const int64_t image = block / size.tiles() / size.kv_heads;
    const int64_t key_at = size.packed(image, key, size.heads + kv_head);
    const int64_t value_at = size.packed(image, key, size.heads + size.kv_heads + kv_head);
    const bool is_key = key < size.positions;
    if (phase == phases(block) - 1) {
      if (!is_key) return;
      turn_head(own.d_key, turns + key * size.d_head, size.d_head, T(-1));
      store_head(own.d_key, size.d_head, d_qkv + key_at);
      store_head(own.d_value, size.d_head, d_qkv + value_at);
      return;
    }
    const int tile = phase / 2 % tiles_per_head(block);
    const int head = kv_head * (size.heads / size.kv_heads) + phase / 2 / tiles_per_head(block);
    const int first = first_key + tile * kTile;
    if (phase % 2 == 0) {
      if (thread < kTile && first + thread < size.positions) {
        const int query = first + thread;
        load_head(qkv + size.packed(image, query, head), size.d_head, shared.query[thread]);
        turn_head(shared.query[thread], turns + query * size.d_head, size.d_head, T(1));
        load_head(upstream + size.mixed(image, query, head), size.d_head, shared.upstream[thread]);
        shared.log_sum[thread] = log_sums[size.query(image, query, head)];
        shared.delta[thread] = deltas[size.query(image, query, head)];
      }
      if (phase == 0 && is_key) {
        load_head(qkv + key_at, size.d_head, own.key);
        turn_head(own.key, turns + key * size.d_head, size.d_head, T(1));
        load_head(qkv + value_at, size.d_head, own.value);
        CDSP_UNROLL
        for (int c = 0; c < kHead; ++c) own.d_key[c] = own.d_value[c] = 0;
      }
      return;
    }
    if (!is_key) return;
    for (int j = 0; j < kTile && first + j < size.positions; ++j) {
      if (first + j < key) continue;
      const T share = std::exp(size.scale * dot_head(own.key, shared.query[j]) - shared.log_sum[j]);
      const T d_score = share * (dot_head(own.value, shared.upstream[j]) - shared.delta[j]);
      add_head(share, shared.upstream[j], own.d_value);
      add_head(size.scale * d_score, shared.query[j], own.d_key);
    }
  }
};

}  // namespace cdsp
