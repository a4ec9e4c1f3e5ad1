/* SPDX-License-Identifier: MIT */
#include "map/results.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "map/jsonl.h"
#include "map/loop.h"
#include "status.h"
#include "talk.h"

int results_init(struct results *r, const char *dir)
{
	*r = (struct results)RESULTS_NONE;
	if (!dir)
		return 0;
	if (mkdir(dir, 0777) < 0 && errno != EEXIST)
		return complain(CTL_USAGE, "--results %s: %s", dir, strerror(errno));
	r->dir = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return r->dir >= 0 ? 0 : complain(CTL_USAGE, "--results %s: %s", dir, strerror(errno));
}

static void close_item(struct results *r)
{
	for (int i = 0; i < RESULTS_STREAMS; i++) {
		if (r->stream[i] >= 0)
			close(r->stream[i]);
		r->stream[i] = -1;
	}
	if (r->item >= 0)
		close(r->item);
	r->item = -1;
	r->seq = 0;
}

void results_done(struct results *r)
{
	close_item(r);
	if (r->dir >= 0)
		close(r->dir);
}

/* Lines of several items may alternate: only the first time what an earlier map has left goes. */
static void open_streams(struct results *r, struct task *t)
{
	static const char *const names[RESULTS_STREAMS] = { [RESULTS_OUT] = "stdout", [RESULTS_ERR] = "stderr" };
	enum map_stderr err = t->stage->loop->set->err;
	int n = err == STDERR_PASS || err == STDERR_FIELD ? RESULTS_STREAMS : RESULTS_ERR;

	for (int i = 0; i < n && r->item >= 0; i++) {
		r->stream[i] = openat(r->item, names[i], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | (t->has_folder ? 0 : O_TRUNC), 0666);
		if (r->stream[i] < 0)
			r->error = errno;
	}
	t->has_folder = true;
}

static void open_item(struct results *r, struct task *t)
{
	char name[24];

	if (r->seq == t->seq)
		return;
	close_item(r);
	r->seq = t->seq;
	snprintf(name, sizeof(name), "%" PRIu64, t->seq);
	if (mkdirat(r->dir, name, 0777) < 0 && errno != EEXIST)
		r->error = errno;
	r->item = openat(r->dir, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (r->item < 0)
		r->error = errno;
	open_streams(r, t);
}

static void write_all(struct results *r, int fd, const char *data, size_t n)
{
	while (n > 0 && r->error == 0) {
		ssize_t done = write(fd, data, n);

		if (done < 0 && errno != EINTR)
			r->error = errno;
		if (done > 0) {
			data += done;
			n -= (size_t)done;
		}
	}
}

void results_write(struct results *r, struct task *t, enum results_stream which, const char *data, size_t n)
{
	if (r->dir < 0)
		return;
	open_item(r, t);
	write_all(r, r->stream[which], data, n);
}

static void write_file(struct results *r, const char *name, const char *data, size_t n)
{
	int fd = r->error ? -1 : openat(r->item, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);

	if (fd < 0 && r->error == 0)
		r->error = errno;
	if (fd < 0)
		return;
	write_all(r, fd, data, n);
	close(fd);
}

int results_end(struct results *r, struct task *t)
{
	struct buf status = { 0 };

	if (r->dir < 0)
		return 0;
	open_item(r, t);
	buf_puts(&status, "{\"status\":");
	jsonl_status(&status, t);
	buf_puts(&status, "}\n");
	write_file(r, "status", status.p, status.len);
	buf_done(&status);
	close_item(r);
	errno = r->error;
	return r->error ? -1 : 0;
}
