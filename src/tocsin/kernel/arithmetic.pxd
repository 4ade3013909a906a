cimport cython

cdef double _STEP, _LN2_HIGH, _LN2_LOW, _ROOT_OF_TWO, _NEAR, NAN
cdef double[::1] _HALVES, _FRACTIONS, _SCALES
cdef long long _STEPS, _DOUBLINGS

@cython.locals(step=cython.longlong)
cdef double halved(long long gap, long long half_life) noexcept
@cython.locals(power=cython.int, exponent=cython.int, term=cython.int, series=cython.double)
cdef double log1p(double x) noexcept
cdef long long month(long long day) noexcept
