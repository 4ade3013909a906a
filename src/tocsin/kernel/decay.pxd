from libc cimport math

from tocsin.kernel cimport arithmetic
from tocsin.kernel.frame cimport Action, Frame

cdef long long WEIGHT, MEAN, STD, FIELDS
cdef double INFINITY, NAN


cdef class Decay(Action):
    cdef long long half_life_us, pane_us
    cdef const unsigned char[::1] codes
    cdef double weight, mean, squares, left
    cdef void step(self, Frame frame) noexcept
    cdef long long passed(self, Frame frame) noexcept
    cdef void turn(self, Frame frame) noexcept
    cdef void add(self, Frame frame, double value) noexcept
    cdef void merge(self, Frame frame) noexcept
    cdef double told(self, long long code) noexcept
