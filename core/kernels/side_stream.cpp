#include "kernels/side_stream.h"

#ifdef CDSP_WITH_CUDA_KERNELS
#include <exception>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include <ATen/cuda/CUDAEvent.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#endif

namespace cdsp {

#ifdef CDSP_WITH_CUDA_KERNELS

struct SideStream::Branch {
  c10::cuda::CUDAStream chain, side;
  std::vector<AsideWork> kept;
  bool has_begun = false;  // with a wait for the chain

  AsideResults run(AsideWork work);
  void join();
};

namespace {

using StreamName = std::pair<c10::DeviceIndex, c10::StreamId>;

StreamName name_of(const c10::cuda::CUDAStream& stream) {
  return {stream.device_index(), stream.id()};
}

/// The side stream of a chain's, the same every time.
c10::cuda::CUDAStream side_of(const c10::cuda::CUDAStream& chain) {
  static std::mutex mutex;
  static std::map<StreamName, c10::cuda::CUDAStream> sides;
  const std::lock_guard lock(mutex);
  const auto found = sides.find(name_of(chain));
  if (found != sides.end()) return found->second;
  // Of low priority: where both have work, the chain comes first.
  const auto side = c10::cuda::getStreamFromPool(/*isHighPriority=*/false, chain.device_index());
  return sides.emplace(name_of(chain), side).first->second;
}

struct OpenBranches {
  std::mutex mutex;
  std::map<StreamName, std::shared_ptr<void>> branches;
};

OpenBranches& open_branches() {
  static OpenBranches open;
  return open;
}

/// That of the current stream; null where none is open.
std::shared_ptr<void> open_branch(int64_t device) {
  const auto current = c10::cuda::getCurrentCUDAStream(static_cast<c10::DeviceIndex>(device));
  OpenBranches& open = open_branches();
  const std::lock_guard lock(open.mutex);
  const auto found = open.branches.find(name_of(current));
  return found != open.branches.end() ? found->second : nullptr;
}

/// Has `second` wait for all that `first` has been given.
void wait_for(const c10::cuda::CUDAStream& first, const c10::cuda::CUDAStream& second) {
  at::cuda::CUDAEvent event;
  event.record(first);
  event.block(second);
}

}  // namespace

SideStream::SideStream(int64_t device) {
  if (device < 0) return;
  const auto chain = c10::cuda::getCurrentCUDAStream(static_cast<c10::DeviceIndex>(device));
  const auto side = side_of(chain);
  if (side == chain) return;  // LibTorch's streams are a few, taken in turns
  OpenBranches& open = open_branches();
  const std::lock_guard lock(open.mutex);
  std::shared_ptr<void>& branch = open.branches[name_of(chain)];
  is_outermost_ = !branch;
  if (is_outermost_) branch = std::make_shared<Branch>(Branch{chain, side, {}, false});
  branch_ = std::static_pointer_cast<Branch>(branch);
}

SideStream::~SideStream() {
  if (!is_outermost_) return;
  try {
    join();
  } catch (const std::exception&) {
    // The failure that brought us here is the one to tell.
  }
  OpenBranches& open = open_branches();
  const std::lock_guard lock(open.mutex);
  open.branches.erase(name_of(branch_->chain));
}

void SideStream::Branch::join() {
  if (kept.empty()) return;
  wait_for(side, chain);
  kept.clear();
}

void SideStream::join() {
  if (branch_) branch_->join();
}

void join_aside(int64_t device) {
  if (device < 0) return;
  if (const auto branch = std::static_pointer_cast<SideStream::Branch>(open_branch(device)))
    branch->join();
}

AsideResults SideStream::Branch::run(AsideWork work) {
  AsideResults results;
  {
    const c10::cuda::CUDAStreamGuard guard(side);
    results = work();
  }
  kept.push_back(std::move(work));
  return results;
}

AsideResults run_aside(int64_t device, AsideWork work) {
  if (device < 0) return work();
  const auto branch = std::static_pointer_cast<SideStream::Branch>(open_branch(device));
  if (!branch) return work();
  wait_for(branch->chain, branch->side);
  branch->has_begun = true;
  return branch->run(std::move(work));
}

AsideResults run_aside_at_once(int64_t device, AsideWork work) {
  if (device < 0) return work();
  const auto branch = std::static_pointer_cast<SideStream::Branch>(open_branch(device));
  if (!branch) return work();
  // The step before must have ended, and a capture be joined.
  if (!branch->has_begun) return run_aside(device, std::move(work));
  return branch->run(std::move(work));
}

#else

struct SideStream::Branch {};

SideStream::SideStream(int64_t) {}
SideStream::~SideStream() = default;
void SideStream::join() {}
AsideResults run_aside(int64_t, AsideWork work) { return work(); }
AsideResults run_aside_at_once(int64_t, AsideWork work) { return work(); }
void join_aside(int64_t) {}

#endif

}  // namespace cdsp
