// Initial values. Each tensor draws from its own random stream, named by (seed, tensor name), in
// float64 on the host and is rounded once: the same seed gives equal weights on every device, for
// every dtype, and to every tensor that two variants share, so that seeds pair across variants.
#pragma once

#include <string>

#include <ATen/core/Tensor.h>

#include "base/random.h"
#include "config/config.h"

namespace cdsp {

class Initialiser {
 public:
  Initialiser(uint64_t seed, at::ScalarType dtype, at::Device device)
      : seed_(seed), dtype_(dtype), device_(device) {}

  at::Tensor ones(at::IntArrayRef shape) const;
  /// Uniform on [-1/sqrt(fan_in), 1/sqrt(fan_in)): the usual start of a linear layer and its bias.
  at::Tensor linear(const std::string& name, at::IntArrayRef shape, int64_t fan_in) const;
  /// N(0, std^2).
  at::Tensor normal(const std::string& name, at::IntArrayRef shape, double std = 1.0) const;
  /// Orthonormal rows or columns, whichever are fewer, by QR of a normal matrix with the sign of
  /// R's diagonal taken out (Eq. 1; Saxe et al., arXiv:1312.6120). Shape [rows, columns].
  at::Tensor orthogonal(const std::string& name, int64_t rows, int64_t columns) const;
  /// Topology logits A [N, N] (Eq. 3 and its released-code variant).
  at::Tensor topology(const std::string& name, int64_t experts, const TopologyConfig& config) const;

 private:
  RandomStream stream(const std::string& name) const;
  at::Tensor draw_normal(const std::string& name, at::IntArrayRef shape) const;  // float64, host
  at::Tensor place(const at::Tensor& host) const;

  uint64_t seed_;
  at::ScalarType dtype_;
  at::Device device_;
};

}  // namespace cdsp
