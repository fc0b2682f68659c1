// What the programs of rotary_attention_blocks.h and, but for the lanes,
// rotary_attention_short_blocks.h have in common: how a block's threads share the work, its tables
// in shared memory, and where a row lies in the tensors.
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

#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>

#include "kernels/block_grid.h"
#include "kernels/pieces.h"

namespace cdsp {

/// What all attention programs know. turns [positions, d_head / 2] pairs (cosine, sine); the first
/// number of every tensor is aligned to 16 bytes and to pairs. An image has fewer than 2^31 numbers
/// in each tensor, so that its offsets are of 32 bits: those of 64 cost a GPU several instructions.
template <typename T>
struct AttentionSizes {
  int64_t batch;
  int positions, heads, kv_heads, d_head;
  int group;          // heads of a key/value head
  uint32_t of_group;  // 2^31 / group, rounded up
  bool has_quads;     // d_head is a multiple of 4, so that all quads of a row are aligned
  T scale;            // 1 / sqrt(d_head)
  T query_scale;      // scale * log2(e)

  /// Of one key/value head.
  CDSP_HOST_DEVICE int queries() const { return positions * group; }
};

namespace attention_block {

inline constexpr int kWarp = 32;
inline constexpr double kLog2OfE = 1.4426950408889634, kLogOf2 = 0.6931471805599453;
/// The score of a key that is not seen, and the maximum of a query that has seen none: well above
/// that score, so that its power of 2 is 0.
template <typename T>
inline constexpr T kUnseen = std::numeric_limits<T>::lowest();
template <typename T>
inline constexpr T kLowest = kUnseen<T> / 2;
/// What a program's tables may take of its shared memory.
inline constexpr int kTableBytes = 44 * 1024;
/// The running maximum moves only where a score exceeds it by more than this power of 2, so that
/// few steps rescale what they have summed up; the sums stay far from overflow all the same.
inline constexpr int kSlack = 8;

/// The number itself, not negative, from which a GPU's compiler computes nothing ahead of here:
/// what is the same in all phases would else wait in registers through the phases that need them.
CDSP_HOST_DEVICE int not_ahead(int number) {
#ifdef __CUDA_ARCH__
  asm volatile("" : "+r"(number));
  __builtin_assume(number >= 0);  // so that a division by a power of 2 is one shift
#endif
  return number;
}

/// Of the product of 64 bits.
CDSP_HOST_DEVICE uint32_t high_half(uint32_t a, uint32_t b) {
#ifdef __CUDA_ARCH__
  return __umulhi(a, b);
#else
  return static_cast<uint32_t>(static_cast<uint64_t>(a) * b >> 32);
#endif
}

CDSP_HOST_DEVICE int pieces(int whole, int piece) { return (whole + piece - 1) / piece; }

/// 2^x. In float32 a GPU's own, right to 2 units in the last place and 0 below 2^-126: the
/// library's takes four more instructions for what is smaller, which no softmax notices.
CDSP_HOST_DEVICE double power_of_2(double x) { return std::exp2(x); }
CDSP_HOST_DEVICE float power_of_2(float x) {
#ifdef __CUDA_ARCH__
  float power;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(x));
  return power;
#else
  return std::exp2(x);
#endif
}

template <typename T>
struct alignas(2 * sizeof(T)) Pair {
  T first, second;
};

/// `left` numbers of the row are there, an even number, from `from` on; the rest, and all where it
/// is negative, are zeros.
template <typename T>
CDSP_HOST_DEVICE Quad<T> load_quad(const T* from, int left, bool has_quads) {
  Quad<T> quad = {{0, 0, 0, 0}};
  if (has_quads) {
    if (left > 0) quad = read_piece<Quad<T>>(from);
    return quad;
  }
  CDSP_UNROLL
  for (int c = 0; c < 4; c += 2) {
    if (c >= left) continue;
    const auto pair = read_piece<Pair<T>>(from + c);
    quad.x[c] = pair.first;
    quad.x[c + 1] = pair.second;
  }
  return quad;
}

template <typename T>
CDSP_HOST_DEVICE void store_quad(const Quad<T>& quad, T* to, int left, bool has_quads) {
  if (has_quads) {
    if (left <= 0) return;
#ifdef __CUDA_ARCH__
    if constexpr (sizeof(T) == sizeof(float)) {
      // Else the compiler makes it four. Nobody reads here what a program has stored.
      asm volatile("st.global.v4.f32 [%0], {%1, %2, %3, %4};" ::"l"(__cvta_generic_to_global(to)),
                   "f"(quad.x[0]), "f"(quad.x[1]), "f"(quad.x[2]), "f"(quad.x[3]));
      return;
    }
#endif
    write_piece(quad, to);
    return;
  }
  CDSP_UNROLL
  for (int c = 0; c < 4; c += 2) {
    if (c < left) write_piece(Pair<T>{quad.x[c], quad.x[c + 1]}, to + c);
  }
}

/// Both pairs rotated, `direction` 1 forward or -1 back (the gradient's way), and times `factor`.
template <typename T>
CDSP_HOST_DEVICE Quad<T> turned(const Quad<T>& x, const Quad<T>& turn, int direction, T factor) {
  Quad<T> y;
  CDSP_UNROLL
  for (int c = 0; c < 4; c += 2) {
    const T cosine = factor * turn.x[c], sine = static_cast<T>(direction) * factor * turn.x[c + 1];
    y.x[c] = x.x[c] * cosine - x.x[c + 1] * sine;
    y.x[c + 1] = x.x[c] * sine + x.x[c + 1] * cosine;
  }
  return y;
}

template <typename T>
CDSP_HOST_DEVICE T dot_quads(const Quad<T>& a, const Quad<T>& b) {
  return (a.x[0] * b.x[0] + a.x[1] * b.x[1]) + (a.x[2] * b.x[2] + a.x[3] * b.x[3]);
}

template <typename T>
CDSP_HOST_DEVICE void add_product(T factor, const Quad<T>& quad, Quad<T>& sum) {
  CDSP_UNROLL
  for (int c = 0; c < 4; ++c) sum.x[c] += factor * quad.x[c];
}

/// In shared memory: read 16 bytes at a time, and 16 bytes longer than its numbers, so that threads
/// that read neighbouring rows find them in different banks.
template <typename T, int kNumbers>
struct alignas(16) Row {
  T x[kNumbers + 16 / static_cast<int>(sizeof(T))];

  CDSP_HOST_DEVICE void put(int column, const Quad<T>& quad) { write_piece(quad, x + column); }
  CDSP_HOST_DEVICE Quad<T> quad(int column) const { return read_piece<Quad<T>>(x + column); }
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

  /// Rows that the block's threads carry at once, a quad a thread.
  static constexpr int kSweep = kThreads / (kHead / 4);

  /// Rows of a tile, at most `most`, each of `bytes`, beside tables of `taken` bytes.
  static constexpr int tile_rows(int taken, int bytes, int most) {
    constexpr int multiple = kStep > kSweep ? kStep : kSweep;
    const int fit = (kTableBytes - taken) / bytes;
    return (fit < most ? fit : most) / multiple * multiple;
  }
};

/// kCount quads of a thread on their way from global to shared memory: of one column, in rows
/// kSweep apart, from the thread's row number `begin` on.
template <typename T, int kHead, int kCount, typename Read>
struct Carried {
  using Fetched = decltype(std::declval<const Read&>()(0, 0));
  Fetched fetched[kCount];

  CDSP_HOST_DEVICE static int row(int thread, int i) {
    return thread / (kHead / 4) + i * Split<T, kHead>::kSweep;
  }
  CDSP_HOST_DEVICE static int column(int thread) { return thread % (kHead / 4) * 4; }

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

/// Quads of kRows rows that are a thread's.
template <typename T, int kHead, int kRows>
struct Times {
  static_assert(kRows > 0 && kRows % Split<T, kHead>::kSweep == 0, "every thread carries as much");
  static constexpr int value = kRows / Split<T, kHead>::kSweep;
};

/// write(row, column, read(row, column)) for each quad of kRows rows, a few reads under way at
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
/// phases a piece: all threads put theirs; then each adds up some quads of columns.
template <typename T, int kHead, int kColumns>
struct LaneSums {
  using Plan = Split<T, kHead>;
  static constexpr int kPiece = 32 * Plan::kLanes / static_cast<int>(sizeof(T));
  static constexpr int kPieces = kColumns / kPiece;
  static_assert(kColumns % kPiece == 0, "whole pieces");

  Row<T, kPiece> rows[Plan::kThreads];

  CDSP_HOST_DEVICE void put(int piece, int thread, const T (&x)[kColumns]) {
    CDSP_UNROLL
    for (int n = 0; n < kPieces; ++n) {
      if (n != piece) continue;
      CDSP_UNROLL
      for (int c = 0; c < kPiece; c += 4) {
        const int from = n * kPiece + c;
        rows[thread].put(c, {{x[from], x[from + 1], x[from + 2], x[from + 3]}});
      }
    }
  }

  /// Of the piece that the column lies in.
  CDSP_HOST_DEVICE Quad<T> part(int slot, int lane, int column) const {
    return rows[Plan::thread_of(slot, lane)].quad(column % kPiece);
  }

  /// take(slot, column) for every quad of the piece that is this thread's.
  template <typename Take>
  CDSP_HOST_DEVICE static void for_quads(int piece, int thread, const Take& take) {
    constexpr int kQuads = kPiece / 4, kTimes = kQuads / Plan::kLanes;
    static_assert(kQuads % Plan::kLanes == 0, "every thread has as many");
    CDSP_UNROLL
    for (int i = 0; i < kTimes; ++i) {
      const int turn = i * Plan::kThreads + thread;
      take(turn / kQuads, piece * kPiece + turn % kQuads * 4);
    }
  }

  /// take(slot, column, sum) for them.
  template <typename Take>
  CDSP_HOST_DEVICE void add_up(int piece, int thread, const Take& take) const {
    for_quads(piece, thread, [&](int slot, int column) {
      Quad<T> sum = {{0, 0, 0, 0}};
      CDSP_UNROLL
      for (int lane = 0; lane < Plan::kLanes; ++lane)
        add_product(T(1), part(slot, lane, column), sum);
      take(slot, column, sum);
    });
  }
};

/// Of a grid of `parts` blocks for each key/value head of each image. A thread keeps it: divisions
/// of integers are dozens of instructions on a GPU.
struct Place {
  int image, kv_head, part;

  CDSP_HOST_DEVICE static Place of(int64_t block, int parts, int kv_heads) {
    // A grid has fewer than 2^31 blocks, and division of 64 bits is slower still.
    const unsigned number = static_cast<unsigned>(block), head = number / parts;
    return {static_cast<int>(head / kv_heads), static_cast<int>(head % kv_heads),
            static_cast<int>(number % parts)};
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

  CDSP_HOST_DEVICE static HeadQuery of(int number, int group) {
    return {number / group, number % group};
  }
};

/// What a thread keeps of its block in the programs whose blocks own queries.
struct BlockOfQueries {
  Place place;
  HeadQuery first;
  int tiles;  // of keys

  template <int kQueries, int kTile, typename T>
  CDSP_HOST_DEVICE static BlockOfQueries of(const AttentionSizes<T>& size, int64_t block,
                                            int parts) {
    const Place place = Place::of(block, parts, size.kv_heads);
    return {place, HeadQuery::of(place.part * kQueries, size.group),
            key_tiles<kQueries, kTile>(size, place.part)};
  }
};

/// Where the rows of a place lie in the tensors: in the image's part of a tensor, which of_qkv()
/// and its like give.
template <typename T>
struct Rows {
  int positions, group, d_head;
  uint32_t of_group;
  HeadQuery first;
  int row_length, heads;  // of a position
  int query_column, key_column, value_column, head_column;
  bool has_quads;
  int64_t first_row;  // position 0 of the image

  CDSP_HOST_DEVICE Rows(const AttentionSizes<T>& size, const Place& place, const HeadQuery& first)
      : positions(size.positions),
        group(size.group),
        d_head(size.d_head),
        of_group(size.of_group),
        first(first),
        row_length((size.heads + 2 * size.kv_heads) * size.d_head),
        heads(size.heads),
        query_column(place.kv_head * size.group * size.d_head),
        key_column((size.heads + place.kv_head) * size.d_head),
        value_column(key_column + size.kv_heads * size.d_head),
        head_column(place.kv_head * size.group),
        has_quads(size.has_quads),
        first_row(static_cast<int64_t>(place.image) * size.positions) {}

  /// The query `after` ones behind the first; division by multiplication. Right while the
  /// head's number here times group stays below 2^31.
  CDSP_HOST_DEVICE HeadQuery query(int after) const {
    const int from = first.head + after;
    const int positions_after =
        static_cast<int>(high_half(2 * static_cast<uint32_t>(from), of_group));
    return {first.position + positions_after, from - positions_after * group};
  }
  CDSP_HOST_DEVICE bool is_query(const HeadQuery& query) const {
    return query.position < positions;
  }

  /// qkv or its gradient.
  template <typename Number>
  CDSP_HOST_DEVICE Number* of_qkv(Number* tensor) const {
    return tensor + first_row * row_length;
  }
  CDSP_HOST_DEVICE int query_at(const HeadQuery& query) const {
    return query_column + query.position * row_length + query.head * d_head;
  }
  CDSP_HOST_DEVICE int key_at(int position) const { return key_column + position * row_length; }
  CDSP_HOST_DEVICE int value_at(int position) const { return value_column + position * row_length; }

  /// [batch, positions, heads].
  template <typename Number>
  CDSP_HOST_DEVICE Number* of_numbers(Number* tensor) const {
    return tensor + first_row * heads;
  }
  CDSP_HOST_DEVICE int number_at(const HeadQuery& query) const {
    return head_column + query.position * heads + query.head;
  }

  /// [batch, positions, heads, d_head].
  template <typename Number>
  CDSP_HOST_DEVICE Number* of_outputs(Number* tensor) const {
    return tensor + first_row * (heads * d_head);
  }
  CDSP_HOST_DEVICE int output_at(const HeadQuery& query) const { return number_at(query) * d_head; }

  CDSP_HOST_DEVICE int turn_at(int position) const { return position * d_head; }

  /// Of a row from `column` on; zeros past its end.
  CDSP_HOST_DEVICE Quad<T> load(const T* row, int column) const {
    return load_quad(row + column, d_head - column, has_quads);
  }
  CDSP_HOST_DEVICE void store(const Quad<T>& quad, T* row, int column) const {
    store_quad(quad, row + column, d_head - column, has_quads);
  }
};

template <typename T>
struct KeyAndValue {
  Quad<T> key, value, turn;
};

/// Of the keys and values from position `from` on.
template <typename T>
struct ReadKeys {
  const Rows<T>& rows;
  const T *qkv, *turns;
  int from;

  /// Zeros where there are none.
  CDSP_HOST_DEVICE KeyAndValue<T> operator()(int row, int column) const {
    KeyAndValue<T> got = {};
    const int position = from + row;
    if (position < rows.positions) {
      got.key = rows.load(rows.of_qkv(qkv) + rows.key_at(position), column);
      got.value = rows.load(rows.of_qkv(qkv) + rows.value_at(position), column);
      got.turn = rows.load(turns + rows.turn_at(position), column);
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
