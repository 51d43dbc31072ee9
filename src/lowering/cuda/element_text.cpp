#include "lowering/cuda/element_text.h"

#include <fmt/format.h>

#include "lowering/cuda/step_writer.h"

namespace headrace::cuda {

KernelText element_kernel(std::string family, std::string_view body, int64_t width) {
  KernelText text;
  text.family = std::move(family);
  text.declarations = fmt::format(
      "struct $_body {{\ntemplate <int V, int N, class Int>\nDEVICE static void run(const GeneratedArgs<N>& "
      "args, "
      "const Int (&at)[N], Int index) {{\n{}}}\n}};",
      body);
  text.threads = 256;
  text.call = fmt::format("elements<$_body, {}, %>(args);", width);
  return text;
}

void ElementText::add_input(int reg, DType dtype) { inputs_.push_back({reg, dtype}); }
void ElementText::add_output(int reg, DType dtype) { outputs_.push_back({reg, dtype}); }
void ElementText::add_constant(int reg, DType dtype, double value) {
  statements_ += fmt::format("const {} r{} = round_to<{}>({});\n", compute_name(dtype), reg, type_name(dtype),
                             constant_text(dtype, value));
}

int64_t ElementText::width() const {
  std::vector<DType> dtypes;
  for (const std::vector<Operand>* list : {&inputs_, &outputs_})
    for (const Operand& operand : *list) dtypes.push_back(operand.dtype);
  return StepWriter::vector_width(dtypes);
}

KernelText ElementText::kernel(std::string family) const {
  std::string body;
  for (size_t k = 0; k < inputs_.size(); ++k)
    body += fmt::format(
        "{0} x{1}[V];\nload<{2}, V>(x{1}, args.tensors[{1}], at[{1}], (args.head.dense >> {1}) & 1u);\n",
        compute_name(inputs_[k].dtype), k, type_name(inputs_[k].dtype));
  for (size_t k = 0; k < outputs_.size(); ++k)
    body += fmt::format("{} y{}[V];\n", compute_name(outputs_[k].dtype), k);
  body += "#pragma unroll\nfor (int i = 0; i < V; ++i) {\n";
  for (size_t k = 0; k < inputs_.size(); ++k)
    body += fmt::format("const {} r{} = x{}[i];\n", compute_name(inputs_[k].dtype), inputs_[k].reg, k);
  body += statements_;
  for (size_t k = 0; k < outputs_.size(); ++k) body += fmt::format("y{}[i] = r{};\n", k, outputs_[k].reg);
  body += "}\n";
  for (size_t k = 0; k < outputs_.size(); ++k)
    body += fmt::format("store<{}, V>(args.tensors[{}], at[{}], y{});\n", type_name(outputs_[k].dtype),
                        inputs_.size() + k, inputs_.size() + k, k);
  return element_kernel(std::move(family), body, width());
}

}  // namespace headrace::cuda
