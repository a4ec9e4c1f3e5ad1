/* SPDX-License-Identifier: MIT */
/*
 * Is the write-ahead log whole? SQLite reads it up to the first frame whose checksum is wrong and takes that for its end, which
 * is right after a power loss: the last commit, not synced, may be in pieces. But each commit was synced before the next was
 * written. So if two commits stand behind the broken frame, the first of them was acknowledged, and the log is damaged.
 *
 * This needs each start to begin a new log (store.c): else pieces of two power losses could lie one behind the other.
 * Format: https://www.sqlite.org/fileformat2.html, "The Write-Ahead Log".
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store_priv.h"

#define MAGIC 0x377f0682u               /* + 1: checksums of big-endian words */
#define HEADER 32
#define FRAME_HEADER 24
#define PAGE_MAX 65536

struct wal {
	FILE *f;
	bool big;                       /* words of the checksum */
	uint32_t page_size;
	unsigned char salts[8];
	uint32_t sum[2];                /* over everything so far */
};

static uint32_t big_endian(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint32_t little_endian(const unsigned char *p)
{
	return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

static void add(struct wal *w, const unsigned char *p, size_t n)
{
	for (size_t i = 0; i < n; i += 8) {
		w->sum[0] += (w->big ? big_endian(p + i) : little_endian(p + i)) + w->sum[1];
		w->sum[1] += (w->big ? big_endian(p + i + 4) : little_endian(p + i + 4)) + w->sum[0];
	}
}

static bool sum_is(const struct wal *w, const unsigned char *p)
{
	return big_endian(p) == w->sum[0] && big_endian(p + 4) == w->sum[1];
}

static bool read_header(struct wal *w, const unsigned char h[HEADER])
{
	uint32_t magic = big_endian(h);

	w->big = magic & 1;
	w->page_size = big_endian(h + 8);
	memcpy(w->salts, h + 16, sizeof(w->salts));
	add(w, h, 24);
	return (magic & ~1u) == MAGIC && w->page_size >= 512 && w->page_size <= PAGE_MAX && sum_is(w, h + 24);
}

/* A frame of this log, be its checksum right or not; older ones have other salts. */
static bool is_ours(const struct wal *w, const unsigned char *frame)
{
	return !memcmp(frame + 8, w->salts, sizeof(w->salts));
}

static bool is_commit(const unsigned char *frame)
{
	return big_endian(frame + 4) != 0;
}

static bool frame_is_whole(struct wal *w, const unsigned char *frame)
{
	if (!is_ours(w, frame) || big_endian(frame) == 0)
		return false;
	add(w, frame, 8);
	add(w, frame + FRAME_HEADER, w->page_size);
	return sum_is(w, frame + 16);
}

/* Commits from the first broken frame on, that one included. */
static int lost_commits(struct wal *w, unsigned char *frame)
{
	size_t size = FRAME_HEADER + w->page_size;
	bool whole = true;
	int n = 0;

	while (fread(frame, size, 1, w->f) == 1) {
		whole = whole && frame_is_whole(w, frame);
		n += !whole && is_ours(w, frame) && is_commit(frame);
	}
	return n;
}

/* Returns whether it is whole. Nothing, or less than a header, is. */
static bool check(struct wal *w)
{
	static unsigned char frame[FRAME_HEADER + PAGE_MAX];
	unsigned char header[HEADER];

	if (fread(header, sizeof(header), 1, w->f) != 1)
		return true;
	if (!read_header(w, header))    /* it was synced before the first frame was written */
		return fread(frame, FRAME_HEADER, 1, w->f) != 1;
	return lost_commits(w, frame) < 2;
}

int store_check_wal(const char *path, struct store_error *err)
{
	struct wal w = { 0 };
	char *name;
	bool whole;

	if (asprintf(&name, "%s-wal", path) < 0)
		abort();
	w.f = fopen(name, "re");
	whole = w.f ? check(&w) : errno == ENOENT;
	if (!whole)
		snprintf(err->text, sizeof(err->text), "%s: %s", name, w.f ? "damaged, and left as it is: acknowledged commits stand behind "
			 "a broken one; restore a backup, or move this file away and lose what is in it" : strerror(errno));
	if (w.f)
		fclose(w.f);
	free(name);
	return whole ? 0 : -1;
}
