/* The portable walk: ten trees at a time from node to node, no branch on data. */

#ifndef TOCSIN_WALK_NODES_H
#define TOCSIN_WALK_NODES_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Above the cut: to the node behind left. A leaf has the cut +inf and leads back to itself.

   Places are counted in halves of a node, which are as long as the largest step that an address can be scaled by. */
typedef struct { float cut; uint32_t cell, left, unused; } Node;

enum { HALF = sizeof(Node) / 2 };

static const uint32_t SIGN = 0x80000000u, INFINITE = 0x7f800000u;

enum {
    TOGETHER = 10,  /* trees: as many loads under way hide what one has to wait for */
    NODES_ROWS = 64 /* rows that meet the same trees while those are in the cache */
};

/* The bits of the value as trees compare it: infinity becomes the largest float32, NaN stays. No branch on the value,
   so that the compiler can do several at once. */
static inline uint32_t float32_bits(double value)
{
    const float nearest = (float)value;
    uint32_t bits;
    memcpy(&bits, &nearest, sizeof bits);
    return bits - ((bits & ~SIGN) == INFINITE);
}

/* Twice: a column's value for nodes that send NaN to the left, and behind it the value for those that send it right. */
static void fill_cells(const double *row, ptrdiff_t columns, int twice, float *cells)
{
    if (!twice) {
        for (ptrdiff_t column = 0; column < columns; column++) {
            const uint32_t bits = float32_bits(row[column]);
            memcpy(cells + column, &bits, sizeof bits);
        }
        return;
    }
    for (ptrdiff_t column = 0; column < columns; column++) {
        const uint32_t bits = float32_bits(row[column]);
        const uint32_t above = (bits & ~SIGN) > INFINITE ? INFINITE : bits;
        memcpy(cells + 2 * column, &bits, sizeof bits);
        memcpy(cells + 2 * column + 1, &above, sizeof above);
    }
}

/* Each row's sum of the values of the leaves that it reaches, added from 0 on, tree after tree.

   roots holds places, in whole groups of TOGETHER, the last one filled up; steps the depth of each group's deepest
   tree. Returns 0, or -1 if there is no memory. */
static int walk_nodes(const double *x, ptrdiff_t rows, ptrdiff_t stride, ptrdiff_t columns, int twice,
                      const Node *nodes, const double *value, const uint32_t *roots, const int32_t *steps,
                      int32_t trees, double *sums)
{
    const ptrdiff_t width = columns * (twice ? 2 : 1);
    float *cells = malloc(sizeof(float) * (size_t)(width * (rows < NODES_ROWS ? rows : NODES_ROWS) + 1));
    if (!cells)
        return -1;
    for (ptrdiff_t first = 0; first < rows; first += NODES_ROWS) {
        const ptrdiff_t block = rows - first < NODES_ROWS ? rows - first : NODES_ROWS;
        for (ptrdiff_t row = 0; row < block; row++)
            fill_cells(x + (first + row) * stride, columns, twice, cells + row * width);
        memset(sums + first, 0, sizeof(double) * (size_t)block);
        for (int32_t tree = 0; tree < trees; tree += TOGETHER) {
            const int real = trees - tree < TOGETHER ? trees - tree : TOGETHER;
            for (ptrdiff_t row = 0; row < block; row++) {
                const float *cell = cells + row * width;
                uint64_t at[TOGETHER];
                for (int k = 0; k < TOGETHER; k++)
                    at[k] = roots[tree + k];
                for (int32_t step = steps[tree / TOGETHER]; step > 0; step--)
                    for (int k = 0; k < TOGETHER; k++) {
                        const Node *node = (const Node *)((const char *)nodes + at[k] * HALF);
                        at[k] = node->left + 2 * (uint64_t)(cell[node->cell] > node->cut);
                    }
                double sum = sums[first + row];
                for (int k = 0; k < real; k++)
                    sum += value[at[k] / 2];
                sums[first + row] = sum;
            }
        }
    }
    free(cells);
    return 0;
}

#endif
