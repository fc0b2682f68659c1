#include "train/step_graph.h"

#ifdef CDSP_WITH_CUDA_KERNELS
#include <map>
#include <vector>

#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/version.h>

#include "kernels/cuda_stream.h"
#endif

namespace cdsp {

#ifdef CDSP_WITH_CUDA_KERNELS

namespace {

/// The current stream, or where that is the default one, the process's stream for captures.
c10::cuda::CUDAStream stream_for_captures(c10::DeviceIndex device) {
  const c10::cuda::CUDAStream current = c10::cuda::getCurrentCUDAStream(device);
  if (current != c10::cuda::getDefaultCUDAStream(device)) return current;
  static std::map<c10::DeviceIndex, c10::cuda::CUDAStream> streams;
  const auto found = streams.find(device);
  if (found != streams.end()) return found->second;
  return streams.emplace(device, c10::cuda::getStreamFromPool(/*isHighPriority=*/true, device))
      .first->second;
}

using PoolId = decltype(at::cuda::graph_pool_handle());

/// After a capture that failed: LibTorch's allocator goes on as if it were still at work, until it
/// is told. Where capture_end() or capture_begin() had got as far as to tell it, it throws.
void end_capture_in_allocator(c10::DeviceIndex device, const PoolId& pool) {
#if TORCH_VERSION_MAJOR > 2 || (TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR >= 3)
  using namespace c10::cuda;
  for (const auto& call :
       {CUDACachingAllocator::endAllocateToPool, CUDACachingAllocator::releasePool}) {
    try {
      call(device, pool);
    } catch (const std::exception&) {
      // Nothing is left to end.
    }
  }
#else
  static_cast<void>(device);
  static_cast<void>(pool);
#endif
}

}  // namespace

struct StepGraph::Graph {
  c10::DeviceIndex device;
  c10::cuda::CUDAStream stream;
  std::unique_ptr<at::cuda::CUDAGraph> captured;

  explicit Graph(int64_t gpu)
      : device(static_cast<c10::DeviceIndex>(gpu)), stream(stream_for_captures(device)) {}

  /// Does `work` on the stream for set-ups and captures, between two waits.
  void aside(const std::function<void()>& work) const {
    C10_CUDA_CHECK(cudaStreamSynchronize(c10::cuda::getCurrentCUDAStream()));
    {
      const c10::cuda::CUDAStreamGuard guard(stream);
      work();
    }
    C10_CUDA_CHECK(cudaStreamSynchronize(stream));
  }

  void capture(const std::function<void()>& work) {
    auto graph = std::make_unique<at::cuda::CUDAGraph>();
    const PoolId pool = at::cuda::graph_pool_handle();
    try {
      aside([&] {
        graph->capture_begin(pool);
        try {
          work();
        } catch (...) {
          // A stream left capturing would fail everything after it.
          try {
            graph->capture_end();
          } catch (const std::exception&) {
            // The first failure is the one to tell.
          }
          throw;
        }
        graph->capture_end();
      });
    } catch (...) {
      end_capture_in_allocator(device, pool);
      // LibTorch's allocator may know of this graph for as long as the process lives.
      static auto* const failed = new std::vector<std::unique_ptr<at::cuda::CUDAGraph>>;
      failed->push_back(std::move(graph));
      throw;
    }
    captured = std::move(graph);
  }
};

bool StepGraph::is_available() { return true; }
bool StepGraph::is_captured() const { return graph_->captured != nullptr; }

void StepGraph::run(const std::function<void()>& work) {
  const OnCudaDevice guard(graph_->device);
  if (!is_captured() && trouble_.empty()) {
    if (warm_ups_ < kWarmUpSteps) {
      ++warm_ups_;
      return graph_->aside(work);
    }
    try {
      graph_->capture(work);
    } catch (const std::exception& error) {
      const std::string text = error.what();
      trouble_ = text.substr(0, text.find('\n'));
      if (trouble_.empty()) trouble_ = "unknown";
      static_cast<void>(cudaGetLastError());  // a failed capture leaves its error behind
    }
  }
  if (is_captured()) {
    graph_->captured->replay();
  } else {
    work();
  }
}

#else

struct StepGraph::Graph {
  explicit Graph(int64_t) {}
};

bool StepGraph::is_available() { return false; }
bool StepGraph::is_captured() const { return false; }
void StepGraph::run(const std::function<void()>& work) { work(); }

#endif

StepGraph::StepGraph(int64_t batch, int64_t device)
    : batch_(batch), graph_(std::make_unique<Graph>(device)) {}
StepGraph::~StepGraph() = default;

}  // namespace cdsp
