cimport cython

from tocsin.kernel cimport arithmetic
from tocsin.kernel.frame cimport Action, Frame

cdef double NAN


cdef class Log1p(Action):
    cdef double scale
    cdef void step(self, Frame frame) noexcept


cdef class Linear(Action):
    cdef double factor, offset
    @cython.locals(scaled=double)
    cdef void step(self, Frame frame) noexcept


cdef class Magnitude(Action):
    @cython.locals(value=double)
    cdef void step(self, Frame frame) noexcept


cdef class Product(Action):
    cdef long long other
    @cython.locals(product=double)
    cdef void step(self, Frame frame) noexcept


cdef class Ratio(Action):
    cdef long long below
    cdef double offset
    @cython.locals(quotient=double)
    cdef void step(self, Frame frame) noexcept


cdef class OneHot(Action):
    cdef void step(self, Frame frame) noexcept


cdef class Calendar(Action):
    cdef long long[::1] changes, offsets, starts
    cdef const unsigned char[::1] codes
    cdef double[:, ::1] circles
    cdef void step(self, Frame frame) noexcept
    cdef long long date_part(self, long long code, long long day) noexcept
    cdef long long part(self, long long code, long long local) noexcept
