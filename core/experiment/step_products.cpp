#include "experiment/step_products.h"

#include <utility>

#include "experiment/bench_images.h"
#include "kernels/tile_sizes.h"
#include "kernels/token_blocks.h"

namespace cdsp {
namespace {

/// (how many, how long) of the pieces that `total` is cut into.
std::vector<std::pair<int64_t, int64_t>> pieces_of(int64_t total, int64_t longest) {
  std::vector<std::pair<int64_t, int64_t>> pieces;
  if (total / longest > 0) pieces.emplace_back(total / longest, longest);
  if (total % longest > 0) pieces.emplace_back(1, total % longest);
  return pieces;
}

/// y = x W, x [rows, inputs], W [inputs, outputs]; `transposed`: W lies as [outputs, inputs].
MatrixProduct forward_of(const char* name, int64_t rows, int64_t inputs, int64_t outputs,
                         bool transposed) {
  return {name, false, transposed, rows, outputs, inputs, false};
}

/// dL/dx = dL/dy W^T.
MatrixProduct input_gradient(const char* name, int64_t rows, int64_t inputs, int64_t outputs,
                             bool transposed) {
  return {name, false, !transposed, rows, inputs, outputs, false};
}

/// dL/dW = x^T dL/dy, in W's own layout.
MatrixProduct weight_gradient(const char* name, int64_t rows, int64_t inputs, int64_t outputs,
                              bool transposed, bool adds) {
  if (transposed) return {name, true, false, outputs, inputs, rows, adds};
  return {name, true, false, inputs, outputs, rows, adds};
}

class Collector {
 public:
  Collector(const Config& config, int64_t batch, BenchPhase phase, ProductForm form)
      : config_(config),
        batch_(batch),
        is_training_(phase == BenchPhase::kTrain),
        form_(form),
        positions_((kBenchSide / config.model.patch_size) * (kBenchSide / config.model.patch_size)),
        tokens_(batch * positions_) {}

  std::vector<ProductGroup> collect() {
    embedding();
    projections();
    scores();
    router();
    if (config_.variant == Variant::kCdsp) {
      cdsp_layer();
      if (is_training_) conflict();
    } else {
      standard_layer();
    }
    head();
    return std::move(groups_);
  }

 private:
  int64_t layers() const { return config_.model.layers; }

  /// An image a tile; products_of(rows) lists the products of one.
  template <typename ProductsOf>
  void on_images(const char* part, int64_t repeated, const ProductsOf& products_of) {
    groups_.push_back({part, batch_ * repeated, products_of(positions_)});
  }

  /// One group for every length of tile that the layers' tokens are cut into.
  template <typename ProductsOf>
  void on_tokens(const ProductsOf& products_of) {
    for (const auto& [tiles, rows] : pieces_of(tokens_, kTileTokens)) {
      groups_.push_back({"experts", tiles * layers(), products_of(rows)});
    }
  }

  /// The same for every expert's share of the (token, slot) pairs of `tokens` tokens, `times` over;
  /// longest_of(share) is the longest tile of such a share.
  template <typename LongestOf, typename ProductsOf>
  void on_shares(int64_t times, int64_t tokens, const LongestOf& longest_of,
                 const ProductsOf& products_of) {
    const int64_t pairs = tokens * config_.moe.top_k, experts = config_.moe.num_experts;
    const auto add = [&](int64_t count, int64_t share) {
      if (count == 0 || share == 0) return;
      for (const auto& [tiles, rows] : pieces_of(share, longest_of(share))) {
        groups_.push_back({"experts", times * tiles * count * layers(), products_of(rows)});
      }
    };
    add(pairs % experts, pairs / experts + 1);
    add(experts - pairs % experts, pairs / experts);
  }

  /// In long stretches.
  template <typename ProductsOf>
  void on_experts(const ProductsOf& products_of) {
    const auto longest = [](int64_t) { return kStretchTokens; };
    on_shares(1, tokens_, longest, products_of);
  }

  /// As the engine cuts them: block by block, in even tiles.
  template <typename ProductsOf>
  void on_experts_of_blocks(const ProductsOf& products_of) {
    const TokenBlocks cut(tokens_, config_.moe.top_k, config_.moe.num_experts);
    for (const auto& [blocks, tokens] : pieces_of(tokens_, cut.length()))
      on_shares(blocks, tokens, even_tile_rows, products_of);
  }

  void embedding() {
    const int64_t d = config_.model.d_model,
                  pixels = config_.model.patch_size * config_.model.patch_size;
    on_images("embedding", 1, [&](int64_t rows) {
      std::vector<MatrixProduct> list = {forward_of("embed", rows, pixels, d, true)};
      if (is_training_) list.push_back(weight_gradient("d embed", rows, pixels, d, true, true));
      return list;
    });
  }

  void projections() {
    const int64_t d = config_.model.d_model, d_head = d / config_.model.heads;
    const int64_t width = d + 2 * config_.model.kv_heads * d_head;
    on_images("attention projections", layers(), [&](int64_t rows) {
      std::vector<MatrixProduct> list = {forward_of("qkv", rows, d, width, true),
                                         forward_of("out", rows, d, d, true)};
      if (is_training_) {
        list.push_back(input_gradient("d out's input", rows, d, d, true));
        list.push_back(weight_gradient("d wo", rows, d, d, true, true));
        list.push_back(input_gradient("d qkv's input", rows, d, width, true));
        list.push_back(weight_gradient("d wq, wk, wv", rows, d, width, true, true));
      }
      return list;
    });
  }

  /// One head of one image a tile.
  void scores() {
    const int64_t d_head = config_.model.d_model / config_.model.heads, p = positions_;
    std::vector<MatrixProduct> list = {{"q k^T", false, true, p, p, d_head, false},
                                       {"probabilities v", false, false, p, d_head, p, false}};
    if (is_training_) {
      list.push_back({"d probabilities", false, true, p, p, d_head, false});
      list.push_back({"d v", true, false, p, d_head, p, false});
      list.push_back({"d q", false, false, p, d_head, p, false});
      list.push_back({"d k", true, false, p, d_head, p, false});
    }
    groups_.push_back({"attention scores", batch_ * config_.model.heads * layers(), list});
  }

  void router() {
    const int64_t d = config_.model.d_model, experts = config_.moe.num_experts;
    on_images("router", layers(), [&](int64_t rows) {
      std::vector<MatrixProduct> list = {forward_of("router", rows, d, experts, true)};
      if (is_training_) {
        list.push_back(input_gradient("d router's input", rows, d, experts, true));
        list.push_back(weight_gradient("d router", rows, d, experts, true, true));
      }
      return list;
    });
  }

  /// The four products of a two-layer perceptron d -> width -> d that lead from input to output
  /// and back; weights lie as W1 [d, width], W2 [width, d], or the other way round.
  void add_perceptron(std::vector<MatrixProduct>& list, int64_t rows, int64_t width,
                      bool transposed) const {
    const int64_t d = config_.model.d_model;
    list.push_back(forward_of("x U", rows, d, width, transposed));
    list.push_back(forward_of("h V", rows, width, d, transposed));
    if (!is_training_) return;
    list.push_back(input_gradient("E V^T", rows, width, d, transposed));
    list.push_back(input_gradient("d z U^T", rows, d, width, transposed));
  }

  void add_weight_gradients(std::vector<MatrixProduct>& list, int64_t rows, int64_t width,
                            bool transposed, bool adds) const {
    const int64_t d = config_.model.d_model;
    if (!is_training_) return;
    list.push_back(weight_gradient("d U", rows, d, width, transposed, adds));
    list.push_back(weight_gradient("d V", rows, width, d, transposed, adds));
  }

  void cdsp_layer() {
    const int64_t d_base = config_.moe.d_base, rank = config_.moe.resolved_rank();
    const auto by_expert = [&](bool has_perceptron) {
      return [this, rank, has_perceptron](int64_t rows) {
        std::vector<MatrixProduct> list;
        if (has_perceptron) add_perceptron(list, rows, rank, false);
        add_weight_gradients(list, rows, rank, false, true);
        return list;
      };
    };
    const bool is_engine = form_ == ProductForm::kEngine;
    if (form_ == ProductForm::kSelected) return on_experts(by_expert(true));
    if (is_engine && grouping_pays(config_.moe.top_k, rank, d_base))
      return on_experts_of_blocks(by_expert(true));
    on_tokens([&](int64_t rows) {
      std::vector<MatrixProduct> list;
      add_perceptron(list, rows, d_base, false);
      if (!is_engine) add_weight_gradients(list, rows, d_base, false, true);
      return list;
    });
    if (is_engine && is_training_) on_experts(by_expert(false));
  }

  void standard_layer() {
    const int64_t width = config_.moe.d_ffn;
    const auto perceptron = [&](int64_t total_width) {
      return [this, total_width](int64_t rows) {
        std::vector<MatrixProduct> list;
        add_perceptron(list, rows, total_width, true);
        add_weight_gradients(list, rows, total_width, true, true);
        return list;
      };
    };
    switch (form_) {
      case ProductForm::kDense:
        return on_tokens(perceptron(width * config_.moe.num_experts));
      case ProductForm::kSelected:
        return on_experts(perceptron(width));
      case ProductForm::kEngine:
        return on_experts_of_blocks(perceptron(width));
    }
  }

  void head() {
    const int64_t d = config_.model.d_model, classes = config_.model.classes;
    std::vector<MatrixProduct> list = {forward_of("head", batch_, d, classes, true)};
    if (is_training_) {
      list.push_back(input_gradient("d head's input", batch_, d, classes, true));
      list.push_back(weight_gradient("d head", batch_, d, classes, true, false));
    }
    groups_.push_back({"head", 1, list});
  }

  void conflict() {
    const int64_t experts = config_.moe.num_experts, d_base = config_.moe.d_base;
    const MatrixProduct gramian = {
        "G G^T", false, true, experts, experts, config_.model.d_model * d_base, false};
    std::vector<MatrixProduct> list = {gramian};
    if (config_.conflict.gradient == ConflictGradient::kUv) list.push_back(gramian);
    list.push_back({"norms on S_j", false, true, experts, experts, d_base, false});
    groups_.push_back({"conflict", layers(), list});
  }

  const Config& config_;
  int64_t batch_;
  bool is_training_;
  ProductForm form_;
  int64_t positions_, tokens_;
  std::vector<ProductGroup> groups_;
};

}  // namespace

const char* to_string(BenchPhase phase) { return phase == BenchPhase::kTrain ? "train" : "eval"; }

const char* to_string(ProductForm form) {
  switch (form) {
    case ProductForm::kDense:
      return "dense";
    case ProductForm::kSelected:
      return "selected";
    case ProductForm::kEngine:
      break;
  }
  return "engine";
}

double ProductGroup::flops() const {
  double sum = 0;
  for (const MatrixProduct& product : products) sum += product.flops();
  return sum * static_cast<double>(tiles);
}

std::vector<ProductGroup> step_products(const Config& config, int64_t batch, BenchPhase phase,
                                        ProductForm form) {
  return Collector(config, batch, phase, form).collect();
}

double flops_of(const std::vector<ProductGroup>& groups) {
  double sum = 0;
  for (const ProductGroup& group : groups) sum += group.flops();
  return sum;
}

}  // namespace cdsp
