// The one number a run contributes to a part of a claim. NaN where the run does not have it: fewer
// than three tasks, too few epochs, a constant routing row, no topology.
#pragma once

#include <cstddef>
#include <cstdint>

#include "experiment/claims.h"

namespace cdsp {

/// Entries with sigma(A) < 0.1 stay at most at this share until the published sparsity rises, and
/// from then on inside a band of this width (spec section 11: 0 to 0.1, then 0.2 to 0.36).
inline constexpr double kSparsityAtStart = 0.1;
inline constexpr double kSparsityBand = 0.36 - 0.2;

/// JS(0,1) - JS(1,2) in bits: positive when KMNIST's experts are nearer to those of Fashion-MNIST
/// than to those of MNIST (tasks 1, 2 and 0).
double texture_over_semantics(const RoutingRows& table);
/// The layer-0 routing at the end of an epoch, counted from 1; empty if the run has no such epoch.
RoutingRows routing_of_epoch(const ClaimRun& run, int64_t epoch);

/// The `rank`-th largest (from 0) diagonal entry of sigma(A) of a layer.
double ranked_diagonal(const ClaimRun& run, size_t layer, size_t rank);
/// The `rank`-th smallest (from 0).
double ranked_diagonal_from_below(const ClaimRun& run, size_t layer, size_t rank);

/// 1 if the task's most selected expert is the same in both tables, else 0.
double same_preferred_expert(const RoutingRows& a, const RoutingRows& b, size_t task);
double pearson_of_tasks(const RoutingRows& table, size_t a, size_t b);

// The course of the sparsity is judged from the ends of the epochs, which every run has, so that
// how often steps are logged decides nothing.

/// Mean alpha sparsity at the ends of the last half of the epochs, less that before training.
double sparsity_rise(const ClaimRun& run);
/// Largest less smallest alpha sparsity at the ends of the last half of the epochs.
double late_sparsity_range(const ClaimRun& run);
/// Over neighbouring epochs of the last half: the share at which the sparsity rises or the share at
/// which it falls, whichever is smaller. 0 where it is constant or moves one way only.
double late_sparsity_fluctuation(const ClaimRun& run);

/// What is left of the conflict loss's way after `epoch`: |later - at| / |later - 0|, with the
/// loss of `epoch` and the mean over the epochs after it. The way begins at 0, as no gradient is
/// stored before the first step. 0 where the loss never moves.
double conflict_loss_way_left(const ClaimRun& run, int64_t epoch);

/// A column of the run's last epoch, or of an epoch counted from 1.
double at_last_epoch(const ClaimRun& run, double ClaimEpoch::*column);
double at_epoch(const ClaimRun& run, int64_t epoch, double ClaimEpoch::*column);

}  // namespace cdsp
