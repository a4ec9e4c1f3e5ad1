/* SPDX-License-Identifier: MIT */
/* Index - strings (with a number beside them) to pointers: names and keys of runs. Open addressing; strings are borrowed. */
#ifndef INDEX_H
#define INDEX_H

#include <stdint.h>

struct index;

struct index *index_new(void);          /* lives as long as the process, as what its strings are of */
void *index_get(const struct index *ix, uint64_t ns, const char *s);
void index_put(struct index *ix, uint64_t ns, const char *s, void *value);      /* replaces; s must live as long as the entry */
void index_del(struct index *ix, uint64_t ns, const char *s);

#endif
