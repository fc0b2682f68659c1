#include "config/keys.h"

#include <utility>

#include "config/spellings.h"

namespace cdsp {
namespace {

/// Reads and writes one field of Config, whatever section it is in.
template <class T>
struct Field {
  std::function<const T&(const Config&)> read;
  std::function<T&(Config&)> write;
};

template <class T>
Field<T> at(T Config::*field) {
  return {[=](const Config& config) -> const T& { return config.*field; },
          [=](Config& config) -> T& { return config.*field; }};
}

template <class Section, class T>
Field<T> at(Section Config::*section, T Section::*field) {
  return {[=](const Config& config) -> const T& { return config.*section.*field; },
          [=](Config& config) -> T& { return config.*section.*field; }};
}

IntegerRange at_least(int64_t minimum) { return {minimum, std::numeric_limits<int32_t>::max()}; }
IntegerRange within(int64_t minimum, int64_t maximum) { return {minimum, maximum}; }
// Far beyond any use, and float32 still holds it and its square.
constexpr double kLargest = 1e9;
NumberRange not_negative() { return {0.0, kLargest, false}; }
NumberRange positive() { return {0.0, kLargest, true}; }
NumberRange probability() { return {0.0, 1.0, false}; }

/// Widths and counts that shape tensors; their products stay far from overflow.
constexpr int64_t kLargestWidth = 1 << 20;
constexpr int64_t kLargestCount = 1 << 12;
constexpr int64_t kMostThreads = 1 << 10;

ConfigKey key(const std::string& name, KeyType type, std::string description) {
  ConfigKey result;
  const size_t dot = name.find('.');
  if (dot != std::string::npos) result.section = name.substr(0, dot);
  result.field = dot == std::string::npos ? name : name.substr(dot + 1);
  result.type = type;
  result.description = std::move(description);
  return result;
}

/// A key whose field has the very type that ConfigValue carries.
template <class T>
ConfigKey plain(const std::string& name, KeyType type, Field<T> field, std::string description) {
  ConfigKey result = key(name, type, std::move(description));
  result.get = [field](const Config& config) { return ConfigValue(field.read(config)); };
  result.set = [field](Config& config, const ConfigValue& value) {
    field.write(config) = std::get<T>(value);
  };
  return result;
}

ConfigKey boolean(const std::string& name, Field<bool> field, std::string description) {
  return plain(name, KeyType::kBoolean, std::move(field), std::move(description));
}

ConfigKey any_unsigned(const std::string& name, Field<uint64_t> field, std::string description) {
  return plain(name, KeyType::kUnsigned, std::move(field), std::move(description));
}

ConfigKey integer(const std::string& name, Field<int64_t> field, IntegerRange range,
                  std::string description) {
  ConfigKey result = plain(name, KeyType::kInteger, std::move(field), std::move(description));
  result.integers = range;
  return result;
}

ConfigKey number(const std::string& name, Field<double> field, NumberRange range,
                 std::string description) {
  ConfigKey result = plain(name, KeyType::kNumber, std::move(field), std::move(description));
  result.numbers = range;
  return result;
}

ConfigKey names(const std::string& name, Field<std::vector<std::string>> field,
                std::string description) {
  return plain(name, KeyType::kNames, std::move(field), std::move(description));
}

ConfigKey device(const std::string& name, Field<std::string> field, std::string description) {
  return plain(name, KeyType::kDevice, std::move(field), std::move(description));
}

template <class Enum>
ConfigKey choice(const std::string& name, Field<Enum> field, std::string description) {
  ConfigKey result = key(name, KeyType::kChoice, std::move(description));
  for (const auto& entry : spellings<Enum>()) result.choices.emplace_back(entry.text);
  result.get = [field](const Config& config) {
    return ConfigValue(std::string(to_string(field.read(config))));
  };
  result.set = [field](Config& config, const ConfigValue& value) {
    for (const auto& entry : spellings<Enum>())
      if (std::get<std::string>(value) == entry.text) field.write(config) = entry.value;
  };
  return result;
}

ConfigKey path(const std::string& name, const Field<std::filesystem::path>& field,
               std::string description) {
  ConfigKey result = key(name, KeyType::kPath, std::move(description));
  result.get = [field](const Config& config) { return ConfigValue(field.read(config).string()); };
  result.set = [field](Config& config, const ConfigValue& value) {
    field.write(config) = std::get<std::string>(value);
  };
  return result;
}

ConfigKey optional_path(const std::string& name,
                        const Field<std::optional<std::filesystem::path>>& field,
                        std::string description) {
  ConfigKey result = key(name, KeyType::kPath, std::move(description));
  result.empty_word = "null";
  result.get = [field](const Config& config) {
    const auto& value = field.read(config);
    return value ? ConfigValue(value->string()) : ConfigValue();
  };
  result.set = [field](Config& config, const ConfigValue& value) {
    const auto* text = std::get_if<std::string>(&value);
    field.write(config) = text ? std::optional<std::filesystem::path>(*text) : std::nullopt;
  };
  return result;
}

ConfigKey integer_or_auto(const std::string& name, const Field<std::optional<int64_t>>& field,
                          IntegerRange range, std::string description) {
  ConfigKey result = key(name, KeyType::kInteger, std::move(description));
  result.integers = range;
  result.empty_word = "auto";
  result.get = [field](const Config& config) {
    const auto& value = field.read(config);
    return value ? ConfigValue(*value) : ConfigValue();
  };
  result.set = [field](Config& config, const ConfigValue& value) {
    const auto* given = std::get_if<int64_t>(&value);
    field.write(config) = given ? std::optional<int64_t>(*given) : std::nullopt;
  };
  return result;
}

std::vector<ConfigKey> make_keys() {
  const auto model = &Config::model;
  const auto moe = &Config::moe;
  const auto topology = &Config::topology;
  const auto router = &Config::router;
  const auto conflict = &Config::conflict;
  const auto balance = &Config::balance;
  const auto optimizer = &Config::optimizer;
  const auto data = &Config::data;
  const auto train = &Config::train;
  using Model = ModelConfig;
  using Data = DataConfig;
  using Train = TrainConfig;
  return {
      choice("variant", at(&Config::variant),
             "the network: `cdsp` subspace experts under the gradient game; `baseline` independent "
             "experts that see the "
             "task; `blind` the same, never told the task"),
      any_unsigned("seed", at(&Config::seed), "the source of every random number of the run"),

      choice("model.dtype", at(model, &Model::dtype),
             "floating-point type of parameters and arithmetic"),
      integer("model.d_model", at(model, &Model::d_model), within(2, kLargestWidth),
              "token width d; a multiple of `heads` that gives an even head width (rotary pairs)"),
      integer("model.layers", at(model, &Model::layers), within(1, kLargestCount), "blocks, L"),
      integer("model.heads", at(model, &Model::heads), within(1, kLargestCount),
              "query heads; a multiple of `kv_heads`"),
      integer("model.kv_heads", at(model, &Model::kv_heads), within(1, kLargestCount),
              "key/value heads"),
      integer("model.patch_size", at(model, &Model::patch_size), within(1, kLargestCount),
              "side of a square patch in pixels; must divide the images' sides"),
      integer("model.classes", at(model, &Model::classes), within(2, kLargestWidth),
              "outputs of the head"),
      boolean("model.head_bias", at(model, &Model::head_bias), "whether the head has a bias"),
      choice("model.head_init", at(model, &Model::head_init),
             "the head's initial weights: `uniform` U(-1/√d, 1/√d), the usual linear layer; "
             "`normal` N(0, 1) (released code)"),

      integer("moe.num_experts", at(moe, &MoeConfig::num_experts), within(1, kLargestCount),
              "logical experts, N"),
      integer("moe.top_k", at(moe, &MoeConfig::top_k), within(1, kLargestCount),
              "experts per token, k; at most `num_experts`"),
      integer(
          "moe.d_base", at(moe, &MoeConfig::d_base), within(1, kLargestWidth),
          "physical dimensions of the shared backbone, D (variant cdsp); at least `num_experts`"),
      integer_or_auto(
          "moe.rank", at(moe, &MoeConfig::rank), within(1, kLargestWidth),
          "dimensions each expert selects, r; `auto` = ⌊D/√N⌋ (Eq. 6); at most `d_base`"),
      integer("moe.d_ffn", at(moe, &MoeConfig::d_ffn), within(1, kLargestWidth),
              "hidden width of one independent expert (variants baseline and blind); N·d_ffn = D "
              "gives equal parameters"),

      choice("topology.init", at(topology, &TopologyConfig::init),
             "initial topology logits A: `max_entropy` N(0, init_std²) (Eq. 3); `self_loop` 1 on "
             "the diagonal, "
             "0.1 + N(0, 0.02²) elsewhere (released code)"),
      number("topology.init_std", at(topology, &TopologyConfig::init_std), not_negative(),
             "standard deviation of `max_entropy`"),

      integer("router.task_embedding", at(router, &RouterConfig::task_embedding),
              within(1, kLargestWidth), "width of the task embedding"),
      choice("router.norm", at(router, &RouterConfig::norm),
             "what the router normalises over: `token` each token's features (Eq. 10); `sequence` "
             "all tokens and "
             "features of an image (released code)"),
      number("router.task_dropout", at(router, &RouterConfig::task_dropout), probability(),
             "probability that training hides the task (Eq. 11)"),
      choice("router.dropout_unit", at(router, &RouterConfig::dropout_unit),
             "what one draw of task dropout hides: `sample` one image's task; `batch` the whole "
             "batch's (released code)"),

      number("conflict.lambda", at(conflict, &ConflictConfig::lambda), not_negative(),
             "weight of the conflict penalty Σ f(A_ij)·C_ij (Eq. 16, 17); 0 = no gradient game"),
      choice("conflict.penalty", at(conflict, &ConflictConfig::penalty),
             "f: `logit` A_ij, constant pressure (Eq. 17); `gated_logit` A_ij where A_ij ≥ 1e-3, "
             "else 0 (released code); "
             "`sigmoid` σ(A_ij) (Eq. 22)"),
      choice("conflict.gradient", at(conflict, &ConflictConfig::gradient),
             "the gradients whose cosine is the conflict: `uv` a dimension's U column and V row "
             "together; `u` the U "
             "column alone (released code)"),
      number("conflict.l1", at(conflict, &ConflictConfig::l1), not_negative(), "weight of mean|A|"),
      number("conflict.determinism", at(conflict, &ConflictConfig::determinism), not_negative(),
             "weight of mean(σ(A)(1-σ(A))), which pushes links towards 0 or 1"),

      choice("balance.kind", at(balance, &BalanceConfig::kind),
             "load balance of the independent experts: `switch` N·Σ f_i·P_i; `cv2` squared "
             "variation of the counts "
             "(released code; no gradient, so it trains nothing)"),
      number("balance.lambda", at(balance, &BalanceConfig::lambda), not_negative(),
             "weight of the load balance (variants baseline and blind)"),

      number("optimizer.lr", at(optimizer, &OptimizerConfig::lr), positive(),
             "AdamW's learning rate of every parameter but the topology"),
      number("optimizer.topology_lr", at(optimizer, &OptimizerConfig::topology_lr), not_negative(),
             "learning rate of the topology logits; 0 freezes them"),
      number("optimizer.weight_decay", at(optimizer, &OptimizerConfig::weight_decay),
             not_negative(), "decoupled weight decay; never on the topology"),
      number("optimizer.clip_norm", at(optimizer, &OptimizerConfig::clip_norm), not_negative(),
             "largest norm of the whole gradient; 0 = no clipping"),

      choice("data.source", at(data, &Data::source),
             "where images come from: `idx` files "
             "ROOT/TASK/{train,t10k}-{images-idx3,labels-idx1}-ubyte[.gz]; `glyphs` "
             "drawn by the program, no download"),
      path("data.root", at(data, &Data::root), "folder of the IDX files, one folder a task"),
      names(
          "data.tasks", at(data, &Data::tasks),
          "the tasks, in order; where not given, source glyphs takes [strokes, cursive, objects]"),
      choice("data.labels", at(data, &Data::labels),
             "`native` each task's own classes; `coarse` MNIST digits, KMNIST label mod 2, "
             "Fashion-MNIST label ≥ 5 "
             "(released code)"),
      integer("data.limit_per_task", at(data, &Data::limit_per_task), at_least(0),
              "training images used of each task, the first ones of its file; 0 = all"),
      choice("data.sampling", at(data, &Data::sampling),
             "an epoch: `concat` one shuffled pass over all images; `balanced` every task equally "
             "often"),
      optional_path("data.order_file", at(data, &Data::order_file),
                    "one global sample index a line (tasks one after the other): the exact order; "
                    "an epoch is one pass over "
                    "the file, nothing is shuffled"),
      integer("data.glyphs_train", at(data, &Data::glyphs_train), at_least(1),
              "training images that source glyphs draws for each task"),
      integer("data.glyphs_test", at(data, &Data::glyphs_test), at_least(1),
              "test images that source glyphs draws for each task"),

      integer("train.epochs", at(train, &Train::epochs), at_least(1),
              "passes over the training images"),
      integer("train.batch_size", at(train, &Train::batch_size), at_least(1), "images in a step"),
      integer("train.max_steps", at(train, &Train::max_steps), at_least(0),
              "stop after so many steps; 0 = as the epochs say"),
      integer("train.log_every", at(train, &Train::log_every), at_least(1),
              "steps between rows of metrics.csv"),
      integer("train.checkpoint_every", at(train, &Train::checkpoint_every), at_least(1),
              "epochs between checkpoints; the last epoch always writes one"),
      integer("train.eval_batch_size", at(train, &Train::eval_batch_size), at_least(1),
              "images in a batch of evaluation; results change by rounding at most"),
      optional_path("train.init_from", at(train, &Train::init_from),
                    "safetensors file of initial weights"),
      device("train.device", at(train, &Train::device),
             "where to compute; `auto` = a GPU if there is one"),
      integer(
          "train.threads", at(train, &Train::threads), within(0, kMostThreads),
          "CPU threads; 0 = all cores; at most four a core, or 16 where that is more; no result "
          "depends on it, with engine reference by rounding at most"),
      choice("train.engine", at(train, &Train::engine),
             "how operations are computed: `reference` plain LibTorch, `fused` tiled CPU kernels "
             "or the project's CUDA kernels; `auto` = fused where this build has it; `emulated` "
             "the CUDA kernels' source run by the CPU, slow, for checks"),
      choice("train.step", at(train, &Train::step),
             "how a step is made: `eager` call by call; `device` with no number from the host; "
             "`graph` the same, captured as a CUDA graph; `auto` = graph on a GPU where this build "
             "has CUDA kernels, else eager"),
      choice("train.precision", at(train, &Train::precision),
             "operands of the large matrix products with the CUDA kernels and float32: `full`; "
             "`tf32` 10 bits of mantissa; `bf16` 7 bits, the results too"),
  };
}

}  // namespace

const std::vector<ConfigKey>& config_keys() {
  static const std::vector<ConfigKey> keys = make_keys();
  return keys;
}

const std::vector<ConfigSection>& config_sections() {
  static const std::vector<ConfigSection> sections = {
      {"model", "the network that all variants share"},
      {"moe", "the mixture-of-experts layers"},
      {"topology", "the links between experts and physical dimensions (variant cdsp)"},
      {"router", "how tokens choose experts"},
      {"conflict", "the lagged gradient game (variant cdsp)"},
      {"balance", "the load-balancing loss (variants baseline and blind)"},
      {"optimizer", "AdamW at two speeds"},
      {"data", "tasks, images and their order"},
      {"train", "length, logging and place of a run"},
  };
  return sections;
}

const ConfigKey* find_key(const std::string& name) {
  for (const ConfigKey& candidate : config_keys())
    if (candidate.name() == name) return &candidate;
  return nullptr;
}

bool is_section(const std::string& name) {
  for (const ConfigSection& section : config_sections())
    if (section.name == name) return true;
  return false;
}

}  // namespace cdsp
