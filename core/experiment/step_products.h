// The matrix products of one training step (or of one batch of an evaluation), as a list that
// follows from the config, and with it the step's arithmetic.
//
// Counted is what the network's equations ask for as products of matrices: embedding, attention
// projections and scores, router, experts, head, and the Gramians of the conflict game, each with
// the gradients of its inputs and weights. Not counted are sums over 0/1 masks, norms, activations,
// the optimiser: a floor that leaves them out is below what any implementation can reach.
//
// Per token, with d = d_model, D = d_base, N experts, k of them a token, r = rank, f = d_ffn, p the
// pixels of a patch, P patches an image, w = (heads + 2 kv_heads) d_head, in multiply-adds:
//
//   embedding              p d          weights' gradient the same; pixels have none
//   attention projections  d w + d d    twice that in the backward pass
//   attention scores       2 P d        twice that (full squares: the causal half is not used,
//                                       because no product of matrices is shaped like a triangle)
//   router                 N d          twice that
//   CDSP layer, dense      2 d D        twice that
//   CDSP layer, selected   2 k d r      twice that
//   standard layer         2 k d f      twice that; dense: 2 N d f
//   head (per image)       classes d    twice that
//   conflict (per step)    N N d D for each of U and V that counts, and N N D for the norms
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/config.h"

namespace cdsp {

enum class BenchPhase { kTrain, kEvaluate };
const char* to_string(BenchPhase phase);

/// How the products of a mixture-of-experts layer are cut.
///
///   kEngine    as the fused engine does it (kernels/tile_sizes.h). Where grouping pays, and in the
///              standard layer: tiles of each expert's own tokens through its own columns. Else:
///              tiles of tokens through the whole backbone, per-expert gradients from each expert's
///              own tokens over its selected columns.
///   kDense     tiles of tokens through the whole backbone, or through all experts.
///   kSelected  each expert's own tokens through its own columns only, in long stretches.
enum class ProductForm { kEngine, kDense, kSelected };
const char* to_string(ProductForm form);

/// C [rows, columns] = A [rows, inner] B [inner, columns], row-major; a transposed operand lies in
/// memory the other way round. `adds`: C += instead.
struct MatrixProduct {
  std::string name;
  bool left_transposed = false, right_transposed = false;
  int64_t rows = 0, columns = 0, inner = 0;
  bool adds = false;

  double flops() const {
    return 2.0 * static_cast<double>(rows) * static_cast<double>(columns) *
           static_cast<double>(inner);
  }
};

/// Products that one thread does one after the other on one tile, and the number of such tiles.
struct ProductGroup {
  std::string part;  // "embedding", "attention projections", "attention scores", "router",
                     // "experts", "head" or "conflict"
  int64_t tiles = 0;
  std::vector<MatrixProduct> products;  // of one tile

  double flops() const;  // of all tiles
};

/// All products of a step on `batch` images of 28 x 28 pixels. Tokens are spread evenly over the
/// experts; the other parts take an image at a time. Tiles cut short by the end of the tokens are
/// groups of their own, so that the count is exact. BenchPhase::kEvaluate leaves out the backward
/// pass and the conflict game.
std::vector<ProductGroup> step_products(const Config& config, int64_t batch, BenchPhase phase,
                                        ProductForm form);

double flops_of(const std::vector<ProductGroup>& groups);

}  // namespace cdsp
