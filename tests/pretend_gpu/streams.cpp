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

/// The work of the first `place` entries of a stream that is not in `order` yet, and of what they
/// wait for. `done`: how many entries of each stream are.
void put_in_order(const Capture& capture, Stream* stream, size_t place,
                  std::map<Stream*, size_t>& done, std::vector<Node>& order) {
  const auto found = capture.entries.find(stream);
  if (found == capture.entries.end()) return;
  while (done[stream] < place) {
    const Captured& entry = found->second[done[stream]++];
    if (entry.awaited != nullptr) {
      put_in_order(capture, entry.awaited, entry.place, done, order);
    } else {
      order.push_back(entry.node);
    }
  }
}

/// The order in which other streams' work comes when the first stream waits for it; false where
/// some of it was left that the first stream never waited for.
bool has_all_joined(const Capture& capture, std::vector<Node>& order) {
  std::map<Stream*, size_t> done;
  const auto origin = capture.entries.find(capture.origin);
  if (origin != capture.entries.end())
    put_in_order(capture, capture.origin, origin->second.size(), done, order);
  for (const auto& [stream, entries] : capture.entries)
    if (done[stream] != entries.size()) return false;
  return true;
}

/// Every other stream as far ahead of the first one as its own waits allow.
std::vector<Node> as_early_as_may_be(const Capture& capture) {
  std::map<Stream*, size_t> done;
  std::vector<Node> order;
  const auto advance = [&](Stream* stream, const std::vector<Captured>& entries) {
    if (done[stream] == entries.size()) return false;
    const Captured& entry = entries[done[stream]];
    if (entry.awaited != nullptr && done[entry.awaited] < entry.place) return false;
    if (entry.awaited == nullptr) order.push_back(entry.node);
    ++done[stream];
    return true;
  };
  for (bool goes_on = true; goes_on;) {
    goes_on = false;
    for (const auto& [stream, entries] : capture.entries)
      while (stream != capture.origin && advance(stream, entries)) goes_on = true;
    const auto origin = capture.entries.find(capture.origin);
    if (!goes_on && origin != capture.entries.end())
      goes_on = advance(capture.origin, origin->second);
  }
  return order;
}

std::vector<Node> in_order_of_calls(const Capture& capture) {
  std::map<size_t, const Node*> by_number;
  for (const auto& [stream, entries] : capture.entries)
    for (const Captured& entry : entries)
      if (entry.awaited == nullptr) by_number[entry.number] = &entry.node;
  std::vector<Node> order;
  for (const auto& [number, node] : by_number) order.push_back(*node);
  return order;
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
  if (stream.capture) return spoil(stream, cudaErrorStreamCaptureUnsupported);
  if (is_forbidden_now()) return cudaErrorStreamCaptureUnsupported;
  finish(stream);
  return cudaSuccess;
}
cudaError_t cudaStreamQuery(cudaStream_t handle) {
  const Lock lock(Device::get().mutex);
  Stream& stream = stream_of(handle);
  if (stream.capture) return spoil(stream, cudaErrorStreamCaptureUnsupported);
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
  event.capture = stream.capture;
  if (event.capture) {
    event.stream = &stream;
    event.place = event.capture->entries[&stream].size();
    return cudaSuccess;
  }
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
  if (event.capture) {
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
  if (event.capture) {
    if (event.capture->has_ended) return fail(cudaErrorInvalidValue);
    if (stream.capture ? stream.capture != event.capture : &stream == &Device::get().default_stream)
      return spoil(stream, cudaErrorStreamCaptureIsolation);
    stream.capture = event.capture;  // a second stream joins
    stream.capture->add(&stream, {{"wait", nullptr}, event.stream, event.place});
    return cudaSuccess;
  }

  if (stream.capture) return spoil(stream, cudaErrorStreamCaptureIsolation);
  if (!event.mark) return cudaSuccess;
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
  if (stream.capture) return fail(cudaErrorIllegalState);
  stream.capture = std::make_shared<Capture>();
  stream.capture->origin = &stream;
  stream.capture->number = ++device.captures;
  ++device.capturing;
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t* graph) {
  Device& device = Device::get();
  const Lock lock(device.mutex);
  Stream& stream = stream_of(handle);
  *graph = nullptr;
  if (!stream.capture) return fail(cudaErrorIllegalState);
  if (stream.capture->origin != &stream) return fail(cudaErrorStreamCaptureUnmatched);
  const std::shared_ptr<Capture> capture = stream.capture;
  for (Stream* one : device.streams)
    if (one->capture == capture) one->capture = nullptr;
  capture->has_ended = true;
  --device.capturing;
  if (capture->is_spoilt) return fail(cudaErrorStreamCaptureInvalidated);
  Graph made;
  if (!has_all_joined(*capture, made.late)) return fail(cudaErrorStreamCaptureUnjoined);
  made.early = as_early_as_may_be(*capture);
  made.as_asked = in_order_of_calls(*capture);
  device.nodes_of_last_graph = made.late.size();
  *graph = reinterpret_cast<cudaGraph_t>(new Graph(std::move(made)));
  return cudaSuccess;
}
cudaError_t cudaStreamIsCapturing(cudaStream_t handle, cudaStreamCaptureStatus* status) {
  const Lock lock(Device::get().mutex);
  const auto& capture = stream_of(handle).capture;
  *status = !capture             ? cudaStreamCaptureStatusNone
            : capture->is_spoilt ? cudaStreamCaptureStatusInvalidated
                                 : cudaStreamCaptureStatusActive;
  return cudaSuccess;
}
cudaError_t cudaStreamGetCaptureInfo(cudaStream_t handle, cudaStreamCaptureStatus* status,
                                     unsigned long long* id, cudaGraph_t* graph,
                                     const cudaGraphNode_t** dependencies,
                                     const cudaGraphEdgeData** edges, size_t* count) {
  const Lock lock(Device::get().mutex);
  const auto& capture = stream_of(handle).capture;
  if (id != nullptr) *id = capture ? capture->number : 0;
  if (graph != nullptr) *graph = reinterpret_cast<cudaGraph_t>(capture.get());
  if (dependencies != nullptr) *dependencies = nullptr;
  if (edges != nullptr) *edges = nullptr;
  if (count != nullptr) *count = 0;
  return cudaStreamIsCapturing(handle, status);
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* ready, cudaGraph_t graph, unsigned long long) {
  *ready = reinterpret_cast<cudaGraphExec_t>(
      new std::shared_ptr<Graph>(std::make_shared<Graph>(*reinterpret_cast<const Graph*>(graph))));
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t* ready, cudaGraph_t graph,
                                          unsigned long long flags) {
  return cudaGraphInstantiate(ready, graph, flags);
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t ready, cudaStream_t stream) {
  const Lock lock(Device::get().mutex);
  if (stream_of(stream).capture) return spoil(stream_of(stream), cudaErrorStreamCaptureUnsupported);
  const auto graph = *reinterpret_cast<const std::shared_ptr<Graph>*>(ready);
  return enqueue_on(stream_of(stream),
                    {"graph", [graph] {
                       const bool is_late = graph->launches++ % 2 == 0;
                       for (const Node& node : is_late ? graph->late : graph->as_asked) node.work();
                     }});
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete reinterpret_cast<Graph*>(graph);
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t ready) {
  delete reinterpret_cast<std::shared_ptr<Graph>*>(ready);
  return cudaSuccess;
}
cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t*, size_t* count) {
  *count = reinterpret_cast<const Graph*>(graph)->late.size();
  return cudaSuccess;
}

}  // extern "C"
