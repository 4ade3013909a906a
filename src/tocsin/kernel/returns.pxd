cimport cython

from tocsin.kernel.frame cimport Action, Frame

cdef double NAN
cdef long long _HEAD


cdef class Returns(Action):
    cdef long long window_us, apart_us, values, visits
    cdef double tolerance
    cdef void step(self, Frame frame) noexcept
    @cython.final
    @cython.locals(place=cython.longlong, first=cython.longlong, size=cython.longlong, oldest=cython.longlong)
    cdef long long place(self, Frame frame, double value) noexcept
    @cython.final
    @cython.locals(visits=cython.longlong, counter=cython.longlong)
    cdef void visit(self, Frame frame, long long place) noexcept
    @cython.final
    @cython.locals(
        back=cython.longlong, earlier=cython.longlong, later=cython.longlong, found=cython.longlong,
        visits=cython.longlong, times=cython.longlong, gap=cython.double, mean=cython.double,
    )
    cdef long long alike(self, Frame frame, long long place) noexcept
