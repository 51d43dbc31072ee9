// Interrupts: lets Ctrl-C cancel long work that runs without the GIL.
#pragma once

#include <headrace/progress.h>

namespace headrace::python {

// A Progress that asks Python for pending signals now and then; false, with the Python exception set, where a
// handler raised one. To be called from a thread that Python knows.
Progress watch_signals();

}  // namespace headrace::python
