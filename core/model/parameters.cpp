#include "model/parameters.h"

#include <algorithm>

#include <ATen/ATen.h>

namespace cdsp {

at::Tensor ParameterSet::add(const std::string& name, const at::Tensor& initial,
                             ParameterGroup group, ParameterInput input) {
  at::Tensor value = initial.detach().clone(at::MemoryFormat::Contiguous);
  value.set_requires_grad(true);
  parameters_.push_back({name, value, group, input});
  return value;
}

void ParameterSet::flatten() {
  std::stable_sort(parameters_.begin(), parameters_.end(),
                   [](const Parameter& a, const Parameter& b) { return a.group < b.group; });
  flat_ = at::empty({count()}, parameters_.front().value.options().requires_grad(false));
  int64_t offset = 0;
  for (Parameter& parameter : parameters_) {
    const at::Tensor view =
        flat_.narrow(0, offset, parameter.value.numel()).view(parameter.value.sizes());
    view.copy_(parameter.value.detach());
    // Every handle on this parameter, the layers' too, now sees the flat buffer.
    parameter.value.set_data(view);
    offset += parameter.value.numel();
  }
}

at::Tensor ParameterSet::stretch(const at::Tensor& flat,
                                 std::initializer_list<at::Tensor> parameters) {
  const int64_t begin = parameters.begin()->storage_offset();
  int64_t end = begin;
  for (const at::Tensor& parameter : parameters) {
    TORCH_CHECK(parameter.storage_offset() == end, "parameters that are no neighbours");
    end += parameter.numel();
  }
  return flat.narrow(0, begin, end - begin);
}

std::vector<at::Tensor> ParameterSet::values() const {
  std::vector<at::Tensor> values;
  values.reserve(parameters_.size());
  for (const Parameter& parameter : parameters_) values.push_back(parameter.value);
  return values;
}

int64_t ParameterSet::count() const {
  int64_t count = 0;
  for (const Parameter& parameter : parameters_) count += parameter.value.numel();
  return count;
}

}  // namespace cdsp
