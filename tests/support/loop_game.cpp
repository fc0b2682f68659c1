#include "support/loop_game.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <vector>

#include <ATen/ATen.h>

namespace cdsp::test {

at::Tensor loop_control_force(const at::Tensor& alpha, int64_t d_base) {
  const int64_t experts = alpha.size(0), width = d_base / experts;
  const at::Tensor force = at::zeros({experts, d_base}, at::kDouble);
  const auto logit = alpha.accessor<double, 2>();
  auto entry = force.accessor<double, 2>();
  for (int64_t i = 0; i < experts; ++i) {
    for (int64_t owner = 0; owner < experts; ++owner) {
      for (int64_t c = owner * width; c < (owner + 1) * width; ++c) {
        entry[i][c] = 1.0 / (1.0 + std::exp(-logit[i][owner]));
      }
    }
  }
  return force;
}

IndexSets loop_selection(const at::Tensor& alpha, int64_t d_base, int64_t rank) {
  const at::Tensor force = loop_control_force(alpha, d_base);
  const auto entry = force.accessor<double, 2>();
  IndexSets selection;
  for (int64_t i = 0; i < alpha.size(0); ++i) {
    std::vector<int64_t> columns;
    for (int64_t c = 0; c < d_base; ++c) {
      // A column's place in the ranking: those before it are larger, or equal and further left.
      int64_t place = 0;
      for (int64_t other = 0; other < d_base; ++other) {
        if (entry[i][other] > entry[i][c] || (entry[i][other] == entry[i][c] && other < c)) ++place;
      }
      if (place < rank) columns.push_back(c);
    }
    selection.push_back(columns);
  }
  return selection;
}

at::Tensor loop_gate(const at::Tensor& alpha, int64_t d_base, const IndexSets& selection) {
  const at::Tensor force = loop_control_force(alpha, d_base);
  const auto entry = force.accessor<double, 2>();
  std::vector<double> gates;
  for (size_t i = 0; i < selection.size(); ++i) {
    double sum = 0.0;
    for (const int64_t c : selection[i]) sum += entry[static_cast<int64_t>(i)][c];
    gates.push_back(sum / static_cast<double>(selection[i].size()));
  }
  return at::tensor(gates, at::kDouble);
}

at::Tensor loop_cosines(const at::Tensor& u, const at::Tensor& v, const IndexSets& selection,
                        bool with_v) {
  const int64_t experts = u.size(0), d = u.size(1);
  const at::Tensor cosines = at::zeros({experts, experts}, at::kDouble);
  const auto gu = u.accessor<double, 3>(), gv = v.accessor<double, 3>();
  auto cosine = cosines.accessor<double, 2>();
  for (int64_t i = 0; i < experts; ++i) {
    for (int64_t j = 0; j < experts; ++j) {
      const auto& own = selection[static_cast<size_t>(i)];
      const auto& others = selection[static_cast<size_t>(j)];
      std::vector<int64_t> shared;
      std::set_intersection(own.begin(), own.end(), others.begin(), others.end(),
                            std::back_inserter(shared));
      double dot = 0.0, square_i = 0.0, square_j = 0.0;
      const auto add = [&](double a, double b) {
        dot += a * b;
        square_i += a * a;
        square_j += b * b;
      };
      for (const int64_t column : shared) {
        for (int64_t row = 0; row < d; ++row) {
          add(gu[i][row][column], gu[j][row][column]);
          if (with_v) add(gv[i][column][row], gv[j][column][row]);
        }
      }
      cosine[i][j] = dot / ((std::sqrt(square_i) + 1e-8) * (std::sqrt(square_j) + 1e-8));
    }
  }
  return cosines;
}

}  // namespace cdsp::test
