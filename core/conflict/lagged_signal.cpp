#include "conflict/lagged_signal.h"

#include <algorithm>

#include <ATen/ATen.h>
#include <ATen/Dispatch.h>

#include "conflict/gramian_cosines.h"
#include "conflict/lagged_signal_blocks.h"

namespace cdsp {
namespace {

/// Of the layers from `first` on, as many as one launch takes.
template <typename T>
void write_some(const std::vector<ConflictSite>& sites, ConflictGradient kind,
                const std::vector<at::Tensor>& lagged, size_t first) {
  const at::Tensor &u_of_first = sites[first].gradients->u, &mask_of_first = sites[first].mask;
  const size_t count =
      std::min(lagged.size() - first, static_cast<size_t>(lagged_signal_block::kLayers));
  LaggedSignalLayers<T> layers{};
  layers.layers = static_cast<int>(count);
  layers.experts = static_cast<int>(mask_of_first.size(0));
  layers.d = static_cast<int>(u_of_first.size(1));
  layers.columns = static_cast<int>(mask_of_first.size(1));
  std::vector<at::Tensor> contiguous;  // holds copies, if any, until the launches
  const auto pointer = [&contiguous](const at::Tensor& tensor) {
    return contiguous.emplace_back(tensor.contiguous()).template data_ptr<T>();
  };
  for (size_t n = 0; n < count; ++n) {
    const ConflictSite& site = sites[first + n];
    TORCH_CHECK(site.gradients->u.sizes() == u_of_first.sizes() &&
                    site.mask.sizes() == mask_of_first.sizes(),
                "layers of different shapes");
    layers.layer[n] = {pointer(site.gradients->u),
                       kind == ConflictGradient::kUv ? pointer(site.gradients->v) : nullptr,
                       pointer(site.mask),
                       contiguous.emplace_back(site.active.contiguous()).template data_ptr<bool>(),
                       lagged[first + n].data_ptr<T>()};
  }
  const int64_t device = u_of_first.get_device();
  const at::Tensor parts = at::empty({layers.parts()}, u_of_first.options());
  run_grid(LaggedSignalParts<T>{layers, parts.data_ptr<T>()}, device);
  run_grid(LaggedSignal<T>{layers, parts.data_ptr<T>(), kGradientNormEpsilon}, device);
}

}  // namespace

void write_lagged_signals(const std::vector<ConflictSite>& sites, ConflictGradient kind,
                          const std::vector<at::Tensor>& lagged) {
  for (size_t first = 0; first < lagged.size(); first += lagged_signal_block::kLayers) {
    AT_DISPATCH_FLOATING_TYPES(lagged[first].scalar_type(), "write_lagged_signals",
                               [&] { write_some<scalar_t>(sites, kind, lagged, first); });
  }
}

}  // namespace cdsp
