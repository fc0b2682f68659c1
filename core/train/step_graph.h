// A step of a fixed batch size as a CUDA graph.
//
// The first kWarmUpSteps calls do the work as it comes, since libraries set themselves up when
// first used and a capture may not. The next one captures the work and, like every later one,
// replays it. If the capture fails, the work is done as it comes from then on, and trouble() says
// why. In builds without CDSP_CUDA the work is always done as it comes.
//
// Set-ups and capture are made on the stream that the replays will be on: a captured product writes
// to cuBLAS' workspace of that stream, which must not be another run's at the same time. Where that
// is the default stream, which cannot be captured, they are made on one other stream.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace cdsp {

class StepGraph {
 public:
  static constexpr int kWarmUpSteps = 3;

  /// `device`: the number of the GPU.
  StepGraph(int64_t batch, int64_t device);
  ~StepGraph();
  StepGraph(const StepGraph&) = delete;
  StepGraph& operator=(const StepGraph&) = delete;

  int64_t batch() const { return batch_; }
  /// `work` enqueues the same operations on the same tensors every time, on the current stream.
  void run(const std::function<void()>& work);
  bool is_captured() const;
  /// Why the capture failed; empty if it did not.
  const std::string& trouble() const { return trouble_; }
  static bool is_available();

 private:
  struct Graph;
  int64_t batch_;
  int warm_ups_ = 0;
  std::string trouble_;
  std::unique_ptr<Graph> graph_;
};

}  // namespace cdsp
