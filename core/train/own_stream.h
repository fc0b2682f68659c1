// A stream of its own on a GPU, so that one thread can keep several trainers at work there at once.
// On the host, and in builds without CDSP_CUDA, there is only one order of work: nothing happens.
#pragma once

#include <memory>

#include <c10/core/Device.h>

namespace cdsp {

class OwnStream {
 public:
  explicit OwnStream(c10::Device device);
  ~OwnStream();
  OwnStream(const OwnStream&) = delete;
  OwnStream& operator=(const OwnStream&) = delete;

  /// Whether all work enqueued on it is done, or has failed: then the next call on it throws.
  bool is_idle() const;

  /// Makes the stream this thread's current one for as long as it lives.
  class Use {
   public:
    explicit Use(const OwnStream& stream);
    ~Use();
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;

   private:
    struct Guard;
    std::unique_ptr<Guard> guard_;
  };

 private:
  struct Stream;
  std::unique_ptr<Stream> stream_;  // none on the host
};

/// Frees the memory of a GPU that LibTorch keeps for later: of other streams, and of graphs that
/// are gone. A capture, which may not free any, then finds all there is. Waits for the GPU.
void give_back_device_memory();

}  // namespace cdsp
