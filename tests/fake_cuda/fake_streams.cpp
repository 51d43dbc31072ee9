// Streams, events, captures and graphs of the fake driver.
#include <algorithm>
#include <memory>

#include "fake_driver.h"

using namespace headrace::fake_cuda;

namespace {

Stream& stream_of(CUstream handle) { return handle ? *reinterpret_cast<Stream*>(handle) : state().standard; }
Event& event_of(CUevent handle) { return *reinterpret_cast<Event*>(handle); }
Graph& graph_of(CUgraph handle) { return *reinterpret_cast<Graph*>(handle); }
Executable& executable_of(CUgraphExec handle) { return *reinterpret_cast<Executable*>(handle); }

CUresult enqueue(Stream& stream, const CUDA_MEMCPY3D& params) {
  if (!stream.capturing()) return do_copy(params);
  Graph& graph = *stream.capture->graph;
  graph.nodes.push_back({params, stream.last});
  graph.handles.push_back(reinterpret_cast<CUgraphNode>(++state().nodes));
  state().copies[graph.handles.back()] = params;
  stream.last = {graph.nodes.size() - 1};
  return CUDA_SUCCESS;
}

bool all_joined(const Graph& graph, std::vector<size_t> open) {
  std::vector<bool> seen(graph.nodes.size());
  while (!open.empty()) {
    const size_t node = open.back();
    open.pop_back();
    if (seen[node]) continue;
    seen[node] = true;
    open.insert(open.end(), graph.nodes[node].after.begin(), graph.nodes[node].after.end());
  }
  return std::find(seen.begin(), seen.end(), false) == seen.end();
}

}  // namespace

#define BEGIN(function)                                       \
  if (const CUresult error = asked(#function)) return error;  \
  [[maybe_unused]] const std::lock_guard lock(state().mutex); \
  if (State::contexts == 0) return CUDA_ERROR_INVALID_CONTEXT

extern "C" {

CUresult cuMemcpyAsync(CUdeviceptr to, CUdeviceptr from, size_t size, CUstream stream) {
  BEGIN(cuMemcpyAsync);
  if (!to || !from) return CUDA_ERROR_INVALID_VALUE;
  CUDA_MEMCPY3D params = {};
  params.dstMemoryType = params.srcMemoryType = CU_MEMORYTYPE_UNIFIED;
  params.dstDevice = to;
  params.srcDevice = from;
  params.WidthInBytes = size;
  params.Height = params.Depth = 1;
  return enqueue(stream_of(stream), params);
}
CUresult cuMemsetD8Async(CUdeviceptr, unsigned char, size_t, CUstream) { return CUDA_ERROR_NOT_SUPPORTED; }

CUresult cuStreamCreate(CUstream* stream, unsigned) {
  BEGIN(cuStreamCreate);
  *stream = reinterpret_cast<CUstream>(std::make_unique<Stream>().release());
  return CUDA_SUCCESS;
}
CUresult cuStreamDestroy(CUstream stream) {
  BEGIN(cuStreamDestroy);
  const std::unique_ptr<Stream> dying(&stream_of(stream));
  return CUDA_SUCCESS;
}
CUresult cuStreamSynchronize(CUstream stream) {
  BEGIN(cuStreamSynchronize);
  if (!stream_of(stream).capturing()) return CUDA_SUCCESS;
  stream_of(stream).capture->broken = true;
  return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
}
CUresult cuStreamWaitEvent(CUstream handle, CUevent event, unsigned) {
  BEGIN(cuStreamWaitEvent);
  Stream& stream = stream_of(handle);
  const Event& from = event_of(event);
  if (!from.capture) return stream.capturing() ? CUDA_ERROR_STREAM_CAPTURE_ISOLATION : CUDA_SUCCESS;
  if (!from.capture->open) return CUDA_ERROR_INVALID_VALUE;
  if (stream.capturing() && stream.capture != from.capture) return CUDA_ERROR_STREAM_CAPTURE_MERGE;
  if (!stream.capturing()) {
    stream.capture = from.capture;
    stream.origin = false;
    stream.last.clear();
  }
  for (const size_t node : from.last) {
    if (std::find(stream.last.begin(), stream.last.end(), node) == stream.last.end())
      stream.last.push_back(node);
  }
  return CUDA_SUCCESS;
}

CUresult cuStreamBeginCapture(CUstream handle, CUstreamCaptureMode) {
  BEGIN(cuStreamBeginCapture);
  Stream& stream = stream_of(handle);
  if (!handle) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  if (stream.capturing()) return CUDA_ERROR_ILLEGAL_STATE;
  // Lives on: events may name it later.
  stream.capture =
      std::make_unique<Capture>(Capture{++state().captures, std::make_unique<Graph>().release()}).release();
  stream.origin = true;
  stream.last.clear();
  return CUDA_SUCCESS;
}
CUresult cuStreamEndCapture(CUstream handle, CUgraph* graph) {
  BEGIN(cuStreamEndCapture);
  Stream& stream = stream_of(handle);
  *graph = nullptr;
  if (!stream.capturing()) return CUDA_ERROR_ILLEGAL_STATE;
  if (!stream.origin) return CUDA_ERROR_STREAM_CAPTURE_UNMATCHED;
  Capture& capture = *stream.capture;
  capture.open = false;
  std::unique_ptr<Graph> made(capture.graph);
  capture.graph = nullptr;
  if (capture.broken) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
  if (!all_joined(*made, stream.last)) return CUDA_ERROR_STREAM_CAPTURE_UNJOINED;
  *graph = reinterpret_cast<CUgraph>(made.release());
  return CUDA_SUCCESS;
}
CUresult cuStreamGetCaptureInfo(CUstream handle, CUstreamCaptureStatus* status, cuuint64_t* id,
                                CUgraph* graph, const CUgraphNode** last, const CUgraphEdgeData** edges,
                                size_t* count) {
  BEGIN(cuStreamGetCaptureInfo);
  Stream& stream = stream_of(handle);
  *status = !stream.capturing()      ? CU_STREAM_CAPTURE_STATUS_NONE
            : stream.capture->broken ? CU_STREAM_CAPTURE_STATUS_INVALIDATED
                                     : CU_STREAM_CAPTURE_STATUS_ACTIVE;
  if (*status != CU_STREAM_CAPTURE_STATUS_ACTIVE) return CUDA_SUCCESS;
  stream.last_handles.clear();
  for (const size_t node : stream.last) stream.last_handles.push_back(stream.capture->graph->handles[node]);
  *id = stream.capture->id;
  *graph = reinterpret_cast<CUgraph>(stream.capture->graph);
  *last = stream.last_handles.data();
  *edges = nullptr;
  *count = stream.last_handles.size();
  return CUDA_SUCCESS;
}
CUresult cuStreamIsCapturing(CUstream stream, CUstreamCaptureStatus* status) {
  BEGIN(cuStreamIsCapturing);
  *status = stream_of(stream).capturing() ? CU_STREAM_CAPTURE_STATUS_ACTIVE : CU_STREAM_CAPTURE_STATUS_NONE;
  return CUDA_SUCCESS;
}

CUresult cuEventCreate(CUevent* event, unsigned) {
  BEGIN(cuEventCreate);
  *event = reinterpret_cast<CUevent>(std::make_unique<Event>().release());
  return CUDA_SUCCESS;
}
CUresult cuEventDestroy(CUevent event) {
  BEGIN(cuEventDestroy);
  const std::unique_ptr<Event> dying(&event_of(event));
  return CUDA_SUCCESS;
}
CUresult cuEventRecord(CUevent event, CUstream stream) {
  BEGIN(cuEventRecord);
  const Stream& from = stream_of(stream);
  event_of(event) = from.capturing() ? Event{from.capture, from.last} : Event{};
  return CUDA_SUCCESS;
}
CUresult cuEventSynchronize(CUevent event) {
  BEGIN(cuEventSynchronize);
  return event_of(event).capture ? CUDA_ERROR_CAPTURED_EVENT : CUDA_SUCCESS;
}
CUresult cuEventElapsedTime(float*, CUevent, CUevent) { return CUDA_ERROR_NOT_SUPPORTED; }

CUresult cuGraphInstantiate(CUgraphExec* made, CUgraph graph, unsigned long long) {
  BEGIN(cuGraphInstantiate);
  auto executable = std::make_unique<Executable>();
  executable->nodes = graph_of(graph).nodes;
  for (size_t i = 0; i < executable->nodes.size(); ++i) executable->index[graph_of(graph).handles[i]] = i;
  *made = reinterpret_cast<CUgraphExec>(executable.release());
  return CUDA_SUCCESS;
}
CUresult cuGraphExecDestroy(CUgraphExec executable) {
  BEGIN(cuGraphExecDestroy);
  const std::unique_ptr<Executable> dying(&executable_of(executable));
  return CUDA_SUCCESS;
}
CUresult cuGraphDestroy(CUgraph graph) {
  BEGIN(cuGraphDestroy);
  const std::unique_ptr<Graph> dying(&graph_of(graph));
  for (CUgraphNode node : dying->handles) state().copies.erase(node);
  return CUDA_SUCCESS;
}
CUresult cuGraphUpload(CUgraphExec, CUstream) {
  BEGIN(cuGraphUpload);
  return CUDA_SUCCESS;
}
CUresult cuGraphLaunch(CUgraphExec executable, CUstream stream) {
  BEGIN(cuGraphLaunch);
  for (const Node& node : executable_of(executable).nodes) {  // made in an order that they allow
    if (const CUresult error = enqueue(stream_of(stream), node.params)) return error;
  }
  return CUDA_SUCCESS;
}
CUresult cuGraphMemcpyNodeGetParams(CUgraphNode node, CUDA_MEMCPY3D* params) {
  BEGIN(cuGraphMemcpyNodeGetParams);
  const auto found = state().copies.find(node);
  if (found == state().copies.end()) return CUDA_ERROR_INVALID_VALUE;
  *params = found->second;
  return CUDA_SUCCESS;
}
CUresult cuGraphExecMemcpyNodeSetParams(CUgraphExec handle, CUgraphNode node, const CUDA_MEMCPY3D* params,
                                        CUcontext context) {
  BEGIN(cuGraphExecMemcpyNodeSetParams);
  Executable& executable = executable_of(handle);
  const auto found = executable.index.find(node);
  if (found == executable.index.end() || !context) return CUDA_ERROR_INVALID_VALUE;
  Node& known = executable.nodes[found->second];
  if (params->WidthInBytes == 0 || params->Height != 1 || params->Depth != 1) return CUDA_ERROR_INVALID_VALUE;
  known.params = *params;
  return CUDA_SUCCESS;
}

}  // extern "C"
