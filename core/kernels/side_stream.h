// Work that the chain of a step from layer to layer does not wait for at once, on a stream of its
// own beside it: gradients of weights, and on the way forward what depends on the topology alone. A
// chain of small kernels leaves most of a GPU idle; in a captured graph the work aside becomes a
// branch.
//
// Memory: what the work uses is kept until the join, since LibTorch's allocator would hand it to
// the chain as soon as nobody holds it. What it leaves may be used and dropped after the join: the
// memory goes back to the side stream, whose next work waits for all that the chain had been given
// by then. What is left by work that does not wait for the chain is kept until join() for all.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include <ATen/core/Tensor.h>

namespace cdsp {

using AsideResults = std::vector<at::Tensor>;
using AsideWork = std::function<AsideResults()>;

/// Open, from here on, for the work of the current stream of a GPU (its number; -1, the host:
/// nothing happens) as long as it lives; one opened inside another one is the same. Backward
/// functions that LibTorch's threads call on that stream find it.
class SideStream {
 public:
  explicit SideStream(int64_t device);
  /// The outermost one joins.
  ~SideStream();
  SideStream(const SideStream&) = delete;
  SideStream& operator=(const SideStream&) = delete;

  /// Has the current stream wait for all that was run aside so far, which can be used from here on.
  void join();

 private:
  struct Branch;
  std::shared_ptr<Branch> branch_;
  bool is_outermost_ = false;
  friend AsideResults run_aside(int64_t device, AsideWork work);
  friend AsideResults run_aside_at_once(int64_t device, AsideWork work);
  friend AsideResults run_early(int64_t device, AsideWork work);
  friend void join_aside(int64_t device);
  friend void join_early(int64_t device);
};

/// Enqueues `work` aside, after all that the current stream has been given so far; where no
/// SideStream is open, as usual. `work` holds the tensors that it uses; its results may be used
/// after join().
AsideResults run_aside(int64_t device, AsideWork work);

/// The same on a second stream, for work that needs nothing of this step but what was there when
/// the SideStream was opened: the topologies. Its results may be used after join_early(), or
/// join().
AsideResults run_early(int64_t device, AsideWork work);
void join_early(int64_t device);

/// As run_aside() for work that uses nothing but what was left aside before, and what nobody writes
/// in this step: it waits for nothing else.
AsideResults run_aside_at_once(int64_t device, AsideWork work);

/// What SideStream::join() does, for whoever has no SideStream in hand.
void join_aside(int64_t device);

}  // namespace cdsp
