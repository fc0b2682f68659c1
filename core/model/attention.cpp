#include "model/attention.h"

#include <ATen/ATen.h>

#include "kernels/causal_attention.h"
#include "kernels/rotary.h"

namespace cdsp {

Attention::Attention(const Config& config, int64_t positions, const std::string& prefix,
                     const Initialiser& initialiser, ParameterSet& parameters, Engine engine)
    : engine_(engine) {
  const int64_t d = config.model.d_model, heads = config.model.heads,
                kv_heads = config.model.kv_heads, d_head = d / heads;
  const auto add_linear = [&](const char* suffix, int64_t outputs) {
    const std::string name = prefix + ".attn." + suffix + ".weight";
    return parameters.add(name, initialiser.linear(name, {outputs, d}, d));
  };
  weights_.norm = parameters.add(prefix + ".norm1.weight", initialiser.ones({d}));
  weights_.wq = add_linear("wq", d);
  weights_.wk = add_linear("wk", kv_heads * d_head);
  weights_.wv = add_linear("wv", kv_heads * d_head);
  weights_.wo = add_linear("wo", d);
  layout_ = {heads, kv_heads, rotary_turns(positions, d_head, weights_.wq),
             causal_mask(positions, weights_.wq.device()), config.train.precision};
}

at::Tensor Attention::forward(const at::Tensor& h) const {
  return attention_block(h, weights_, layout_, engine_);
}

ImageWork Attention::forward(const at::Tensor& h, AttentionBlockCpu& pass) const {
  return pass.forward(h, weights_, layout_, /*keep=*/true);
}

ImageWork Attention::backward(const AttentionBlockCpu& pass, const at::Tensor& upstream,
                              const at::Tensor& flat) const {
  return pass.backward(
      upstream, ParameterSet::stretch(
                    flat, {weights_.norm, weights_.wq, weights_.wk, weights_.wv, weights_.wo}));
}

}  // namespace cdsp
