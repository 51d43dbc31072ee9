// What a call costs beside the work of its steps: compiles an archive of one small op, and runs it into
// tensors that are there already.
//
//   call_overhead MODEL.pt2 [--benchmark_…]
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <filesystem>
#include <iostream>
#include <string>
#include <vector>

#include <headrace/headrace.h>

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

// The engine's file is gone when it returns; the engine keeps it open.
Result<Engine> compiled(const fs::path& model) {
  const fs::path file =
      fs::temp_directory_path() / ("headrace_call_overhead_" + std::to_string(::getpid()) + ".engine");
  Result<Engine> engine = compile(model, file);
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

int run(const fs::path& model) {
  try {
    const Engine engine = compiled(model).value();
    Context context = engine.context().value();
    const std::vector<Tensor> inputs = zeros(engine.inputs()).value(),
                              outputs = zeros(engine.outputs()).value();
    benchmark::RegisterBenchmark("run_into",
                                 [&](benchmark::State& state) { run_into(state, context, inputs, outputs); });
    benchmark::RunSpecifiedBenchmarks();
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
  if (argc != 2) {
    std::cerr << "usage: call_overhead MODEL.pt2 [--benchmark_…]; the model's shapes are fixed\n";
    return 2;
  }
  return headrace::run(argv[1]);
}
