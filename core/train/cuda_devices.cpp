#include "train/cuda_devices.h"

#include <array>

#include <dlfcn.h>

#include "base/error.h"
#include "train/runtime.h"

namespace cdsp {
namespace {

constexpr const char* kLibrary = "libcuda.so.1";
// CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR of cuda.h.
constexpr int kCapabilityMajor = 75, kCapabilityMinor = 76;

void require_success(int code, const char* function) {
  if (code != 0)
    throw WorkError(std::string("CUDA driver: ") + function + " failed with code " +
                    std::to_string(code));
}

template <typename Function>
void find_function(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  if (function == nullptr)
    throw WorkError(std::string("CUDA driver: ") + kLibrary + " has no function " + name);
}

/// Loaded for the rest of the process, as LibTorch has it anyway.
CudaDriver load_driver() {
  void* library = dlopen(kLibrary, RTLD_NOW);
  if (library == nullptr) throw WorkError(std::string("CUDA driver: ") + dlerror());
  CudaDriver driver{};
  find_function(library, "cuInit", driver.cuInit);
  find_function(library, "cuDeviceGet", driver.cuDeviceGet);
  find_function(library, "cuDeviceGetName", driver.cuDeviceGetName);
  find_function(library, "cuDeviceGetAttribute", driver.cuDeviceGetAttribute);
  find_function(library, "cuDeviceTotalMem_v2", driver.cuDeviceTotalMem);
  return driver;
}

}  // namespace

std::vector<CudaDevice> describe_cuda_devices(const CudaDriver& driver, int64_t count) {
  std::vector<CudaDevice> devices;
  if (count > 0) require_success(driver.cuInit(0), "cuInit");
  for (int ordinal = 0; ordinal < static_cast<int>(count); ++ordinal) {
    int device = 0, major = 0, minor = 0;
    std::array<char, 256> name{};
    size_t bytes = 0;
    require_success(driver.cuDeviceGet(&device, ordinal), "cuDeviceGet");
    require_success(driver.cuDeviceGetName(name.data(), static_cast<int>(name.size()) - 1, device),
                    "cuDeviceGetName");
    require_success(driver.cuDeviceGetAttribute(&major, kCapabilityMajor, device),
                    "cuDeviceGetAttribute");
    require_success(driver.cuDeviceGetAttribute(&minor, kCapabilityMinor, device),
                    "cuDeviceGetAttribute");
    require_success(driver.cuDeviceTotalMem(&bytes, device), "cuDeviceTotalMem");
    devices.push_back({name.data(), std::to_string(major) + "." + std::to_string(minor),
                       static_cast<int64_t>(bytes)});
  }
  return devices;
}

std::vector<CudaDevice> cuda_devices() {
  const int64_t count = cuda_device_count();
  if (count == 0) return {};
  return describe_cuda_devices(load_driver(), count);
}

}  // namespace cdsp
