// The conflict penalty f(A) of the objective  lambda * sum_{i != j} f(A_ij) C_ij  (paper Eq. 17 and
// 22). Adding one: an enum value, its spelling in config/, and a line in penalty.cpp.
#pragma once

#include <ATen/core/Tensor.h>

#include "config/config.h"

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

}  // namespace cdsp
