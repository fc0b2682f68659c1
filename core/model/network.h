// The network that all variants share (spec section 2): patches, embedding, blocks, mean token
// logits.
//
//   h = embed(patches)
//   each block:  h += attention(rms(h));  h += moe(rms(h), task)
//   logits = mean over tokens of head(rms(h))
#pragma once

#include <memory>
#include <vector>

#include <ATen/core/Tensor.h>

#include "config/config.h"
#include "kernels/top_k_routing.h"
#include "model/attention.h"
#include "model/moe_layer.h"
#include "model/parameters.h"
#include "model/router.h"

namespace cdsp {

/// What the data decides about a network.
struct InputShape {
  int64_t rows = 0;  // pixels
  int64_t cols = 0;
  int64_t tasks = 0;
};

/// What a forward pass is asked to keep.
struct ForwardRequest {
  bool router_probabilities = false;  // softmax over all experts, for the balance loss
  bool conflict_sites = false;        // describe the CDSP layers for the conflict game
};

struct ForwardResult {
  at::Tensor logits;             // [batch, classes]
  std::vector<Routing> routing;  // per block
  /// Per block; empty unless asked for and the variant has a topology.
  std::vector<ConflictSite> sites;
};

class Network {
 public:
  /// Initialises every parameter from config.seed. The config has been validated and the patch
  /// divides the image.
  Network(const Config& config, const InputShape& shape, at::Device device);

  /// images uint8 [batch, rows, cols]; task_one_hot as in Router::route. Variant `blind` ignores
  /// it.
  ForwardResult forward(const at::Tensor& images, const at::Tensor& task_one_hot,
                        const ForwardRequest& request = {}) const;

  const ParameterSet& parameters() const { return parameters_; }
  const InputShape& input_shape() const { return shape_; }
  at::Device device() const { return device_; }
  at::ScalarType dtype() const { return dtype_; }
  Engine engine() const { return engine_; }
  /// Whether the task can reach the router at all (false for variant `blind`).
  bool sees_tasks() const { return sees_tasks_; }
  /// Topology logits of each block; empty for variants without a topology.
  std::vector<at::Tensor> alphas() const;

 private:
  friend class NetworkPass;

  struct Block {
    std::unique_ptr<Attention> attention;
    at::Tensor norm2;
    std::unique_ptr<Router> router;
    std::unique_ptr<MoeLayer> moe;
  };

  InputShape shape_;
  at::Device device_;
  at::ScalarType dtype_;
  Engine engine_;
  int64_t patch_size_;
  bool sees_tasks_;
  ParameterSet parameters_;
  at::Tensor embed_weight_, embed_bias_, norm_, head_weight_, head_bias_;
  std::vector<Block> blocks_;
};

at::ScalarType scalar_type(DType dtype);

/// What `train.engine` comes to on a device: `auto` is fused on the host, and on a GPU where the
/// program was built with its own CUDA kernels and these know heads as wide as the model's;
/// reference elsewhere. Throws InputError if fused or emulated is asked for where there is none.
Engine resolve_engine(const Config& config, at::Device device);

/// Compute capability (10 major + minor) of the first GPUs with TF32 and bfloat16.
inline constexpr int kFewerBitsCapability = 80;

/// Throws InputError for a `train.precision` that the engine, this device, or the dtype has not.
void require_precision(const Config& config, Engine engine, at::Device device);

}  // namespace cdsp
