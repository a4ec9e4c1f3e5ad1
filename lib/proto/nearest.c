/* SPDX-License-Identifier: MIT */
/* Nearest names by edit distance with transpositions (Damerau 1964, in the restricted form). Dashes and underscores are alike. */
#include "nearest.h"

#include <stdint.h>
#include <string.h>

#define NAME_MAX_LEN 63         /* longer names are nobody's typing slip */

static size_t min3(size_t a, size_t b, size_t c)
{
	size_t m = a < b ? a : b;
	return m < c ? m : c;
}

static char fold(char c)
{
	if (c == '_')
		return '-';
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static size_t distance(const char *a, const char *b)
{
	size_t d[3][NAME_MAX_LEN + 1];
	size_t n = strlen(a), m = strlen(b);

	if (n > NAME_MAX_LEN || m > NAME_MAX_LEN)
		return SIZE_MAX;
	for (size_t j = 0; j <= m; j++)
		d[0][j] = j;
	for (size_t i = 1; i <= n; i++) {
		size_t *row = d[i % 3], *up = d[(i - 1) % 3], *up2 = d[(i + 1) % 3];

		row[0] = i;
		for (size_t j = 1; j <= m; j++) {
			size_t differ = fold(a[i - 1]) != fold(b[j - 1]);

			row[j] = min3(up[j] + 1, row[j - 1] + 1, up[j - 1] + differ);
			if (i > 1 && j > 1 && fold(a[i - 1]) == fold(b[j - 2]) && fold(a[i - 2]) == fold(b[j - 1]) &&
			    up2[j - 2] + 1 < row[j])
				row[j] = up2[j - 2] + 1;
		}
	}
	return d[n % 3][m];
}

void nearest_init(struct nearest *n, const char *typed)
{
	*n = (struct nearest){ .typed = typed, .distance = SIZE_MAX };
}

void nearest_offer(struct nearest *n, const char *name)
{
	size_t d = distance(n->typed, name);

	if (d < n->distance) {
		n->distance = d;
		n->best = name;
	}
}

const char *nearest_get(const struct nearest *n)
{
	size_t len = strlen(n->typed);

	return n->best && n->distance <= (len < 3 ? 1 : len / 3 + 1) && n->distance < strlen(n->best) ? n->best : NULL;
}
