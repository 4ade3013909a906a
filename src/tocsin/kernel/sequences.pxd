from tocsin.kernel.frame cimport Action, Frame

cdef double NAN


cdef class RowSequence(Action):
    cdef long long steps, max_gap_us, columns
    cdef long long[::1] sources
    cdef void step(self, Frame frame) noexcept
