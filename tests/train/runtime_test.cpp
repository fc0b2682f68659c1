// What the program asks of the system before it works.
#include "train/runtime.h"

#include <cstdint>
#include <cstdio>
#include <fstream>
#include <string>

#include <ATen/ATen.h>

#include "support/catch.h"

using namespace cdsp;

namespace {

/// The kernel's flags of the mapping that holds this address, " hg" among them where it was told
/// that huge pages are welcome.
std::string mapping_flags(const void* address) {
  const auto wanted = reinterpret_cast<uintptr_t>(address);
  std::ifstream smaps("/proc/self/smaps");
  bool is_inside = false;
  for (std::string line; std::getline(smaps, line);) {
    unsigned long long begin = 0, end = 0;
    if (std::sscanf(line.c_str(), "%llx-%llx ", &begin, &end) == 2)
      is_inside = begin <= wanted && wanted < end;
    if (is_inside && line.rfind("VmFlags:", 0) == 0) return line.substr(8);
  }
  return "";
}

}  // namespace

TEST_CASE("large tensors lie where the system may use huge pages") {
  if (!keep_freed_memory()) {
    // A sanitizer's heap, another C library, a kernel without huge pages or a limit on memory.
    WARN("skipped: no memory could be reserved for huge pages");
    return;
  }
  // Larger than any hole that other tests have left in the heap, and never written to.
  const at::Tensor tensor = at::empty({int64_t(384) << 20}, at::kByte);
  const std::string flags = mapping_flags(tensor.data_ptr<uint8_t>() + tensor.numel() / 2);
  INFO("VmFlags:" << flags);
  CHECK(flags.find(" hg") != std::string::npos);
}
