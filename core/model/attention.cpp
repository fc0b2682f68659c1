#include "model/attention.h"

#include <ATen/ATen.h>

#include "kernels/causal_attention.h"
#include "kernels/rotary.h"
#include "kernels/rotary_attention.h"

namespace cdsp {

Attention::Attention(const Config& config, int64_t positions, const std::string& prefix,
                     const Initialiser& initialiser, ParameterSet& parameters, Engine engine)
    : heads_(config.model.heads), kv_heads_(config.model.kv_heads), engine_(engine) {
  const int64_t d = config.model.d_model, d_head = d / heads_;
  const auto add_linear = [&](const char* suffix, int64_t outputs) {
    const std::string name = prefix + "." + suffix + ".weight";
    return parameters.add(name, initialiser.linear(name, {outputs, d}, d));
  };
  wq_ = add_linear("wq", d);
  wk_ = add_linear("wk", kv_heads_ * d_head);
  wv_ = add_linear("wv", kv_heads_ * d_head);
  wo_ = add_linear("wo", d);
  turns_ = rotary_turns(positions, d_head, wq_);
  future_ = causal_mask(positions, wq_.device());
}

at::Tensor Attention::forward(const at::Tensor& x) const {
  const int64_t batch = x.size(0), positions = x.size(1), d = x.size(2);
  const at::Tensor tokens = x.reshape({batch * positions, d});
  const at::Tensor projections =
      at::mm(tokens, at::cat({wq_, wk_, wv_}).t()).view({batch, positions, -1});
  const at::Tensor mixed =
      rotary_attention(projections, heads_, kv_heads_, turns_, future_, engine_);
  return at::mm(mixed.view({batch * positions, d}), wo_.t()).view({batch, positions, d});
}

}  // namespace cdsp
