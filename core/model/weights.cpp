#include "model/weights.h"

#include <set>
#include <sstream>

#include <ATen/ATen.h>

#include "base/error.h"

namespace cdsp {
namespace fs = std::filesystem;
namespace {

std::string shape_text(at::IntArrayRef sizes) {
  std::ostringstream text;
  text << sizes;
  return text.str();
}

}  // namespace

TensorFile weights_of(const Network& network) {
  TensorFile content;
  for (const Parameter& parameter : network.parameters().all()) {
    content.tensors[parameter.name] = parameter.value;
  }
  return content;
}

void load_weights(const Network& network, const fs::path& path) {
  load_weights(network, read_safetensors(path), path);
}

void load_weights(const Network& network, const TensorFile& content, const fs::path& origin) {
  std::set<std::string> expected;
  // All is checked before anything is copied: a rejected file leaves the network as it was.
  for (const Parameter& parameter : network.parameters().all()) {
    expected.insert(parameter.name);
    const auto found = content.tensors.find(parameter.name);
    if (found == content.tensors.end()) {
      throw InputError(
          origin.string() + ": tensor " + parameter.name +
          " is missing; the config asks for a network that has it (another variant or size?)");
    }
    if (found->second.sizes() != parameter.value.sizes()) {
      throw InputError(origin.string() + ": tensor " + parameter.name + " has shape " +
                       shape_text(found->second.sizes()) + ", the config asks for " +
                       shape_text(parameter.value.sizes()));
    }
    if (!at::isFloatingType(found->second.scalar_type())) {
      throw InputError(origin.string() + ": tensor " + parameter.name +
                       " holds integers, not weights");
    }
  }
  for (const auto& [name, tensor] : content.tensors) {
    if (expected.count(name) == 0) {
      throw InputError(origin.string() + ": tensor " + name +
                       " has no place in the network of the config (another variant or size?)");
    }
  }
  for (const Parameter& parameter : network.parameters().all()) {
    parameter.value.detach().copy_(content.tensors.at(parameter.name));
  }
}

}  // namespace cdsp
