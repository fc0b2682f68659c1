// One topology logit A under conflict, task gain, regularisation and noise (Eq. 25 to 27):
//
//   A_{t+1} = A_t + eta (mu(A_t) + xi_t),   xi_t ~ N(0, s^2)
//   mu(A) = tau - lambda delta w(A) - gamma R'(A),   p = sigma(A)
//   w = 1 for the penalty `logit` (Eq. 17), p (1 - p) for `sigmoid` (Eq. 22, 26)
//   R = |A| or A^2 / 2
//
// delta stands for the whole sum over the other experts, sum_l p_lj C_il, which the theorem takes
// to persist; simulate_pairs() lets it depend on the competitor instead.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "config/config.h"

namespace cdsp {

enum class Regulariser { kAbsolute, kSquare };
enum class LinkOptimizer { kSgd, kAdamW };
/// "SGD", "AdamW".
const char* to_string(LinkOptimizer optimizer);

struct LinkDynamics {
  ConflictPenalty penalty = ConflictPenalty::kLogit;  // kLogit or kSigmoid
  double step_size = 0.05;                            // eta; optimizer.topology_lr's default
  double lambda = 10.0;                               // conflict.lambda's default
  double conflict = 0.02;                             // delta; negative for synergy
  double noise = 0.2;                                 // s
  double task_gain = 0.0;                             // tau
  double regularisation = 0.0;                        // gamma
  Regulariser regulariser = Regulariser::kAbsolute;

  double pressure() const { return lambda * conflict; }
  /// mu(A).
  double drift(double alpha) const;
  /// E(A) with E' = -mu and E(0) = 0, or lambda delta / 2 for `sigmoid`.
  double energy(double alpha) const;
  /// T = eta s^2 / 2.
  double temperature() const { return step_size * noise * noise / 2.0; }
};

double sigmoid(double alpha);
/// H_b(sigma(A)) in bits.
double link_entropy(double alpha);

/// E[p_{t+1} | p_t = p] - p under plain SGD, by quadrature over the noise.
double expected_change(const LinkDynamics& dynamics, double p);

struct PathPlan {
  int64_t paths = 2000, steps = 2000, every = 10;  // recorded at 0, every, 2 every, ...
  double initial_deviation = 0.01;                 // A_0 ~ N(0, initial_deviation^2), Eq. 3
  uint64_t seed = 0, stream = 0;                   // equal names give equal paths

  int64_t records() const { return steps / every + 1; }
};

/// Gets path, record and A of every recorded step.
using PathObserver = std::function<void(int64_t path, int64_t record, double alpha)>;

/// Independent links. AdamW as in training: 0.9, 0.999, 1e-8, no decay.
void simulate_paths(const LinkDynamics& dynamics, LinkOptimizer optimizer, const PathPlan& plan,
                    const PathObserver& observe);

/// Two links that compete for one block: delta of each is dynamics.conflict times the other's p
/// (the factor p_lj of Eq. 26). Reports both links of a pair, as paths 2k and 2k + 1.
void simulate_pairs(const LinkDynamics& dynamics, LinkOptimizer optimizer, const PathPlan& plan,
                    const PathObserver& observe);

}  // namespace cdsp
