cimport cython

from tocsin.kernel cimport arithmetic
from tocsin.kernel.counts cimport PaneCounts
from tocsin.kernel.frame cimport Frame

cdef long long WORD_BITS
cdef unsigned long long FIRST_FACTOR, SECOND_FACTOR, ALL_BITS
cdef double NAN


cdef class HashedCounts(PaneCounts):
    cdef double[::1] number
    cdef unsigned long long[::1] bits
    @cython.final
    @cython.locals(mixed=cython.ulonglong)
    cdef unsigned long long hashed(self, double value) noexcept


cdef class Distinct(HashedCounts):
    cdef long long last
    cdef double[::1] estimates
    @cython.final
    @cython.locals(cell=cython.longlong, bit=cython.uint)
    cdef void add(self, Frame frame, long long place) noexcept
    @cython.locals(known=cython.uint, new=cython.uint)
    cdef void merge(self, Frame frame, long long pane) noexcept
    cdef void step(self, Frame frame) noexcept


cdef class Share(HashedCounts):
    cdef long long bins
    @cython.locals(hashed=cython.ulonglong, first=cython.longlong, second=cython.longlong, rows=cython.longlong)
    cdef void step(self, Frame frame) noexcept


@cython.locals(pairs=cython.longlong, fours=cython.longlong, eights=cython.longlong)
cdef long long ones(long long word) noexcept
