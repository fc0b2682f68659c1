// From topology logits to the physical dimensions each expert uses (paper section on the topology
// game).
//
//   partition       expert i owns the columns iB .. (i+1)B-1, B = floor(D/N) (Eq. 2)
//
//   control force   I = sigma(A) Pi: column c of row i is sigma(A_ij), j the owner of c; 0 if none
//                   (Eq. 4)
//
//   selection       S_i = the r largest entries of I_i, ties to the lowest index (Eq. 5, 6)
//
//   gate            s_i = mean of the selected entries of I_i, differentiable in A (Eq. 8)
#pragma once

#include <ATen/core/Tensor.h>

#include "kernels/engine.h"

namespace cdsp {

struct Topology {
  at::Tensor mask;  // [N, D] 0/1 in alpha's dtype: M_i marks S_i; not differentiated
  at::Tensor gate;  // [N]; differentiable in alpha
};

/// I = sigma(alpha) Pi, [N, d_base]. Not differentiated. Requires d_base >= N.
at::Tensor control_force(const at::Tensor& alpha, int64_t d_base);

/// alpha [N, N], d_base = D physical dimensions, rank = r in 1..D.
Topology select_topology(const at::Tensor& alpha, int64_t d_base, int64_t rank,
                         Engine engine = Engine::kReference);

/// The block program of topology_blocks.h, on a GPU or emulated. Differentiable.
Topology select_topology_cuda(const at::Tensor& alpha, int64_t d_base, int64_t rank);

/// Engine::kFused on the host. Differentiable.
Topology select_topology_cpu(const at::Tensor& alpha, int64_t d_base, int64_t rank);

/// What that is made of; LibTorch's autograd knows nothing of it.
struct SelectedTopology {
  Topology topology;
  at::Tensor slope;  // [N, N]: ds_i / dA_ij
};
SelectedTopology select_topology_and_slope(const at::Tensor& alpha, int64_t d_base, int64_t rank);

/// Links weaker than this count as pruned (Eq. 18).
inline constexpr double kPrunedStrength = 0.1;

/// Share of entries with sigma(A) < 0.1 (Eq. 18), a 0-dimensional float64 tensor.
at::Tensor alpha_sparsity(const at::Tensor& alpha);

/// Sum over entries of the binary entropy of sigma(A), in bits (Eq. 36), a 0-dimensional float64
/// tensor. N^2 at A = 0.
at::Tensor structural_entropy(const at::Tensor& alpha);

/// Both on the host in one go: a step has them, and LibTorch's operations on so few numbers would
/// spend all their time in being called.
struct TopologyNumbers {
  double sparsity, entropy;
};
TopologyNumbers topology_numbers_cpu(const at::Tensor& alpha);

/// Both over all layers by a block program, on a GPU or emulated: float64 [2], the mean over layers
/// of the sparsity and the sum of the entropy. The `links` logits of layer l begin at place
/// offsets[l] (int64 [layers], on the same device) of the flat `parameters`.
at::Tensor topology_numbers_cuda(const at::Tensor& parameters, const at::Tensor& offsets,
                                 int64_t links);

}  // namespace cdsp
