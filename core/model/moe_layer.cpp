#include "model/moe_layer.h"

#include <ATen/ATen.h>

#include "model/cdsp_moe.h"
#include "model/standard_moe.h"

namespace cdsp {

std::unique_ptr<MoeLayer> make_moe_layer(const Config& config, const std::string& prefix,
                                         const Initialiser& initialiser, ParameterSet& parameters,
                                         Engine engine) {
  switch (config.variant) {
    case Variant::kCdsp:
      return std::make_unique<CdspMoe>(config, prefix, initialiser, parameters, engine);
    case Variant::kBaseline:
    case Variant::kBlind:
      break;
  }
  return std::make_unique<StandardMoe>(config, prefix, initialiser, parameters, engine);
}

}  // namespace cdsp
