# distutils: depends = src/tocsin/kernel/walk_nodes.h src/tocsin/kernel/walk_words.h
"""The compiled walks of `trees`, over the tables of `walk_tables`; they work without holding the interpreter."""

from libc.stdint cimport int32_t, uint32_t

cdef extern from "walk_nodes.h" nogil:
    ctypedef struct Node:
        float cut
        uint32_t cell
        uint32_t left
        uint32_t unused

    enum: TOGETHER

    int walk_nodes(const double *x, Py_ssize_t rows, Py_ssize_t stride, Py_ssize_t columns, bint twice,
                   const Node *nodes, const double *value, const uint32_t *roots, const int32_t *steps,
                   int32_t trees, double *sums)

cdef extern from "walk_words.h" nogil:
    ctypedef struct Test:
        float cut
        uint32_t cell
        uint32_t mask

    ctypedef struct Word:
        int32_t tests_end
        int32_t leaf

    int has_avx512()

    int walk_words(const double *x, Py_ssize_t rows, Py_ssize_t stride, Py_ssize_t columns, bint twice,
                   const Test *tests, const Word *words, const int32_t *words_end, int32_t trees,
                   const double *leaves, double *sums)


def avx512() -> bool:
    """Whether this processor, its system and the compiler that was used can do what `Words` needs."""
    return bool(has_avx512())


cdef class Nodes:
    """The portable walk: from node to node, ten trees at a time."""

    cdef const Node[::1] nodes
    cdef const double[::1] value
    cdef const uint32_t[::1] roots
    cdef const int32_t[::1] steps
    cdef Py_ssize_t columns
    cdef int32_t trees
    cdef bint twice

    def __init__(self, nodes, value, roots, steps, *, trees, columns, twice):
        self.nodes, self.value, self.roots, self.steps = nodes, value, roots, steps
        self.trees, self.columns, self.twice = trees, columns, twice
        if len(roots) != TOGETHER * len(steps) or not 0 <= len(roots) - trees < TOGETHER:
            raise ValueError(f"{len(roots)} roots in groups of {TOGETHER} for {trees} trees")

    def sum(self, const double[:, ::1] x, double[::1] sums):
        """Write to sums what the leaves that each row of x reaches add up to, tree after tree."""
        cdef Py_ssize_t rows = x.shape[0]
        cdef int failed
        _check(rows, x.shape[1], sums.shape[0], self.columns)
        if not rows:
            return
        with nogil:
            failed = walk_nodes(&x[0, 0], rows, x.shape[1], self.columns, self.twice, &self.nodes[0], &self.value[0],
                                &self.roots[0], &self.steps[0], self.trees, &sums[0])
        if failed:
            raise MemoryError


cdef class Words:
    """The bit-vector walk with AVX-512: every test of every tree, 64 rows at once."""

    cdef const Test[::1] tests
    cdef const Word[::1] words
    cdef const int32_t[::1] words_end
    cdef const double[::1] leaves
    cdef Py_ssize_t columns
    cdef bint twice

    def __init__(self, tests, words, words_end, leaves, *, columns, twice):
        if not has_avx512():
            raise ValueError("this processor has no AVX-512")
        self.tests, self.words, self.words_end, self.leaves = tests, words, words_end, leaves
        self.columns, self.twice = columns, twice

    def sum(self, const double[:, ::1] x, double[::1] sums):
        """Write to sums what the leaves that each row of x reaches add up to, tree after tree."""
        cdef Py_ssize_t rows = x.shape[0]
        cdef int failed
        _check(rows, x.shape[1], sums.shape[0], self.columns)
        if not rows:
            return
        with nogil:
            failed = walk_words(&x[0, 0], rows, x.shape[1], self.columns, self.twice, &self.tests[0], &self.words[0],
                                &self.words_end[0], <int32_t>self.words_end.shape[0], &self.leaves[0], &sums[0])
        if failed:
            raise MemoryError


cdef _check(Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t sums, Py_ssize_t wanted):
    if rows != sums or columns < wanted:
        raise ValueError(f"{rows} rows, {columns} columns and {sums} sums; the trees compare {wanted} columns")
