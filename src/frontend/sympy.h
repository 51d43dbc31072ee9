// Size expressions as torch.export writes them: sympy's srepr, "Mul(Integer(2), Symbol('s77',
// positive=True))".
#pragma once

#include <string_view>

#include "core/dim.h"

namespace headrace::frontend {

// Reads srepr text, or the plain form ("8*s1") that older minors and range constraints use.
// Quotients (Rational, Pow to a negative power, IntTrueDiv) are carried exactly; one that is left over at the
// end becomes a floor division, which a size, being whole, equals. Errors: kUnsupported (a head that has no
// Dim, named; too long or too deep), kCorrupt (not an expression).
Result<Dim> parse_sympy(std::string_view text);

}  // namespace headrace::frontend
