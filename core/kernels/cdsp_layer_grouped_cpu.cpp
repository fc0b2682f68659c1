// The CDSP layer with tokens grouped by expert: each expert multiplies its own tokens by its own
// columns, as Eq. 7 and 9 say it,
//
//   Y_t = sum over t's experts i of c SiLU(x_t U_i) V_i,      c = w_ti s_i, U_i = U[:, S_i]
//
// so that 6 products of k r columns a token replace 4 of D and 2 of k r. The backward pass has each
// expert's gradients without gathering columns: with E = dL/dY and H = SiLU(X U_i),
//
//   dH = E V_i^T,  dZ = c dH * SiLU'(Z),  g_i(U) = X^T dZ,  g_i(V) = (c H)^T E,  dX = dZ U_i^T,
//   dL/dc = rowsum(dH * H)
#include <algorithm>
#include <memory>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/Dispatch.h>

#include "kernels/cdsp_layer.h"
#include "kernels/column_selection.h"
#include "kernels/expert_tokens.h"
#include "kernels/optional_input.h"
#include "kernels/pair_sums.h"
#include "kernels/partial_sums.h"
#include "kernels/tile_gemm.h"
#include "kernels/tile_sizes.h"
#include "kernels/token_blocks.h"
#include "kernels/transposed_copy.h"
#include "kernels/work_queue.h"

namespace cdsp {
namespace {

struct Shape {
  int64_t tokens, d, d_base, experts, top_k;
  std::vector<ColumnSelection> selections;
  int64_t rank = 0, row = 0;  // of the longest selection, and padded to whole registers
  int64_t pairs() const { return tokens * top_k; }
  TokenBlocks blocks() const { return {tokens, top_k, experts}; }
  int64_t packed() const { return d * row; }  // numbers of one expert's U_i or V_i, padded
};

template <typename T>
Shape shape_of(const at::Tensor& x, const at::Tensor& indices, const at::Tensor& mask) {
  Shape shape{x.size(0), x.size(1), mask.size(1), mask.size(0), indices.size(1), {}};
  shape.selections = selections_of(mask.data_ptr<T>(), shape.experts, shape.d_base);
  shape.rank = longest_rank(shape.selections);
  shape.row = padded_row<T>(shape.rank);
  return shape;
}

/// Every expert's columns of u [d, D] as [d, row], padded with zeros, and its rows of v [D, d] as
/// [rank, d]; or, from the transposes v^T [d, D] and u^T [D, d], those of V_i^T and U_i^T.
template <typename T>
void pack(const Shape& shape, const T* wide, const T* tall, T* packed_wide, T* packed_tall) {
  for_each_piece(shape.experts, [&](int64_t expert) {
    const ColumnSelection& selection = shape.selections[static_cast<size_t>(expert)];
    T* to_wide = packed_wide + expert * shape.packed();
    T* to_tall = packed_tall + expert * shape.packed();
    for (int64_t i = 0; i < shape.d; ++i) {
      T* to = to_wide + i * shape.row;
      for (const ColumnSelection::Run& run : selection.runs)
        to = std::copy_n(wide + i * shape.d_base + run.first, run.length, to);
      std::fill(to, to_wide + (i + 1) * shape.row, T(0));
    }
    for (const ColumnSelection::Run& run : selection.runs)
      to_tall = std::copy_n(tall + run.first * shape.d, run.length * shape.d, to_tall);
  });
}

template <typename T>
struct Inputs {
  const T *x, *router, *gate;
  const T *wide, *tall;  // as pack() makes them
  /// The same for the tokens from `token` on.
  Inputs from(int64_t token, const Shape& shape) const {
    return {x + token * shape.d, router + token * shape.experts, gate, wide, tall};
  }
};

/// Tokens on their way through one expert: scratch of one tile.
template <typename T>
struct Tile {
  T *z, *hidden;  // [tile, row]
};

/// z [pairs, row] where it is to be kept, else null; outputs [pairs, d] and their strengths c
/// [pairs]. All in the order of `tokens`.
template <typename T>
void forward_stretch(const Shape& shape, const Inputs<T>& in, const ExpertTokens& tokens,
                     const TokenStretch& stretch, const Tile<T>& tile, T* kept_z, T* outputs,
                     T* strengths) {
  const auto& loops = simd_loops<T>();
  const int64_t d = shape.d, row = shape.row, expert = stretch.expert;
  const int64_t rank = shape.selections[static_cast<size_t>(expert)].rank;
  T* hidden = tile.hidden;
  const int64_t tile_rows = even_tile_rows(stretch.tokens());
  for (int64_t begin = stretch.begin; begin < stretch.end; begin += tile_rows) {
    const int64_t rows = std::min(tile_rows, stretch.end - begin);
    T* z = kept_z == nullptr ? tile.z : kept_z + begin * row;
    tile_gemm(rows, row, d, listed(in.x, d, tokens.tokens_from(begin)),
              in.wide + expert * shape.packed(), row, Into::kSet, z, row);
    loops.silu(rows * row, z, hidden);
    tile_gemm(rows, d, rank, plain<T>(hidden, row), in.tall + expert * shape.packed(), d,
              Into::kSet, outputs + begin * d, d);
    for (int64_t i = begin; i < begin + rows; ++i)
      strengths[i] = in.router[tokens.token(i) * shape.experts + expert] * in.gate[expert];
  }
}

/// y of the tokens of `block`, which go through all their experts together.
template <typename T>
void forward_block(const Shape& shape, const Inputs<T>& in, const int64_t* indices,
                   const TokenBlock& block, const T* residual, T* kept_z, T* y) {
  const int64_t d = shape.d, k = shape.top_k, at = block.begin * d, pairs = block.count * k;
  const ExpertTokens tokens(indices + block.begin * k, block.count, k, shape.experts);
  const auto [z, hidden, outputs, strengths] =
      thread_scratch<T>(kTileTokens * shape.row, kTileTokens * shape.row, pairs * d, pairs);
  const Inputs<T> own = in.from(block.begin, shape);
  T* own_z = kept_z == nullptr ? nullptr : kept_z + block.begin * k * shape.row;
  for (const TokenStretch& stretch : tokens.stretches)
    forward_stretch<T>(shape, own, tokens, stretch, {z, hidden}, own_z, outputs, strengths);
  sum_pairs<T>(tokens, block.count, k, d, outputs, strengths,
               residual == nullptr ? nullptr : residual + at, y + at);
}

/// Scratch of the way back: of one tile, and the block's input gradients [pairs, d] in the order of
/// its tokens.
template <typename T>
struct BackwardScratch {
  T *hidden, *d_z;  // [tile, row]
  T* d_inputs;
};

/// A share of the sums over all tokens: per expert g_i(U) [d, row] and g_i(V) [rank, d] side by
/// side, dL/ds_i, and whether it had a token yet; where not, the rest means nothing.
template <typename T>
struct Share {
  T *parts, *gate;
  bool* is_used;
};

template <typename T>
void backward_stretch(const Shape& shape, const Inputs<T>& in, const ExpertTokens& tokens,
                      const TokenStretch& stretch, const T* upstream, const T* kept_z,
                      const BackwardScratch<T>& scratch, T* d_router, const Share<T>& share) {
  const auto& loops = simd_loops<T>();
  const int64_t d = shape.d, row = shape.row, expert = stretch.expert;
  const int64_t rank = shape.selections[static_cast<size_t>(expert)].rank;
  const T gate = in.gate[expert];
  const auto& [hidden, d_z, d_inputs] = scratch;
  const bool is_first = !share.is_used[expert];
  share.is_used[expert] = true;
  if (is_first) share.gate[expert] = 0;
  T *to_u = share.parts + expert * 2 * shape.packed(), *to_v = to_u + shape.packed();
  const int64_t tile_rows = even_tile_rows(stretch.tokens());
  for (int64_t begin = stretch.begin; begin < stretch.end; begin += tile_rows) {
    const int64_t rows = std::min(tile_rows, stretch.end - begin);
    const Into into = is_first && begin == stretch.begin ? Into::kSet : Into::kAdd;
    const int64_t* token = tokens.tokens_from(begin);
    tile_gemm(rows, row, d, listed(upstream, d, token), in.wide + expert * shape.packed(), row,
              Into::kSet, d_z, row);
    for (int64_t i = 0; i < rows; ++i) {
      const int64_t at = token[i] * shape.experts + expert;
      const T strength = in.router[at] * gate;
      const T slope = loops.scaled_silu_backward(  // dL/dc
          row, strength, kept_z + (begin + i) * row, hidden + i * row, d_z + i * row);
      d_router[at] = slope * gate;
      share.gate[expert] += slope * in.router[at];
    }
    tile_gemm(d, row, rows, listed_transposed(in.x, d, token), static_cast<const T*>(d_z), row,
              into, to_u, row);
    transposed_times_listed(rank, d, rows, static_cast<const T*>(hidden), row, upstream, d, token,
                            into, to_v, d);
    tile_gemm(rows, d, rank, plain<T>(d_z, row), in.tall + expert * shape.packed(), d, Into::kSet,
              d_inputs + begin * d, d);
  }
}

template <typename T>
void backward_block(const Shape& shape, const Inputs<T>& in, const int64_t* indices,
                    const TokenBlock& block, const T* upstream, const T* kept_z, T* d_router,
                    T* d_x, const Share<T>& share) {
  const int64_t d = shape.d, k = shape.top_k, row = shape.row;
  T* own_d_router = d_router + block.begin * shape.experts;
  std::fill_n(own_d_router, block.count * shape.experts, T(0));
  const ExpertTokens tokens(indices + block.begin * k, block.count, k, shape.experts);
  const auto [hidden, d_z, d_inputs] =
      thread_scratch<T>(kTileTokens * row, kTileTokens * row, block.count * k * d);
  for (const TokenStretch& stretch : tokens.stretches) {
    backward_stretch<T>(shape, in.from(block.begin, shape), tokens, stretch,
                        upstream + block.begin * d, kept_z + block.begin * k * row,
                        {hidden, d_z, d_inputs}, own_d_router, share);
  }
  sum_pairs<T>(tokens, block.count, k, d, d_inputs, nullptr, nullptr, d_x + block.begin * d);
}

/// Adds the shares of each expert in their order and lays them out as g_u [N, d, D] and g_v [N, D,
/// d], zero outside S_i.
template <typename T>
void collect_shares(const Shape& shape, const std::vector<Share<T>>& shares, T* g_u, T* g_v,
                    T* d_gate) {
  const auto& loops = simd_loops<T>();
  for_each_piece(shape.experts, [&](int64_t expert) {
    const int64_t d = shape.d, d_base = shape.d_base;
    T *to_u = g_u + expert * d * d_base, *to_v = g_v + expert * d_base * d, *sum = nullptr;
    std::fill(to_u, to_u + d * d_base, T(0));
    std::fill(to_v, to_v + d_base * d, T(0));
    d_gate[expert] = 0;
    for (const Share<T>& share : shares) {
      if (!share.is_used[expert]) continue;
      T* part = share.parts + expert * 2 * shape.packed();
      if (sum == nullptr) {
        sum = part;
      } else {
        loops.add_scaled(shape.packed() + shape.rank * d, T(1), part, sum);
      }
      d_gate[expert] += share.gate[expert];
    }
    if (sum == nullptr) return;  // idle
    int64_t column = 0;          // among the selected
    for (const ColumnSelection::Run& run : shape.selections[static_cast<size_t>(expert)].runs) {
      for (int64_t i = 0; i < d; ++i)
        std::copy_n(sum + i * shape.row + column, run.length, to_u + i * d_base + run.first);
      std::copy_n(sum + shape.packed() + column * d, run.length * d, to_v + run.first * d);
      column += run.length;
    }
  });
}

}  // namespace

at::Tensor CdspLayerCpu::forward_grouped(const at::Tensor& residual, bool keep) {
  at::Tensor y = at::empty_like(x_);
  AT_DISPATCH_FLOATING_TYPES(x_.scalar_type(), "cdsp_layer", [&] {
    const auto pointer = [](const at::Tensor& tensor) { return tensor.data_ptr<scalar_t>(); };
    const Shape shape = shape_of<scalar_t>(x_, indices_, mask_);
    const at::Tensor packed = at::empty({2, shape.experts, shape.packed()}, x_.options());
    scalar_t *wide = pointer(packed), *tall = wide + shape.experts * shape.packed();
    pack(shape, static_cast<const scalar_t*>(pointer(u_)),
         static_cast<const scalar_t*>(pointer(v_)), wide, tall);
    const Inputs<scalar_t> in{pointer(x_), pointer(weights_), pointer(gate_), wide, tall};
    if (keep) z_ = at::empty({shape.pairs(), shape.row}, x_.options());
    const scalar_t* base = pointer_or_null<scalar_t>(residual);
    scalar_t *z = pointer_or_null<scalar_t>(z_), *to = pointer(y);
    const int64_t* index = indices_.data_ptr<int64_t>();
    shape.blocks().for_each([&](const TokenBlock& block) {
      forward_block<scalar_t>(shape, in, index, block, base, z, to);
    });
  });
  return y;
}

CdspLayerGradients CdspLayerCpu::backward_grouped(const at::Tensor& upstream,
                                                  const at::Tensor& gradient) const {
  const int64_t d = x_.size(1), d_base = mask_.size(1), experts = mask_.size(0);
  at::Tensor d_x = at::empty_like(x_), d_weights = at::empty_like(weights_),
             d_gate = at::empty_like(gate_);
  at::Tensor g_u = at::empty({experts, d, d_base}, x_.options()),
             g_v = at::empty({experts, d_base, d}, x_.options());
  AT_DISPATCH_FLOATING_TYPES(x_.scalar_type(), "cdsp_layer_backward", [&] {
    const auto pointer = [](const at::Tensor& tensor) { return tensor.data_ptr<scalar_t>(); };
    const Shape shape = shape_of<scalar_t>(x_, indices_, mask_);
    const at::Tensor packed = at::empty({2, experts, shape.packed()}, x_.options());
    const at::Tensor v_columns = transposed_copy(v_), u_columns = transposed_copy(u_);
    scalar_t *wide = pointer(packed), *tall = wide + experts * shape.packed();
    pack(shape, static_cast<const scalar_t*>(pointer(v_columns)),
         static_cast<const scalar_t*>(pointer(u_columns)), wide, tall);
    const Inputs<scalar_t> in{pointer(x_), pointer(weights_), pointer(gate_), wide, tall};
    const TokenBlocks token_blocks = shape.blocks();
    const int64_t pieces = token_blocks.shares(), *index = indices_.data_ptr<int64_t>();
    const at::Tensor parts = at::empty({pieces, experts, 2 * shape.packed()}, x_.options());
    const at::Tensor gate_parts = at::empty({pieces, experts}, x_.options());
    const auto is_used = std::make_unique<bool[]>(static_cast<size_t>(pieces * experts));
    std::vector<Share<scalar_t>> shares;
    for (int64_t i = 0; i < pieces; ++i) {
      shares.push_back({pointer(parts) + i * experts * 2 * shape.packed(),
                        pointer(gate_parts) + i * experts, is_used.get() + i * experts});
    }
    const scalar_t *up = pointer(upstream), *z = pointer_or_null<scalar_t>(z_);
    scalar_t *to_router = pointer(d_weights), *to_x = pointer(d_x);
    token_blocks.for_each_of_share([&](int64_t i, const TokenBlock& block, bool) {
      backward_block<scalar_t>(shape, in, index, block, up, z, to_router, to_x,
                               shares[static_cast<size_t>(i)]);
    });
    collect_shares<scalar_t>(shape, shares, pointer(g_u), pointer(g_v), pointer(d_gate));
    sum_shares<scalar_t>(experts, d * d_base, pointer(g_u), pointer(gradient));
    sum_shares<scalar_t>(experts, d * d_base, pointer(g_v), pointer(gradient) + d * d_base);
  });
  return {{upstream, d_x, d_weights, {}}, d_gate, {g_u, g_v}};
}

}  // namespace cdsp
