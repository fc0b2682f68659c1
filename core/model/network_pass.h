// One time through the network and back by the fused engine on the host, with the backward pass
// written down as the forward pass is. LibTorch's autograd would find the same numbers; its graph
// is made and walked a node at a time by one thread, for which all others wait
// (docs/performance.md).
#pragma once

#include <memory>
#include <vector>

#include <ATen/core/Tensor.h>

#include "kernels/attention_block.h"
#include "kernels/normalise_and_route.h"
#include "kernels/patch_embedding.h"
#include "kernels/pooled_head.h"
#include "model/network.h"

namespace cdsp {

/// What the objective's gradient is made of, contiguous. Per block; empty where the objective has
/// no such term.
struct OutputGradients {
  at::Tensor logits;                      // [batch, classes]
  std::vector<at::Tensor> probabilities;  // [N], alike for all tokens
  std::vector<at::Tensor> alpha;          // [N, N]: what does not come through the gates
};

class NetworkPass {
 public:
  /// Whether the network is computed by the fused engine on the host.
  static bool serves(const Network& network);

  /// The network must outlive this.
  explicit NetworkPass(const Network& network);

  /// As Network::forward(); nothing of the result is differentiable. Once.
  ForwardResult forward(const at::Tensor& images, const at::Tensor& task_one_hot,
                        const ForwardRequest& request);
  /// The gradient in all parameters, a vector like ParameterSet::flat(); zero for the task
  /// embeddings where no image had a task. Fills what forward() left in the conflict sites. Once.
  at::Tensor backward(const OutputGradients& upstream);

 private:
  struct BlockPass {
    AttentionBlockCpu attention;
    NormaliseAndRouteCpu route;
    std::unique_ptr<MoeLayerPass> moe;
  };

  const Network& network_;
  PatchEmbeddingCpu embedding_;
  std::vector<BlockPass> blocks_;
  PooledHeadCpu head_;
};

}  // namespace cdsp
