cimport cython

from tocsin.kernel.frame cimport Action, Frame


cdef class PaneCounts(Action):
    cdef long long pane_us, panes, cells, closed, newest
    @cython.final
    cdef void move(self, Frame frame) noexcept
    @cython.final
    cdef long long pane(self, long long number) noexcept
    @cython.final
    cdef long long own(self, Frame frame) noexcept
    @cython.final
    cdef void clear(self, Frame frame, long long pane) noexcept
    cdef void merge(self, Frame frame, long long pane) noexcept
    @cython.final
    cdef void count(self, Frame frame, long long pane, long long cell) noexcept
    @cython.final
    cdef long long held(self, Frame frame, long long cell) noexcept
