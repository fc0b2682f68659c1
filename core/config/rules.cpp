#include "config/rules.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "config/keys.h"
#include "config/values.h"
#include "config/yaml_text.h"

namespace cdsp {
namespace {

using Rule = std::optional<BrokenRule> (*)(const Config&);

std::string text(int64_t value) { return std::to_string(value); }

std::optional<BrokenRule> broken(std::vector<std::string> keys, const std::string& found,
                                 const std::string& allowed) {
  return BrokenRule{std::move(keys), "found " + found + "; allowed: " + allowed};
}

std::optional<BrokenRule> heads_share_kv_heads(const Config& config) {
  const ModelConfig& model = config.model;
  if (model.heads % model.kv_heads == 0) return std::nullopt;
  return broken({"model.heads", "model.kv_heads"}, text(model.heads),
                "a multiple of model.kv_heads = " + text(model.kv_heads));
}

std::optional<BrokenRule> heads_share_the_width(const Config& config) {
  const ModelConfig& model = config.model;
  if (model.d_model % model.heads == 0) return std::nullopt;
  return broken({"model.d_model", "model.heads"}, text(model.d_model),
                "a multiple of model.heads = " + text(model.heads));
}

std::optional<BrokenRule> head_width_is_even(const Config& config) {
  const ModelConfig& model = config.model;
  const int64_t width = model.d_model / model.heads;
  if (width % 2 == 0) return std::nullopt;
  return broken({"model.d_model", "model.heads"}, text(model.d_model),
                "an even head width d_model / heads (rotary pairs); model.heads = " +
                    text(model.heads) + " gives " + text(width));
}

std::optional<BrokenRule> tokens_find_enough_experts(const Config& config) {
  const MoeConfig& moe = config.moe;
  if (moe.top_k <= moe.num_experts) return std::nullopt;
  return broken({"moe.top_k", "moe.num_experts"}, text(moe.top_k),
                "at most moe.num_experts = " + text(moe.num_experts));
}

std::optional<BrokenRule> every_expert_owns_a_dimension(const Config& config) {
  const MoeConfig& moe = config.moe;
  if (moe.d_base >= moe.num_experts) return std::nullopt;
  return broken({"moe.d_base", "moe.num_experts"}, text(moe.d_base),
                "at least moe.num_experts = " + text(moe.num_experts));
}

std::optional<BrokenRule> rank_fits_the_backbone(const Config& config) {
  const MoeConfig& moe = config.moe;
  if (!moe.rank || *moe.rank <= moe.d_base) return std::nullopt;
  return broken({"moe.rank", "moe.d_base"}, text(*moe.rank),
                "at most moe.d_base = " + text(moe.d_base));
}

/// The first task that is none of `names`.
std::optional<std::string> first_other_task(const Config& config,
                                            const std::vector<std::string>& names) {
  for (const std::string& task : config.data.tasks)
    if (std::find(names.begin(), names.end(), task) == names.end()) return task;
  return std::nullopt;
}

std::optional<BrokenRule> glyph_tasks_exist(const Config& config) {
  if (config.data.source != DataSource::kGlyphs) return std::nullopt;
  const auto other = first_other_task(config, glyph_task_names());
  if (!other) return std::nullopt;
  std::string names;
  for (const std::string& name : glyph_task_names()) names += (names.empty() ? "" : ", ") + name;
  return broken({"data.tasks", "data.source"}, "the task " + double_quoted(*other),
                "the tasks that data.source glyphs draws: " + names);
}

std::optional<BrokenRule> coarse_labels_are_defined(const Config& config) {
  if (config.data.labels != LabelScheme::kCoarse) return std::nullopt;
  const auto other = first_other_task(config, {"mnist", "kmnist", "fashion-mnist"});
  if (!other) return std::nullopt;
  return broken({"data.labels", "data.tasks", "data.source"}, "coarse",
                "native for the task " + double_quoted(*other) +
                    " (coarse labels are defined for mnist, kmnist and fashion-mnist)");
}

std::optional<BrokenRule> order_file_decides_alone(const Config& config) {
  if (!config.data.order_file || config.data.sampling == Sampling::kConcat) return std::nullopt;
  return broken({"data.sampling", "data.order_file"}, to_string(config.data.sampling),
                "concat where data.order_file gives the order");
}

}  // namespace

const std::vector<std::string>& glyph_task_names() {
  static const std::vector<std::string> tasks = {"strokes", "cursive", "objects"};
  return tasks;
}

std::optional<BrokenRule> first_broken_rule(const Config& config) {
  for (const ConfigKey& key : config_keys())
    if (const auto problem = problem_with(key, key.get(config)))
      return BrokenRule{{key.name()}, *problem};
  for (const Rule rule :
       {heads_share_kv_heads, heads_share_the_width, head_width_is_even, tokens_find_enough_experts,
        every_expert_owns_a_dimension, rank_fits_the_backbone, glyph_tasks_exist,
        coarse_labels_are_defined, order_file_decides_alone})
    if (auto found = rule(config)) return found;
  return std::nullopt;
}

void validate(const Config& config, const std::string& origin) {
  if (const auto rule = first_broken_rule(config))
    throw InputError(origin + ": " + rule->keys.front() + ": " + rule->message);
}

int64_t MoeConfig::resolved_rank() const {
  if (rank) return *rank;
  // The largest r with r²·N <= D², in integers: floor() of a quotient of doubles can miss an exact
  // square.
  const auto fits = [this](int64_t r) { return r * r * num_experts <= d_base * d_base; };
  auto r = static_cast<int64_t>(static_cast<double>(d_base) /
                                std::sqrt(static_cast<double>(num_experts)));
  while (!fits(r)) --r;
  while (fits(r + 1)) ++r;
  return r;
}

}  // namespace cdsp
