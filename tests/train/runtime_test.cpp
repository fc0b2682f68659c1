// What the program asks of the system before it works.
#include "train/runtime.h"

#include <cstdint>
#include <cstdio>
#include <fstream>
#include <string>

#include <ATen/ATen.h>
#include <unistd.h>

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
  WARN("skipped: a sanitizer has its own heap");
  return;
#endif
  if (!std::ifstream("/sys/kernel/mm/transparent_hugepage/enabled")) {
    WARN("skipped: this kernel has no transparent huge pages");
    return;
  }
  if (sysconf(_SC_PAGESIZE) != 4096) {
    WARN("skipped: pages of 4 KiB alone are gathered into huge ones");
    return;
  }
  keep_freed_memory();
  // Larger than any hole that other tests have left in the heap, and never written to.
  const at::Tensor tensor = at::empty({int64_t(384) << 20}, at::kByte);
  const std::string flags = mapping_flags(tensor.data_ptr<uint8_t>() + tensor.numel() / 2);
  INFO("VmFlags:" << flags);
  CHECK(flags.find(" hg") != std::string::npos);
}
