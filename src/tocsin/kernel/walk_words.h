/* The exact bit-vector walk with AVX-512: no tree is walked, every test of it is asked of 64 rows at once.

   The leaves of a tree are numbered from left to right, 32 to a word, the first one in the highest bit. A test that
   sends a row to the right strikes out the leaves on its left; the first leaf that is left over is the row's.

   Source: Lucchese et al., QuickScorer, SIGIR 2015; the rows side by side as in V-QuickScorer (SIGIR 2016). */

#ifndef TOCSIN_WALK_WORDS_H
#define TOCSIN_WALK_WORDS_H

#include <stddef.h>
#include <stdint.h>

/* Above the cut: only the leaves in the mask remain. */
typedef struct { float cut; uint32_t cell, mask; } Test;

/* The test behind a word's last one, and the place of its first leaf's value. */
typedef struct { int32_t tests_end; int32_t leaf; } Word;

enum { WORDS_ROWS = 64, LANES = 16, COLUMNS = 8 };

#if defined(__x86_64__) && defined(__GNUC__)

#include <float.h>
#include <immintrin.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define WITH_AVX512 __attribute__((target("avx512f,avx512cd,avx512dq")))

static int has_avx512(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512cd") &&
           __builtin_cpu_supports("avx512dq");
}

/* Eight columns of two rows as trees compare them. Minimum and maximum return their second operand beside a NaN. */
WITH_AVX512 static inline __m512 two_rows(const double *one, const double *other, __mmask8 columns)
{
    const __m256 low = _mm512_cvtpd_ps(_mm512_maskz_loadu_pd(columns, one));
    const __m256 high = _mm512_cvtpd_ps(_mm512_maskz_loadu_pd(columns, other));
    const __m512 both = _mm512_insertf32x8(_mm512_castps256_ps512(low), high, 1);
    return _mm512_max_ps(_mm512_set1_ps(-FLT_MAX), _mm512_min_ps(_mm512_set1_ps(FLT_MAX), both));
}

WITH_AVX512 static inline void put_column(float *cells, ptrdiff_t column, int twice, __m512 rows)
{
    if (!twice) {
        _mm512_store_ps(cells + column * WORDS_ROWS, rows);
        return;
    }
    const __mmask16 missing = _mm512_cmp_ps_mask(rows, rows, _CMP_UNORD_Q);
    _mm512_store_ps(cells + 2 * column * WORDS_ROWS, rows);
    _mm512_store_ps(cells + (2 * column + 1) * WORDS_ROWS,
                    _mm512_mask_mov_ps(rows, missing, _mm512_set1_ps(INFINITY)));
}

/* Up to 16 rows, the last one repeated, into columns of cells; eight columns at a time are turned in registers. */
WITH_AVX512 static inline void turn_rows(const double *x, ptrdiff_t rows, ptrdiff_t stride, ptrdiff_t columns,
                                         int twice, float *cells)
{
    const double *row[LANES];
    for (int lane = 0; lane < LANES; lane++)
        row[lane] = x + (lane < rows ? lane : rows - 1) * stride;
    for (ptrdiff_t column = 0; column < columns; column += COLUMNS) {
        const ptrdiff_t left = columns - column;
        const __mmask8 there = left < COLUMNS ? (__mmask8)((1u << left) - 1) : 0xff;
        __m512 pair[8], quad[8];
        for (int i = 0; i < 4; i++) {
            pair[i] = two_rows(row[i] + column, row[i + 4] + column, there);
            pair[i + 4] = two_rows(row[i + 8] + column, row[i + 12] + column, there);
        }
        for (int i = 0; i < 8; i += 4)
            for (int high = 0; high < 2; high++) {
                const __m512 a = high ? _mm512_unpackhi_ps(pair[i], pair[i + 1])
                                      : _mm512_unpacklo_ps(pair[i], pair[i + 1]);
                const __m512 b = high ? _mm512_unpackhi_ps(pair[i + 2], pair[i + 3])
                                      : _mm512_unpacklo_ps(pair[i + 2], pair[i + 3]);
                quad[i + 2 * high] = _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)));
                quad[i + 2 * high + 1] =
                    _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)));
            }
        for (int i = 0; i < 4; i++) {
            put_column(cells, column + i, twice, _mm512_shuffle_f32x4(quad[i], quad[i + 4], 0x88));
            put_column(cells, column + i + 4, twice, _mm512_shuffle_f32x4(quad[i], quad[i + 4], 0xdd));
        }
    }
}

/* Adds to the sums of 64 rows, whose cells lie in columns, the values of the leaves that they reach. */
WITH_AVX512 static void add_leaves(const float *cells, const Test *tests, const Word *words, const int32_t *words_end,
                                   int32_t trees, const double *leaves, double *sums)
{
    enum { GROUPS = WORDS_ROWS / LANES };
    const Test *test = tests;
    int32_t word = 0;
    for (int32_t tree = 0; tree < trees; tree++) {
        __m512i leaf[GROUPS];
        for (int group = 0; group < GROUPS; group++)
            leaf[group] = _mm512_setzero_si512();
        /* From the last word to the first, so that the first one in which a leaf is left over has the last say. */
        for (; word < words_end[tree]; word++) {
            __m512i open[GROUPS];
            for (int group = 0; group < GROUPS; group++)
                open[group] = _mm512_set1_epi32(-1);
            for (const Test *end = tests + words[word].tests_end; test < end; test++) {
                const __m512 cut = _mm512_set1_ps(test->cut);
                const __m512i mask = _mm512_set1_epi32((int32_t)test->mask);
                const float *column = cells + (ptrdiff_t)test->cell * WORDS_ROWS;
                for (int group = 0; group < GROUPS; group++) {
                    const __m512 cell = _mm512_load_ps(column + group * LANES);
                    const __mmask16 right = _mm512_cmp_ps_mask(cell, cut, _CMP_GT_OQ);
                    open[group] = _mm512_mask_and_epi32(open[group], right, open[group], mask);
                }
            }
            const __m512i first = _mm512_set1_epi32(words[word].leaf);
            for (int group = 0; group < GROUPS; group++)
                leaf[group] = _mm512_mask_add_epi32(leaf[group], _mm512_test_epi32_mask(open[group], open[group]),
                                                    first, _mm512_lzcnt_epi32(open[group]));
        }
        for (int group = 0; group < GROUPS; group++)
            for (int half = 0; half < 2; half++) {
                const __m256i at = half ? _mm512_extracti64x4_epi64(leaf[group], 1)
                                        : _mm512_castsi512_si256(leaf[group]);
                double *sum = sums + group * LANES + half * 8;
                _mm512_storeu_pd(sum, _mm512_add_pd(_mm512_loadu_pd(sum), _mm512_i32gather_pd(at, leaves, 8)));
            }
    }
}

/* Each row's sum of the values of the leaves that it reaches, added from 0 on, tree after tree.

   words_end holds for each tree the word behind its last one. Returns 0, or -1 if there is no memory. */
static int walk_words(const double *x, ptrdiff_t rows, ptrdiff_t stride, ptrdiff_t columns, int twice,
                      const Test *tests, const Word *words, const int32_t *words_end, int32_t trees,
                      const double *leaves, double *sums)
{
    enum { LINE = 64 };
    const ptrdiff_t width = (columns + COLUMNS - 1) / COLUMNS * COLUMNS * (twice ? 2 : 1);
    char *memory = malloc(sizeof(float) * (size_t)(width * WORDS_ROWS) + LINE);
    if (!memory)
        return -1;
    float *cells = (float *)(memory + (LINE - (uintptr_t)memory % LINE));
    for (ptrdiff_t first = 0; first < rows; first += WORDS_ROWS) {
        const ptrdiff_t block = rows - first < WORDS_ROWS ? rows - first : WORDS_ROWS;
        double sum[WORDS_ROWS] = {0};
        for (ptrdiff_t row = 0; row < WORDS_ROWS; row += LANES) {
            const ptrdiff_t from = row < block ? row : block - 1;
            turn_rows(x + (first + from) * stride, block - from, stride, columns, twice, cells + row);
        }
        add_leaves(cells, tests, words, words_end, trees, leaves, sum);
        memcpy(sums + first, sum, sizeof(double) * (size_t)block);
    }
    free(memory);
    return 0;
}

#else

static int has_avx512(void)
{
    return 0;
}

static int walk_words(const double *x, ptrdiff_t rows, ptrdiff_t stride, ptrdiff_t columns, int twice,
                      const Test *tests, const Word *words, const int32_t *words_end, int32_t trees,
                      const double *leaves, double *sums)
{
    (void)x, (void)rows, (void)stride, (void)columns, (void)twice, (void)tests, (void)words, (void)words_end;
    (void)trees, (void)leaves, (void)sums;
    return -1;
}

#endif

#endif
