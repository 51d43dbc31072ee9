// einsum, as products of two tensors at a time.
#include <algorithm>

#include "frontend/overload.h"

namespace headrace::frontend {
namespace {

// A tensor and the letter of each of its dims.
struct Term {
  Value* value = nullptr;
  std::string labels;
};

bool has(std::string_view labels, char label) { return labels.find(label) != std::string_view::npos; }

struct Equation {
  std::vector<std::string> inputs;
  std::string output;
};

Result<Equation> parse_equation(std::string text, size_t operands) {
  text.erase(std::remove(text.begin(), text.end(), ' '), text.end());
  const auto refused = [&](std::string_view why) { return unsupported("equation '{}': {}", text, why); };
  if (has(text, '.')) return refused("'...' is not supported; letters for all dims are");
  Equation equation;
  const size_t arrow = text.find("->");
  std::string inputs = text.substr(0, arrow);
  for (size_t start = 0; start <= inputs.size();) {
    const size_t comma = std::min(inputs.find(',', start), inputs.size());
    equation.inputs.push_back(inputs.substr(start, comma - start));
    start = comma + 1;
  }
  if (equation.inputs.size() != operands) return refused("it does not have a term for each tensor");
  for (const std::string& labels : equation.inputs) {
    for (const char label : labels) {
      if (std::count(labels.begin(), labels.end(), label) > 1) return refused("a diagonal is not supported");
    }
  }
  if (arrow != std::string::npos) {
    equation.output = text.substr(arrow + 2);
    return equation;
  }
  // Without "->": the letters that occur once, sorted.
  for (const char label : inputs) {
    if (label != ',' && std::count(inputs.begin(), inputs.end(), label) == 1) equation.output += label;
  }
  std::sort(equation.output.begin(), equation.output.end());
  return equation;
}

// Sums over dims whose letters `kept` lacks.
Result<Term> summed(OpCall& c, Term term, std::string_view kept) {
  std::vector<int64_t> axes;
  std::string labels;
  for (size_t i = 0; i < term.labels.size(); ++i) {
    if (has(kept, term.labels[i])) {
      labels += term.labels[i];
    } else {
      axes.push_back(static_cast<int64_t>(i));
    }
  }
  if (axes.empty()) return term;
  HR_ASSIGN(Value * value, c.reduce("sum", term.value, std::move(axes), false));
  return Term{value, std::move(labels)};
}

Emitted ordered(OpCall& c, const Term& term, std::string_view labels) {
  std::vector<int64_t> perm;
  for (const char label : labels) {
    const size_t at = term.labels.find(label);
    if (at == std::string::npos) return unsupported("equation: '{}' is in no term", std::string(1, label));
    perm.push_back(static_cast<int64_t>(at));
  }
  return c.transpose(term.value, std::move(perm));
}

Dim size_of(const Term& term, char label) { return term.value->shape()[term.labels.find(label)]; }

Dim size_of(const Term& term, std::string_view labels) {
  Dim size = 1;
  for (const char label : labels) size = size * size_of(term, label);
  return size;
}

// [shared.., own of a, summed] x [shared.., summed, own of b], each of own and summed as one dim.
Result<Term> product(OpCall& c, const Term& a, const Term& b, std::string_view kept) {
  std::string shared, of_a, of_b, inner;
  for (const char label : a.labels) {
    if (!has(b.labels, label)) {
      of_a += label;
    } else {
      (has(kept, label) ? shared : inner) += label;
    }
  }
  for (const char label : b.labels) {
    if (!has(a.labels, label)) of_b += label;
  }
  Shape lead;
  for (const char label : shared) {
    const Dim one = size_of(a, label), other = size_of(b, label);
    if (!(one == other)) return unsupported("sizes {} and {} of one letter", one.text(), other.text());
    lead.push_back(one);
  }
  const auto joined = [&](const Term& term, std::string_view rows, std::string_view columns) {
    Shape shape = lead;
    shape.push_back(size_of(term, rows));
    shape.push_back(size_of(term, columns));
    return c.reshape(ordered(c, term, shared + std::string(rows) + std::string(columns)), shape);
  };
  Shape result = lead;
  for (const char label : of_a) result.push_back(size_of(a, label));
  for (const char label : of_b) result.push_back(size_of(b, label));
  HR_ASSIGN(Value * value,
            c.reshape(c.add("matmul", {joined(a, of_a, inner), joined(b, inner, of_b)}), result));
  return Term{value, shared + of_a + of_b};
}

Emitted einsum(OpCall& c) {
  const std::vector<Value*> tensors = c.tensors("tensors");
  HR_ASSIGN(const Equation equation, parse_equation(c.text("equation"), tensors.size()));
  // What the tensors from `first` on, or the result, still need.
  const auto kept_from = [&](size_t first) {
    std::string labels = equation.output;
    for (size_t i = first; i < equation.inputs.size(); ++i) labels += equation.inputs[i];
    return labels;
  };
  Term all;
  for (size_t i = 0; i < tensors.size(); ++i) {
    Term term{tensors[i], equation.inputs[i]};
    if (!term.value || term.labels.size() != term.value->shape().size())
      return unsupported("equation '{}' does not fit the tensors' ranks", c.text("equation"));
    HR_ASSIGN(term, summed(c, std::move(term), kept_from(i + 1) + all.labels));
    if (i == 0) {
      all = std::move(term);
      continue;
    }
    HR_ASSIGN(all, summed(c, std::move(all), kept_from(i + 1) + term.labels));
    HR_ASSIGN(all, product(c, all, term, kept_from(i + 1)));
  }
  HR_ASSIGN(all, summed(c, std::move(all), equation.output));
  return ordered(c, all, equation.output);
}

constexpr Overload kRows[] = {
    {"einsum(str equation, Tensor[] tensors, *, int[]? path=None) -> Tensor", einsum},
};

}  // namespace

std::span<const Overload> einsum_overloads() { return kRows; }

}  // namespace headrace::frontend
