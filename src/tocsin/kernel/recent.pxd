cimport cython

from tocsin.kernel.frame cimport Frame
from tocsin.kernel.windows cimport Statistics


cdef class Recent(Statistics):
    cdef long long window_us, limit
    @cython.locals(present=bint)
    cdef void step(self, Frame frame) noexcept
    @cython.final
    cdef void leave(self, Frame frame) noexcept
    @cython.final
    cdef void drop(self, Frame frame, long long gone) noexcept
    @cython.final
    cdef void enter(self, Frame frame, double value) noexcept
    @cython.final
    cdef void look(self, Frame frame) noexcept
    @cython.final
    cdef void measure(self, Frame frame, long long start, long long held, double mean) noexcept
