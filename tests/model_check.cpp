// headrace_model_check MODEL.pt2 BACKEND PASSES INPUTS OUTPUTS: runs an exported program through front end,
// passes
// ("all", "none", or the names of those to skip, comma separated), lowering and kernels, without the runtime.
// tests/models/check_models.py calls it and compares with PyTorch's results.
//
// INPUTS and OUTPUTS: for each tensor u32 length and bytes of its name, u8 dtype, u8 rank, i64 sizes, bytes.
#include <cstdio>
#include <fstream>
#include <map>
#include <sstream>

#include "core/error.h"
#include "frontend/frontend.h"
#include "kernels/reference/reference_kernels.h"
#include "passes/passes.h"
#include "plan_runner.h"
#include "test_backends.h"

namespace headrace::test {
namespace {

class ArchiveReader : public WeightSourceReader {
 public:
  explicit ArchiveReader(std::shared_ptr<const frontend::Archive> archive) : archive_(std::move(archive)) {}
  Result<Bytes> size(const std::string& storage) const override { return archive_->size(storage); }
  Status read(const std::string& storage, Bytes offset, std::span<std::byte> out) const override {
    return archive_->read(storage, offset, out);
  }

 private:
  std::shared_ptr<const frontend::Archive> archive_;
};

Result<std::map<std::string, HostTensor>> read_tensors(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return not_found("cannot read '{}'", path);
  std::map<std::string, HostTensor> tensors;
  uint32_t length = 0;
  while (file.read(reinterpret_cast<char*>(&length), sizeof(length))) {
    std::string name(length, '\0');
    file.read(name.data(), length);
    HostTensor& tensor = tensors[name];
    uint8_t head[2] = {};
    file.read(reinterpret_cast<char*>(head), 2);
    tensor.dtype = static_cast<DType>(head[0]);
    tensor.shape.resize(head[1]);
    file.read(reinterpret_cast<char*>(tensor.shape.data()), head[1] * 8);
    tensor.bytes.resize(static_cast<size_t>(element_count(std::span<const int64_t>(tensor.shape)) *
                                            dtype_size(tensor.dtype)));
    file.read(reinterpret_cast<char*>(tensor.bytes.data()),
              static_cast<std::streamsize>(tensor.bytes.size()));
    if (!file) return corrupt("'{}' is cut short", path);
  }
  return tensors;
}

void write_tensor(std::ofstream& file, const std::string& name, const HostTensor& tensor) {
  const auto length = static_cast<uint32_t>(name.size());
  const char head[2] = {static_cast<char>(tensor.dtype), static_cast<char>(tensor.shape.size())};
  file.write(reinterpret_cast<const char*>(&length), sizeof(length))
      .write(name.data(), length)
      .write(head, 2);
  file.write(reinterpret_cast<const char*>(tensor.shape.data()),
             static_cast<std::streamsize>(tensor.shape.size() * 8));
  file.write(reinterpret_cast<const char*>(tensor.bytes.data()),
             static_cast<std::streamsize>(tensor.bytes.size()));
}

// The reference back end folds literals.
Result<std::vector<std::vector<std::byte>>> fold(const ir::Node& node) {
  std::vector<HostTensor> inputs, outputs;
  std::vector<const HostTensor*> present;
  inputs.reserve(node.inputs().size());
  for (const ir::Value* value : node.inputs()) {
    if (value) {
      HR_ASSIGN(Sizes shape, evaluate(std::span<const Dim>(value->shape()), {}));
      inputs.push_back({value->dtype(), std::move(shape), value->literal()});
    }
    present.push_back(value ? &inputs.back() : nullptr);
  }
  for (const ir::Value* value : node.outputs()) {
    HR_ASSIGN(Sizes shape, evaluate(std::span<const Dim>(value->shape()), {}));
    const auto size =
        static_cast<size_t>(element_count(std::span<const int64_t>(shape)) * dtype_size(value->dtype()));
    outputs.push_back({value->dtype(), std::move(shape), std::vector<std::byte>(size)});
  }
  HR_TRY(reference::run_op(node.op()->name, node.attributes(), present, outputs));
  std::vector<std::vector<std::byte>> bytes;
  for (HostTensor& output : outputs) bytes.push_back(std::move(output.bytes));
  return bytes;
}

Status run_all_passes(ir::Graph& graph, const Lowering& lowering, const std::string& passes) {
  if (passes == "none") return {};
  passes::PassOptions options;
  options.preferences = lowering.preferences();
  options.evaluate = fold;
  options.verify = true;
  std::istringstream names(passes == "all" ? "" : passes);
  for (std::string name; std::getline(names, name, ',');) options.off.push_back(name);
  return passes::run_passes(graph, options).status();
}

Status check(char** arguments) {
  HR_ASSIGN(const auto archive, frontend::Archive::open(arguments[1]));
  HR_ASSIGN(const frontend::ExportedProgram program, frontend::read_program(*archive));
  HR_ASSIGN(ir::Graph graph, frontend::lower_program(program, [&](const std::string& storage, Bytes offset,
                                                                  std::span<std::byte> out) {
              return archive->read(storage, offset, out);
            }));
  HR_TRY(ir::verify(graph));
  TestBackend backend = make_test_backend(arguments[2]);
  HR_TRY(run_all_passes(graph, *backend.lowering, arguments[3]));
  HR_ASSIGN(Plan plan, backend.lowering->lower(graph));
  const auto evaluator = reference::make_evaluator();
  HR_ASSIGN(PlanRunner runner, PlanRunner::create(std::move(plan), *backend.kernels, backend.packer.get(),
                                                  *evaluator, ArchiveReader(archive), backend.device));
  HR_ASSIGN(auto given, read_tensors(arguments[4]));
  std::vector<HostTensor> inputs;
  for (const InputSpec& spec : runner.plan().inputs) {
    const auto found = given.find(spec.name);
    if (found == given.end() && spec.kind != InputKind::kConstant)
      return not_found("input '{}' is not given", spec.name);
    inputs.push_back(found == given.end() ? HostTensor{} : std::move(found->second));
  }
  HR_ASSIGN(const std::vector<HostTensor> outputs, runner.run(inputs, 2));
  std::ofstream file(arguments[5], std::ios::binary);
  for (size_t i = 0; i < outputs.size(); ++i)
    if (runner.plan().outputs[i].kind != OutputKind::kNoneValue)
      write_tensor(file, runner.plan().outputs[i].name, outputs[i]);
  return file.flush() ? Status() : unavailable("cannot write '{}'", arguments[5]);
}

}  // namespace
}  // namespace headrace::test

int main(int count, char** arguments) {
  if (count != 6) {
    std::fprintf(stderr, "usage: %s MODEL.pt2 BACKEND PASSES INPUTS OUTPUTS\n", arguments[0]);
    return 2;
  }
  const headrace::Status status = headrace::test::check(arguments);
  if (!status.ok()) std::fprintf(stderr, "%s\n", status.message().c_str());
  return status.ok() ? 0 : 1;
}
