/* SPDX-License-Identifier: MIT */
/*
 * Target - where the bytes go, and the promise about its name: it shows all of the object or what it showed before.
 *
 *	-o NAME       NAME.part is locked and filled, then renamed to NAME; NAME.part.state beside it is what a later process needs (keep.h)
 *	--into FILE   a range of an existing file, in place; no state
 *	-o -, a FIFO  a stream: in order, no state
 */
#ifndef FETCH_TARGET_H
#define FETCH_TARGET_H

#include <stdbool.h>
#include <stdint.h>

#include "options.h"
#include "status.h"

enum target_kind { TARGET_FILE, TARGET_INTO, TARGET_STREAM };

struct target {
	enum target_kind kind;
	char *name;             /* for messages: the file, or "standard output" */
	char *part, *bad;       /* TARGET_FILE */
	int fd;
	uint64_t at;            /* where in the file the first byte of the range goes */
};

/* target_open - everything that can be known to be impossible is refused here, before any request. 0, or -1 with *fail; target_done either way. */
int target_open(struct target *t, const struct fetch_options *o, struct fail *fail);
void target_done(struct target *t);

/* target_is_size - whether the file has this many bytes. 0, or -1 with *fail. */
int target_is_size(const struct target *t, uint64_t bytes, struct fail *fail);

/* target_publish - NAME.part becomes NAME, and the folder is synced unless it may be lost. 0, or -1 with *fail. */
int target_publish(const struct target *t, const struct fetch_options *o, struct fail *fail);
void target_sync_folder(const struct target *t);

/* target_drop - the file is removed, or becomes NAME.bad. */
void target_drop(const struct target *t, bool keep_bad);

#endif
