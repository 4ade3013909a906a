from tocsin.kernel.frame cimport Action, Frame


cdef class Repeats(Action):
    cdef readonly bint found
    cdef void step(self, Frame frame) noexcept
