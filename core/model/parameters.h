// The learnable tensors of a network, by name and by learning speed.
#pragma once

#include <initializer_list>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

namespace cdsp {

/// The two speeds of the optimiser (spec section 6): topology logits learn faster and without
/// decay.
enum class ParameterGroup { kBase, kTopology };

/// What a parameter's values are multiplied with: those of a task embedding with the task alone, so
/// that no loss reaches them where the task is withheld from the whole batch.
enum class ParameterInput { kImage, kTask };

struct Parameter {
  std::string name;  // as in the checkpoint, "blocks.0.moe.U"
  at::Tensor value;  // leaf that requires grad
  ParameterGroup group;
  ParameterInput input;
};

class ParameterSet {
 public:
  /// Takes `initial` as a new leaf. Names are unique.
  at::Tensor add(const std::string& name, const at::Tensor& initial,
                 ParameterGroup group = ParameterGroup::kBase,
                 ParameterInput input = ParameterInput::kImage);

  /// Moves all values, group by group, into one flat buffer that the tensors then view, so that the
  /// optimiser and the clipping work on a few long vectors. Call once, after the last add().
  void flatten();

  /// The stretch of `flat`, a vector like flat(), that belongs to `parameters`, which are
  /// neighbours in this order. The tensors are handles that add() gave.
  static at::Tensor stretch(const at::Tensor& flat, std::initializer_list<at::Tensor> parameters);

  const std::vector<Parameter>& all() const { return parameters_; }
  std::vector<at::Tensor> values() const;
  /// Number of scalars.
  int64_t count() const;
  /// The flat buffer [count()]; parameters in the order of all(). Defined after flatten().
  const at::Tensor& flat() const { return flat_; }

 private:
  std::vector<Parameter> parameters_;
  at::Tensor flat_;
};

}  // namespace cdsp
