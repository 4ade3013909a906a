cimport cython

from tocsin.kernel.frame cimport Action, Frame

cdef double NAN


cdef class Residual(Action):
    cdef long long[::1] parts, sizes
    cdef double[::1] usual, spread
    cdef double furthest
    cdef void step(self, Frame frame) noexcept
    @cython.final
    @cython.locals(part=cython.double, step=cython.longlong, cell=cython.longlong)
    cdef long long cell(self, Frame frame) noexcept
