// Every way the kernels can be asked to calculate on the host.
#pragma once

#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "kernels/engine.h"

namespace cdsp::test {

struct Numerics {
  Engine engine;
  at::ScalarType dtype;
  double tolerance;  // relative error to expect of sums of moderate length
  std::string name;
};

inline std::vector<Numerics> all_numerics() {
  return {{Engine::kReference, at::kDouble, 1e-12, "reference, float64"},
          {Engine::kReference, at::kFloat, 2e-5, "reference, float32"},
          {Engine::kFused, at::kDouble, 1e-12, "fused, float64"},
          {Engine::kFused, at::kFloat, 2e-5, "fused, float32"},
          {Engine::kEmulated, at::kDouble, 1e-12, "emulated CUDA kernels, float64"},
          {Engine::kEmulated, at::kFloat, 2e-5, "emulated CUDA kernels, float32"}};
}

/// Those of functions whose fused version on the host is part of a larger piece.
inline std::vector<Numerics> piece_numerics() {
  return {all_numerics()[0], all_numerics()[1], all_numerics()[4], all_numerics()[5]};
}

/// The float64 ones.
inline std::vector<Numerics> exact_numerics() {
  return {all_numerics()[0], all_numerics()[2], all_numerics()[4]};
}
inline std::vector<Numerics> exact_piece_numerics() {
  return {all_numerics()[0], all_numerics()[4]};
}

}  // namespace cdsp::test
