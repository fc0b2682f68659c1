// Memory of the device and of the host, and copies.
#include <cstring>

#include "device.h"

namespace pretend_gpu {
namespace {

void require_allocated(const void* address, size_t size, const char* what) {
  const auto& allocated = Device::get().allocated;
  auto after = allocated.upper_bound(static_cast<char*>(const_cast<void*>(address)));
  if (after != allocated.begin()) {
    const auto& [place, length] = *--after;
    if (static_cast<const char*>(address) + size <= place + length) return;
  }
  end_program(std::string(what) + " of device memory that nobody has");
}

cudaError_t copy(void* to, const void* from, size_t size, cudaMemcpyKind kind, Stream& stream) {
  const bool to_device = is_device_memory(to), from_device = is_device_memory(from);
  const bool is_told_wrong = (kind == cudaMemcpyHostToDevice && (!to_device || from_device)) ||
                             (kind == cudaMemcpyDeviceToHost && (to_device || !from_device)) ||
                             (kind == cudaMemcpyDeviceToDevice && (!to_device || !from_device));
  if (is_told_wrong) end_program("a copy between other memories than it says");
  if (size == 0) return cudaSuccess;
  if (to_device) require_allocated(to, size, "a copy");
  if (from_device) require_allocated(from, size, "a copy");
  const auto& pinned = Device::get().pinned;
  const bool is_at_once =
      !stream.capture && (!to_device || !from_device) && pinned.count(to_device ? from : to) == 0;
  const cudaError_t error = enqueue_on(stream, {"copy", [=] { std::memcpy(to, from, size); }});
  // With memory of the host that is not pinned the call comes back when the copy is made.
  if (is_at_once && error == cudaSuccess) finish(stream);
  return error;
}

}  // namespace
}  // namespace pretend_gpu

using namespace pretend_gpu;

extern "C" {

cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  *total = kMemory;
  *free = kMemory - Device::get().used;
  return cudaSuccess;
}
cudaError_t cudaMalloc(void** address, size_t size) {
  Device& device = Device::get();
  const Lock lock(device.mutex);
  if (is_forbidden_now()) return cudaErrorStreamCaptureUnsupported;
  const size_t whole = (size + kPage - 1) / kPage * kPage;
  const auto found = device.free.find(whole);
  char* place = nullptr;
  if (found != device.free.end()) {
    place = found->second;
    device.free.erase(found);
  } else {
    if (device.used + whole > kMemory) return fail(cudaErrorMemoryAllocation);
    place = device.begin() + device.used;
    device.used += whole;
  }
  device.allocated[place] = whole;
  const Open open;
  std::memset(place, 0xFF, whole);  // NaN: nothing is promised there
  *address = place;
  return cudaSuccess;
}
cudaError_t cudaFree(void* address) {
  Device& device = Device::get();
  const Lock lock(device.mutex);
  if (address == nullptr) return cudaSuccess;
  if (is_forbidden_now()) return cudaErrorStreamCaptureUnsupported;
  const auto found = device.allocated.find(static_cast<char*>(address));
  if (found == device.allocated.end()) return fail(cudaErrorInvalidValue);
  finish_all();  // as cudaFree does
  const Open open;
  std::memset(found->first, 0xFF, found->second);
  device.free.emplace(found->second, found->first);
  device.allocated.erase(found);
  return cudaSuccess;
}
cudaError_t cudaHostAlloc(void** address, size_t size, unsigned) {
  const Lock lock(Device::get().mutex);
  if (is_forbidden_now()) return cudaErrorStreamCaptureUnsupported;
  *address = std::malloc(size);
  if (*address == nullptr) return fail(cudaErrorMemoryAllocation);
  Device::get().pinned.insert(*address);
  return cudaSuccess;
}
cudaError_t cudaFreeHost(void* address) {
  const Lock lock(Device::get().mutex);
  finish_all();
  Device::get().pinned.erase(address);
  std::free(address);
  return cudaSuccess;
}
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* address) {
  const Lock lock(Device::get().mutex);
  std::memset(attributes, 0, sizeof *attributes);
  if (Device::get().pinned.count(address) > 0) attributes->type = cudaMemoryTypeHost;
  if (!is_device_memory(address)) return cudaSuccess;
  attributes->type = cudaMemoryTypeDevice;
  attributes->devicePointer = const_cast<void*>(address);
  return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t size, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  const Lock lock(Device::get().mutex);
  return copy(to, from, size, kind, stream_of(stream));
}
cudaError_t cudaMemcpy(void* to, const void* from, size_t size, cudaMemcpyKind kind) {
  const Lock lock(Device::get().mutex);
  if (is_forbidden_now()) return cudaErrorStreamCaptureUnsupported;
  return copy(to, from, size, kind, Device::get().default_stream);
}
cudaError_t cudaMemsetAsync(void* to, int value, size_t size, cudaStream_t stream) {
  const Lock lock(Device::get().mutex);
  if (!is_device_memory(to)) end_program("cudaMemsetAsync is given an address of the host");
  if (size > 0) require_allocated(to, size, "setting");
  return enqueue_on(stream_of(stream), {"set", [=] { std::memset(to, value, size); }});
}

}  // extern "C"
