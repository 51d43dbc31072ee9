// What a call costs beside the work of its steps: compiles an archive of one small op, and runs it into
// tensors that are there already. On a GPU, what the host does to enqueue it: the tensors lie there, the call
// goes to a stream, and is waited for now and then, outside of the time.
//
//   call_overhead MODEL.pt2 [DEVICE] [--benchmark_…]
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <filesystem>
#include <iostream>
#include <optional>
#include <string>
#include <vector>

#include <headrace/headrace.h>
#include "device_tensors.h"

namespace headrace {
namespace {

namespace fs = std::filesystem;

Result<std::vector<Tensor>> zeros(const std::vector<PortInfo>& ports) {
  std::vector<Tensor> tensors;
  for (const PortInfo& port : ports) {
    std::vector<int64_t> shape;
    for (const std::string& size : port.shape) shape.push_back(std::stoll(size));
    Result<Tensor> tensor = Tensor::make(port.dtype, shape);
    if (!tensor.ok()) return tensor.status();
    tensors.push_back(*tensor);
  }
  return tensors;
}

void check(const Status& status) {
  if (!status.ok()) throw Error(status);
}

// The engine's file is gone when it returns; the engine keeps it open.
Result<Engine> compiled(const fs::path& model, const std::string& device) {
  const fs::path file =
      fs::temp_directory_path() / ("headrace_call_overhead_" + std::to_string(::getpid()) + ".engine");
  CompileOptions options;
  options.device = device;
  Result<Engine> engine = compile(model, file, options);
  std::error_code ignored;
  fs::remove(file, ignored);
  return engine;
}

void run_into(benchmark::State& state, Context& context, const std::vector<Tensor>& inputs,
              const std::vector<Tensor>& outputs) {
  for (auto _ : state) {
    if (const Status status = context.run_into(inputs, outputs); !status.ok()) {
      state.SkipWithError(status.message().c_str());
      break;
    }
  }
}

// So many calls wait in a stream at most; its queue takes more.
constexpr int kBeforeAWait = 256;

void enqueue(benchmark::State& state, Context& context, const bench::DeviceTensors& device,
             const std::vector<Tensor>& inputs, const std::vector<Tensor>& outputs) {
  int calls = 0;
  for (auto _ : state) {
    if (const Status status = context.run_into(inputs, outputs); !status.ok()) {
      state.SkipWithError(status.message().c_str());
      break;
    }
    if (++calls % kBeforeAWait != 0) continue;
    state.PauseTiming();
    device.wait();
    state.ResumeTiming();
  }
  device.wait();
}

int run(const fs::path& model, const std::string& device) {
  try {
    const Engine engine = compiled(model, device).value();
    Context context = engine.context().value();
    std::vector<Tensor> inputs = zeros(engine.inputs()).value(), outputs = zeros(engine.outputs()).value();
    std::optional<bench::DeviceTensors> there;
    if (engine.backend() == "cuda") {
      there.emplace();
      for (Tensor& tensor : inputs) tensor = there->copy(tensor);
      for (Tensor& tensor : outputs) tensor = there->copy(tensor);
      check(context.set_stream(there->stream()));
      for (int i = 0; i < 3; ++i) check(context.run_into(inputs, outputs));  // captured from then on
      there->wait();
    }
    benchmark::RegisterBenchmark(there ? "enqueue" : "run_into", [&](benchmark::State& state) {
      if (there) {
        enqueue(state, context, *there, inputs, outputs);
      } else {
        run_into(state, context, inputs, outputs);
      }
    });
    benchmark::RunSpecifiedBenchmarks();
    (void)context.set_stream(std::nullopt);  // the stream goes first
  } catch (const Error& error) {
    std::cerr << "call_overhead: " << error.what() << '\n';
    return 1;
  }
  return 0;
}

}  // namespace
}  // namespace headrace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (argc != 2 && argc != 3) {
    std::cerr << "usage: call_overhead MODEL.pt2 [DEVICE] [--benchmark_…]; the model's shapes are fixed\n";
    return 2;
  }
  return headrace::run(argv[1], argc == 3 ? argv[2] : "cpu");
}
