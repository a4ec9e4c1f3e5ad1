/* SPDX-License-Identifier: MIT */
/*
 * Keep - NAME.part.state: replaced as a whole, by way of NAME.part.state.tmp. The room for the next one is always reserved in that file, so that
 * what was fetched can be noted down also on a disk that has become full. Whoever has the lock on NAME.part may call these.
 */
#ifndef FETCH_KEEP_H
#define FETCH_KEEP_H

#include <stddef.h>

struct keep {
	char *path, *tmp;       /* NULL: nothing is kept */
	int fd;                 /* of tmp, with room; -1: none yet */
};

void keep_init(struct keep *k, const char *part);       /* part NULL: nothing is kept */
void keep_done(struct keep *k);

int keep_reserve(struct keep *k);                                       /* 0, or -1 with errno */
int keep_write(struct keep *k, const char *text, size_t len, int sync); /* 0, or -1 with errno; the one before is still there */
/* keep_read - the caller frees. NULL with errno: there is none (ENOENT), or it cannot be read. */
char *keep_read(const struct keep *k, size_t *ret_len);
void keep_remove(struct keep *k);

#endif
