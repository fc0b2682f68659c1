#include "eval/topology_measures.h"

#include <ATen/ATen.h>

#include "model/topology.h"

namespace cdsp {

std::vector<std::vector<double>> rows_of(const at::Tensor& matrix) {
  const at::Tensor host = matrix.detach().to(at::kCPU, at::kDouble).contiguous();
  const double* values = host.data_ptr<double>();
  std::vector<std::vector<double>> rows;
  for (int64_t i = 0; i < host.size(0); ++i) {
    rows.emplace_back(values + i * host.size(1), values + (i + 1) * host.size(1));
  }
  return rows;
}

std::vector<std::vector<double>> link_strengths(const at::Tensor& alpha) {
  return rows_of(at::sigmoid(alpha.detach().to(at::kDouble)));
}

std::vector<std::vector<double>> rank_overlap(const at::Tensor& alpha, int64_t d_base,
                                              int64_t rank) {
  const at::Tensor mask = select_topology(alpha.detach(), d_base, rank).mask.to(at::kDouble);
  return rows_of(at::mm(mask, mask.t()) / static_cast<double>(rank));
}

}  // namespace cdsp
