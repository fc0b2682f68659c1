// Rotary causal grouped-query attention as block programs. The softmax is kept running (Milakov &
// Gimelshein, arXiv:1805.02867; Dao et al., arXiv:2205.14135), so no table of scores exists. With
// scale = 1 / sqrt(d_head), s_ij = log2(e) scale q_i . k_j, l_i = log2 sum_j 2^s_ij,
// P_ij = 2^(s_ij - l_i), O_i = sum_j P_ij v_j, upstream E:
//
//   delta_i = E_i . O_i      dS_ij = P_ij (E_i . v_j - delta_i)
//   dq_i = scale sum_j dS_ij k_j     dk_j = scale sum_i dS_ij q_i     dv_j = sum_i P_ij E_i
//
// Powers of 2 are what a GPU computes; shared memory holds the queries times log2(e) scale. How
// the threads of a block share the work is told in rotary_attention_tables.h. A key's gradients are
// summed over its heads and queries in one block: no atomics.
#pragma once

#include <cmath>

#include "kernels/block_grid.h"
#include "kernels/rotary_attention_tables.h"

namespace cdsp {

/// qkv -> mixed [batch, positions, heads, d_head], log_sums (l above) [batch, positions, heads].
template <typename T, int kHead>
struct AttentionForward {
  using Plan = attention_block::Split<T, kHead>;
  using Rows = attention_block::Rows<T>;
  using HeadQuery = attention_block::HeadQuery;
  using Row = attention_block::Row<T, kHead>;
  using Quad = cdsp::Quad<T>;
  using ReadKeys = attention_block::ReadKeys<T>;
  using WriteKeys = attention_block::WriteKeys<T, kHead>;
  using Sums = attention_block::LaneSums<T, kHead, Plan::kOwned * kHead>;
  static constexpr int kThreads = Plan::kThreads;
  static constexpr int kOwned = Plan::kOwned;
  static constexpr int kTile =
      Plan::tile_rows(Plan::kQueries * Plan::kRowBytes, 2 * Plan::kRowBytes, 64);
  struct Tables {
    Row query[Plan::kQueries], key[kTile], value[kTile];
  };
  struct alignas(16) OfLanes {
    T x[Plan::kLanes];
  };
  struct Shared {
    union {
      Tables tables;
      Sums sums;
    };
    OfLanes largest[Plan::kQueries], weight[Plan::kQueries];
  };
  struct Registers {
    attention_block::BlockOfQueries block;
    T sum[kOwned * kHead];
    T largest[kOwned], weight[kOwned];  // running maximum m of the scores, sum of 2^(score - m)
    int position[kOwned];               // -1 where there is no such query
  };

  AttentionSizes<T> size;
  const T *qkv, *turns;
  T *mixed, *log_sums;

  CDSP_HOST_DEVICE int parts() const {
    return attention_block::pieces(size.queries(), Plan::kQueries);
  }
  int64_t blocks() const { return size.batch * size.kv_heads * parts(); }
  CDSP_HOST_DEVICE int phases(int64_t block) const {
    const auto place = attention_block::Place::of(block, parts(), size.kv_heads);
    return 2 * attention_block::key_tiles<Plan::kQueries, kTile>(size, place.part) +
           2 * Sums::kPieces;
  }

  CDSP_HOST_DEVICE void run(int phase, int64_t block, int thread, Shared& shared,
                            Registers& own) const {
    if (phase == 0) {
      own.block = attention_block::BlockOfQueries::of<Plan::kQueries, kTile>(size, block, parts());
    }
    const Rows rows(size, own.block.place, own.block.first);
    thread = attention_block::not_ahead(thread);
    const int merge = phase - 2 * own.block.tiles;
    if (merge >= 0) {
      if (merge == 0) tell_weights(thread, shared, own);
      if (merge % 2 == 0) return shared.sums.put(merge / 2, thread, own.sum);
      return store(rows, merge / 2, thread, shared);
    }
    const int first_key = phase / 2 * kTile;
    if (phase == 0) {
      start(rows, thread, shared.tables, own);
    } else if (phase % 2 == 0) {
      attention_block::carry<T, kHead, kTile>(thread, ReadKeys{rows, qkv, turns, first_key},
                                              WriteKeys{shared.tables.key, shared.tables.value});
    } else {
      attend(first_key, thread, shared.tables, own);
    }
  }

 private:
  struct QueryAndTurn {
    Quad query, turn;
  };

  CDSP_HOST_DEVICE void start(const Rows& rows, int thread, Tables& tables, Registers& own) const {
    attention_block::carry_both<T, kHead, Plan::kQueries, kTile>(
        thread,
        [&](int row, int column) {
          const HeadQuery query = rows.query(row);
          QueryAndTurn got = {};
          if (rows.is_query(query)) {
            got.query = rows.load(rows.of_qkv(qkv) + rows.query_at(query), column);
            got.turn = rows.load(turns + rows.turn_at(query.position), column);
          }
          return got;
        },
        [&](int row, int column, const QueryAndTurn& got) {
          tables.query[row].put(column,
                                attention_block::turned(got.query, got.turn, 1, size.query_scale));
        },
        ReadKeys{rows, qkv, turns, 0}, WriteKeys{tables.key, tables.value});
    CDSP_UNROLL
    for (int c = 0; c < kOwned * kHead; ++c) own.sum[c] = 0;
    CDSP_UNROLL
    for (int n = 0; n < kOwned; ++n) {
      const HeadQuery query = rows.query(Plan::query(Plan::slot(thread), n));
      own.position[n] = rows.is_query(query) ? query.position : -1;
      own.largest[n] = attention_block::kLowest<T>;
      own.weight[n] = 0;
    }
  }

  CDSP_HOST_DEVICE void attend(int first_key, int thread, const Tables& tables,
                               Registers& own) const {
    const int lane = Plan::lane(thread);
    T query[kOwned][kHead];
    int last = -1;
    CDSP_UNROLL
    for (int n = 0; n < kOwned; ++n) {
      copy_row(tables.query[Plan::query(Plan::slot(thread), n)], query[n]);
      last = own.position[n] > last ? own.position[n] : last;
    }
    for (int at = 0; at < kTile && first_key + at <= last; at += Plan::kStep) {
      T score[Plan::kLaneRows][kOwned];
      CDSP_UNROLL
      for (int i = 0; i < Plan::kLaneRows; ++i) {
        T key[kHead];
        copy_row(tables.key[at + i * Plan::kLanes + lane], key);
        CDSP_UNROLL
        for (int n = 0; n < kOwned; ++n) score[i][n] = attention_block::dot_row(query[n], key);
      }
      bool is_above = false;
      T largest[kOwned];
      CDSP_UNROLL
      for (int n = 0; n < kOwned; ++n) {
        // Of the lane's rows in this step those that lie no further on; none where negative.
        const int visible = own.position[n] - (first_key + at + lane);
        largest[n] = attention_block::kUnseen<T>;
        CDSP_UNROLL
        for (int i = 0; i < Plan::kLaneRows; ++i) {
          if (i * Plan::kLanes > visible) score[i][n] = attention_block::kUnseen<T>;
          largest[n] = score[i][n] > largest[n] ? score[i][n] : largest[n];
        }
        is_above |= largest[n] > own.largest[n] + T(attention_block::kSlack);
      }
      if (is_above) raise(largest, own);
      CDSP_UNROLL
      for (int n = 0; n < kOwned; ++n) {
        CDSP_UNROLL
        for (int i = 0; i < Plan::kLaneRows; ++i) {
          score[i][n] = attention_block::power_of_2(score[i][n] - own.largest[n]);
          own.weight[n] += score[i][n];
        }
      }
      CDSP_UNROLL
      for (int i = 0; i < Plan::kLaneRows; ++i) {
        T value[kHead];
        copy_row(tables.value[at + i * Plan::kLanes + lane], value);
        CDSP_UNROLL
        for (int n = 0; n < kOwned; ++n) {
          CDSP_UNROLL
          for (int c = 0; c < kHead; ++c) own.sum[n * kHead + c] += score[i][n] * value[c];
        }
      }
    }
  }

  /// The running maxima to those of this step, where these are larger.
  CDSP_HOST_DEVICE static void raise(const T (&largest)[kOwned], Registers& own) {
    CDSP_UNROLL
    for (int n = 0; n < kOwned; ++n) {
      const T raised = largest[n] > own.largest[n] ? largest[n] : own.largest[n];
      const T shrink = attention_block::power_of_2(own.largest[n] - raised);
      own.weight[n] *= shrink;
      CDSP_UNROLL
      for (int c = 0; c < kHead; ++c) own.sum[n * kHead + c] *= shrink;
      own.largest[n] = raised;
    }
  }

  CDSP_HOST_DEVICE static void tell_weights(int thread, Shared& shared, const Registers& own) {
    CDSP_UNROLL
    for (int n = 0; n < kOwned; ++n) {
      const int query = Plan::query(Plan::slot(thread), n);
      shared.largest[query].x[Plan::lane(thread)] = own.largest[n];
      shared.weight[query].x[Plan::lane(thread)] = own.weight[n];
    }
  }

  /// Brings the lanes' sums to one maximum, divided by the weight of all of them.
  CDSP_HOST_DEVICE void store(const Rows& rows, int piece, int thread, const Shared& shared) const {
    Sums::for_quads(piece, thread, [&](int slot, int column) {
      const int own_query = Plan::query(slot, column / kHead);
      const HeadQuery query = rows.query(own_query);
      if (!rows.is_query(query)) return;
      const OfLanes maxima = shared.largest[own_query], weights = shared.weight[own_query];
      T largest = maxima.x[0], weight = 0;
      CDSP_UNROLL
      for (int lane = 1; lane < Plan::kLanes; ++lane) {
        largest = maxima.x[lane] > largest ? maxima.x[lane] : largest;
      }
      Quad sum = {{0, 0, 0, 0}};
      CDSP_UNROLL
      for (int lane = 0; lane < Plan::kLanes; ++lane) {
        const T factor = attention_block::power_of_2(maxima.x[lane] - largest);
        weight += factor * weights.x[lane];
        attention_block::add_product(factor, shared.sums.part(slot, lane, column), sum);
      }
      const T inverse = 1 / weight;
      CDSP_UNROLL
      for (int c = 0; c < 4; ++c) sum.x[c] *= inverse;
      rows.store(sum, rows.of_outputs(mixed) + rows.output_at(query), column % kHead);
      if (column % kHead == 0) {
        rows.of_numbers(log_sums)[rows.number_at(query)] = largest + std::log2(weight);
      }
    });
  }
};

/// upstream, mixed [batch, positions, heads, d_head] -> the queries' part of d_qkv, and
/// deltas [batch, positions, heads] for AttentionBackwardKeys.
template <typename T, int kHead>
struct AttentionBackwardQueries {
  using Plan = attention_block::Split<T, kHead>;
  using Rows = attention_block::Rows<T>;
  using HeadQuery = attention_block::HeadQuery;
  using Row = attention_block::Row<T, kHead>;
  using Quad = cdsp::Quad<T>;
  using ReadKeys = attention_block::ReadKeys<T>;
  using WriteKeys = attention_block::WriteKeys<T, kHead>;
  using Products = attention_block::Row<T, kHead / 4>;
  using Sums = attention_block::LaneSums<T, kHead, Plan::kOwned * kHead>;
  static constexpr int kThreads = Plan::kThreads;
  /// Left alone, the compiler takes some registers too many for the second block.
  static constexpr int kBlocksTogether = Plan::kBytes <= 64 ? 2 : 0;
  static constexpr int kOwned = Plan::kOwned;
  static constexpr int kOwnBytes =
      Plan::kQueries * (2 * Plan::kRowBytes + static_cast<int>(sizeof(Products)));
  static constexpr int kTile = Plan::tile_rows(kOwnBytes, 2 * Plan::kRowBytes, 64);
  struct Tables {
    Row query[Plan::kQueries], upstream[Plan::kQueries], key[kTile], value[kTile];
    Products products[Plan::kQueries];  // of upstream and output, quad by quad
  };
  union Shared {
    Tables tables;
    Sums sums;
  };
  struct Registers {
    attention_block::BlockOfQueries block;
    T gradient[kOwned * kHead];
    T log_sum[kOwned], delta[kOwned];
    int position[kOwned];  // -1 where there is no such query
  };

  AttentionSizes<T> size;
  const T *qkv, *turns, *mixed, *log_sums, *upstream;
  T *d_qkv, *deltas;

  CDSP_HOST_DEVICE int parts() const {
    return attention_block::pieces(size.queries(), Plan::kQueries);
  }
  int64_t blocks() const { return size.batch * size.kv_heads * parts(); }
  CDSP_HOST_DEVICE int phases(int64_t block) const {
    const auto place = attention_block::Place::of(block, parts(), size.kv_heads);
    return 2 * attention_block::key_tiles<Plan::kQueries, kTile>(size, place.part) +
           2 * Sums::kPieces;
  }

  CDSP_HOST_DEVICE void run(int phase, int64_t block, int thread, Shared& shared,
                            Registers& own) const {
    if (phase == 0) {
      own.block = attention_block::BlockOfQueries::of<Plan::kQueries, kTile>(size, block, parts());
    }
    const Rows rows(size, own.block.place, own.block.first);
    thread = attention_block::not_ahead(thread);
    const int merge = phase - 2 * own.block.tiles;
    if (merge >= 0) {
      if (merge % 2 == 0) return shared.sums.put(merge / 2, thread, own.gradient);
      return store(rows, merge / 2, thread, shared.sums);
    }
    const int first_key = phase / 2 * kTile;
    if (phase == 0) {
      start(rows, thread, shared.tables, own);
    } else if (phase % 2 == 0) {
      attention_block::carry<T, kHead, kTile>(thread, ReadKeys{rows, qkv, turns, first_key},
                                              WriteKeys{shared.tables.key, shared.tables.value});
    } else {
      if (phase == 1) add_up_delta(rows, thread, shared.tables, own);
      go_back(first_key, thread, shared.tables, own);
    }
  }

 private:
  struct Read {
    Quad query, turn, upstream, output;
  };

  CDSP_HOST_DEVICE void start(const Rows& rows, int thread, Tables& tables, Registers& own) const {
    attention_block::carry_both<T, kHead, Plan::kQueries, kTile>(
        thread,
        [&](int row, int column) {
          const HeadQuery query = rows.query(row);
          Read got = {};
          if (rows.is_query(query)) {
            const int at = rows.output_at(query);
            got.query = rows.load(rows.of_qkv(qkv) + rows.query_at(query), column);
            got.turn = rows.load(turns + rows.turn_at(query.position), column);
            got.upstream = rows.load(rows.of_outputs(upstream) + at, column);
            got.output = rows.load(rows.of_outputs(mixed) + at, column);
          }
          return got;
        },
        [&](int row, int column, const Read& got) {
          tables.query[row].put(column,
                                attention_block::turned(got.query, got.turn, 1, size.query_scale));
          tables.upstream[row].put(column, got.upstream);
          tables.products[row].x[column / 4] = attention_block::dot_quads(got.upstream, got.output);
        },
        ReadKeys{rows, qkv, turns, 0}, WriteKeys{tables.key, tables.value});
    CDSP_UNROLL
    for (int c = 0; c < kOwned * kHead; ++c) own.gradient[c] = 0;
    CDSP_UNROLL
    for (int n = 0; n < kOwned; ++n) {
      const HeadQuery query = rows.query(Plan::query(Plan::slot(thread), n));
      own.position[n] = rows.is_query(query) ? query.position : -1;
      own.log_sum[n] =
          rows.is_query(query) ? rows.of_numbers(log_sums)[rows.number_at(query)] : T(0);
    }
  }

  CDSP_HOST_DEVICE void add_up_delta(const Rows& rows, int thread, const Tables& tables,
                                     Registers& own) const {
    CDSP_UNROLL
    for (int n = 0; n < kOwned; ++n) {
      const int query = Plan::query(Plan::slot(thread), n);
      T products[kHead / 4];
      copy_row(tables.products[query], products);
      own.delta[n] = 0;
      CDSP_UNROLL
      for (int c = 0; c < kHead / 4; ++c) own.delta[n] += products[c];
      if (Plan::lane(thread) == 0 && own.position[n] >= 0) {
        rows.of_numbers(deltas)[rows.number_at(rows.query(query))] = own.delta[n];
      }
    }
  }

  CDSP_HOST_DEVICE void go_back(int first_key, int thread, const Tables& tables,
                                Registers& own) const {
    const int lane = Plan::lane(thread);
    T query[kOwned][kHead], upstream_row[kOwned][kHead];
    int last = -1;
    CDSP_UNROLL
    for (int n = 0; n < kOwned; ++n) {
      const int row = Plan::query(Plan::slot(thread), n);
      copy_row(tables.query[row], query[n]);
      copy_row(tables.upstream[row], upstream_row[n]);
      last = own.position[n] > last ? own.position[n] : last;
    }
    for (int row = lane; row < kTile && first_key + row - lane <= last; row += Plan::kLanes) {
      T d_share[kOwned], d_score[kOwned], value[kHead], key[kHead];
      copy_row(tables.value[row], value);
      CDSP_UNROLL
      for (int n = 0; n < kOwned; ++n) {
        d_share[n] = attention_block::dot_row(upstream_row[n], value);
      }
      copy_row(tables.key[row], key);
      CDSP_UNROLL
      for (int n = 0; n < kOwned; ++n) {
        const T score = attention_block::dot_row(query[n], key);
        const bool is_visible = first_key + row <= own.position[n];
        const T share = is_visible ? attention_block::power_of_2(score - own.log_sum[n]) : T(0);
        d_score[n] = share * (d_share[n] - own.delta[n]);
      }
      CDSP_UNROLL
      for (int n = 0; n < kOwned; ++n) {
        CDSP_UNROLL
        for (int c = 0; c < kHead; ++c) own.gradient[n * kHead + c] += d_score[n] * key[c];
      }
    }
  }

  CDSP_HOST_DEVICE void store(const Rows& rows, int piece, int thread, const Sums& sums) const {
    sums.add_up(piece, thread, [&](int slot, int column, const Quad& sum) {
      const HeadQuery query = rows.query(Plan::query(slot, column / kHead));
      if (!rows.is_query(query)) return;
      const Quad turn = rows.load(turns + rows.turn_at(query.position), column % kHead);
      rows.store(attention_block::turned(sum, turn, -1, size.scale),
                 rows.of_qkv(d_qkv) + rows.query_at(query), column % kHead);
    });
  }
};

/// -> the keys' and values' parts of d_qkv. A slot owns a key; tiles are of queries.
template <typename T, int kHead>
struct AttentionBackwardKeys {
  using Plan = attention_block::Split<T, kHead>;
  using Rows = attention_block::Rows<T>;
  using HeadQuery = attention_block::HeadQuery;
  using Row = attention_block::Row<T, kHead>;
  using Quad = cdsp::Quad<T>;
  using ReadKeys = attention_block::ReadKeys<T>;
  using WriteKeys = attention_block::WriteKeys<T, kHead>;
  using Sums = attention_block::LaneSums<T, kHead, 2 * kHead>;
  using Known = attention_block::Pair<T>;
  static constexpr int kThreads = Plan::kThreads;
  static constexpr int kKeys = Plan::kSlots;
  static constexpr int kTile = Plan::tile_rows(
      2 * kKeys * Plan::kRowBytes, 2 * Plan::kRowBytes + static_cast<int>(sizeof(Known)), 128);
  struct Tables {
    Row key[kKeys], value[kKeys], query[kTile], upstream[kTile];
    Known log_sum_and_delta[kTile];
  };
  union Shared {
    Tables tables;
    Sums sums;
  };
  struct Registers {
    attention_block::Place place;
    T gradient[2 * kHead];  // of the key, then of the value
  };

  AttentionSizes<T> size;
  const T *qkv, *turns, *log_sums, *upstream, *deltas;
  T* d_qkv;

  CDSP_HOST_DEVICE int parts() const { return attention_block::pieces(size.positions, kKeys); }
  int64_t blocks() const { return size.batch * size.kv_heads * parts(); }
  /// Tiles of queries from the block's first key to the end: earlier ones see none of its keys.
  CDSP_HOST_DEVICE int query_tiles(int part) const {
    return attention_block::pieces(size.queries() - part * kKeys * size.group, kTile);
  }
  CDSP_HOST_DEVICE int phases(int64_t block) const {
    const auto place = attention_block::Place::of(block, parts(), size.kv_heads);
    return 2 * query_tiles(place.part) + 2 * Sums::kPieces;
  }

  CDSP_HOST_DEVICE void run(int phase, int64_t block, int thread, Shared& shared,
                            Registers& own) const {
    if (phase == 0) own.place = attention_block::Place::of(block, parts(), size.kv_heads);
    const int first_key = own.place.part * kKeys;
    thread = attention_block::not_ahead(thread);
    const int merge = phase - 2 * query_tiles(own.place.part);
    if (merge >= 0) {
      if (merge % 2 == 0) return shared.sums.put(merge / 2, thread, own.gradient);
      return store(Rows(size, own.place, {0, 0}), first_key, merge / 2, thread, shared.sums);
    }
    const int first_query = first_key * size.group + phase / 2 * kTile;
    if (phase % 2 == 0) {
      read(Rows(size, own.place, HeadQuery::of(first_query, size.group)), first_key, phase == 0,
           thread, shared.tables, own);
    } else {
      go_back(first_key, first_query, thread, shared.tables, own);
    }
  }

 private:
  struct Read {
    Quad query, turn, upstream;
  };

  /// A tile of queries, and at first the block's keys.
  CDSP_HOST_DEVICE void read(const Rows& rows, int first_key, bool is_first, int thread,
                             Tables& tables, Registers& own) const {
    const auto read_query = [&](int row, int column) {
      const HeadQuery query = rows.query(row);
      Read got = {};
      if (rows.is_query(query)) {
        got.query = rows.load(rows.of_qkv(qkv) + rows.query_at(query), column);
        got.turn = rows.load(turns + rows.turn_at(query.position), column);
        got.upstream = rows.load(rows.of_outputs(upstream) + rows.output_at(query), column);
      }
      return got;
    };
    const auto write_query = [&](int row, int column, const Read& got) {
      tables.query[row].put(column,
                            attention_block::turned(got.query, got.turn, 1, size.query_scale));
      tables.upstream[row].put(column, got.upstream);
    };
    static_assert(kTile <= kThreads, "a thread a query");
    Known known = {0, 0};
    if (const HeadQuery query = rows.query(thread); thread < kTile && rows.is_query(query)) {
      const int at = rows.number_at(query);
      known = {rows.of_numbers(log_sums)[at], rows.of_numbers(deltas)[at]};
    }
    if (is_first) {
      attention_block::carry_both<T, kHead, kTile, kKeys>(thread, read_query, write_query,
                                                          ReadKeys{rows, qkv, turns, first_key},
                                                          WriteKeys{tables.key, tables.value});
      CDSP_UNROLL
      for (int c = 0; c < 2 * kHead; ++c) own.gradient[c] = 0;
    } else {
      attention_block::carry<T, kHead, kTile>(thread, read_query, write_query);
    }
    if (thread < kTile) tables.log_sum_and_delta[thread] = known;
  }

  CDSP_HOST_DEVICE void go_back(int first_key, int first_query, int thread, const Tables& tables,
                                Registers& own) const {
    const int lane = Plan::lane(thread), slot = Plan::slot(thread);
    T key[kHead], value[kHead];
    copy_row(tables.key[slot], key);
    copy_row(tables.value[slot], value);
    const int left = size.queries() - first_query, end = left < kTile ? left : kTile;
    // The same for the whole warp, so that its threads read the same rows.
    const int first_of_warp =
        (first_key + Plan::first_slot_of_warp(thread)) * size.group - first_query;
    const int begin = first_of_warp > 0 ? first_of_warp / Plan::kLanes * Plan::kLanes : 0;
    const int first_of_key = (first_key + slot) * size.group - first_query;
    for (int row = begin + lane; row < end; row += Plan::kLanes) {
      T query[kHead], upstream_row[kHead];
      copy_row(tables.query[row], query);
      copy_row(tables.upstream[row], upstream_row);
      const Known known = tables.log_sum_and_delta[row];
      const T score = attention_block::dot_row(key, query);
      const T d_share = attention_block::dot_row(value, upstream_row);
      const T share = row >= first_of_key ? attention_block::power_of_2(score - known.first) : T(0);
      const T d_score = share * (d_share - known.second);
      CDSP_UNROLL
      for (int c = 0; c < kHead; ++c) {
        own.gradient[c] += d_score * query[c];
        own.gradient[kHead + c] += share * upstream_row[c];
      }
    }
  }

  CDSP_HOST_DEVICE void store(const Rows& rows, int first_key, int piece, int thread,
                              const Sums& sums) const {
    sums.add_up(piece, thread, [&](int slot, int column, const Quad& sum) {
      const int key = first_key + slot, c = column % kHead;
      if (key >= size.positions) return;
      if (column >= kHead) {
        return rows.store(sum, rows.of_qkv(d_qkv) + rows.value_at(key), c);
      }
      // The sum is of queries times log2(e) scale.
      const Quad turn = rows.load(turns + rows.turn_at(key), c);
      rows.store(attention_block::turned(sum, turn, -1, static_cast<T>(attention_block::kLogOf2)),
                 rows.of_qkv(d_qkv) + rows.key_at(key), c);
    });
  }
};

}  // namespace cdsp
