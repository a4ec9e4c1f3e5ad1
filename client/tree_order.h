/* SPDX-License-Identifier: MIT */
/*
 * Tree order - paths sorted so that everything below a directory stands right behind it, and the drawing of such a list as a tree.
 * (The order of the scheduler is by bytes of the whole path, where `a-b` stands between `a` and `a/c`.)
 */
#ifndef TREE_ORDER_H
#define TREE_ORDER_H

#include <stddef.h>
#include <stdio.h>

/* tree_order_cmp - as strcmp, with '/' below every other byte. */
int tree_order_cmp(const char *a, const char *b);

/*
 * tree_draw - paths: n of them in tree order. For each component that has not been drawn yet, a line: branch lines, the component's name,
 * and for a job what leaf(arg, i, out) adds. Directories without a job get a line of their own. O(total length).
 */
void tree_draw(const char *const *paths, size_t n, FILE *out, void (*leaf)(void *arg, size_t i, FILE *out), void *arg);

#endif
