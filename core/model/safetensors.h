// The safetensors file format: an 8-byte little-endian header length, a JSON header, raw
// little-endian data. Read here with every length checked, written whole (base/atomic_file.h).
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include <ATen/core/Tensor.h>

namespace cdsp {

struct TensorFile {
  std::map<std::string, at::Tensor> tensors;    // host tensors: float32, float64 or int64
  std::map<std::string, std::string> metadata;  // the header's __metadata__
};

/// Throws InputError naming the file: missing, shorter than it says, a header that is no JSON, an
/// unknown dtype, offsets that do not fit shape or file.
TensorFile read_safetensors(const std::filesystem::path& path);

/// Tensors may live anywhere; they are copied to the host. Throws WorkError.
void write_safetensors(const std::filesystem::path& path, const TensorFile& content);

}  // namespace cdsp
