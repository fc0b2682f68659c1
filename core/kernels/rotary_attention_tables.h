// What the programs of rotary_attention_blocks.h have in common: how a block's threads share the
// work, its tables in shared memory, and where a row lies in the tensors.
//
// A block works for one key/value head of one image. The queries of all heads that share it are
// numbered position by position: query n is that of position n / group in head n % group of the
// group, group = heads / kv_heads. So neighbouring queries see the same keys, and a key's queries
// are all those from number position * group on.
//
// Several threads, the lanes of a slot, share what a slot owns (queries, or a key): each lane takes
// every kLanes-th row of the tile that the block has brought to shared memory, and the sums of the
// lanes are added up at the end, in their order. Threads that stand side by side carry numbers that
// lie side by side, from and to global memory. Reads of shared memory bound the inner loops: hence
// 16 bytes at a time, two queries to a row of a tile where registers allow, and rows padded with
// zeros to the compiled width instead of tests of d_head.
#pragma once

#include <limits>
#include <utility>

#include "kernels/block_grid.h"

namespace cdsp {

/// What all attention programs know. turns [positions, d_head / 2] pairs (cosine, sine); the first
/// number of every tensor is aligned to pairs.
template <typename T>
struct AttentionSizes {
  int64_t batch;
  int positions, heads, kv_heads, d_head;
  int group;         // heads of a key/value head
  int64_t of_group;  // 2^32 / group, rounded up
  T scale;           // 1 / sqrt(d_head)
  T query_scale;     // scale * log2(e)

  /// Of one key/value head.
  CDSP_HOST_DEVICE int queries() const { return positions * group; }
};

namespace attention_block {

inline constexpr int kWarp = 32;
inline constexpr double kLog2OfE = 1.4426950408889634, kLogOf2 = 0.6931471805599453;
template <typename T>
inline constexpr T kLowest = std::numeric_limits<T>::lowest();
/// What a program's tables may take of its shared memory.
inline constexpr int kTableBytes = 44 * 1024;
/// The running maximum moves only where a score exceeds it by more than this power of 2, so that
/// few steps rescale what they have summed up; the sums stay far from overflow all the same.
inline constexpr int kSlack = 8;

/// The number itself, from which a GPU's compiler computes nothing ahead of here: what is the same
/// in all phases would else wait in registers through the phases that need them.
CDSP_HOST_DEVICE int not_ahead(int number) {
#ifdef __CUDA_ARCH__
  asm volatile("" : "+r"(number));
#endif
  return number;
}

CDSP_HOST_DEVICE int pieces(int whole, int piece) { return (whole + piece - 1) / piece; }

/// Two neighbouring numbers: what is rotated together, and what a thread moves at a time.
template <typename T>
struct alignas(2 * sizeof(T)) Pair {
  T first, second;
};

template <typename T>
CDSP_HOST_DEVICE Pair<T> load_pair(const T* from) {
  return *reinterpret_cast<const Pair<T>*>(from);
}

template <typename T>
CDSP_HOST_DEVICE void store_pair(const Pair<T>& pair, T* to) {
  *reinterpret_cast<Pair<T>*>(to) = pair;
}

/// Rotated, `direction` 1 forward or -1 back (the gradient's way), and times `factor`.
template <typename T>
CDSP_HOST_DEVICE Pair<T> turned(const Pair<T>& x, const Pair<T>& turn, int direction, T factor) {
  const T cosine = factor * turn.first, sine = static_cast<T>(direction) * factor * turn.second;
  return {x.first * cosine - x.second * sine, x.first * sine + x.second * cosine};
}

/// In shared memory: read 16 bytes at a time, and 16 bytes longer than its numbers, so that threads
/// that read neighbouring rows find them in different banks.
template <typename T, int kNumbers>
struct alignas(16) Row {
  T x[kNumbers + 16 / static_cast<int>(sizeof(T))];

  CDSP_HOST_DEVICE void put(int column, const Pair<T>& pair) {
    x[column] = pair.first;
    x[column + 1] = pair.second;
  }
};

template <typename T, int kNumbers>
CDSP_HOST_DEVICE void copy_row(const Row<T, kNumbers>& from, T (&to)[kNumbers]) {
  CDSP_UNROLL
  for (int c = 0; c < kNumbers; ++c) to[c] = from.x[c];
}

/// In two sums, each of which need not wait for the other.
template <typename T, int kHead>
CDSP_HOST_DEVICE T dot_row(const T (&a)[kHead], const T (&b)[kHead]) {
  T even = 0, odd = 0;
  CDSP_UNROLL
  for (int c = 0; c < kHead; c += 2) {
    even += a[c] * b[c];
    odd += a[c + 1] * b[c + 1];
  }
  return even + odd;
}

/// How the threads of a block are split: by the bytes of a row, so that the tables fit into shared
/// memory and what a thread keeps, mostly, into registers.
template <typename T, int kHead>
struct Split {
  static constexpr int kBytes = kHead * static_cast<int>(sizeof(T));
  static constexpr int kRowBytes = sizeof(Row<T, kHead>);
  static constexpr int kThreads = kBytes <= 128 ? 256 : kBytes <= 512 ? 128 : 64;
  static constexpr int kLanes = kBytes <= 256 ? 4 : 8;
  static constexpr int kSlots = kThreads / kLanes;
  static constexpr int kOwned = kBytes <= 64 ? 2 : 1;  // queries of a slot
  static constexpr int kQueries = kSlots * kOwned;     // of a block
  /// Rows of a tile that a lane takes in one step, for independent sums, and those of all lanes.
  static constexpr int kLaneRows = kBytes <= 512 ? 2 : 1;
  static constexpr int kStep = kLanes * kLaneRows;

  /// A warp holds all lanes of its slots, and those of a lane stand side by side: they read the
  /// same row of a tile.
  static constexpr int kWarpSlots = kWarp / kLanes;
  static constexpr int kWarps = kThreads / kWarp;

  /// Causal work grows or falls with the slot. Warps 4 apart share a scheduler of the GPU, so the
  /// second half of them is taken backwards.
  CDSP_HOST_DEVICE static int turn_of_warp(int warp) {
    return warp < kWarps / 2 ? warp : kWarps / 2 + kWarps - 1 - warp;
  }
  CDSP_HOST_DEVICE static int first_slot_of_warp(int thread) {
    return turn_of_warp(thread / kWarp) * kWarpSlots;
  }
  CDSP_HOST_DEVICE static int slot(int thread) {
    return first_slot_of_warp(thread) + thread % kWarpSlots;
  }
  CDSP_HOST_DEVICE static int lane(int thread) { return thread / kWarpSlots % kLanes; }
  CDSP_HOST_DEVICE static int thread_of(int slot, int lane) {
    return turn_of_warp(slot / kWarpSlots) * kWarp + lane * kWarpSlots + slot % kWarpSlots;
  }
  /// Which of the block's queries are a slot's: those of a warp's slots follow each other.
  CDSP_HOST_DEVICE static int query(int slot, int owned) {
    return (slot / kWarpSlots * kOwned + owned) * kWarpSlots + slot % kWarpSlots;
  }

  /// Rows that the block's threads carry at once, a pair a thread.
  static constexpr int kSweep = kThreads / (kHead / 2);

  /// Rows of a tile, at most `most`, each of `bytes`, beside tables of `taken` bytes.
  static constexpr int tile_rows(int taken, int bytes, int most) {
    constexpr int multiple = kStep > kSweep ? kStep : kSweep;
    const int fit = (kTableBytes - taken) / bytes;
    return (fit < most ? fit : most) / multiple * multiple;
  }
};

/// kCount pairs of a thread on their way from global to shared memory: of one column, in rows
/// kSweep apart, from the thread's row number `begin` on.
template <typename T, int kHead, int kCount, typename Read>
struct Carried {
  using Fetched = decltype(std::declval<const Read&>()(0, 0));
  Fetched fetched[kCount];

  CDSP_HOST_DEVICE static int row(int thread, int i) {
    return thread / (kHead / 2) + i * Split<T, kHead>::kSweep;
  }
  CDSP_HOST_DEVICE static int column(int thread) { return thread % (kHead / 2) * 2; }

  CDSP_HOST_DEVICE void fetch(int thread, int begin, const Read& read) {
    CDSP_UNROLL
    for (int i = 0; i < kCount; ++i) fetched[i] = read(row(thread, begin + i), column(thread));
  }
  template <typename Write>
  CDSP_HOST_DEVICE void put(int thread, int begin, const Write& write) const {
    CDSP_UNROLL
    for (int i = 0; i < kCount; ++i) {
      write(row(thread, begin + i), column(thread), fetched[i]);
    }
  }
};

/// Pairs of kRows rows that are a thread's.
template <typename T, int kHead, int kRows>
struct Times {
  static_assert(kRows > 0 && kRows % Split<T, kHead>::kSweep == 0, "every thread carries as much");
  static constexpr int value = kRows / Split<T, kHead>::kSweep;
};

/// write(row, column, read(row, column)) for each pair of kRows rows, a few reads under way at
/// once.
template <typename T, int kHead, int kRows, typename Read, typename Write>
CDSP_HOST_DEVICE void carry(int thread, const Read& read, const Write& write) {
  constexpr int kTimes = Times<T, kHead, kRows>::value;
  constexpr int kTogether = kTimes % 4 == 0 ? 4 : kTimes % 2 == 0 ? 2 : 1;
  for (int begin = 0; begin < kTimes; begin += kTogether) {
    Carried<T, kHead, kTogether, Read> carried;
    carried.fetch(thread, begin, read);
    carried.put(thread, begin, write);
  }
}

/// Both, with all reads under way at once if they are few.
template <typename T, int kHead, int kRows, int kOtherRows, typename Read, typename Write,
          typename OtherRead, typename OtherWrite>
CDSP_HOST_DEVICE void carry_both(int thread, const Read& read, const Write& write,
                                 const OtherRead& other_read, const OtherWrite& other_write) {
  constexpr int kTimes = Times<T, kHead, kRows>::value,
                kOtherTimes = Times<T, kHead, kOtherRows>::value;
  if constexpr (kTimes <= 4 && kOtherTimes <= 4) {
    Carried<T, kHead, kTimes, Read> carried;
    Carried<T, kHead, kOtherTimes, OtherRead> other;
    carried.fetch(thread, 0, read);
    other.fetch(thread, 0, other_read);
    carried.put(thread, 0, write);
    other.put(thread, 0, other_write);
  } else {
    carry<T, kHead, kRows>(thread, read, write);
    carry<T, kHead, kOtherRows>(thread, other_read, other_write);
  }
}

/// Sums of kColumns numbers a slot over its lanes, in pieces that fit into shared memory. Two
/// phases a piece: all threads put theirs; then each adds up some pairs of columns.
template <typename T, int kHead, int kColumns>
struct LaneSums {
  using Plan = Split<T, kHead>;
  static constexpr int kPiece = 128 / static_cast<int>(sizeof(T));
  static constexpr int kPieces = kColumns / kPiece;
  static_assert(kColumns % kPiece == 0, "whole pieces");

  Row<T, kPiece> rows[Plan::kThreads];

  CDSP_HOST_DEVICE void put(int piece, int thread, const T (&x)[kColumns]) {
    CDSP_UNROLL
    for (int n = 0; n < kPieces; ++n) {
      if (n != piece) continue;
      CDSP_UNROLL
      for (int c = 0; c < kPiece; ++c) rows[thread].x[c] = x[n * kPiece + c];
    }
  }

  /// take(slot, column, sum) for every pair of the piece that is this thread's.
  template <typename Take>
  CDSP_HOST_DEVICE void add_up(int piece, int thread, const Take& take) const {
    constexpr int kPairs = kPiece / 2, kTimes = kPairs / Plan::kLanes;
    static_assert(kPairs % Plan::kLanes == 0, "every thread adds up as much");
    CDSP_UNROLL
    for (int i = 0; i < kTimes; ++i) {
      const int turn = i * Plan::kThreads + thread;
      const int slot = turn / kPairs, column = turn % kPairs * 2;
      Pair<T> sum = {0, 0};
      CDSP_UNROLL
      for (int lane = 0; lane < Plan::kLanes; ++lane) {
        const Row<T, kPiece>& row = rows[Plan::thread_of(slot, lane)];
        sum.first += row.x[column];
        sum.second += row.x[column + 1];
      }
      take(slot, piece * kPiece + column, sum);
    }
  }
};

/// Of a grid of `parts` blocks for each key/value head of each image.
struct Place {
  int64_t image;
  int kv_head, part;

  CDSP_HOST_DEVICE Place(int64_t block, int parts, int kv_heads) {
    // A grid has fewer than 2^31 blocks, and division of 64 bits is slow on a GPU.
    const unsigned number = static_cast<unsigned>(block), head = number / parts;
    part = static_cast<int>(number % parts);
    kv_head = static_cast<int>(head % kv_heads);
    image = head / kv_heads;
  }
};

/// Tiles of the keys that the part's queries see.
template <int kQueries, int kTile, typename T>
CDSP_HOST_DEVICE int key_tiles(const AttentionSizes<T>& size, int part) {
  const int end = (part + 1) * kQueries, queries = size.queries();
  const int last_position = ((end < queries ? end : queries) - 1) / size.group;
  return last_position / kTile + 1;
}

/// A query of a key/value head.
struct HeadQuery {
  int position, head;  // head of the group
};

/// Where the rows of a place lie in the tensors.
template <typename T>
struct Rows {
  int positions, group, d_head;
  int64_t of_group;
  int first_query, first_position, first_head;  // the same query, by number and by its parts
  int row_length, heads;                        // of a position
  int64_t packed_query, packed_key, packed_value, packed_head;  // of position 0 and head 0

  CDSP_HOST_DEVICE Rows(const AttentionSizes<T>& size, const Place& place, int first)
      : positions(size.positions),
        group(size.group),
        d_head(size.d_head),
        of_group(size.of_group),
        first_query(first),
        first_position(first / size.group),
        first_head(first % size.group),
        row_length((size.heads + 2 * size.kv_heads) * size.d_head),
        heads(size.heads) {
    const int64_t image = place.image * size.positions;
    packed_query = image * row_length + place.kv_head * size.group * size.d_head;
    packed_key = image * row_length + (size.heads + place.kv_head) * size.d_head;
    packed_value = packed_key + size.kv_heads * size.d_head;
    packed_head = image * size.heads + place.kv_head * size.group;
  }

  /// The query `after` ones behind the first; division by multiplication, as that of integers is
  /// slow on a GPU. Right while after and group stay below 2^15.
  CDSP_HOST_DEVICE HeadQuery query(int after) const {
    const int from = first_head + after;
    const int positions_after = static_cast<int>(from * of_group >> 32);
    return {first_position + positions_after, from - positions_after * group};
  }
  CDSP_HOST_DEVICE bool is_query(const HeadQuery& query) const {
    return query.position < positions;
  }
  /// In qkv and its gradient.
  CDSP_HOST_DEVICE int64_t query_at(const HeadQuery& query) const {
    return packed_query + static_cast<int64_t>(query.position) * row_length + query.head * d_head;
  }
  CDSP_HOST_DEVICE int64_t key_at(int position) const {
    return packed_key + static_cast<int64_t>(position) * row_length;
  }
  CDSP_HOST_DEVICE int64_t value_at(int position) const {
    return packed_value + static_cast<int64_t>(position) * row_length;
  }
  /// In [batch, positions, heads].
  CDSP_HOST_DEVICE int64_t number_of(const HeadQuery& query) const {
    return packed_head + static_cast<int64_t>(query.position) * heads + query.head;
  }
  /// In [batch, positions, heads, d_head].
  CDSP_HOST_DEVICE int64_t output_at(const HeadQuery& query) const {
    return number_of(query) * d_head;
  }
  CDSP_HOST_DEVICE int64_t turn_at(int position) const {
    return static_cast<int64_t>(position) * d_head;
  }
};

template <typename T>
struct KeyAndValue {
  Pair<T> key, value, turn;
};

/// Of the keys and values from position `from` on.
template <typename T>
struct ReadKeys {
  const Rows<T>& rows;
  const T *qkv, *turns;
  int from;

  /// Zeros where there are none.
  CDSP_HOST_DEVICE KeyAndValue<T> operator()(int row, int column) const {
    KeyAndValue<T> got = {{0, 0}, {0, 0}, {0, 0}};
    const int position = from + row;
    if (position < rows.positions && column < rows.d_head) {
      got.key = load_pair(qkv + rows.key_at(position) + column);
      got.value = load_pair(qkv + rows.value_at(position) + column);
      got.turn = load_pair(turns + rows.turn_at(position) + column);
    }
    return got;
  }
};

template <typename T, int kHead>
struct WriteKeys {
  Row<T, kHead>*keys, *values;

  CDSP_HOST_DEVICE void operator()(int row, int column, const KeyAndValue<T>& got) const {
    keys[row].put(column, turned(got.key, got.turn, 1, T(1)));
    values[row].put(column, got.value);
  }
};

}  // namespace attention_block
}  // namespace cdsp
