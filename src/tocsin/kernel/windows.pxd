cimport cython
from libc cimport math

from tocsin.kernel.frame cimport Action, Frame

cdef double NAN


@cython.final
cdef class Pane:
    cdef readonly long long fields, moments, extremes, sums
    cdef void grow(self, Frame frame, long long pane, double value) noexcept
    cdef void merge(self, Frame frame, long long older, long long newer, long long into) noexcept
    cdef void copy(self, Frame frame, long long pane, long long into) noexcept
    cdef void clear(self, Frame frame, long long word, long long words) noexcept


@cython.final
cdef class PaneWindow:
    cdef readonly long long words, horizon
    cdef Pane pane
    cdef long long pane_us, panes, fields, newest, closed, ring
    cdef void move(self, Frame frame, long long at) noexcept
    cdef void close(self, Frame frame, long long at) noexcept
    cdef void merge_closed(self, Frame frame, long long at) noexcept
    cdef void add(self, Frame frame, long long at, double value) noexcept
    cdef void add_late(self, Frame frame, long long at, double value, long long back) noexcept
    cdef double merge_all(self, Frame frame, long long at) noexcept


cdef class Statistics(Action):
    cdef long long min_count
    cdef Pane pane
    cdef const unsigned char[::1] told
    cdef bint only_counts
    @cython.locals(enough=bint)
    cdef void tell(self, Frame frame, bint present) noexcept


cdef class Panes(Statistics):
    cdef PaneWindow window
    @cython.locals(present=bint)
    cdef void step(self, Frame frame) noexcept
