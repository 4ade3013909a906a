from libc cimport math

from tocsin.kernel.frame cimport Action, Frame
from tocsin.kernel.windows cimport Pane, PaneWindow

cdef double INFINITY, NAN


cdef class ZScore(Action):
    cdef Pane pane
    cdef PaneWindow window
    cdef long long min_count
    cdef double clip
    cdef bint include_current
    cdef void step(self, Frame frame) noexcept
    cdef double measured(self, Frame frame, double value) noexcept
