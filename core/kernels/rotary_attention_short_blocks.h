// The way back through rotary attention where all keys of a head fit into one block: with the
// notation of rotary_attention_blocks.h,
//
//   delta_i = E_i . O_i      P_ij = 2^(s_ij - l_i)      dS_ij = P_ij (E_i . v_j - delta_i)
//   dq_i = scale sum_j dS_ij k_j     dk_j = scale sum_i dS_ij q_i     dv_j = sum_i P_ij E_i
//
// Programs for any number of positions compute P and dS twice, once for the queries' gradients and
// once for the keys'. Here a block has them once, as tables of a tile of queries times all keys,
// and goes over the tiles. All products are made in squares: a thread reads four rows of either
// factor, four numbers of each at a time, and has 16 sums under way, so that it multiplies eight
// times as often as it reads.
//
// Rows are numbered in groups of four, and row 4 g + i lies at place i kGroups + g of a table:
// neighbouring threads take neighbouring groups, whose rows are then neighbours too and lie in
// different banks.
#pragma once

#include "kernels/block_grid.h"
#include "kernels/rotary_attention_tables.h"

namespace cdsp {

/// upstream, mixed, log_sums -> d_qkv, for positions <= kRows, d_head <= kHead a multiple of 4.
template <typename T>
struct AttentionBackwardShort {
  static constexpr int kHead = 16;
  /// Queries of a tile, and the most keys: what shared memory holds.
  static constexpr int kRows = sizeof(T) == 4 ? 56 : 32;
  static constexpr int kGroups = kRows / 4;
  static constexpr int kRowQuads = kHead / 4;
  static constexpr int kThreads = kRows * kRowQuads;  // each carries a quad of a row
  static constexpr int kBlocksTogether = 2;
  /// Of the threads that sum up the gradients of keys and values, behind those of the queries and
  /// in other warps.
  static constexpr int kFirstOfKeys =
      attention_block::kWarp * ((kRows + attention_block::kWarp - 1) / attention_block::kWarp);
  /// Of those that count squares meanwhile.
  static constexpr int kFirstOfCounts = kFirstOfKeys + 2 * kRows;
  static_assert(kFirstOfCounts + kGroups < kThreads, "a thread for each of them");

  using Rows = attention_block::Rows<T>;
  using HeadQuery = attention_block::HeadQuery;
  using Quad = cdsp::Quad<T>;
  using Row = attention_block::Row<T, kHead>;
  using TableRow = attention_block::Row<T, kRows>;
  struct Shared {
    Row key[kRows], value[kRows], query[kRows], upstream[kRows];
    TableRow share[kRows], d_score[kRows];  // P and dS, a row for each query; future keys untold
    Quad products[kRows];                   // of upstream and output, quad by quad
    T log_sum[kRows];
    /// The squares of P and dS that are not all zero, counted up to a group of queries; of even and
    /// of odd tiles.
    int squares_before[2][kGroups + 1];
  };
  struct Read {
    Quad query, turn, upstream, output;
    T log_sum;
  };
  struct Registers {
    attention_block::Place place;
    Read next;  // of the next tile of queries
    Quad sum[4];
  };

  AttentionSizes<T> size;
  const T *qkv, *turns, *mixed, *log_sums, *upstream;
  T* d_qkv;

  static bool fits(const AttentionSizes<T>& size) {
    return size.positions <= kRows && size.d_head <= kHead && size.has_quads;
  }
  int64_t blocks() const { return size.batch * size.kv_heads; }
  CDSP_HOST_DEVICE int phases(int64_t) const {
    return 3 * attention_block::pieces(size.queries(), kRows);
  }

  CDSP_HOST_DEVICE void run(int phase, int64_t block, int thread, Shared& shared,
                            Registers& own) const {
    if (phase == 0) own.place = attention_block::Place::of(block, 1, size.kv_heads);
    const Rows rows = rows_of(own.place);
    thread = attention_block::not_ahead(thread);
    const int tile = phase / 3, first = tile * kRows;
    const int* const squares_before = shared.squares_before[tile % 2];
    if (phase % 3 == 0) {
      if (phase == 0) start(rows, thread, shared, own);
      put(thread, own.next, shared);
    } else if (phase % 3 == 1) {
      for (int n = thread; n < squares_before[kGroups]; n += kThreads) {
        fill_square(rows, first, n, squares_before, shared);
      }
    } else {
      const bool is_last = first + kRows >= size.queries();
      // Under way while this tile is summed up.
      if (!is_last) own.next = fetch(rows, first + kRows, thread);
      if (thread < kRows) {
        finish_queries(rows, first, thread, squares_before, shared, own);
      } else if (thread >= kFirstOfKeys && thread < kFirstOfCounts) {
        add_to_keys(rows, first, KeySquare(thread - kFirstOfKeys), is_last, shared, own);
      } else if (!is_last) {
        count_squares(rows, first + kRows, thread, shared.squares_before[(tile + 1) % 2]);
      }
    }
  }

 private:
  /// Numbered from the first query of the head; what the compiler then knows saves it the other way
  /// of moving a row.
  CDSP_HOST_DEVICE Rows rows_of(const attention_block::Place& place) const {
    Rows rows(size, place, {0, 0});
    rows.has_quads = true;
    return rows;
  }

  CDSP_HOST_DEVICE static int place(int row) { return row % 4 * kGroups + row / 4; }

  CDSP_HOST_DEVICE Read fetch(const Rows& rows, int first, int thread) const {
    const HeadQuery query = rows.query(first + thread / kRowQuads);
    const int column = thread % kRowQuads * 4;
    Read got = {};
    if (rows.is_query(query)) {
      const int at = rows.output_at(query);
      got.query = rows.load(rows.of_qkv(qkv) + rows.query_at(query), column);
      got.turn = rows.load(turns + rows.turn_at(query.position), column);
      got.upstream = rows.load(rows.of_outputs(upstream) + at, column);
      got.output = rows.load(rows.of_outputs(mixed) + at, column);
      if (column == 0) got.log_sum = rows.of_numbers(log_sums)[rows.number_at(query)];
    }
    return got;
  }

  CDSP_HOST_DEVICE void start(const Rows& rows, int thread, Shared& shared, Registers& own) const {
    const int row = thread / kRowQuads, column = thread % kRowQuads * 4;
    const auto got = attention_block::ReadKeys<T>{rows, qkv, turns, 0}(row, column);
    own.next = fetch(rows, 0, thread);
    count_squares(rows, 0, thread, shared.squares_before[0]);
    attention_block::WriteKeys<T, kHead>{shared.key, shared.value}(place(row), column, got);
    CDSP_UNROLL
    for (int i = 0; i < 4; ++i) own.sum[i] = {};
  }

  /// Groups of keys that the queries of a group see.
  CDSP_HOST_DEVICE int key_groups(const Rows& rows, int first, int group) const {
    const int begin = first + 4 * group, end = size.queries();
    if (begin >= end) return 0;
    return rows.query(begin + 4 < end ? begin + 3 : end - 1).position / 4 + 1;
  }

  CDSP_HOST_DEVICE void count_squares(const Rows& rows, int first, int thread,
                                      int (&squares_before)[kGroups + 1]) const {
    const int count = thread - kFirstOfCounts;
    if (count < 0 || count > kGroups) return;
    int squares = 0;
    for (int group = 0; group < count; ++group) squares += key_groups(rows, first, group);
    squares_before[count] = squares;
  }

  CDSP_HOST_DEVICE void put(int thread, const Read& got, Shared& shared) const {
    const int row = place(thread / kRowQuads), column = thread % kRowQuads * 4;
    shared.query[row].put(column,
                          attention_block::turned(got.query, got.turn, 1, size.query_scale));
    shared.upstream[row].put(column, got.upstream);
    shared.products[row].x[column / 4] = attention_block::dot_quads(got.upstream, got.output);
    if (column == 0) shared.log_sum[row] = got.log_sum;
  }

  /// square[i][j] += left row i . right row j, of a group of rows each.
  CDSP_HOST_DEVICE static void add_dots(const Row* left, const Row* right, T (&square)[4][4]) {
    CDSP_UNROLL
    for (int c = 0; c < kHead; c += 4) {
      Quad a[4], b[4];
      CDSP_UNROLL
      for (int i = 0; i < 4; ++i) {
        a[i] = left[i * kGroups].quad(c);
        b[i] = right[i * kGroups].quad(c);
      }
      CDSP_UNROLL
      for (int n = 0; n < 4; ++n) {
        CDSP_UNROLL
        for (int i = 0; i < 4; ++i) {
          CDSP_UNROLL
          for (int j = 0; j < 4; ++j) square[i][j] += a[i].x[n] * b[j].x[n];
        }
      }
    }
  }

  /// P and dS of the square number n: of four queries and four keys.
  CDSP_HOST_DEVICE void fill_square(const Rows& rows, int first, int n, const int* squares_before,
                                    Shared& shared) const {
    int group = 0;
    CDSP_UNROLL
    for (int i = 1; i < kGroups; ++i) group += n >= squares_before[i] ? 1 : 0;
    const int key_group = n - squares_before[group];
    T share[4][4], d_score[4][4];
    CDSP_UNROLL
    for (int i = 0; i < 4; ++i) {
      CDSP_UNROLL
      for (int j = 0; j < 4; ++j) share[i][j] = -shared.log_sum[i * kGroups + group];
    }
    add_dots(shared.query + group, shared.key + key_group, share);
    CDSP_UNROLL
    for (int i = 0; i < 4; ++i) {
      const HeadQuery query = rows.query(first + 4 * group + i);
      const int visible = rows.is_query(query) ? query.position - 4 * key_group : -1;
      const Quad products = shared.products[i * kGroups + group];
      const T delta = (products.x[0] + products.x[1]) + (products.x[2] + products.x[3]);
      Quad row;
      CDSP_UNROLL
      for (int j = 0; j < 4; ++j) {
        const T power = attention_block::power_of_2(share[i][j]);
        row.x[j] = share[i][j] = j <= visible ? power : T(0);
        d_score[i][j] = -delta;
      }
      shared.share[i * kGroups + group].put(4 * key_group, row);
    }
    add_dots(shared.upstream + group, shared.value + key_group, d_score);
    CDSP_UNROLL
    for (int i = 0; i < 4; ++i) {
      Quad row;
      CDSP_UNROLL
      for (int j = 0; j < 4; ++j) row.x[j] = share[i][j] * d_score[i][j];
      shared.d_score[i * kGroups + group].put(4 * key_group, row);
    }
  }

  /// A quad of four queries' gradients, which see keys of this block alone.
  CDSP_HOST_DEVICE void finish_queries(const Rows& rows, int first, int thread,
                                       const int* squares_before, const Shared& shared,
                                       Registers& own) const {
    const int group = thread / kRowQuads, column = thread % kRowQuads * 4;
    Quad turn[4];
    CDSP_UNROLL
    for (int i = 0; i < 4; ++i) {
      const HeadQuery query = rows.query(first + 4 * group + i);
      turn[i] = own.sum[i] = {};
      if (rows.is_query(query)) turn[i] = rows.load(turns + rows.turn_at(query.position), column);
    }
    const int end = squares_before[group + 1] - squares_before[group];
    for (int key_group = 0; key_group < end; ++key_group) {
      Quad d_score[4], key[4];
      CDSP_UNROLL
      for (int i = 0; i < 4; ++i) {
        d_score[i] = shared.d_score[i * kGroups + group].quad(4 * key_group);
        key[i] = shared.key[i * kGroups + key_group].quad(column);
      }
      CDSP_UNROLL
      for (int j = 0; j < 4; ++j) {
        CDSP_UNROLL
        for (int i = 0; i < 4; ++i) {
          CDSP_UNROLL
          for (int c = 0; c < 4; ++c) own.sum[i].x[c] += d_score[i].x[j] * key[j].x[c];
        }
      }
    }
    CDSP_UNROLL
    for (int i = 0; i < 4; ++i) {
      const HeadQuery query = rows.query(first + 4 * group + i);
      if (!rows.is_query(query)) continue;
      rows.store(attention_block::turned(own.sum[i], turn[i], -1, size.scale),
                 rows.of_qkv(d_qkv) + rows.query_at(query), column);
    }
  }

  /// What a thread of the keys owns: a quad of the gradients of four keys, or of their values.
  struct KeySquare {
    int group, column;
    bool is_value;

    CDSP_HOST_DEVICE explicit KeySquare(int number)
        : group(number / (2 * kRowQuads)),
          column(number % kRowQuads * 4),
          is_value(number / kRowQuads % 2 == 1) {}
  };

  CDSP_HOST_DEVICE void add_to_keys(const Rows& rows, int first, const KeySquare& square,
                                    bool is_last, const Shared& shared, Registers& own) const {
    const TableRow* const table = square.is_value ? shared.share : shared.d_score;
    const Row* const factors = square.is_value ? shared.upstream : shared.query;
    // Read ahead of the sums, which hide the wait.
    Quad turn[4];
    CDSP_UNROLL
    for (int j = 0; j < 4; ++j) {
      const int key = 4 * square.group + j;
      turn[j] = {};
      if (is_last && key < size.positions) {
        turn[j] = rows.load(turns + rows.turn_at(key), square.column);
      }
    }
    // Tiles begin at multiples of four, and earlier groups see none of the keys.
    const int from = square.group * size.group - first / 4;
    const int left = attention_block::pieces(size.queries() - first, 4);
    const int end = left < kGroups ? left : kGroups;
    for (int group = from > 0 ? from : 0; group < end; ++group) {
      Quad factor[4], row[4];
      CDSP_UNROLL
      for (int i = 0; i < 4; ++i) {
        factor[i] = table[i * kGroups + group].quad(4 * square.group);
        row[i] = factors[i * kGroups + group].quad(square.column);
      }
      CDSP_UNROLL
      for (int i = 0; i < 4; ++i) {
        CDSP_UNROLL
        for (int j = 0; j < 4; ++j) {
          CDSP_UNROLL
          for (int c = 0; c < 4; ++c) own.sum[j].x[c] += factor[i].x[j] * row[i].x[c];
        }
      }
    }
    if (!is_last) return;
    CDSP_UNROLL
    for (int j = 0; j < 4; ++j) {
      const int key = 4 * square.group + j;
      if (key >= size.positions) continue;
      // The sum for a key is of queries times log2(e) scale.
      Quad gradient = attention_block::turned(own.sum[j], turn[j], -1,
                                              static_cast<T>(attention_block::kLogOf2));
      CDSP_UNROLL
      for (int c = 0; c < 4; ++c) {
        if (square.is_value) gradient.x[c] = own.sum[j].x[c];
      }
      rows.store(gradient,
                 rows.of_qkv(d_qkv) + (square.is_value ? rows.value_at(key) : rows.key_at(key)),
                 square.column);
    }
  }
};

}  // namespace cdsp
