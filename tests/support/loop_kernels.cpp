#include "support/loop_kernels.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <ATen/ATen.h>

namespace cdsp::test {
namespace {

at::Tensor loop_silu(const at::Tensor& z) { return z / (1.0 + at::exp(-z)); }

/// The tokens (rows of `choices`) that chose the expert.
at::Tensor tokens_of(int64_t expert, const at::Tensor& choices) {
  const auto chosen = choices.accessor<int64_t, 2>();
  std::vector<int64_t> tokens;
  for (int64_t token = 0; token < choices.size(0); ++token) {
    for (int64_t slot = 0; slot < choices.size(1); ++slot) {
      if (chosen[token][slot] == expert) tokens.push_back(token);
    }
  }
  return at::tensor(tokens, at::kLong);
}

}  // namespace

at::Tensor loop_rms_norm(const at::Tensor& x, const at::Tensor& weight) {
  const at::Tensor result = at::empty_like(x);
  const auto in = x.accessor<double, 2>();
  const auto w = weight.accessor<double, 1>();
  auto out = result.accessor<double, 2>();
  for (int64_t row = 0; row < x.size(0); ++row) {
    double squares = 0.0;
    for (int64_t c = 0; c < x.size(1); ++c) squares += in[row][c] * in[row][c];
    const double rms = std::sqrt(squares / static_cast<double>(x.size(1)) + 1e-6);
    for (int64_t c = 0; c < x.size(1); ++c) out[row][c] = in[row][c] * w[c] / rms;
  }
  return result;
}

at::Tensor loop_rotary(const at::Tensor& x) {
  const at::Tensor result = at::empty_like(x);
  const auto in = x.accessor<double, 4>();
  auto out = result.accessor<double, 4>();
  const int64_t width = x.size(3);
  for (int64_t b = 0; b < x.size(0); ++b) {
    for (int64_t t = 0; t < x.size(1); ++t) {
      for (int64_t h = 0; h < x.size(2); ++h) {
        for (int64_t p = 0; p < width / 2; ++p) {
          const double exponent = -2.0 * static_cast<double>(p) / static_cast<double>(width);
          const double angle = static_cast<double>(t) * std::pow(10000.0, exponent);
          const double even = in[b][t][h][2 * p], odd = in[b][t][h][2 * p + 1];
          out[b][t][h][2 * p] = std::cos(angle) * even - std::sin(angle) * odd;
          out[b][t][h][2 * p + 1] = std::sin(angle) * even + std::cos(angle) * odd;
        }
      }
    }
  }
  return result;
}

at::Tensor loop_causal_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  const at::Tensor result = at::zeros_like(q);
  const auto query = q.accessor<double, 4>(), key = k.accessor<double, 4>();
  const auto value = v.accessor<double, 4>();
  auto out = result.accessor<double, 4>();
  const int64_t heads_per_kv = q.size(2) / k.size(2), width = q.size(3);
  for (int64_t b = 0; b < q.size(0); ++b) {
    for (int64_t head = 0; head < q.size(2); ++head) {
      const int64_t kv = head / heads_per_kv;
      for (int64_t t = 0; t < q.size(1); ++t) {
        std::vector<double> weight;
        for (int64_t s = 0; s <= t; ++s) {
          double score = 0.0;
          for (int64_t c = 0; c < width; ++c) score += query[b][t][head][c] * key[b][s][kv][c];
          weight.push_back(std::exp(score / std::sqrt(static_cast<double>(width))));
        }
        const double total = std::accumulate(weight.begin(), weight.end(), 0.0);
        for (int64_t s = 0; s <= t; ++s) {
          const double share = weight[static_cast<size_t>(s)] / total;
          for (int64_t c = 0; c < width; ++c) out[b][t][head][c] += share * value[b][s][kv][c];
        }
      }
    }
  }
  return result;
}

at::Tensor loop_top_k(const at::Tensor& logits, int64_t k) {
  const at::Tensor result = at::empty({logits.size(0), k}, at::kLong);
  const auto value = logits.accessor<double, 2>();
  auto choice = result.accessor<int64_t, 2>();
  for (int64_t row = 0; row < logits.size(0); ++row) {
    std::vector<bool> taken(static_cast<size_t>(logits.size(1)), false);
    for (int64_t slot = 0; slot < k; ++slot) {
      int64_t best = -1;
      for (int64_t column = 0; column < logits.size(1); ++column) {
        if (taken[static_cast<size_t>(column)]) continue;
        if (best < 0 || value[row][column] > value[row][best]) best = column;
      }
      taken[static_cast<size_t>(best)] = true;
      choice[row][slot] = best;
    }
  }
  return result;
}

at::Tensor loop_softmax_over(const at::Tensor& logits, const at::Tensor& choices) {
  const at::Tensor result = at::zeros_like(logits);
  const auto value = logits.accessor<double, 2>();
  const auto choice = choices.accessor<int64_t, 2>();
  auto out = result.accessor<double, 2>();
  for (int64_t row = 0; row < logits.size(0); ++row) {
    double total = 0.0;
    for (int64_t slot = 0; slot < choices.size(1); ++slot) {
      total += std::exp(value[row][choice[row][slot]]);
    }
    for (int64_t slot = 0; slot < choices.size(1); ++slot) {
      out[row][choice[row][slot]] = std::exp(value[row][choice[row][slot]]) / total;
    }
  }
  return result;
}

at::Tensor loop_cdsp_layer(const at::Tensor& x, const at::Tensor& choices,
                           const at::Tensor& weights, const std::vector<at::Tensor>& u,
                           const std::vector<at::Tensor>& v, const at::Tensor& gate,
                           const IndexSets& columns) {
  at::Tensor y = at::zeros_like(x);
  for (size_t i = 0; i < columns.size(); ++i) {
    const auto expert = static_cast<int64_t>(i);
    const at::Tensor tokens = tokens_of(expert, choices);
    const at::Tensor own = at::tensor(columns[i], at::kLong);
    const at::Tensor hidden =
        loop_silu(at::mm(x.index_select(0, tokens), u[i].index_select(1, own)));
    const at::Tensor answer = at::mm(hidden, v[i].index_select(0, own));
    const at::Tensor weight = weights.select(1, expert).index_select(0, tokens);
    y = y.index_add(0, tokens, answer * gate[expert] * weight.unsqueeze(1));
  }
  return y;
}

at::Tensor loop_standard_experts(const at::Tensor& x, const at::Tensor& choices,
                                 const at::Tensor& weights, const at::Tensor& w1,
                                 const at::Tensor& b1, const at::Tensor& w2, const at::Tensor& b2) {
  at::Tensor y = at::zeros_like(x);
  for (int64_t expert = 0; expert < w1.size(0); ++expert) {
    const at::Tensor tokens = tokens_of(expert, choices);
    const at::Tensor hidden =
        loop_silu(at::mm(x.index_select(0, tokens), w1[expert].t()) + b1[expert]);
    const at::Tensor answer = at::mm(hidden, w2[expert].t()) + b2[expert];
    const at::Tensor weight = weights.select(1, expert).index_select(0, tokens);
    y = y.index_add(0, tokens, answer * weight.unsqueeze(1));
  }
  return y;
}

}  // namespace cdsp::test
