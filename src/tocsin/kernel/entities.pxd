cimport cython

cdef long long _CELLS, _LOW, _TICK, _NOON, _NEVER


cdef class Entities:
    cdef readonly long long limit, horizon
    cdef readonly dict places
    cdef readonly list names
    cdef long long[::1] before, after
    cdef readonly long long[::1] last, late_rows, cold_until
    cdef readonly unsigned long long[::1] refused
    cdef unsigned long long hashed
    cdef readonly long long now, marks
    cdef readonly bint fresh
    cdef readonly long long evicted_idle, evicted_active
    @cython.locals(found=cython.longlong, place=cython.longlong)
    cdef long long place(self, object name, long long time)
    cdef long long come_late(self, long long place, long long time)
    cdef void come_early(self, long long place) noexcept
    @cython.locals(place=cython.longlong, lost=cython.longlong, active=cython.bint, cell=cython.longlong)
    cdef long long admit(self, object name, long long time)
    cdef void give_up(self, long long place, bint active)
    @cython.locals(number=cython.ulonglong)
    cdef long long cell(self, object name)
    @cython.locals(tick=cython.longlong)
    cdef void lose(self, long long cell, long long time) noexcept
    cdef long long lost_until(self, long long cell) noexcept
    @cython.locals(found=cython.longlong, held=cython.longlong, cell=cython.longlong)
    cdef long long imitate(self, Entities other, object name)
    cdef void move_to_front(self, long long place) noexcept
    cdef void unlink(self, long long place) noexcept
    @cython.locals(newest=cython.longlong)
    cdef void link(self, long long place) noexcept
