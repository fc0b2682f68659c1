#include "model/safetensors.h"

#include <algorithm>
#include <cstring>

#include <ATen/ATen.h>
#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "base/error.h"

namespace cdsp {
namespace fs = std::filesystem;
namespace {

struct StoredType {
  const char* name;
  at::ScalarType type;
};
constexpr StoredType kStoredTypes[] = {
    {"F32", at::kFloat}, {"F64", at::kDouble}, {"I64", at::kLong}};

[[noreturn]] void reject(const fs::path& path, const std::string& why) {
  throw InputError(path.string() + ": not a usable safetensors file: " + why);
}

at::ScalarType type_named(const fs::path& path, const std::string& tensor,
                          const std::string& name) {
  for (const StoredType& stored : kStoredTypes) {
    if (name == stored.name) return stored.type;
  }
  reject(path, "tensor " + tensor + " has dtype " + name + "; allowed are F32, F64 and I64");
}

const char* name_of(at::ScalarType type) {
  for (const StoredType& stored : kStoredTypes) {
    if (type == stored.type) return stored.name;
  }
  throw WorkError("a tensor of an unsupported dtype cannot be written as safetensors");
}

at::Tensor read_tensor(const fs::path& path, const std::string& name, const nlohmann::json& entry,
                       const char* data, uint64_t data_size) {
  const at::ScalarType type = type_named(path, name, entry.at("dtype").get<std::string>());
  const auto shape = entry.at("shape").get<std::vector<int64_t>>();
  const auto offsets = entry.at("data_offsets").get<std::vector<uint64_t>>();
  if (offsets.size() != 2 || offsets[0] > offsets[1] || offsets[1] > data_size) {
    reject(path, "tensor " + name + " reaches outside the file (truncated?)");
  }
  // Counted in floating point first: a hostile shape may overflow the integer product.
  double expected = static_cast<double>(at::elementSize(type)), addressed = expected;
  for (const int64_t extent : shape) {
    if (extent < 0) reject(path, "tensor " + name + " has a negative extent");
    expected *= static_cast<double>(extent);
    addressed *= static_cast<double>(std::max<int64_t>(extent, 1));
  }
  // An extent of 0 hides an overflow from the number of bytes, but not from the strides.
  if (expected == 0.0 && addressed >= 0x1.0p63)
    reject(path, "tensor " + name + " has a shape that overflows");
  if (expected != static_cast<double>(offsets[1] - offsets[0])) {
    reject(path, "tensor " + name + " has " + std::to_string(offsets[1] - offsets[0]) +
                     " bytes, its shape and dtype need another number");
  }
  at::Tensor tensor = at::empty(shape, at::TensorOptions().dtype(type));
  if (tensor.numel() > 0)
    std::memcpy(tensor.data_ptr(), data + offsets[0], offsets[1] - offsets[0]);
  return tensor;
}

}  // namespace

TensorFile read_safetensors(const fs::path& path) {
  const std::string bytes = read_file(path);
  uint64_t header_size = 0;
  if (bytes.size() < sizeof header_size)
    reject(path, "it is only " + std::to_string(bytes.size()) + " bytes long");
  std::memcpy(&header_size, bytes.data(), sizeof header_size);
  if (header_size > bytes.size() - sizeof header_size) {
    reject(path, "the header is longer than the file (truncated?)");
  }
  const char* header_begin = bytes.data() + sizeof header_size;
  const char* data = header_begin + header_size;
  const uint64_t data_size = bytes.size() - sizeof header_size - header_size;

  TensorFile content;
  try {
    const nlohmann::json header = nlohmann::json::parse(header_begin, data);
    if (!header.is_object()) reject(path, "the header is not a JSON object");
    for (const auto& [name, entry] : header.items()) {
      if (name == "__metadata__") {
        content.metadata = entry.get<std::map<std::string, std::string>>();
      } else {
        content.tensors[name] = read_tensor(path, name, entry, data, data_size);
      }
    }
  } catch (const nlohmann::json::exception&) {
    reject(path, "the header is not the JSON it should be");
  }
  return content;
}

void write_safetensors(const fs::path& path, const TensorFile& content) {
  nlohmann::json header = nlohmann::json::object();
  if (!content.metadata.empty()) header["__metadata__"] = content.metadata;
  std::vector<at::Tensor> on_host;
  uint64_t offset = 0;
  for (const auto& [name, tensor] : content.tensors) {
    const at::Tensor host = tensor.detach().to(at::kCPU).contiguous();
    header[name] = {{"dtype", name_of(host.scalar_type())},
                    {"shape", host.sizes().vec()},
                    {"data_offsets", {offset, offset + host.nbytes()}}};
    offset += host.nbytes();
    on_host.push_back(host);
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8,
              ' ');  // keeps the data 8-byte aligned for readers that map the file

  std::string bytes;
  bytes.reserve(sizeof(uint64_t) + text.size() + offset);
  const uint64_t header_size = text.size();
  bytes.append(reinterpret_cast<const char*>(&header_size), sizeof header_size);
  bytes += text;
  for (const at::Tensor& host : on_host) {
    if (host.numel() > 0) bytes.append(static_cast<const char*>(host.data_ptr()), host.nbytes());
  }
  write_file_atomically(path, bytes);
}

}  // namespace cdsp
