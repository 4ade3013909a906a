cimport cython

from tocsin.kernel.counts cimport PaneCounts
from tocsin.kernel.frame cimport Frame

cdef long long BLOCK, PARTS
cdef double NAN


cdef class Quantiles(PaneCounts):
    cdef long long first, min_count, rank
    cdef double[::1] borders, middles
    cdef long long[::1] parts
    cdef void step(self, Frame frame) noexcept
    @cython.final
    @cython.locals(low=cython.longlong, high=cython.longlong, middle=cython.longlong)
    cdef long long bucket(self, double value) noexcept
    @cython.final
    cdef double ranked(self, Frame frame, long long rank) noexcept
    @cython.final
    cdef long long reached(self, Frame frame, long long cell, long long last) noexcept
