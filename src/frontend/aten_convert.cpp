// Copies, casts, and ops that give their input back.
#include "frontend/overload.h"
#include "frontend/promotion.h"

namespace headrace::frontend {
namespace {

// Devices and memory formats change no value.
Emitted to_result_dtype(OpCall& c) { return c.cast(c.tensor("self"), c.result().dtype); }

Emitted identity(OpCall& c) { return c.tensor("self"); }

Emitted dropout(OpCall& c, std::string_view name, std::string_view train) {
  HR_ASSIGN(Value * x, c.tensor(name));
  if (c.flag(train) && c.real("p") != 0) {
    return unsupported("{} = True is not supported; export the model in eval mode: model.eval()", train);
  }
  return x;
}
Emitted dropout_of_input(OpCall& c) { return dropout(c, "input", "train"); }
Result<std::vector<Value*>> native_dropout(OpCall& c) {
  if (c.used(1)) return unsupported("its mask is not supported as a result");
  HR_ASSIGN(Value * x, dropout(c, "input", "train"));
  return std::vector<Value*>{x, nullptr};
}

Emitted copy(OpCall& c) {
  HR_ASSIGN(Value * x, c.tensor("self"));
  return c.expand(c.cast(c.tensor("src"), x->dtype()), x->shape());
}

Emitted fill(OpCall& c) {
  HR_ASSIGN(Value * x, c.tensor("self"));
  const Operand value = c.operand("value");
  if (!value.tensor) return c.full(x->shape(), x->dtype(), value.scalar);
  return c.expand(c.reshape(c.cast(value.tensor, x->dtype()), {}), x->shape());
}

Emitted zero(OpCall& c) {
  HR_ASSIGN(Value * x, c.tensor("self"));
  return c.full(x->shape(), x->dtype(), Dim(0));
}

constexpr Overload kRows[] = {
    {"_to_copy(Tensor self, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, "
     "bool? pin_memory=None, bool non_blocking=False, MemoryFormat? memory_format=None) -> Tensor",
     to_result_dtype},
    {"to.dtype(Tensor(a) self, ScalarType dtype, bool non_blocking=False, bool copy=False, "
     "MemoryFormat? memory_format=None) -> Tensor(a)",
     to_result_dtype},
    {"to.dtype_layout(Tensor(a) self, *, ScalarType? dtype=None, Layout? layout=None, "
     "Device? device=None, bool? pin_memory=None, bool non_blocking=False, bool copy=False, "
     "MemoryFormat? memory_format=None) -> Tensor(a)",
     to_result_dtype},
    {"to.device(Tensor(a) self, Device device, ScalarType dtype, bool non_blocking=False, bool copy=False, "
     "MemoryFormat? memory_format=None) -> Tensor(a)",
     to_result_dtype},
    {"to.other(Tensor(a) self, Tensor other, bool non_blocking=False, bool copy=False, "
     "MemoryFormat? memory_format=None) -> Tensor(a)",
     to_result_dtype},
    {"type_as(Tensor self, Tensor other) -> Tensor", to_result_dtype},
    {"clone(Tensor self, *, MemoryFormat? memory_format=None) -> Tensor", identity},
    {"contiguous(Tensor(a) self, *, MemoryFormat memory_format=0) -> Tensor(a)", identity},
    {"alias(Tensor(a) self) -> Tensor(a)", identity},
    {"detach(Tensor(a) self) -> Tensor(a)", identity},
    {"lift_fresh(Tensor(a) self) -> Tensor(a)", identity},
    {"lift_fresh_copy(Tensor self) -> Tensor", identity},
    {"positive(Tensor(a) self) -> Tensor(a)", identity},
    {"dropout(Tensor input, float p, bool train) -> Tensor", dropout_of_input},
    {"feature_dropout(Tensor input, float p, bool train) -> Tensor", dropout_of_input},
    {"alpha_dropout(Tensor input, float p, bool train) -> Tensor", dropout_of_input},
    {"native_dropout(Tensor input, float p, bool? train) -> (Tensor, Tensor)", native_dropout},
    {"copy(Tensor self, Tensor src, bool non_blocking=False) -> Tensor", copy},
    {"fill.Scalar(Tensor self, Scalar value) -> Tensor", fill},
    {"fill.Tensor(Tensor self, Tensor value) -> Tensor", fill},
    {"zero(Tensor self) -> Tensor", zero},
};

}  // namespace

std::span<const Overload> convert_overloads() { return kRows; }

}  // namespace headrace::frontend
