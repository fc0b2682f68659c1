// A network's weights as a safetensors file, under the names of spec section 9.
#pragma once

#include <filesystem>

#include "model/network.h"
#include "model/safetensors.h"

namespace cdsp {

/// Every parameter under its name, in the network's dtype.
TensorFile weights_of(const Network& network);

/// Copies the file's tensors into the network. float32 and float64 convert into the network's
/// dtype. Throws InputError naming the file, the tensor, what was found and what the network needs:
/// a tensor missing, one the network does not have (another variant), another shape.
void load_weights(const Network& network, const std::filesystem::path& path);
void load_weights(const Network& network, const TensorFile& content,
                  const std::filesystem::path& origin);

}  // namespace cdsp
