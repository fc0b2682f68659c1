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
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  WARN("skipped: a sanitizer has its own allocator");
  return;
#endif
  if (!std::ifstream("/sys/kernel/mm/transparent_hugepage/enabled")) {
    WARN("skipped: this kernel has no transparent huge pages");
    return;
  }
  keep_freed_memory();
  for (const int64_t megabytes : {8, 64, 512}) {
    const at::Tensor tensor = at::empty({megabytes << 20}, at::kByte);
    // Huge pages begin at multiples of 2 MB, so the first numbers may lie before them.
    const std::string flags = mapping_flags(tensor.data_ptr<uint8_t>() + tensor.numel() / 2);
    INFO(megabytes << " MB, VmFlags:" << flags);
    CHECK(flags.find(" hg") != std::string::npos);
  }
}
