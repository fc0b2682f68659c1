#include "experiment/step_products.h"

#include <utility>

#include "experiment/bench_images.h"

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
  Collector(const Config& config, int64_t batch, BenchPhase phase, ProductForm form,
            const TileSizes& sizes)
      : config_(config),
        batch_(batch),
        is_training_(phase == BenchPhase::kTrain),
        form_(form),
        sizes_(sizes),
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

  /// One group for every length of tile that the tokens are cut into; products_of(rows) lists one.
  template <typename ProductsOf>
  void on_tiles(const char* part, int64_t repeated, const ProductsOf& products_of) {
    for (const auto& [tiles, rows] : pieces_of(tokens_, sizes_.tile)) {
      groups_.push_back({part, tiles * repeated, products_of(rows)});
    }
  }

  /// The same for every expert's share of the (token, slot) pairs.
  template <typename ProductsOf>
  void on_stretches(int64_t longest, const ProductsOf& products_of) {
    const int64_t pairs = tokens_ * config_.moe.top_k, experts = config_.moe.num_experts;
    const auto add = [&](int64_t count, int64_t share) {
      if (count == 0) return;
      for (const auto& [tiles, rows] : pieces_of(share, longest)) {
        groups_.push_back({"experts", tiles * count * layers(), products_of(rows)});
      }
    };
    add(pairs % experts, pairs / experts + 1);
    add(experts - pairs % experts, pairs / experts);
  }

  void embedding() {
    const int64_t d = config_.model.d_model,
                  pixels = config_.model.patch_size * config_.model.patch_size;
    on_tiles("embedding", 1, [&](int64_t rows) {
      std::vector<MatrixProduct> list = {forward_of("embed", rows, pixels, d, true)};
      if (is_training_) list.push_back(weight_gradient("d embed", rows, pixels, d, true, true));
      return list;
    });
  }

  void projections() {
    const int64_t d = config_.model.d_model, d_head = d / config_.model.heads;
    const int64_t width = d + 2 * config_.model.kv_heads * d_head;
    on_tiles("attention projections", layers(), [&](int64_t rows) {
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
    on_tiles("router", layers(), [&](int64_t rows) {
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
    if (form_ != ProductForm::kSelected) {
      on_tiles("experts", layers(), [&](int64_t rows) {
        std::vector<MatrixProduct> list;
        add_perceptron(list, rows, d_base, false);
        if (form_ == ProductForm::kDense) add_weight_gradients(list, rows, d_base, false, true);
        return list;
      });
    }
    if (form_ == ProductForm::kDense) return;
    if (form_ == ProductForm::kEngine && !is_training_) return;
    on_stretches(sizes_.cdsp_stretch, [&](int64_t rows) {
      std::vector<MatrixProduct> list;
      if (form_ == ProductForm::kSelected) add_perceptron(list, rows, rank, false);
      add_weight_gradients(list, rows, rank, false, false);
      return list;
    });
  }

  void standard_layer() {
    const int64_t width = config_.moe.d_ffn;
    if (form_ == ProductForm::kDense) {
      on_tiles("experts", layers(), [&](int64_t rows) {
        std::vector<MatrixProduct> list;
        add_perceptron(list, rows, width * config_.moe.num_experts, true);
        add_weight_gradients(list, rows, width * config_.moe.num_experts, true, true);
        return list;
      });
      return;
    }
    on_stretches(sizes_.standard_stretch, [&](int64_t rows) {
      std::vector<MatrixProduct> list;
      add_perceptron(list, rows, width, true);
      add_weight_gradients(list, rows, width, true, false);
      return list;
    });
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
  TileSizes sizes_;
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
                                        ProductForm form, const TileSizes& sizes) {
  return Collector(config, batch, phase, form, sizes).collect();
}

double flops_of(const std::vector<ProductGroup>& groups) {
  double sum = 0;
  for (const ProductGroup& group : groups) sum += group.flops();
  return sum;
}

}  // namespace cdsp
