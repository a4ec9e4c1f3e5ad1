/* SPDX-License-Identifier: MIT */
/*
 * Map - the output of an item, read piece by piece: from its record, or from its file, also while it is written.
 *
 * While an item may have a further attempt nothing of it is given away. A reader waits for the start, for the growth of the file (inotify),
 * for the end, and for room in the connection.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "growth.h"
#include "log.h"
#include "map.h"
#include "proto/base64.h"

#define CHUNK (48 * 1024)
#define PIECES_A_TURN 8                 /* of a reader, be the client ever so quick: then others have their turn */
#define AGAIN_MS 250                    /* a file that is there cannot be opened: nothing tells when that is over */

struct reader {
	struct map_item *item;          /* NULL: it has gone, and a query with it is under way */
	bool err, asking;
	int64_t offset, left;           /* left: of what was asked for */
	uint32_t attempt;               /* whose file is open */
	int fd;
	struct growth *growth;
	struct event *again;            /* NULL: its file could be opened so far */
	LIST_ENTRY(reader) entry;       /* in map->readers */
};

static void close_file(struct reader *rd)
{
	growth_free(rd->growth);
	rd->growth = NULL;
	if (rd->fd >= 0)
		close(rd->fd);
	rd->fd = -1;
}

static void reader_free(struct reader *rd)
{
	close_file(rd);
	LIST_REMOVE(rd, entry);
	if (rd->item)
		rd->item->reader[rd->err] = NULL;
	rd->item = NULL;
	if (rd->again)
		event_free(rd->again);
	rd->again = NULL;
	if (!rd->asking)
		free(rd);
}

void map_readers_drop(struct map_item *it)
{
	for (int i = 0; i < 2; i++)
		if (it->reader[i])
			reader_free(it->reader[i]);
}

/* ---- pieces -------------------------------------------------------------------------------------------------------------- */

#define FRAME_REST 256                  /* around the data */
#define FRAME_END "\"}},\"continues\":true}"

/* Written here, since nothing in base64 needs an escape, and of large outputs it is nearly all there is to do. */
static void say(struct reader *rd, const char *data, size_t n, bool eof)
{
	size_t size = BASE64_SIZE(n) + FRAME_REST, len;
	char *text = xcalloc(1, size);

	len = (size_t)snprintf(text, size, "{\"parameters\":{\"data\":{\"tag\":%" PRIu64 ",\"stream\":\"%s\",\"offset\":%" PRId64 ",\"eof\":%s,\"data_b64\":\"",
			       rd->item->tag, rd->err ? "err" : "out", rd->offset, eof ? "true" : "false");
	len += base64_encode(data, n, text + len);
	memcpy(text + len, FRAME_END, sizeof(FRAME_END));
	call_continue_text(rd->item->map->call, text, len + sizeof(FRAME_END));
	rd->offset += (int64_t)n;
	rd->left -= (int64_t)n;
	if (eof || rd->left == 0)
		reader_free(rd);
}

/* Of what is recorded: all that is left of it, or of what was asked for. */
static void say_packed(struct reader *rd, const char *data, int64_t size)
{
	int64_t n = size > rd->offset ? size - rd->offset : 0;

	if (n > rd->left)
		n = rd->left;
	say(rd, n ? data + rd->offset : "", (size_t)n, rd->offset + n >= size);
}

/* ---- from the record ------------------------------------------------------------------------------------------------------- */

/* Outputs of an item are never cut: what is neither in a file nor in the record was given up for others (output_total). */
static void recorded(struct store_op *op)
{
	struct reader *rd = op->arg;
	const struct store_attempt *at = op->n_attempts ? &op->attempts[0] : NULL;
	const char *data = at ? rd->err ? at->err : at->out : NULL;
	int64_t size = data ? rd->err ? at->err_bytes : at->out_bytes : 0;

	rd->asking = false;
	if (!rd->item)
		free(rd);
	else
		say_packed(rd, data, size);
}

static void ask_record(struct reader *rd)
{
	struct run *r = rd->item->map->run;
	struct store_op *op = engine_op(r->e, ST_GET_OUTPUT, r);

	rd->asking = true;
	op->id = rd->item->id;
	op->attempt.attempt = rd->item->last;
	op->urgent = true;
	op->done = recorded;
	op->arg = rd;
	engine_post(r->e, op);
}

/* ---- from the file ------------------------------------------------------------------------------------------------------------ */

static void step(struct reader *rd);

static void grown(void *arg)
{
	step(arg);
}

static void watch(struct reader *rd)
{
	rd->growth = growth_watch(rd->item->map->run->e->base, rd->fd, grown, rd);
	if (!rd->growth)
		log_warn("map: no inotify: %s; what items write is told when they have ended", strerror(errno));
}

/* The attempt whose file is to be read; 0: not yet. */
static uint32_t readable_attempt(const struct reader *rd)
{
	struct map_item *it = rd->item;
	struct active *a;

	if (it->state != ITEM_PUT)
		return it->state == ITEM_ASKED ? 0 : it->last;
	a = active_find(it->map->run->e, it->id);
	if (!a || (a->state != A_SENT && a->state != A_RUNNING) || a->end_reason || !map_is_last_attempt(it))
		return 0;
	return a->attempt;
}

static bool open_file(struct reader *rd, uint32_t attempt)
{
	struct map_item *it = rd->item;

	if (rd->fd >= 0 && rd->attempt == attempt)
		return true;
	close_file(rd);
	rd->attempt = attempt;
	rd->fd = output_fd(it->map->run->e, it->id, attempt, rd->err);
	if (rd->fd >= 0 && it->state == ITEM_PUT)
		watch(rd);
	return rd->fd >= 0;
}

static void on_again(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	step(arg);
}

/* For want of descriptors or memory, with errno: what it holds is not given up for that. */
static void open_again_later(struct reader *rd)
{
	struct timeval tv = { .tv_usec = AGAIN_MS * 1000 };
	struct map *m = rd->item->map;

	if (!rd->again) {
		log_warn("run %u: the output of item %" PRIu64 " cannot be opened: %s; it is tried again", m->run->id, rd->item->tag, strerror(errno));
		rd->again = xtimer(m->run->e->base, on_again, rd);
	}
	event_add(rd->again, &tv);
}

/* One piece. False: there is no more now, or the reader has gone. */
static bool read_piece(struct reader *rd)
{
	struct map *m = rd->item->map;
	bool runs = rd->item->state == ITEM_PUT;
	size_t want = rd->left < CHUNK ? (size_t)rd->left : CHUNK;
	char buf[CHUNK];
	ssize_t n;

	if (call_is_full(m->call)) {
		map_wait_for_room(m);
		return false;
	}
	n = pread(rd->fd, buf, want, rd->offset);
	if (n < 0)
		n = 0;
	if (n == 0 && runs)
		return false;
	rd->item->read_live |= runs;
	if (n < (ssize_t)want && !runs) {
		say(rd, buf, (size_t)n, true);
		return false;
	}
	say(rd, buf, (size_t)n, false);
	return true;
}

static void step(struct reader *rd)
{
	struct map_item *it = rd->item;
	uint32_t attempt = readable_attempt(rd);
	bool err = rd->err;

	if (rd->asking || !attempt || !it->map->greeted)
		return;
	if (it->is_untold || it->is_asking)
		return;                 /* its end is told first: perhaps that it was delivered already, and nobody wants it */
	if (it->state == ITEM_ENDED && it->cancelled && !it->bytes) {
		say(rd, "", 0, true);
		return;
	}
	if (!open_file(rd, attempt)) {
		if (output_is_lacking(errno))
			open_again_later(rd);
		else if (it->state != ITEM_PUT)
			ask_record(rd);
		return;
	}
	for (int pieces = 1; it->reader[err] == rd && read_piece(rd); pieces++)
		if (pieces == PIECES_A_TURN && it->reader[err] == rd) {
			map_wait_for_room(it->map);
			return;
		}
}

void map_read_on(struct map_item *it)
{
	for (int i = 0; i < 2; i++)
		if (it->reader[i])
			step(it->reader[i]);
}

void map_readers_step(struct map *m)
{
	struct reader *rd, *next;

	for (rd = LIST_FIRST(&m->readers); rd && m->call; rd = next) {
		next = LIST_NEXT(rd, entry);
		step(rd);
	}
}

/* ---- the beginning --------------------------------------------------------------------------------------------------------------- */

int map_read(struct map *m, uint64_t tag, bool err, int64_t offset, int64_t max, struct req_error *ret_err)
{
	struct map_item *it = map_find(m, tag);
	struct reader *rd;

	if (!it || !it->claimed)
		return req_fail(ret_err, "org.jobd.Refused", "item %" PRIu64 " cannot be read: it is not in hand", tag);
	if (it->reader[err])
		return req_fail(ret_err, "org.jobd.Refused", "item %" PRIu64 " is being read already: one MapRead at a time and stream", tag);
	rd = xcalloc(1, sizeof(*rd));
	*rd = (struct reader){ .item = it, .err = err, .offset = offset, .left = max, .fd = -1 };
	it->reader[err] = rd;
	LIST_INSERT_HEAD(&m->readers, rd, entry);
	step(rd);
	return 0;
}
