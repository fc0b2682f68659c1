// The CDSP layer in its dense form (cdsp_layer.h), in tiles of tokens that stay in the caches; the
// per-expert gradients come from each expert's own tokens over its selected columns only.
#include <algorithm>

#include <ATen/ATen.h>
#include <ATen/Dispatch.h>

#include "kernels/cdsp_layer.h"
#include "kernels/column_selection.h"
#include "kernels/expert_tokens.h"
#include "kernels/optional_input.h"
#include "kernels/partial_sums.h"
#include "kernels/simd_loops.h"
#include "kernels/tile_gemm.h"
#include "kernels/tile_sizes.h"
#include "kernels/transposed_copy.h"
#include "kernels/work_queue.h"

namespace cdsp {
namespace {

struct Shape {
  int64_t tokens, d, d_base, experts, top_k;
  int64_t tiles() const { return (tokens + kTileTokens - 1) / kTileTokens; }
};

template <typename T>
struct Weights {
  const T *u, *v;  // [d, D] and [D, d] forward; v^T and u^T backward
  const T *gate, *mask, *router;
  const int64_t* indices;
};

/// Row of sum_i w_i s_i M_i [d_base] over the token's experts.
template <typename T>
void fill_column_gate(const Shape& shape, const Weights<T>& weights, int64_t token, T* row) {
  const auto& loops = simd_loops<T>();
  for (int64_t slot = 0; slot < shape.top_k; ++slot) {
    const int64_t expert = weights.indices[token * shape.top_k + slot];
    const T strength = weights.router[token * shape.experts + expert] * weights.gate[expert];
    const T* mask = weights.mask + expert * shape.d_base;
    if (slot == 0) {
      loops.scale(shape.d_base, strength, mask, row);
    } else {
      loops.add_scaled(shape.d_base, strength, mask, row);
    }
  }
}

template <typename T>
void forward_tile(const Shape& shape, const Weights<T>& weights, int64_t tile, const T* x,
                  const T* residual, T* kept_z, T* y) {
  const int64_t begin = tile * kTileTokens, rows = std::min(kTileTokens, shape.tokens - begin);
  const int64_t d = shape.d, d_base = shape.d_base;
  const auto [gate_row, mixed, own_z] =
      thread_scratch<T>(d_base, kTileTokens * d_base, kTileTokens * d_base);
  T* z_tile = kept_z == nullptr ? own_z : kept_z + begin * d_base;
  tile_gemm(rows, d_base, d, plain(x + begin * d, d), weights.u, d_base, Into::kSet, z_tile,
            d_base);
  for (int64_t row = 0; row < rows; ++row) {
    fill_column_gate(shape, weights, begin + row, gate_row);
    simd_loops<T>().gated_silu(d_base, z_tile + row * d_base, gate_row, mixed + row * d_base);
  }
  const Addend<T> before{residual == nullptr ? nullptr : residual + begin * d, d};
  tile_gemm(rows, d, d_base, plain<T>(mixed, d_base), weights.v, d, before, y + begin * d, d);
}

/// Where one tile's backward pass writes.
template <typename T>
struct TileGradients {
  T *x, *router;    // [tokens, d], [tokens, experts]
  T* gate_parts;    // [tiles, experts]
  T *hidden, *d_z;  // [tokens, d_base]: SiLU(Z) and (E V^T) * SiLU'(Z), for the per-expert sums
};

template <typename T>
void backward_tile(const Shape& shape, const Weights<T>& weights, const T* mask_columns,
                   int64_t tile, const T* upstream, const T* z, const TileGradients<T>& to) {
  const auto& loops = simd_loops<T>();
  const int64_t begin = tile * kTileTokens, rows = std::min(kTileTokens, shape.tokens - begin);
  const int64_t d = shape.d, d_base = shape.d_base, experts = shape.experts;
  const auto [gate_row, d_mixed, link] = thread_scratch<T>(  // link: dL/d(w_i s_i)
      d_base, kTileTokens * d_base, kTileTokens * experts);
  tile_gemm(rows, d_base, d, plain(upstream + begin * d, d), weights.u, d_base, Into::kSet, d_mixed,
            d_base);
  // hidden and d_z of the tile, then d_mixed is reused: first for d_mixed * hidden, then for d_z *
  // column gate.
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t at = (begin + row) * d_base;
    T* mixed_row = d_mixed + row * d_base;
    loops.silu_backward(d_base, z + at, mixed_row, to.hidden + at, to.d_z + at);
    loops.multiply(d_base, mixed_row, to.hidden + at, mixed_row);
  }
  tile_gemm(rows, experts, d_base, plain<T>(d_mixed, d_base), mask_columns, experts, Into::kSet,
            link, experts);
  T* gate_part = to.gate_parts + tile * experts;
  std::fill(gate_part, gate_part + experts, T(0));
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t at = (begin + row) * experts;
    for (int64_t e = 0; e < experts; ++e) {
      to.router[at + e] = link[row * experts + e] * weights.gate[e];
      gate_part[e] += link[row * experts + e] * weights.router[at + e];
    }
    fill_column_gate(shape, weights, begin + row, gate_row);
    loops.multiply(d_base, to.d_z + (begin + row) * d_base, gate_row, d_mixed + row * d_base);
  }
  tile_gemm(rows, d, d_base, plain<T>(d_mixed, d_base), weights.v, d, Into::kSet, to.x + begin * d,
            d);
}

/// One stretch's share of g_i: part_u [d, r] = (w X)^T d_z[:, S_i], part_v [r, d] = hidden[:,
/// S_i]^T (w E).
template <typename T>
void expert_stretch(const Shape& shape, const Weights<T>& weights, const ExpertTokens& tokens,
                    const TokenStretch& stretch, const ColumnSelection& selection, const T* x,
                    const T* upstream, const T* hidden, const T* d_z, T* part_u, T* part_v) {
  const auto& loops = simd_loops<T>();
  const int64_t rows = stretch.end - stretch.begin, d = shape.d, rank = selection.rank;
  const auto scratch = thread_scratch<T>(kStretchTokens * d, kStretchTokens * rank);
  const auto product = [&](const T* narrow_from, const T* wide_from, bool narrow_is_left, T* part) {
    T *narrow = scratch[0], *wide = scratch[1];
    for (int64_t row = 0; row < rows; ++row) {
      const int64_t token = tokens.token(stretch.begin + row);
      const T weight = weights.router[token * shape.experts + stretch.expert];
      loops.scale(d, weight, narrow_from + token * d, narrow + row * d);
      const T* from = wide_from + token * shape.d_base;
      T* to = wide + row * rank;
      for (const ColumnSelection::Run& run : selection.runs)
        to = std::copy_n(from + run.first, run.length, to);
    }
    if (narrow_is_left) {
      tile_gemm(d, rank, rows, transposed<T>(narrow, d), static_cast<const T*>(wide), rank,
                Into::kSet, part, rank);
    } else {
      tile_gemm(rank, d, rows, transposed<T>(wide, rank), static_cast<const T*>(narrow), d,
                Into::kSet, part, d);
    }
  };
  product(x, d_z, true, part_u);
  product(upstream, hidden, false, part_v);
}

/// g_u [N, d, D] and g_v [N, D, d] from the stretches' parts, added in their order and scaled by
/// s_i.
template <typename T>
void collect_parts(const Shape& shape, const std::vector<TokenStretch>& stretches,
                   const std::vector<ColumnSelection>& selections, const T* gate, const T* parts,
                   int64_t part_size, T* g_u, T* g_v) {
  const int64_t d = shape.d, d_base = shape.d_base;
  for_each_piece(shape.experts, [&](int64_t expert) {
    const auto& loops = simd_loops<T>();
    const ColumnSelection& selection = selections[static_cast<size_t>(expert)];
    for (size_t i = 0; i < stretches.size(); ++i) {
      if (stretches[i].expert != expert) continue;
      const T* part_u = parts + static_cast<int64_t>(i) * 2 * part_size;
      const T* part_v = part_u + part_size;
      int64_t column = 0;  // among the selected
      for (const ColumnSelection::Run& run : selection.runs) {
        for (int64_t row = 0; row < d; ++row) {
          loops.add_scaled(run.length, gate[expert], part_u + row * selection.rank + column,
                           g_u + (expert * d + row) * d_base + run.first);
        }
        loops.add_scaled(run.length * d, gate[expert], part_v + column * d,
                         g_v + (expert * d_base + run.first) * d);
        column += run.length;
      }
    }
  });
}

template <typename T>
Weights<T> weights_of(const at::Tensor& weights, const at::Tensor& indices, const at::Tensor& u,
                      const at::Tensor& v, const at::Tensor& gate, const at::Tensor& mask) {
  return {u.data_ptr<T>(),    v.data_ptr<T>(),       gate.data_ptr<T>(),
          mask.data_ptr<T>(), weights.data_ptr<T>(), indices.data_ptr<int64_t>()};
}

Shape shape_of(const at::Tensor& x, const at::Tensor& indices, const at::Tensor& mask) {
  return {x.size(0), x.size(1), mask.size(1), mask.size(0), indices.size(1)};
}

}  // namespace

at::Tensor CdspLayerCpu::forward_dense(const at::Tensor& residual, bool keep) {
  const Shape shape = shape_of(x_, indices_, mask_);
  at::Tensor y = at::empty_like(x_);
  if (keep) z_ = at::empty({shape.tokens, shape.d_base}, x_.options());
  AT_DISPATCH_FLOATING_TYPES(x_.scalar_type(), "cdsp_layer", [&] {
    const auto pointer = [](const at::Tensor& tensor) { return tensor.data_ptr<scalar_t>(); };
    const auto fixed = weights_of<scalar_t>(weights_, indices_, u_, v_, gate_, mask_);
    const scalar_t *from = pointer(x_), *base = pointer_or_null<scalar_t>(residual);
    scalar_t *z = pointer_or_null<scalar_t>(z_), *to = pointer(y);
    for_each_piece(shape.tiles(), [&](int64_t tile) {
      forward_tile<scalar_t>(shape, fixed, tile, from, base, z, to);
    });
  });
  return y;
}

CdspLayerGradients CdspLayerCpu::backward_dense(const at::Tensor& upstream,
                                                const at::Tensor& gradient) const {
  const Shape shape = shape_of(x_, indices_, mask_);
  at::Tensor d_x = at::empty_like(x_), d_weights = at::empty_like(weights_),
             d_gate = at::empty_like(gate_);
  const at::Tensor gate_parts = at::empty({shape.tiles(), shape.experts}, x_.options());
  const at::Tensor hidden = at::empty_like(z_), d_z = at::empty_like(z_);
  at::Tensor g_u = at::zeros({shape.experts, shape.d, shape.d_base}, x_.options());
  at::Tensor g_v = at::zeros({shape.experts, shape.d_base, shape.d}, x_.options());
  const at::Tensor v_columns = transposed_copy(v_), u_columns = transposed_copy(u_),
                   mask_columns = transposed_copy(mask_);
  const ExpertTokens tokens(indices_.data_ptr<int64_t>(), shape.tokens, shape.top_k, shape.experts,
                            kStretchTokens);
  const auto stretches = static_cast<int64_t>(tokens.stretches.size());
  AT_DISPATCH_FLOATING_TYPES(x_.scalar_type(), "cdsp_layer_backward", [&] {
    const auto pointer = [](const at::Tensor& tensor) { return tensor.data_ptr<scalar_t>(); };
    const auto selections = selections_of<scalar_t>(pointer(mask_), shape.experts, shape.d_base);
    const int64_t part_size = shape.d * longest_rank(selections);
    const at::Tensor parts = at::empty({stretches, 2, part_size}, x_.options());
    const auto fixed = weights_of<scalar_t>(weights_, indices_, v_columns, u_columns, gate_, mask_);
    const TileGradients<scalar_t> to{pointer(d_x), pointer(d_weights), pointer(gate_parts),
                                     pointer(hidden), pointer(d_z)};
    for_each_piece(shape.tiles(), [&](int64_t tile) {
      backward_tile<scalar_t>(shape, fixed, pointer(mask_columns), tile, pointer(upstream),
                              pointer(z_), to);
    });
    for_each_piece(stretches, [&](int64_t i) {
      const TokenStretch& stretch = tokens.stretches[static_cast<size_t>(i)];
      scalar_t* part = pointer(parts) + i * 2 * part_size;
      expert_stretch(shape, fixed, tokens, stretch, selections[static_cast<size_t>(stretch.expert)],
                     pointer(x_), pointer(upstream), to.hidden, to.d_z, part, part + part_size);
    });
    collect_parts(shape, tokens.stretches, selections, fixed.gate, pointer(parts), part_size,
                  pointer(g_u), pointer(g_v));
    const int64_t size = shape.d * shape.d_base;
    sum_shares<scalar_t>(shape.experts, size, pointer(g_u), pointer(gradient));
    sum_shares<scalar_t>(shape.experts, size, pointer(g_v), pointer(gradient) + size);
    sum_shares<scalar_t>(shape.tiles(), shape.experts, pointer(gate_parts), pointer(d_gate));
  });
  return {{upstream, d_x, d_weights, {}}, d_gate, {g_u, g_v}};
}

}  // namespace cdsp
