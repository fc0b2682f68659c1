// The conflict penalty f(A) of the objective  lambda * sum_{i != j} f(A_ij) C_ij  (paper Eq. 17 and
// 22). Adding one: an enum value, its spelling in config/, a line in penalty.cpp, and in
// penalty_slope.h its value and slope.
#pragma once

#include <ATen/core/Tensor.h>

#include "config/config.h"
#include "conflict/penalty_slope.h"

namespace cdsp {

/// f applied to every logit; differentiable.
///   logit        A_ij                        constant pressure lambda * C_ij (paper)
///   gated_logit  A_ij where A_ij >= 1e-3, else 0                            (released code)
///   sigmoid      sigma(A_ij)                 the paper's Hamiltonian, Eq. 22
at::Tensor penalty_of(const at::Tensor& alpha, ConflictPenalty penalty);

/// sum_{i != j} f(A_ij) C_ij of one layer; conflict [N, N] is a constant with a zero diagonal.
at::Tensor conflict_loss(const at::Tensor& alpha, const at::Tensor& conflict,
                         ConflictPenalty penalty);

/// l1 * mean|A| + determinism * mean(sigma(A)(1 - sigma(A))) of one layer (Eq. 16).
at::Tensor topology_regulariser(const at::Tensor& alpha, const ConflictConfig& config);

/// Both of one layer on the host, and the gradient of  lambda * conflict + reg  in A [N, N], for
/// the fused engine: LibTorch's operations and graph on so few numbers would spend all their time
/// in being called. Not differentiated.
struct TopologyTerms {
  double conflict, reg;
  at::Tensor gradient;
};
TopologyTerms topology_terms_cpu(const at::Tensor& alpha, const at::Tensor& conflict,
                                 const ConflictConfig& config);

}  // namespace cdsp
