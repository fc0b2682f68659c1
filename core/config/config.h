// The configuration of one run: every choice of the method is a key here, and nothing is chosen
// elsewhere.
//
// The struct mirrors the YAML file section by section (docs/config.md lists every key with its
// meaning). Defaults are the paper profile (arXiv:2512.20291). config/keys.cpp is the one registry
// that ties each field to its YAML name, allowed values and one-line description; loading,
// overrides, `config show`, the JSON Schema and the documentation are all made from it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace cdsp {

enum class Variant { kCdsp, kBaseline, kBlind };
enum class DType { kFloat32, kFloat64 };
enum class HeadInit { kUniform, kNormal };
enum class TopologyInit { kMaxEntropy, kSelfLoop };
enum class RouterNorm { kToken, kSequence };
enum class DropoutUnit { kSample, kBatch };
enum class ConflictPenalty { kLogit, kGatedLogit, kSigmoid };
enum class ConflictGradient { kUv, kU };
enum class BalanceKind { kSwitch, kCv2 };
enum class DataSource { kIdx, kGlyphs };
enum class LabelScheme { kNative, kCoarse };
enum class Sampling { kConcat, kBalanced };
enum class EngineChoice { kAuto, kReference, kFused, kEmulated };
enum class StepForm { kAuto, kEager, kDevice, kGraph };
enum class Precision { kFull, kTf32, kBf16 };

struct ModelConfig {
  DType dtype = DType::kFloat32;
  int64_t d_model = 64;
  int64_t layers = 2;
  int64_t heads = 4;
  int64_t kv_heads = 2;
  int64_t patch_size = 4;
  int64_t classes = 10;
  bool head_bias = true;
  HeadInit head_init = HeadInit::kUniform;
};

struct MoeConfig {
  int64_t num_experts = 8;
  int64_t top_k = 2;
  int64_t d_base = 256;
  std::optional<int64_t> rank;  // empty = auto = floor(d_base / sqrt(num_experts)), Eq. 6
  int64_t d_ffn = 32;

  /// Number of physical dimensions each expert selects, r.
  int64_t resolved_rank() const;
  /// Width of an expert's own block of the partition, B = floor(D/N), Eq. 2.
  int64_t block_width() const { return d_base / num_experts; }
};

struct TopologyConfig {
  TopologyInit init = TopologyInit::kMaxEntropy;
  double init_std = 0.01;
};

struct RouterConfig {
  int64_t task_embedding = 16;
  RouterNorm norm = RouterNorm::kToken;
  double task_dropout = 0.1;
  DropoutUnit dropout_unit = DropoutUnit::kSample;
};

struct ConflictConfig {
  double lambda = 10.0;
  ConflictPenalty penalty = ConflictPenalty::kLogit;
  ConflictGradient gradient = ConflictGradient::kUv;
  double l1 = 1.0e-3;
  double determinism = 0.0;
};

struct BalanceConfig {
  BalanceKind kind = BalanceKind::kSwitch;
  double lambda = 0.01;
};

struct OptimizerConfig {
  double lr = 5.0e-3;
  double topology_lr = 5.0e-2;
  double weight_decay = 0.01;
  double clip_norm = 1.0;  // 0 = off
};

struct DataConfig {
  DataSource source = DataSource::kIdx;
  std::filesystem::path root = "data";
  std::vector<std::string> tasks = {"mnist", "kmnist", "fashion-mnist"};
  LabelScheme labels = LabelScheme::kNative;
  int64_t limit_per_task = 0;  // 0 = all; training images only, the first ones of the file
  Sampling sampling = Sampling::kConcat;
  std::optional<std::filesystem::path> order_file;
  int64_t glyphs_train = 2000;  // images per task drawn by source glyphs
  int64_t glyphs_test = 500;
};

struct TrainConfig {
  int64_t epochs = 10;
  int64_t batch_size = 128;
  int64_t max_steps = 0;  // 0 = as the epochs say
  int64_t log_every = 50;
  int64_t checkpoint_every = 1;  // epochs between checkpoints; the last epoch always writes one
  int64_t eval_batch_size = 500;
  std::optional<std::filesystem::path> init_from;
  std::string device = "auto";  // auto | cpu | cuda | cuda:i
  int64_t threads = 0;          // 0 = all cores
  EngineChoice engine = EngineChoice::kAuto;
  StepForm step = StepForm::kAuto;
  Precision precision = Precision::kFull;
};

struct Config {
  Variant variant = Variant::kCdsp;
  uint64_t seed = 0;
  ModelConfig model;
  MoeConfig moe;
  TopologyConfig topology;
  RouterConfig router;
  ConflictConfig conflict;
  BalanceConfig balance;
  OptimizerConfig optimizer;
  DataConfig data;
  TrainConfig train;
};

/// The tasks that data.source glyphs can draw, in its default order.
const std::vector<std::string>& glyph_task_names();

/// The spelling of an enum value in YAML and reports, e.g. to_string(Variant::kCdsp) == "cdsp".
const char* to_string(Variant);
const char* to_string(DType);
const char* to_string(HeadInit);
const char* to_string(TopologyInit);
const char* to_string(RouterNorm);
const char* to_string(DropoutUnit);
const char* to_string(ConflictPenalty);
const char* to_string(ConflictGradient);
const char* to_string(BalanceKind);
const char* to_string(DataSource);
const char* to_string(LabelScheme);
const char* to_string(Sampling);
const char* to_string(EngineChoice);
const char* to_string(StepForm);
const char* to_string(Precision);

/// Reads a YAML file (keys left out keep their defaults), applies `key=value` overrides in order
/// ("moe.top_k=1", "data.tasks=[mnist]"), and validates the whole.
/// Throws InputError naming file, line and key, what was found and what is allowed.
Config load_config(const std::filesystem::path& file,
                   const std::vector<std::string>& overrides = {});

/// The same for YAML text; `origin` stands for the file name in messages.
Config parse_config(const std::string& yaml, const std::string& origin,
                    const std::vector<std::string>& overrides = {});

/// Whether `text` is a value of that key, by itself. Throws InputError starting with `origin` (the
/// command-line option that gave it) if it is not.
void check_value(const std::string& key, const std::string& text, const std::string& origin);

/// The rules that tie keys together (top_k <= num_experts, heads a multiple of kv_heads, ...).
/// Throws InputError starting with `origin`.
void validate(const Config& config, const std::string& origin);

/// The complete resolved config as YAML; parse_config(to_yaml(c)) == c, and equal configs give
/// equal bytes.
std::string to_yaml(const Config& config);

/// One value as YAML prints it, by dotted key ("moe.top_k"); every key in registry order with its
/// value.
std::vector<std::pair<std::string, std::string>> flatten(const Config& config);

/// The same values as one JSON object, nested like the file.
std::string to_json(const Config& config);

/// JSON Schema (draft 2020-12) of a config file, for editors.
std::string config_json_schema();

/// Markdown table of every key: name, default, allowed values, meaning. docs/config.md holds
/// exactly this text.
std::string config_markdown_table();

/// The same as a JSON list of {key, default, allowed, description}.
std::string config_keys_json();

}  // namespace cdsp
