#include "model/initialisation.h"

#include <algorithm>
#include <cmath>

#include <ATen/ATen.h>

#include "kernels/simd_loops.h"

namespace cdsp {
namespace {

/// FNV-1a, folded to the 40 bits a stream index has.
uint64_t hash_name(const std::string& name) {
  uint64_t hash = 14695981039346656037ull;
  for (const char character : name) {
    hash ^= static_cast<unsigned char>(character);
    hash *= 1099511628211ull;
  }
  return (hash ^ (hash >> 40)) & ((uint64_t{1} << 40) - 1);
}

at::Tensor host_tensor(at::IntArrayRef shape) {
  return at::empty(shape, at::TensorOptions().dtype(at::kDouble));
}

/// Gram-Schmidt on the rows of vectors [count, length], twice, which leaves nothing but rounding
/// (Giraud et al., 2005): the Q of a QR decomposition whose R has a positive diagonal. Not
/// LAPACK's, whose bytes depend on the number of threads.
void orthonormalise(int64_t count, int64_t length, double* vectors) {
  const auto& loops = simd_loops<double>();
  for (int64_t i = 0; i < count; ++i) {
    double* vector = vectors + i * length;
    for (int pass = 0; pass < 2; ++pass) {
      for (int64_t j = 0; j < i; ++j) {
        const double* before = vectors + j * length;
        loops.add_scaled(length, -loops.dot(length, before, vector), before, vector);
      }
    }
    loops.scale(length, 1.0 / std::sqrt(loops.dot(length, vector, vector)), vector, vector);
  }
}

}  // namespace

RandomStream Initialiser::stream(const std::string& name) const {
  return RandomStream(seed_, RandomPurpose::kParameterInit, hash_name(name));
}

at::Tensor Initialiser::place(const at::Tensor& host) const { return host.to(device_, dtype_); }

at::Tensor Initialiser::draw_normal(const std::string& name, at::IntArrayRef shape) const {
  at::Tensor values = host_tensor(shape);
  RandomStream random = stream(name);
  std::generate_n(values.data_ptr<double>(), values.numel(), [&random] { return random.normal(); });
  return values;
}

at::Tensor Initialiser::ones(at::IntArrayRef shape) const {
  return place(host_tensor(shape).fill_(1.0));
}

at::Tensor Initialiser::linear(const std::string& name, at::IntArrayRef shape,
                               int64_t fan_in) const {
  const double bound = 1.0 / std::sqrt(static_cast<double>(fan_in));
  at::Tensor values = host_tensor(shape);
  RandomStream random = stream(name);
  std::generate_n(values.data_ptr<double>(), values.numel(),
                  [&random, bound] { return random.uniform(-bound, bound); });
  return place(values);
}

at::Tensor Initialiser::normal(const std::string& name, at::IntArrayRef shape, double std) const {
  return place(draw_normal(name, shape) * std);
}

at::Tensor Initialiser::orthogonal(const std::string& name, int64_t rows, int64_t columns) const {
  const at::Tensor normal = draw_normal(name, {rows, columns});
  const bool is_wide = columns > rows;
  at::Tensor vectors = (is_wide ? normal : normal.t()).contiguous();
  orthonormalise(vectors.size(0), vectors.size(1), vectors.data_ptr<double>());
  return place(is_wide ? vectors : vectors.t().contiguous());
}

at::Tensor Initialiser::topology(const std::string& name, int64_t experts,
                                 const TopologyConfig& config) const {
  const at::Tensor noise = draw_normal(name, {experts, experts});
  if (config.init == TopologyInit::kMaxEntropy) return place(noise * config.init_std);
  // The released code's start: links to oneself at 1, the others at 0.1 with a little noise.
  at::Tensor values = noise * 0.02 + 0.1;
  at::diagonal(values).fill_(1.0);
  return place(values);
}

}  // namespace cdsp
