cdef class Frame:
    cdef double[::1] floats
    cdef long long[::1] whole
    cdef unsigned int[::1] halves
    cdef double[::1] registers
    cdef long long base, time, now
    cdef bint warm


cdef class Action:
    cdef readonly long long width, words, horizon
    cdef public long long at
    cdef long long source, target
    cdef void step(self, Frame frame) noexcept
