#include <headrace/headrace.h>

#include <iostream>

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  headrace::Engine engine = headrace::compile(argv[1], argv[2], {.device = "reference"}).value();
  headrace::Context context = engine.context().value();
  for (const headrace::PortInfo& port : engine.inputs()) std::cout << port.name << '\n';
  std::cout << context.report() << '\n';
}
