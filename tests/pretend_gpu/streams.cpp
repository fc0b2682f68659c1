// Streams, events, captures and graphs.
#include <ctime>
#include <utility>

#include "device.h"

namespace pretend_gpu {
namespace {

/// Whether what a query asks for is done. The first one is told that it is not.
cudaError_t answer_query(bool is_done, bool& was_called_busy) {
  if (is_done || was_called_busy) {
    was_called_busy = false;
    return cudaSuccess;
  }
  was_called_busy = true;
  return fail(cudaErrorNotReady);
}

double milliseconds_now() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) * 1e-6;
}

}  // namespace
}  // namespace pretend_gpu

using namespace pretend_gpu;

extern "C" {

cudaError_t cudaStreamCreateWithPriority(cudaStream_t* handle, unsigned flags, int) {
  const Lock lock(Device::get().mutex);
  auto* const stream = new Stream;
  stream->waits_for_default = (flags & cudaStreamNonBlocking) == 0;
  Device::get().streams.insert(stream);
  *handle = reinterpret_cast<cudaStream_t>(stream);
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t handle) {
  const Lock lock(Device::get().mutex);
  finish(stream_of(handle));
  Device::get().streams.erase(&stream_of(handle));
  delete reinterpret_cast<Stream*>(handle);
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
  const Lock lock(Device::get().mutex);
  Stream& stream = stream_of(handle);
  if (stream.captured) return spoil(stream, cudaErrorStreamCaptureUnsupported);
  if (is_forbidden_now()) return cudaErrorStreamCaptureUnsupported;
  finish(stream);
  return cudaSuccess;
}
cudaError_t cudaStreamQuery(cudaStream_t handle) {
  const Lock lock(Device::get().mutex);
  Stream& stream = stream_of(handle);
  if (stream.captured) return spoil(stream, cudaErrorStreamCaptureUnsupported);
  if (is_forbidden_now()) return cudaErrorStreamCaptureUnsupported;
  const cudaError_t answer = answer_query(stream.pending.empty(), stream.was_called_busy);
  if (answer == cudaSuccess) finish(stream);
  return answer;
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* handle, unsigned) {
  *handle = reinterpret_cast<cudaEvent_t>(new Event);
  return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t* handle) { return cudaEventCreateWithFlags(handle, 0); }
cudaError_t cudaEventDestroy(cudaEvent_t handle) {
  delete reinterpret_cast<Event*>(handle);
  return cudaSuccess;
}
cudaError_t cudaEventRecordWithFlags(cudaEvent_t handle, cudaStream_t stream_handle, unsigned) {
  const Lock lock(Device::get().mutex);
  Stream& stream = stream_of(stream_handle);
  auto& event = *reinterpret_cast<Event*>(handle);
  event.is_of_capture = stream.captured != nullptr;
  if (event.is_of_capture) return cudaSuccess;
  event.mark = std::make_shared<Mark>();
  event.mark->stream = &stream;
  event.was_called_busy = false;
  return enqueue_on(stream, {"event", [mark = event.mark] {
                               mark->is_reached = true;
                               mark->milliseconds = milliseconds_now();
                             }});
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  return cudaEventRecordWithFlags(event, stream, 0);
}
/// What both ways to ask for an event begin with.
static cudaError_t look_at(Event& event) {
  if (event.is_of_capture) {
    for (Stream* stream : Device::get().streams) spoil(*stream, cudaErrorCapturedEvent);
    return cudaErrorCapturedEvent;
  }
  return is_forbidden_now() ? cudaErrorStreamCaptureUnsupported : cudaSuccess;
}
cudaError_t cudaEventQuery(cudaEvent_t handle) {
  const Lock lock(Device::get().mutex);
  auto& event = *reinterpret_cast<Event*>(handle);
  if (const cudaError_t error = look_at(event); error != cudaSuccess) return error;
  if (!event.mark) return cudaSuccess;
  const cudaError_t answer = answer_query(event.mark->is_reached, event.was_called_busy);
  if (answer == cudaSuccess) reach(*event.mark);
  return answer;
}
cudaError_t cudaEventSynchronize(cudaEvent_t handle) {
  const Lock lock(Device::get().mutex);
  auto& event = *reinterpret_cast<Event*>(handle);
  if (const cudaError_t error = look_at(event); error != cudaSuccess) return error;
  if (event.mark) reach(*event.mark);
  return cudaSuccess;
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to) {
  const Lock lock(Device::get().mutex);
  const auto &begin = reinterpret_cast<const Event*>(from)->mark,
             &end = reinterpret_cast<const Event*>(to)->mark;
  if (!begin || !end) return fail(cudaErrorInvalidResourceHandle);
  if (!begin->is_reached || !end->is_reached) return fail(cudaErrorNotReady);
  *milliseconds = static_cast<float>(end->milliseconds - begin->milliseconds);
  return cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event_handle, unsigned) {
  const Lock lock(Device::get().mutex);
  Stream& stream = stream_of(handle);
  const Event& event = *reinterpret_cast<const Event*>(event_handle);
  // A second stream could join a capture by this; nobody here has one do so.
  if ((stream.captured != nullptr) != event.is_of_capture)
    return spoil(stream, cudaErrorStreamCaptureIsolation);
  if (event.is_of_capture || !event.mark) return cudaSuccess;
  return enqueue_on(stream, {"wait", [mark = event.mark] { reach(*mark); }});
}

// ---- captures and graphs

cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode) {
  std::swap(*mode, mode_of_thread);
  return cudaSuccess;
}
cudaError_t cudaStreamBeginCapture(cudaStream_t handle, cudaStreamCaptureMode) {
  Device& device = Device::get();
  const Lock lock(device.mutex);
  Stream& stream = stream_of(handle);
  if (&stream == &device.default_stream) return fail(cudaErrorStreamCaptureUnsupported);
  if (stream.captured) return fail(cudaErrorIllegalState);
  stream.captured = std::make_unique<Graph>();
  stream.is_spoilt = false;
  stream.capture = ++device.captures;
  ++device.capturing;
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t* graph) {
  Device& device = Device::get();
  const Lock lock(device.mutex);
  Stream& stream = stream_of(handle);
  *graph = nullptr;
  if (!stream.captured) return fail(cudaErrorIllegalState);
  const std::unique_ptr<Graph> captured = std::move(stream.captured);
  --device.capturing;
  if (std::exchange(stream.is_spoilt, false)) return fail(cudaErrorStreamCaptureInvalidated);
  device.nodes_of_last_graph = captured->size();
  *graph = reinterpret_cast<cudaGraph_t>(new Graph(*captured));
  return cudaSuccess;
}
cudaError_t cudaStreamIsCapturing(cudaStream_t handle, cudaStreamCaptureStatus* status) {
  const Lock lock(Device::get().mutex);
  const Stream& stream = stream_of(handle);
  *status = !stream.captured   ? cudaStreamCaptureStatusNone
            : stream.is_spoilt ? cudaStreamCaptureStatusInvalidated
                               : cudaStreamCaptureStatusActive;
  return cudaSuccess;
}
cudaError_t cudaStreamGetCaptureInfo(cudaStream_t handle, cudaStreamCaptureStatus* status,
                                     unsigned long long* id, cudaGraph_t* graph,
                                     const cudaGraphNode_t** dependencies,
                                     const cudaGraphEdgeData** edges, size_t* count) {
  const Lock lock(Device::get().mutex);
  if (id != nullptr) *id = stream_of(handle).capture;
  if (graph != nullptr) *graph = reinterpret_cast<cudaGraph_t>(stream_of(handle).captured.get());
  if (dependencies != nullptr) *dependencies = nullptr;
  if (edges != nullptr) *edges = nullptr;
  if (count != nullptr) *count = 0;
  return cudaStreamIsCapturing(handle, status);
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* ready, cudaGraph_t graph, unsigned long long) {
  *ready = reinterpret_cast<cudaGraphExec_t>(new std::shared_ptr<const Graph>(
      std::make_shared<const Graph>(*reinterpret_cast<const Graph*>(graph))));
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t* ready, cudaGraph_t graph,
                                          unsigned long long flags) {
  return cudaGraphInstantiate(ready, graph, flags);
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t ready, cudaStream_t stream) {
  const Lock lock(Device::get().mutex);
  if (stream_of(stream).captured)
    return spoil(stream_of(stream), cudaErrorStreamCaptureUnsupported);
  const auto graph = *reinterpret_cast<const std::shared_ptr<const Graph>*>(ready);
  return enqueue_on(stream_of(stream), {"graph", [graph] {
                                          for (const Node& node : *graph) node.work();
                                        }});
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete reinterpret_cast<Graph*>(graph);
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t ready) {
  delete reinterpret_cast<std::shared_ptr<const Graph>*>(ready);
  return cudaSuccess;
}
cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t*, size_t* count) {
  *count = reinterpret_cast<const Graph*>(graph)->size();
  return cudaSuccess;
}

}  // extern "C"
