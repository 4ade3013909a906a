cimport cython

from tocsin.kernel.frame cimport Action, Frame

cdef long long RATE, WRAP, RESET, GAP, FIRST, STOOD_STILL, REMEMBERED
cdef double SHORT, FEW, SLACK_S, SLACK_SHARE, NAN


cdef class Rate(Action):
    cdef long long uptime, max_gap_us
    cdef bint from_zero, quality
    cdef double full, per_second, certain
    @cython.locals(code=cython.longlong)
    cdef void step(self, Frame frame) noexcept
    @cython.locals(code=cython.longlong)
    cdef long long follow(self, Frame frame, double value) noexcept
    cdef long long timed(self, Frame frame) noexcept
    @cython.locals(code=cython.longlong)
    cdef long long judged(self, Frame frame, double value, double uptime) noexcept
    @cython.locals(restarted=cython.bint, ran_on=cython.bint, short=cython.bint, likely=cython.bint)
    cdef long long counted(self, Frame frame, double value, double change, double seconds, double uptime) noexcept
    cdef double largest(self, Frame frame) noexcept
