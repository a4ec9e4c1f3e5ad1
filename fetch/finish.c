/* SPDX-License-Identifier: MIT */
/* The end: size, checksum, sync, name - in this order, so that the name never shows anything that is not complete and right. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "clock.h"
#include "fetch.h"
#include "mem.h"
#include "show.h"

#define XATTR "user.jobd.fetch"         /* of --if-changed: "1 ID SIZE MTIME etag|date VALIDATOR" */
#define PATIENCE_MS 800                 /* of a stop: within a second, whatever the disk does */

/* ---- --if-changed ---------------------------------------------------------------------------------------------------- */

static char *signature(const struct fetch *f, int fd)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return mem_text("");
	return mem_print("1 %s %lld %lld.%09ld ", f->id, (long long)st.st_size, (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
}

static void take_before(struct fetch *f, const char *text)
{
	bool etag = strncmp(text, "etag ", 5) == 0;

	if (!etag && strncmp(text, "date ", 5) != 0)
		return;
	f->before = (struct object){ .known = true, .kind = etag ? JT_FETCH_ETAG : JT_FETCH_DATE, .validator = mem_text(text + 5) };
}

/* The file must be as it was when that was written: same size, same time. */
void finish_read_before(struct fetch *f)
{
	char text[JT_FETCH_TEXT_MAX + 256], *ours;
	int fd = f->target.kind == TARGET_FILE ? open(f->target.name, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
	ssize_t n;

	if (fd < 0)
		return;
	n = fgetxattr(fd, XATTR, text, sizeof(text) - 1);
	ours = signature(f, fd);
	if (n > 0) {
		text[n] = '\0';
		if (strncmp(text, ours, strlen(ours)) == 0)
			take_before(f, text + strlen(ours));
	}
	free(ours);
	close(fd);
}

static void write_before(struct fetch *f)
{
	char *ours, *text;

	if (!f->o->if_changed)
		return;
	if (!f->object.validator) {
		show_note(f, "%s: the server gave no validator: the next --if-changed has nothing to compare", f->url.shown);
		return;
	}
	ours = signature(f, f->target.fd);
	text = mem_print("%s%s %s", ours, f->object.kind == JT_FETCH_ETAG ? "etag" : "date", f->object.validator);
	if (fsetxattr(f->target.fd, XATTR, text, strlen(text), 0) != 0)
		show_note(f, "%s: cannot keep the validator for --if-changed: %s", f->target.name, strerror(errno));
	free(text);
	free(ours);
}

/* ---- checksum -------------------------------------------------------------------------------------------------------- */

static int differs(struct fetch *f, const struct digest *wanted, const struct digest *is)
{
	char *should = digest_text(wanted), *found = digest_text(is);

	fail_set(&f->why, FETCH_SUM, "%s: the checksum is %s and should be %s", f->url.shown, found, should);
	free(should);
	free(found);
	return -1;
}

static int check_stream(struct fetch *f)
{
	struct digest wanted, is;

	if (!f->writer.digest || digest_run_end(f->writer.digest, &wanted, &is))
		return 0;
	return differs(f, &wanted, &is);
}

static bool await_sum(struct fetch *f)
{
	struct pollfd p[] = { { .fd = f->hasher.ended, .events = POLLIN }, { .fd = f->signal_fd, .events = POLLIN } };

	while (!net_interrupted(f))
		if (poll(p, 2, 1000) > 0 && p[0].revents)
			return true;
	return false;
}

static int check_file(struct fetch *f)
{
	struct hasher *h = &f->hasher;

	if (!h->started)
		return 0;
	plan_sum(f);
	hasher_finish(h);
	if (!await_sum(f))
		return -1;
	hasher_take(h);
	f->hash_us = h->took_us;
	if (h->error)
		return fail_set(&f->why, FETCH_IO, "cannot read %s back: %s", f->target.name, strerror(h->error));
	return h->same ? 0 : differs(f, &h->wanted, &h->is);
}

static void drop_wrong(struct fetch *f)
{
	if (f->why.status != FETCH_SUM || f->target.kind != TARGET_FILE)
		return;
	keep_remove(&f->keep);
	target_drop(&f->target, f->o->keep_bad);
	f->dropped = true;
}

/* ---- the name -------------------------------------------------------------------------------------------------------- */

static int sync_data(struct fetch *f)
{
	if (f->o->no_fsync)
		return 0;
	writer_ask(&f->writer, WORK_SYNC, 0, NULL, 0);
	return net_await(f, -1);
}

static void set_mtime(struct fetch *f)
{
	struct timespec t[] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = f->modified } };

	if (!f->o->mtime)
		return;
	if (f->modified == -1)
		show_note(f, "%s: the server gave no Last-Modified for --mtime", f->url.shown);
	else if (futimens(f->target.fd, t) != 0)
		show_note(f, "%s: cannot set its time: %s", f->target.name, strerror(errno));
}

/* The state goes while the lock is still ours: another fetch must not find it beside a file of its own. */
static void publish(struct fetch *f)
{
	set_mtime(f);
	write_before(f);
	if (target_publish(&f->target, f->o, &f->why) != 0)
		return;
	keep_remove(&f->keep);
	if (!f->o->no_fsync)
		target_sync_folder(&f->target);
	f->ended = true;
}

static void finish_file(struct fetch *f)
{
	if (target_is_size(&f->target, f->end - f->first, &f->why) != 0)
		return;
	plan_save(f);
	if (net_await(f, -1) != 0)
		return;
	if (check_file(f) != 0)
		drop_wrong(f);
	else if (sync_data(f) == 0)
		publish(f);
}

void finish(struct fetch *f)
{
	if (net_await(f, -1) != 0)
		return;
	switch (f->target.kind) {
	case TARGET_STREAM:
		f->ended = check_stream(f) == 0;
		break;
	case TARGET_INTO:
		f->ended = check_file(f) == 0 && sync_data(f) == 0;
		break;
	case TARGET_FILE:
		finish_file(f);
		break;
	}
}

/* ---- not complete ---------------------------------------------------------------------------------------------------- */

/* What an earlier run has left was not looked at yet. */
static bool is_of_before(const struct fetch *f)
{
	struct stat st;

	return !f->writer.started && fstat(f->target.fd, &st) == 0 && st.st_size > 0;
}

static bool is_worth_keeping(const struct fetch *f)
{
	return !f->gone && f->plan && jt_fetch_in_file(f->plan) > 0 && f->end != OPEN_END && f->object.total != SIZE_UNKNOWN;
}

/* What came so far is kept for another process, where that can make use of it; of nothing nothing is left. */
void finish_failed(struct fetch *f)
{
	net_drop_slots(f);
	net_await(f, PATIENCE_MS);
	if (f->writer.given > 0 || f->target.kind != TARGET_FILE || f->dropped || is_of_before(f))
		return;
	if (is_worth_keeping(f)) {
		plan_save(f);
		net_await(f, PATIENCE_MS);
		if (f->keep.tmp)
			unlink(f->keep.tmp);
		return;
	}
	keep_remove(&f->keep);
	target_drop(&f->target, false);
}
