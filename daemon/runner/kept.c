/* SPDX-License-Identifier: MIT */
/* Kept: see kept.h. The whole table is mapped once, far beyond the file, which grows below the mapping: a record never moves. */
#include "kept.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "failpoint.h"
#include "log.h"

#define MAGIC UINT64_C(0x3173646e45646f6a)      /* "jodEnds1": another layout gets another number */
#define RECORDS_MAX (size_t)(1024 * 1024)
#define RECORDS_STEP (size_t)4096

struct kept_file {
	uint64_t magic;
	uint8_t boot_id[16];
	struct kept_record records[];
};

static size_t size_of(size_t n_records)
{
	return sizeof(struct kept_file) + n_records * sizeof(struct kept_record);
}

/* FNV-1a; never 0, which is the sum of no end. */
static uint64_t sum_of(const struct rm_end *end)
{
	const unsigned char *bytes = (const unsigned char *)end;
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < sizeof(*end); i++)
		h = (h ^ bytes[i]) * UINT64_C(0x100000001b3);
	return h ? h : 1;
}

/* ---- the file ---- */

/* Room that is there: a store into a hole of a full file system would be the end of us. */
static int grow(struct kept *k, size_t n_records)
{
	errno = posix_fallocate(k->fd, 0, (off_t)size_of(n_records));
	if (errno)
		return -1;
	k->n_records = n_records;
	return 0;
}

static int open_file(struct kept *k)
{
	struct stat st;
	size_t n;

	k->fd = open(k->path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (k->fd < 0 || fstat(k->fd, &st) < 0)
		return -1;
	n = (size_t)st.st_size < size_of(0) ? 0 : ((size_t)st.st_size - size_of(0)) / sizeof(struct kept_record);
	if (!S_ISREG(st.st_mode) || n > RECORDS_MAX) {
		errno = EINVAL;
		return -1;
	}
	if (grow(k, n > RECORDS_STEP ? n : RECORDS_STEP) < 0)
		return -1;
	k->file = mmap(NULL, size_of(RECORDS_MAX), PROT_READ | PROT_WRITE, MAP_SHARED, k->fd, 0);
	if (k->file != MAP_FAILED)
		return 0;
	k->file = NULL;
	return -1;
}

static void do_without(struct kept *k, const char *why)
{
	log_warn("%s: %s; ends that are not acknowledged will not survive this runner", k->path, why);
	if (k->fd >= 0)
		close(k->fd);
	k->fd = -1;
	k->n_records = 0;
}

/* What another boot left may be half of a page, and its jobs are long judged. */
static bool is_ours(const struct kept_file *f, const uint8_t boot_id[16])
{
	return f->magic == MAGIC && !memcmp(f->boot_id, boot_id, sizeof(f->boot_id));
}

static void begin_anew(struct kept *k, const uint8_t boot_id[16])
{
	memset(k->file, 0, size_of(k->n_records));
	memcpy(k->file->boot_id, boot_id, sizeof(k->file->boot_id));
	k->file->magic = MAGIC;
}

static void put_free(struct kept *k, struct kept_record *rec)
{
	rec->sum = 0;
	k->free[k->n_free++] = rec;
}

void kept_open(struct kept *k, const char *socket_path, const uint8_t boot_id[16], void (*found)(void *arg, struct kept_record *rec),
	       void *arg)
{
	*k = (struct kept){.fd = -1, .free = malloc(RECORDS_MAX * sizeof(struct kept_record *))};
	if (!k->free || asprintf(&k->path, "%s.ends", socket_path) < 0)
		log_die("no memory for the ends that are kept");
	if (open_file(k) < 0) {
		do_without(k, strerror(errno));
		return;
	}
	if (!is_ours(k->file, boot_id))
		begin_anew(k, boot_id);
	for (size_t i = k->n_records; i-- > 0;) {       /* the first ones are taken first */
		struct kept_record *rec = &k->file->records[i];

		if (rec->sum == sum_of(&rec->end))
			found(arg, rec);
		else
			put_free(k, rec);
	}
}

void kept_close(struct kept *k)
{
	if (k->fd >= 0 && k->n_free == k->n_records)
		unlink(k->path);
	if (k->file)
		munmap(k->file, size_of(RECORDS_MAX));
	if (k->fd >= 0)
		close(k->fd);
	free(k->free);
	free(k->path);
}

/* ---- records ---- */

static void add_records(struct kept *k)
{
	size_t before = k->n_records, n = before + RECORDS_STEP;

	if (k->fd < 0 || n > RECORDS_MAX)
		return;
	if (grow(k, n) < 0) {
		if (!k->said_full)
			log_warn("%s: %s; ends of jobs that start now may not survive this runner", k->path, strerror(errno));
		k->said_full = true;
		return;
	}
	while (n-- > before)
		put_free(k, &k->file->records[n]);
}

struct kept_record *kept_take(struct kept *k)
{
	if (!k->n_free)
		add_records(k);
	return k->n_free ? k->free[--k->n_free] : NULL;
}

void kept_write(struct kept_record *rec, const struct rm_end *end)
{
	if (!rec)
		return;
	FAILPOINT("before_keep_end");
	rec->end = *end;
	atomic_signal_fence(memory_order_seq_cst);      /* we may die between any two stores, not the machine */
	__atomic_store_n(&rec->sum, sum_of(end), __ATOMIC_RELEASE);
	FAILPOINT("after_keep_end");
}

void kept_give_back(struct kept *k, struct kept_record *rec)
{
	if (rec)
		put_free(k, rec);
}
