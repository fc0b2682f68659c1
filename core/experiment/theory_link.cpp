#include "experiment/theory_link.h"

#include <cmath>

#include "base/random.h"

namespace cdsp {
namespace {

constexpr uint64_t kPathsPerStream = uint64_t{1} << 24;

/// One logit with the moments of its optimiser.
class Stepper {
 public:
  Stepper(double alpha, LinkOptimizer optimizer, double step_size)
      : alpha_(alpha), optimizer_(optimizer), step_size_(step_size) {}

  double alpha() const { return alpha_; }

  /// `force` = mu + xi, against the gradient.
  void move(double force) {
    if (optimizer_ == LinkOptimizer::kSgd) {
      alpha_ += step_size_ * force;
      return;
    }
    power1_ *= kBeta1;
    power2_ *= kBeta2;
    first_ = kBeta1 * first_ + (1.0 - kBeta1) * force;
    second_ = kBeta2 * second_ + (1.0 - kBeta2) * force * force;
    alpha_ +=
        step_size_ * (first_ / (1.0 - power1_)) / (std::sqrt(second_ / (1.0 - power2_)) + kEpsilon);
  }

 private:
  static constexpr double kBeta1 = 0.9, kBeta2 = 0.999, kEpsilon = 1e-8;

  double alpha_;
  LinkOptimizer optimizer_;
  double step_size_;
  double first_ = 0.0, second_ = 0.0, power1_ = 1.0, power2_ = 1.0;
};

RandomStream stream_of(const PathPlan& plan, int64_t path) {
  return {plan.seed, RandomPurpose::kTheory,
          plan.stream * kPathsPerStream + static_cast<uint64_t>(path)};
}

}  // namespace

const char* to_string(LinkOptimizer optimizer) {
  return optimizer == LinkOptimizer::kSgd ? "SGD" : "AdamW";
}

double sigmoid(double alpha) { return 1.0 / (1.0 + std::exp(-alpha)); }

double link_entropy(double alpha) {
  // Even in the logit; see structural_entropy() in model/topology.cpp.
  const double size = std::abs(alpha);
  return (std::log1p(std::exp(-size)) + size * sigmoid(-size)) / std::log(2.0);
}

double LinkDynamics::drift(double alpha) const {
  double weight = 1.0;
  if (penalty == ConflictPenalty::kSigmoid) {
    const double p = sigmoid(alpha);
    weight = p * (1.0 - p);
  }
  const double slope = regulariser == Regulariser::kSquare
                           ? alpha
                           : static_cast<double>(alpha > 0.0) - static_cast<double>(alpha < 0.0);
  return task_gain - pressure() * weight - regularisation * slope;
}

double LinkDynamics::energy(double alpha) const {
  const double f = penalty == ConflictPenalty::kSigmoid ? sigmoid(alpha) : alpha;
  const double r = regulariser == Regulariser::kSquare ? 0.5 * alpha * alpha : std::abs(alpha);
  return pressure() * f - task_gain * alpha + regularisation * r;
}

double expected_change(const LinkDynamics& dynamics, double p) {
  const double alpha = std::log(p / (1.0 - p));
  const double centre = alpha + dynamics.step_size * dynamics.drift(alpha);
  const double spread = dynamics.step_size * dynamics.noise;
  if (spread == 0.0) return sigmoid(centre) - p;
  // The trapezoidal rule is exact to rounding for a normal density that runs out within the range.
  constexpr int kPoints = 401;
  constexpr double kReach = 9.0;
  double sum = 0.0, weights = 0.0;
  for (int i = 0; i < kPoints; ++i) {
    const double z = kReach * (2.0 * i / (kPoints - 1) - 1.0);
    const double weight = std::exp(-0.5 * z * z);
    sum += weight * (sigmoid(centre + spread * z) - p);
    weights += weight;
  }
  return sum / weights;
}

void simulate_paths(const LinkDynamics& dynamics, LinkOptimizer optimizer, const PathPlan& plan,
                    const PathObserver& observe) {
  for (int64_t path = 0; path < plan.paths; ++path) {
    RandomStream random = stream_of(plan, path);
    Stepper link(plan.initial_deviation * random.normal(), optimizer, dynamics.step_size);
    observe(path, 0, link.alpha());
    for (int64_t step = 1; step <= plan.steps; ++step) {
      link.move(dynamics.drift(link.alpha()) + dynamics.noise * random.normal());
      if (step % plan.every == 0) observe(path, step / plan.every, link.alpha());
    }
  }
}

void simulate_pairs(const LinkDynamics& dynamics, LinkOptimizer optimizer, const PathPlan& plan,
                    const PathObserver& observe) {
  LinkDynamics first_of = dynamics, second_of = dynamics;
  for (int64_t pair = 0; pair < plan.paths / 2; ++pair) {
    RandomStream random = stream_of(plan, pair);
    Stepper first(plan.initial_deviation * random.normal(), optimizer, dynamics.step_size);
    Stepper second(plan.initial_deviation * random.normal(), optimizer, dynamics.step_size);
    const auto report = [&](int64_t record) {
      observe(2 * pair, record, first.alpha());
      observe(2 * pair + 1, record, second.alpha());
    };
    report(0);
    for (int64_t step = 1; step <= plan.steps; ++step) {
      first_of.conflict = dynamics.conflict * sigmoid(second.alpha());
      second_of.conflict = dynamics.conflict * sigmoid(first.alpha());
      const double force1 = first_of.drift(first.alpha()) + dynamics.noise * random.normal();
      const double force2 = second_of.drift(second.alpha()) + dynamics.noise * random.normal();
      first.move(force1);
      second.move(force2);
      if (step % plan.every == 0) report(step / plan.every);
    }
  }
}

}  // namespace cdsp
