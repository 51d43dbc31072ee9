// A plan -> metadata.
#include <bit>
#include <map>

#include "core/error.h"
#include "engine/engine_format.h"
#include "engine_generated.h"

namespace headrace {
namespace {

using flatbuffers::Offset;
template <class T>
using Tables = Offset<flatbuffers::Vector<Offset<T>>>;

class Encoder {
 public:
  explicit Encoder(const Plan& plan) : plan_(plan) {}

  Result<std::vector<std::byte>> run() {
    const auto symbols = tables(plan_.symbols, [this](const Symbol& symbol) {
      return format::CreateSymbol(out_, text(symbol.name), symbol.min, symbol.opt, symbol.max);
    });
    const auto inputs = tables(plan_.inputs, [this](const InputSpec& input) { return encode(input); });
    const auto outputs = tables(plan_.outputs, [this](const OutputSpec& output) { return encode(output); });
    const auto tensors = tables(plan_.tensors, [this](const PlanTensor& tensor) { return encode(tensor); });
    const auto steps = tables(plan_.steps, [this](const Step& step) { return encode(step); });
    const auto sources = tables(plan_.sources, [this](const SourceWeight& source) { return encode(source); });
    const auto weights = tables(plan_.weights, [this](const Weight& weight) { return encode(weight); });
    const auto literals = tables(plan_.literals, [this](const Literal& literal) { return encode(literal); });
    const auto states = tables(plan_.states, [this](const State& state) {
      const auto name = text(state.name);
      return format::CreateState(out_, name, number(state.dtype), dims(state.shape));
    });
    const auto guards = structs<format::Guard>(plan_.guards, [this](const ShapeGuard& guard) {
      return format::Guard(dim(guard.left), dim(guard.right), number(guard.relation));
    });
    const auto buffers = structs<format::Buffer>(plan_.buffers, [this](const Buffer& buffer) {
      return format::Buffer(dim(buffer.size), number(buffer.kind), buffer.index, buffer.first_step,
                            buffer.last_step);
    });
    const auto groups = structs<format::Group>(plan_.groups, [](const WeightGroup& group) {
      return format::Group(group.offset.count, group.size.count, group.streamable);
    });
    const auto toolchain = text("headrace " HEADRACE_VERSION);
    const auto backend = text(plan_.backend), fingerprint = text(plan_.fingerprint);
    const auto in_spec = text(plan_.in_spec), out_spec = text(plan_.out_spec);
    const auto code = bytes_of(plan_.code);
    if (too_large_) {
      return unsupported("the plan does not fit an engine file: its metadata would pass {} bytes",
                         kMaxMetadata);
    }
    // Last: every Dim has been seen.
    const auto expressions = out_.CreateVectorOfStrings(expressions_);
    out_.Finish(format::CreateMetadata(out_, toolchain, backend, fingerprint, in_spec, out_spec, expressions,
                                       symbols, guards, inputs, outputs, buffers, tensors, steps, sources,
                                       weights, groups, literals, states, code));
    HR_TRY(check_expressions());
    const auto bytes = std::as_bytes(std::span(out_.GetBufferPointer(), out_.GetSize()));
    return std::vector<std::byte>(bytes.begin(), bytes.end());
  }

 private:
  template <class E>
  static uint8_t number(E value) {
    return static_cast<uint8_t>(value);
  }

  // FlatBuffers asserts that it stays below 2 GiB, so stop adding long before.
  bool fits(size_t more) {
    if (too_large_ || more > kMaxMetadata || out_.GetSize() + more > kMaxMetadata) too_large_ = true;
    return !too_large_;
  }

  Offset<flatbuffers::String> text(std::string_view value) {
    return fits(value.size()) ? out_.CreateSharedString(value.data(), value.size()) : 0;
  }
  template <class T>
  Offset<flatbuffers::Vector<T>> numbers(const std::vector<T>& values) {
    return fits(values.size() * sizeof(T)) ? out_.CreateVector(values.data(), values.size()) : 0;
  }
  Offset<flatbuffers::Vector<uint8_t>> bytes_of(const std::vector<std::byte>& bytes) {
    if (!fits(bytes.size())) return 0;
    return out_.CreateVector(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  }
  template <class T, class F>
  auto tables(const std::vector<T>& items, F encode)
      -> Offset<flatbuffers::Vector<decltype(encode(items[0]))>> {
    std::vector<decltype(encode(items[0]))> offsets;
    for (const T& item : items) {
      if (!fits(0)) return 0;
      offsets.push_back(encode(item));
    }
    return fits(offsets.size() * 4) ? out_.CreateVector(offsets) : 0;
  }
  template <class S, class T, class F>
  Offset<flatbuffers::Vector<const S*>> structs(const std::vector<T>& items, F encode) {
    std::vector<S> encoded;
    for (const T& item : items) encoded.push_back(encode(item));
    return fits(encoded.size() * sizeof(S)) ? out_.CreateVectorOfStructs(encoded) : 0;
  }

  format::Dim dim(const Dim& value) {
    if (value.is_constant()) return format::Dim(value.constant(), kNone);
    const auto [found, added] =
        expression_index_.try_emplace(value.text(), static_cast<int32_t>(expressions_.size()));
    if (added) {
      expressions_.push_back(found->first);
      expression_dims_.push_back(value);
    }
    return format::Dim(0, found->second);
  }
  Offset<flatbuffers::Vector<const format::Dim*>> dims(const std::vector<Dim>& values) {
    return structs<format::Dim>(values, [this](const Dim& value) { return dim(value); });
  }

  // A reader must get the same Dims back from their texts.
  Status check_expressions() const {
    for (const Dim& dim : expression_dims_) {
      const Result<Dim> back = Dim::parse(dim.text());
      if (!back.ok() || !(*back == dim))
        return unsupported("size expression {} is too complex for an engine file", dim.text());
    }
    return {};
  }

  Tables<format::Attribute> encode(const AttributeMap& attributes) {
    return tables(attributes.entries(), [this](const AttributeMap::Entry& entry) {
      const auto name = text(entry.first);
      const Attribute& value = entry.second;
      int64_t bits = 0;
      Offset<flatbuffers::String> string;
      Offset<flatbuffers::Vector<int64_t>> integers;
      Offset<flatbuffers::Vector<double>> doubles;
      Offset<flatbuffers::Vector<const format::Dim*>> sizes;
      if (const auto* flag = std::get_if<bool>(&value)) bits = *flag;
      if (const auto* integer = std::get_if<int64_t>(&value)) bits = *integer;
      if (const auto* real = std::get_if<double>(&value)) bits = std::bit_cast<int64_t>(*real);
      if (const auto* words = std::get_if<std::string>(&value)) string = text(*words);
      if (const auto* dtype = std::get_if<DType>(&value)) bits = number(*dtype);
      if (const auto* size = std::get_if<Dim>(&value)) sizes = dims({*size});
      if (const auto* list = std::get_if<std::vector<int64_t>>(&value)) integers = numbers(*list);
      if (const auto* list = std::get_if<std::vector<double>>(&value)) doubles = numbers(*list);
      if (const auto* list = std::get_if<std::vector<Dim>>(&value)) sizes = dims(*list);
      return format::CreateAttribute(out_, name, static_cast<uint8_t>(value.index()), bits, string, integers,
                                     doubles, sizes);
    });
  }

  Offset<format::Input> encode(const InputSpec& input) {
    const auto name = text(input.name), symbol = text(input.symbol), constant = text(input.constant);
    return format::CreateInput(out_, number(input.kind), name, number(input.dtype), dims(input.shape),
                               input.buffer, symbol, constant);
  }
  Offset<format::Output> encode(const OutputSpec& output) {
    const auto name = text(output.name);
    const auto shape = dims(output.shape);
    const format::Dim number_dim = dim(output.number);
    return format::CreateOutput(out_, number(output.kind), name, number(output.dtype), shape, output.tensor,
                                &number_dim);
  }
  Offset<format::Tensor> encode(const PlanTensor& tensor) {
    const auto shape = dims(tensor.shape), strides = dims(tensor.strides);
    const format::Dim offset = dim(tensor.offset);
    return format::CreateTensor(out_, number(tensor.dtype), shape, strides, &offset, tensor.buffer);
  }
  Offset<format::Step> encode(const Step& step) {
    const auto kernel = text(step.kernel), label = text(step.label);
    const auto inputs = numbers(step.inputs), outputs = numbers(step.outputs);
    return format::CreateStep(out_, kernel, label, inputs, outputs, encode(step.attributes));
  }
  Offset<format::Source> encode(const SourceWeight& source) {
    const auto name = text(source.name), storage = text(source.storage);
    const auto shape = numbers(source.shape), strides = numbers(source.strides);
    return format::CreateSource(out_, name, storage, number(source.dtype), shape, strides, source.offset,
                                source.mark ? source.mark->size.count : -1,
                                source.mark ? source.mark->crc : 0);
  }
  Offset<format::RecipeStep> encode(const RecipeStep& step) {
    const auto inputs = numbers(step.inputs);
    const auto shape = numbers(step.shape);
    return format::CreateRecipeStep(out_, number(step.op), inputs, step.source, number(step.dtype), shape,
                                    encode(step.attributes));
  }
  Offset<format::Weight> encode(const Weight& weight) {
    const auto name = text(weight.name);
    const auto shape = numbers(weight.shape);
    const auto recipe = tables(weight.recipe, [this](const RecipeStep& step) { return encode(step); });
    return format::CreateWeight(out_, name, number(weight.dtype), shape, number(weight.encoding),
                                number(weight.use), weight.stored.count, weight.resident.count, recipe,
                                weight.group, weight.offset.count, weight.checksum);
  }
  Offset<format::Literal> encode(const Literal& literal) {
    const auto shape = numbers(literal.shape);
    if (!fits(literal.bytes.size())) return 0;
    const auto bytes = bytes_of(literal.bytes);
    return format::CreateLiteral(out_, number(literal.dtype), shape, bytes);
  }

  const Plan& plan_;
  flatbuffers::FlatBufferBuilder out_{64 << 10};
  std::map<std::string, int32_t, std::less<>> expression_index_;
  std::vector<std::string> expressions_;
  std::vector<Dim> expression_dims_;
  bool too_large_ = false;
};

}  // namespace

Result<std::vector<std::byte>> encode_metadata(const Plan& plan) { return Encoder(plan).run(); }

}  // namespace headrace
