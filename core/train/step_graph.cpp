#include "train/step_graph.h"

#ifdef CDSP_WITH_CUDA_KERNELS
#include <ATen/cuda/CUDAContext.h>
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#endif

namespace cdsp {

#ifdef CDSP_WITH_CUDA_KERNELS

struct StepGraph::Graph {
  at::cuda::CUDAStream stream = at::cuda::getStreamFromPool(/*isHighPriority=*/true);
  std::unique_ptr<at::cuda::CUDAGraph> captured;

  /// Does `work` on the stream for set-ups and captures, between two waits.
  void aside(const std::function<void()>& work) const {
    C10_CUDA_CHECK(cudaStreamSynchronize(at::cuda::getCurrentCUDAStream()));
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

struct StepGraph::Graph {};

bool StepGraph::is_available() { return false; }
bool StepGraph::is_captured() const { return false; }
void StepGraph::run(const std::function<void()>& work) { work(); }

#endif

StepGraph::StepGraph(int64_t batch) : batch_(batch), graph_(std::make_unique<Graph>()) {}
StepGraph::~StepGraph() = default;

}  // namespace cdsp
