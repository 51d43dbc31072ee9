// Element types as they lie in memory, and the types that they are computed in.
typedef signed char i8;
typedef unsigned char u8;
typedef short i16;
typedef int i32;
typedef long long i64;
typedef float f32;
typedef double f64;
struct b8 { u8 bits; };
struct f16 { unsigned short bits; };
struct bf16 { unsigned short bits; };

template <class T> struct Compute { typedef i32 type; };
template <> struct Compute<i64> { typedef i64 type; };
template <> struct Compute<f16> { typedef float type; };
template <> struct Compute<bf16> { typedef float type; };
template <> struct Compute<f32> { typedef float type; };
template <> struct Compute<f64> { typedef double type; };
template <class T> using ComputeOf = typename Compute<T>::type;

// What sums are kept in: floats as computed, integers in 64 bits.
template <class T> struct Sum { typedef i64 type; };
template <> struct Sum<float> { typedef float type; };
template <> struct Sum<double> { typedef double type; };

#ifdef HEADRACE_ON_HOST
DEVICE float f16_to_float(f16 x) { return host_f16_to_float(x.bits); }
DEVICE f16 float_to_f16(float x) { return f16{host_float_to_f16(x)}; }
DEVICE bf16 float_to_bf16(float x) { return bf16{host_float_to_bf16(x)}; }
DEVICE float bits_to_float(unsigned bits) { float x; __builtin_memcpy(&x, &bits, 4); return x; }
#else
DEVICE float f16_to_float(f16 x) {
  float wide;
  asm("cvt.f32.f16 %0, %1;" : "=f"(wide) : "h"(x.bits));
  return wide;
}
DEVICE f16 float_to_f16(float x) {
  f16 narrow;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(narrow.bits) : "f"(x));
  return narrow;
}
DEVICE bf16 float_to_bf16(float x) {
  bf16 narrow;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(narrow.bits) : "f"(x));
  return narrow;
}
DEVICE float bits_to_float(unsigned bits) { return __uint_as_float(bits); }
#endif
DEVICE float infinity() { return bits_to_float(0x7f800000u); }

DEVICE i32 widen(b8 x) { return x.bits != 0; }
DEVICE i32 widen(u8 x) { return x; }
DEVICE i32 widen(i8 x) { return x; }
DEVICE i32 widen(i16 x) { return x; }
DEVICE i32 widen(i32 x) { return x; }
DEVICE i64 widen(i64 x) { return x; }
DEVICE float widen(f16 x) { return f16_to_float(x); }
DEVICE float widen(bf16 x) { return bits_to_float(static_cast<unsigned>(x.bits) << 16); }
DEVICE float widen(f32 x) { return x; }
DEVICE double widen(f64 x) { return x; }

// Out of range gives the least integer, as x86 does and PyTorch's results show.
DEVICE i64 truncate(double x) {
  if (!(x >= -9223372036854775808.0 && x < 9223372036854775808.0)) return -9223372036854775807LL - 1;
  return static_cast<i64>(x);
}
DEVICE i64 to_integer(float x) { return truncate(static_cast<double>(x)); }
DEVICE i64 to_integer(double x) { return truncate(x); }
DEVICE i64 to_integer(i32 x) { return x; }
DEVICE i64 to_integer(i64 x) { return x; }

template <class T> struct Narrow {
  template <class A> DEVICE static T from(A x) { return static_cast<T>(to_integer(x)); }
};
template <> struct Narrow<b8> {
  template <class A> DEVICE static b8 from(A x) { return b8{static_cast<u8>(x != A(0))}; }
};
template <> struct Narrow<f16> {
  template <class A> DEVICE static f16 from(A x) { return float_to_f16(static_cast<float>(x)); }
};
template <> struct Narrow<bf16> {
  template <class A> DEVICE static bf16 from(A x) { return float_to_bf16(static_cast<float>(x)); }
};
template <> struct Narrow<f32> {
  template <class A> DEVICE static f32 from(A x) { return static_cast<float>(x); }
};
template <> struct Narrow<f64> {
  template <class A> DEVICE static f64 from(A x) { return static_cast<double>(x); }
};
template <> struct Narrow<i32> {  // the common case: no way through 64 bits
  DEVICE static i32 from(i32 x) { return x; }
  template <class A> DEVICE static i32 from(A x) { return static_cast<i32>(to_integer(x)); }
};
template <class T, class A> DEVICE T narrow(A x) { return Narrow<T>::from(x); }
// A computed value as it would be after a store and a load.
template <class T, class A> DEVICE ComputeOf<T> round_to(A x) { return widen(narrow<T>(x)); }
#ifdef HEADRACE_ON_HOST
DEVICE double bits_to_double(unsigned long long bits) { double x; __builtin_memcpy(&x, &bits, 8); return x; }
#else
DEVICE double bits_to_double(unsigned long long bits) { return __longlong_as_double(static_cast<i64>(bits)); }
#endif
