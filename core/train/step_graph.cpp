#include "train/step_graph.h"

#ifdef CDSP_WITH_CUDA_KERNELS
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include "kernels/cuda_stream.h"
#endif

namespace cdsp {

#ifdef CDSP_WITH_CUDA_KERNELS

struct StepGraph::Graph {
  int64_t device;
  c10::cuda::CUDAStream stream;
  std::unique_ptr<at::cuda::CUDAGraph> captured;

  explicit Graph(int64_t gpu)
      : device(gpu),
        stream(c10::cuda::getStreamFromPool(/*isHighPriority=*/true,
                                            static_cast<c10::DeviceIndex>(gpu))) {}

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
    aside([&] {
      graph->capture_begin();
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
