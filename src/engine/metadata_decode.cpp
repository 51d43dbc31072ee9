// Metadata -> a plan. Nothing in the bytes is trusted.
#include <bit>
#include <cstring>

#include "core/error.h"
#include "engine/engine_format.h"
#include "engine_generated.h"

namespace headrace {
namespace {

constexpr size_t kMaxTableDepth = 16;
constexpr size_t kMaxTables = 50'000'000;
constexpr size_t kMostOfBytes = 64;  // an entry of 4 bytes may become a Step of 150
constexpr size_t kAtLeast = 1 << 20;

template <class E>
E enumerator(uint8_t number) {  // any number: verify(plan) looks at it
  return static_cast<E>(number);
}

class Decoder {
 public:
  // Tables of a hostile file may all share one long list: `size` bounds what is made of it.
  Decoder(const format::Metadata& in, size_t size)
      : in_(in), size_(size), budget_(kMostOfBytes * size + kAtLeast) {}

  Result<Metadata> run() {
    Metadata out;
    Plan& plan = out.plan;
    out.toolchain = text(in_.toolchain());
    plan.backend = text(in_.backend());
    plan.fingerprint = text(in_.fingerprint());
    plan.in_spec = text(in_.in_spec());
    plan.out_spec = text(in_.out_spec());
    HR_TRY(read_expressions());
    HR_TRY(each(in_.symbols(), plan.symbols, &Decoder::symbol));
    HR_TRY(each(in_.guards(), plan.guards, &Decoder::guard));
    HR_TRY(each(in_.inputs(), plan.inputs, &Decoder::input));
    HR_TRY(each(in_.outputs(), plan.outputs, &Decoder::output));
    HR_TRY(each(in_.buffers(), plan.buffers, &Decoder::buffer));
    HR_TRY(each(in_.tensors(), plan.tensors, &Decoder::tensor));
    HR_TRY(each(in_.steps(), plan.steps, &Decoder::step));
    HR_TRY(each(in_.sources(), plan.sources, &Decoder::source));
    HR_TRY(each(in_.weights(), plan.weights, &Decoder::weight));
    HR_TRY(each(in_.groups(), plan.groups, &Decoder::group));
    HR_TRY(each(in_.literals(), plan.literals, &Decoder::literal));
    HR_TRY(each(in_.states(), plan.states, &Decoder::state));
    if (in_.code() && take(in_.code()->size())) {
      const auto bytes = std::as_bytes(std::span(in_.code()->data(), in_.code()->size()));
      plan.code.assign(bytes.begin(), bytes.end());
    }
    if (over_) return corrupt("metadata: it unfolds to far more than its {} bytes", size_);
    return out;
  }

 private:
  bool take(size_t bytes) {
    over_ = over_ || bytes > budget_;
    if (!over_) budget_ -= bytes;
    return !over_;
  }
  std::string text(const flatbuffers::String* string) {
    return string && take(string->size()) ? string->str() : std::string();
  }
  template <class T>
  std::vector<T> numbers(const flatbuffers::Vector<T>* values) {
    std::vector<T> list;
    if (!values || values->size() == 0 || !take(values->size() * sizeof(T))) return list;
    list.resize(values->size());
    // Copied as bytes: the verifier lets vectors lie at any multiple of 4.
    std::memcpy(list.data(), values->Data(), list.size() * sizeof(T));
    return list;
  }

  template <class V, class In, class Out>
  Status each(const V* in, std::vector<Out>& out, Status (Decoder::*decode)(const In&, Out&)) {
    if (!in) return {};
    if (!take(in->size() * sizeof(Out)))
      return corrupt("metadata: it unfolds to far more than its {} bytes", size_);
    if (in->size() > 0 && reinterpret_cast<uintptr_t>(in->Data()) % alignof(In) != 0)
      return corrupt("metadata: a list is not aligned");
    out.resize(in->size());
    for (flatbuffers::uoffset_t i = 0; i < in->size(); ++i) HR_TRY((this->*decode)(*in->Get(i), out[i]));
    return {};
  }

  Status read_expressions() {
    if (!in_.expressions()) return {};
    expressions_.reserve(in_.expressions()->size());
    size_t length = 0;
    for (const flatbuffers::String* expression : *in_.expressions()) {
      length += expression->size();
      if (length > size_) return corrupt("metadata: its size expressions overlap");
      Result<Dim> dim = Dim::parse(expression->string_view());
      if (!dim.ok()) return corrupt("metadata: {}", dim.status().message());
      expressions_.push_back(*std::move(dim));
    }
    return {};
  }

  Status dim(const format::Dim& in, Dim& out) {
    if (in.expression() < 0) {
      out = Dim(in.constant());
      return {};
    }
    if (static_cast<size_t>(in.expression()) >= expressions_.size())
      return corrupt("metadata: there is no size expression {}", in.expression());
    out = expressions_[static_cast<size_t>(in.expression())];
    return {};
  }
  Status dim(const format::Dim* in, Dim& out) {
    return in ? dim(*in, out) : corrupt("metadata: a size is missing");
  }
  Status dims(const flatbuffers::Vector<const format::Dim*>* in, std::vector<Dim>& out) {
    return each(in, out, &Decoder::dim_entry);
  }
  Status dim_entry(const format::Dim& in, Dim& out) { return dim(in, out); }

  Status attributes(const flatbuffers::Vector<flatbuffers::Offset<format::Attribute>>* in,
                    AttributeMap& out) {
    if (!in) return {};
    std::string last;
    for (const format::Attribute* entry : *in) {
      std::string name = text(entry->name());
      // Sorted, so that no name comes twice and adding each is quick.
      if (!out.empty() && name <= last) return corrupt("metadata: attribute '{}' is out of order", name);
      Attribute value;
      HR_TRY(attribute(*entry, value));
      out.set(name, std::move(value));
      last = std::move(name);
    }
    return {};
  }

  Status attribute(const format::Attribute& in, Attribute& out) {
    switch (in.kind()) {
      case 0: out = in.bits() != 0; return {};
      case 1: out = in.bits(); return {};
      case 2: out = std::bit_cast<double>(in.bits()); return {};
      case 3: out = text(in.text()); return {};
      case 4: out = enumerator<DType>(static_cast<uint8_t>(in.bits() & 0xff)); return {};
      case 5: {
        std::vector<Dim> one;
        HR_TRY(dims(in.dims(), one));
        if (one.size() != 1) return corrupt("metadata: an attribute of {} sizes, not one", one.size());
        out = one[0];
        return {};
      }
      case 6: out = numbers(in.integers()); return {};
      case 7: out = numbers(in.numbers()); return {};
      case 8: {
        std::vector<Dim> list;
        HR_TRY(dims(in.dims(), list));
        out = std::move(list);
        return {};
      }
      default: return corrupt("metadata: unknown kind of attribute {}", in.kind());
    }
  }

  Status symbol(const format::Symbol& in, Symbol& out) {
    out = {text(in.name()), in.min(), in.opt(), in.max()};
    return {};
  }
  Status guard(const format::Guard& in, ShapeGuard& out) {
    out.relation = enumerator<Relation>(in.relation());
    HR_TRY(dim(in.left(), out.left));
    return dim(in.right(), out.right);
  }
  Status input(const format::Input& in, InputSpec& out) {
    out.kind = enumerator<InputKind>(in.kind());
    out.name = text(in.name());
    out.dtype = enumerator<DType>(in.dtype());
    out.buffer = in.buffer();
    out.symbol = text(in.symbol());
    out.constant = text(in.constant());
    return dims(in.shape(), out.shape);
  }
  Status output(const format::Output& in, OutputSpec& out) {
    out.kind = enumerator<OutputKind>(in.kind());
    out.name = text(in.name());
    out.dtype = enumerator<DType>(in.dtype());
    out.tensor = in.tensor();
    HR_TRY(dims(in.shape(), out.shape));
    return dim(in.number(), out.number);
  }
  Status buffer(const format::Buffer& in, Buffer& out) {
    out.kind = enumerator<BufferKind>(in.kind());
    out.index = in.index();
    out.first_step = in.first_step();
    out.last_step = in.last_step();
    return dim(in.size(), out.size);
  }
  Status tensor(const format::Tensor& in, PlanTensor& out) {
    out.dtype = enumerator<DType>(in.dtype());
    out.buffer = in.buffer();
    HR_TRY(dims(in.shape(), out.shape));
    HR_TRY(dims(in.strides(), out.strides));
    return dim(in.offset(), out.offset);
  }
  Status step(const format::Step& in, Step& out) {
    out.kernel = text(in.kernel());
    out.label = text(in.label());
    out.inputs = numbers(in.inputs());
    out.outputs = numbers(in.outputs());
    return attributes(in.attributes(), out.attributes);
  }
  Status source(const format::Source& in, SourceWeight& out) {
    out = {text(in.name()),     text(in.storage()),    enumerator<DType>(in.dtype()),
           numbers(in.shape()), numbers(in.strides()), in.offset()};
    if (in.storage_size() >= 0) out.mark = StorageMark{Bytes{in.storage_size()}, in.storage_crc()};
    return {};
  }
  Status recipe_step(const format::RecipeStep& in, RecipeStep& out) {
    out.op = enumerator<RecipeOp>(in.op());
    out.inputs = numbers(in.inputs());
    out.source = in.source();
    out.dtype = enumerator<DType>(in.dtype());
    out.shape = numbers(in.shape());
    return attributes(in.attributes(), out.attributes);
  }
  Status weight(const format::Weight& in, Weight& out) {
    out.name = text(in.name());
    out.dtype = enumerator<DType>(in.dtype());
    out.shape = numbers(in.shape());
    out.encoding = enumerator<Encoding>(in.encoding());
    out.use = enumerator<WeightUse>(in.use());
    out.stored = {in.stored()};
    out.resident = {in.resident()};
    out.group = in.group();
    out.offset = {in.offset()};
    out.checksum = in.checksum();
    return each(in.recipe(), out.recipe, &Decoder::recipe_step);
  }
  Status group(const format::Group& in, WeightGroup& out) {
    out = {Bytes{in.offset()}, Bytes{in.size()}, in.streamable()};
    return {};
  }
  Status literal(const format::Literal& in, Literal& out) {
    out.dtype = enumerator<DType>(in.dtype());
    out.shape = numbers(in.shape());
    if (const auto* bytes = in.bytes(); bytes && take(bytes->size())) {
      const auto* begin = reinterpret_cast<const std::byte*>(bytes->data());
      out.bytes.assign(begin, begin + bytes->size());
    }
    return {};
  }
  Status state(const format::State& in, State& out) {
    out.name = text(in.name());
    out.dtype = enumerator<DType>(in.dtype());
    return dims(in.shape(), out.shape);
  }

  const format::Metadata& in_;
  size_t size_;
  size_t budget_;  // bytes that may still be made
  bool over_ = false;
  std::vector<Dim> expressions_;
};

}  // namespace

Result<Metadata> decode_metadata(std::span<const std::byte> bytes) {
  if (static_cast<int64_t>(bytes.size()) > kMaxMetadata) return corrupt("metadata: {} bytes", bytes.size());
  std::vector<std::byte> aligned;
  if (reinterpret_cast<uintptr_t>(bytes.data()) % alignof(std::max_align_t) != 0) {
    aligned.assign(bytes.begin(), bytes.end());
    bytes = aligned;
  }
  const auto* data = reinterpret_cast<const uint8_t*>(bytes.data());
  flatbuffers::Verifier verifier(data, bytes.size(), kMaxTableDepth, kMaxTables);
  if (!format::VerifyMetadataBuffer(verifier)) return corrupt("metadata: it is malformed");
  HR_ASSIGN(Metadata metadata, Decoder(*format::GetMetadata(data), bytes.size()).run());
  HR_TRY(verify(metadata.plan).with_context("metadata"));
  return metadata;
}

}  // namespace headrace
