// The CUDA devices of this machine, as NVIDIA's driver describes them: it is loaded when the
// program runs, so that a program built without CUDA's headers can ask it too.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace cdsp {

struct CudaDevice {
  std::string name;                // "NVIDIA H100 80GB HBM3"
  std::string compute_capability;  // "9.0"
  int64_t memory_bytes = 0;
};

/// What is used of the driver, by its functions' names. Each returns 0 if it worked.
struct CudaDriver {
  int (*cuInit)(unsigned flags);
  int (*cuDeviceGet)(int* device, int ordinal);
  int (*cuDeviceGetName)(char* name, int length, int device);
  int (*cuDeviceGetAttribute)(int* value, int attribute, int device);
  int (*cuDeviceTotalMem)(size_t* bytes, int device);
};

/// The first `count` devices. Throws WorkError naming the function that failed and its code.
std::vector<CudaDevice> describe_cuda_devices(const CudaDriver& driver, int64_t count);

/// The devices that LibTorch can use, in the order of their numbers; none where it has none. Throws
/// WorkError if the driver cannot be loaded or asked.
std::vector<CudaDevice> cuda_devices();

}  // namespace cdsp
