// What is told of the CUDA devices: from a driver made up here, and from the machine's own.
#include "train/cuda_devices.h"

#include <cstring>

#include "base/error.h"
#include "support/catch.h"
#include "support/thrown.h"
#include "train/runtime.h"

using namespace cdsp;
using namespace cdsp::test;

namespace {

/// Two devices, whose handles are not their numbers.
CudaDriver made_up_driver() {
  CudaDriver driver{};
  driver.cuInit = [](unsigned flags) { return flags == 0 ? 0 : 1; };
  driver.cuDeviceGet = [](int* device, int ordinal) {
    *device = 10 + ordinal;
    return ordinal < 2 ? 0 : 101;
  };
  driver.cuDeviceGetName = [](char* name, int length, int device) {
    std::strncpy(name, device == 10 ? "Large" : "Small", static_cast<size_t>(length));
    return 0;
  };
  driver.cuDeviceGetAttribute = [](int* value, int attribute, int device) {
    *value = attribute == 75   ? (device == 10 ? 9 : 7)
             : attribute == 76 ? (device == 10 ? 0 : 5)
                               : -1;
    return 0;
  };
  driver.cuDeviceTotalMem = [](size_t* bytes, int device) {
    *bytes = device == 10 ? size_t{85} << 30 : size_t{4} << 30;
    return 0;
  };
  return driver;
}

}  // namespace

TEST_CASE("CUDA devices are told by name, compute capability and memory") {
  const auto devices = describe_cuda_devices(made_up_driver(), 2);
  REQUIRE(devices.size() == 2);
  CHECK(devices[0].name == "Large");
  CHECK(devices[0].compute_capability == "9.0");
  CHECK(devices[0].memory_bytes == int64_t{85} << 30);
  CHECK(devices[1].name == "Small");
  CHECK(devices[1].compute_capability == "7.5");
  CHECK(devices[1].memory_bytes == int64_t{4} << 30);
  CHECK(message_of<WorkError>([] { describe_cuda_devices(made_up_driver(), 3); }) ==
        "CUDA driver: cuDeviceGet failed with code 101");
  CHECK(describe_cuda_devices({}, 0).empty());
}

TEST_CASE("the machine's CUDA devices are those that LibTorch counts") {
  const auto devices = cuda_devices();
  CHECK(static_cast<int64_t>(devices.size()) == cuda_device_count());
  for (const CudaDevice& device : devices) {
    CHECK_FALSE(device.name.empty());
    CHECK(device.memory_bytes > 0);
  }
}
