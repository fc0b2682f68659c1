#include "kernels/side_stream.h"

#ifdef CDSP_WITH_CUDA_KERNELS
#include <exception>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include <ATen/cuda/CUDAEvent.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#endif

namespace cdsp {

#ifdef CDSP_WITH_CUDA_KERNELS

/// A stream beside the chain, and the work it was given since the chain last waited for it.
struct Side {
  c10::cuda::CUDAStream stream;
  std::vector<AsideWork> kept = {};
  bool has_begun = false;  // with a wait for the chain

  AsideResults run(AsideWork work);
  void join(const c10::cuda::CUDAStream& chain);
};

struct SideStream::Branch {
  c10::cuda::CUDAStream chain;
  Side side, early;
  at::cuda::CUDAEvent opened = {};
  /// Results of work that did not wait for the chain: the next such work must not be given their
  /// memory while the chain may still read them.
  AsideResults held = {};

  AsideResults hold(AsideResults results) {
    held.insert(held.end(), results.begin(), results.end());
    return results;
  }
  void join() {
    early.join(chain);
    side.join(chain);
    held.clear();
  }
};

namespace {

using StreamName = std::pair<c10::DeviceIndex, c10::StreamId>;

StreamName name_of(const c10::cuda::CUDAStream& stream) {
  return {stream.device_index(), stream.id()};
}

/// The side stream of a chain's with this number, the same every time, and nobody else's:
/// LibTorch's own streams are a few, which several runs share. Two that shared one would write to
/// the same workspace of cuBLAS in graphs that are replayed side by side, and be handed each
/// other's memory.
c10::cuda::CUDAStream side_of(const c10::cuda::CUDAStream& chain, int number) {
  static std::mutex mutex;
  static std::map<std::pair<StreamName, int>, c10::cuda::CUDAStream> sides;
  const std::lock_guard lock(mutex);
  const std::pair<StreamName, int> name(name_of(chain), number);
  const auto found = sides.find(name);
  if (found != sides.end()) return found->second;
  // Of the lowest priority, below the streams of runs: where both have work, the chain comes first.
  cudaStream_t stream = nullptr;
  C10_CUDA_CHECK(cudaStreamCreateWithPriority(&stream, cudaStreamNonBlocking, /*priority=*/0));
  const auto side = c10::cuda::getStreamFromExternal(stream, chain.device_index());
  return sides.emplace(name, side).first->second;
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
  const auto side = side_of(chain, 0), early = side_of(chain, 1);
  OpenBranches& open = open_branches();
  const std::lock_guard lock(open.mutex);
  std::shared_ptr<void>& branch = open.branches[name_of(chain)];
  is_outermost_ = !branch;
  if (is_outermost_) {
    const auto made = std::make_shared<Branch>(Branch{chain, {side}, {early}});
    made->opened.record(chain);
    branch = made;
  }
  branch_ = std::static_pointer_cast<Branch>(branch);
}

SideStream::~SideStream() {
  if (!is_outermost_) return;
  for (Side* side : {&branch_->early, &branch_->side}) {
    try {
      side->join(branch_->chain);
    } catch (const std::exception&) {
      // The failure that brought us here is the one to tell.
    }
  }
  OpenBranches& open = open_branches();
  const std::lock_guard lock(open.mutex);
  open.branches.erase(name_of(branch_->chain));
}

void Side::join(const c10::cuda::CUDAStream& chain) {
  if (kept.empty()) return;
  wait_for(stream, chain);
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

AsideResults Side::run(AsideWork work) {
  kept.push_back(std::move(work));  // also where it fails half-way
  const c10::cuda::CUDAStreamGuard guard(stream);
  return kept.back()();
}

AsideResults run_aside(int64_t device, AsideWork work) {
  if (device < 0) return work();
  const auto branch = std::static_pointer_cast<SideStream::Branch>(open_branch(device));
  if (!branch) return work();
  wait_for(branch->chain, branch->side.stream);
  branch->side.has_begun = true;
  return branch->side.run(std::move(work));
}

AsideResults run_aside_at_once(int64_t device, AsideWork work) {
  if (device < 0) return work();
  const auto branch = std::static_pointer_cast<SideStream::Branch>(open_branch(device));
  if (!branch) return work();
  // The step before must have ended, and a capture be joined.
  if (!branch->side.has_begun) return run_aside(device, std::move(work));
  return branch->hold(branch->side.run(std::move(work)));
}

AsideResults run_early(int64_t device, AsideWork work) {
  if (device < 0) return work();
  const auto branch = std::static_pointer_cast<SideStream::Branch>(open_branch(device));
  if (!branch) return work();
  if (!branch->early.has_begun) branch->opened.block(branch->early.stream);
  branch->early.has_begun = true;
  return branch->hold(branch->early.run(std::move(work)));
}

void join_early(int64_t device) {
  if (device < 0) return;
  if (const auto branch = std::static_pointer_cast<SideStream::Branch>(open_branch(device)))
    branch->early.join(branch->chain);
}

#else

struct SideStream::Branch {};

SideStream::SideStream(int64_t) {}
SideStream::~SideStream() = default;
void SideStream::join() {}
AsideResults run_aside(int64_t, AsideWork work) { return work(); }
AsideResults run_aside_at_once(int64_t, AsideWork work) { return work(); }
AsideResults run_early(int64_t, AsideWork work) { return work(); }
void join_early(int64_t) {}
void join_aside(int64_t) {}

#endif

}  // namespace cdsp
