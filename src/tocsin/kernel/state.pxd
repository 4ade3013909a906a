cimport cython

from tocsin.kernel.entities cimport Entities
from tocsin.kernel.frame cimport Action, Frame
from tocsin.kernel.repeats cimport Repeats

cdef double NAN


cdef class KernelState:
    cdef readonly object lock
    cdef readonly str program
    cdef readonly list actions
    cdef Repeats repeats
    cdef readonly long long words
    cdef readonly Entities entities
    cdef readonly object memory
    cdef readonly object outputs
    cdef Frame frame
    cdef long long[::1] loads, stores
    cdef double[::1] told
    cpdef long long step(self, object name, long long time, object row)
    cpdef run(self, object names, const long long[::1] times, const double[:, ::1] rows, double[:, ::1] out, unsigned char[::1] marks)
    @cython.locals(row=cython.longlong)
    cpdef peek(self, KernelState live, const long long[::1] order, const unsigned char[::1] begins, object names, const long long[::1] times, const double[:, ::1] rows, double[:, ::1] out, unsigned char[::1] marks)
    @cython.locals(found=cython.longlong, start=cython.longlong)
    cdef void imitate(self, KernelState live, object name)
    cdef long long take(self, long long row, object name, const long long[::1] times, const double[:, ::1] rows, double[:, ::1] out)
    @cython.locals(action=Action)
    cdef long long compute(self, object name, long long time)
