/* SPDX-License-Identifier: MIT */
/* Cutters: threads that do nothing but punch. */
#include "outputs_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"

static void tell_stuck(struct outputs *o, struct output_file *f, int err)
{
	log_error("run %" PRIu64 " job %" PRIu64 ": its output can not be held to %" PRIu64 " bytes, so the job is ended: %s", f->of->job >> 32,
		  f->of->job & UINT32_MAX, f->of->max, strerror(err));
	outputs_tell_to_end(o, f);
}

static void do_cut(struct cutter *c)
{
	struct stat st;

	c->err = gap_widen(c->fd, c->max, c->size, c->edge) < 0 ? errno : 0;
	c->blocks = fstat(c->fd, &st) == 0 ? st.st_blocks : -1;
	close(c->fd);
}

static void cut_and_tell(struct cutter *c)
{
	do_cut(c);
	if (!mailbox_post(c->out, &c->has_cut.mail))
		log_die("the mailbox of the outputs is bounded");
}

static void *cut_always(void *arg)
{
	struct cutter *c = arg;
	bool leave = false;

	while (!leave) {
		struct mail *next;

		mailbox_wait(c->in, -1);
		for (struct mail *m = mailbox_take(c->in); m; m = next) {
			next = m->next;
			if (((struct letter *)m)->what == LEAVE)
				leave = true;
			else
				cut_and_tell(c);
		}
	}
	return NULL;
}

static struct cutter *new_cutter(struct outputs *o)
{
	struct cutter *c = calloc(1, sizeof(*c));

	if (!c)
		log_die("no memory for a cutter");
	c->cut = (struct letter){.what = CUT};
	c->has_cut = (struct letter){.what = HAS_CUT, .by = c};
	c->leave = (struct letter){.what = LEAVE};
	c->in = mailbox_new(0);
	c->out = o->in;
	if (c->in && pthread_create(&c->thread, NULL, cut_always, c) == 0) {
		o->cutters[o->n_cutters++] = c;
		return c;
	}
	if (c->in)
		mailbox_free(c->in);
	free(c);
	return NULL;
}

/* NULL: all are busy. */
static struct cutter *idle_cutter(struct outputs *o)
{
	for (int i = 0; i < o->n_cutters; i++)
		if (!o->cutters[i]->file)
			return o->cutters[i];
	return o->n_cutters < CUTTERS_MAX ? new_cutter(o) : NULL;
}

/*
 * What may pass (no space for the record of it) is tried again, until the output is twice what it may be. Who finds a settled gap hears of the
 * job's end next; who finds one again has a job that wrote it down itself.
 */
void cutter_has_cut(struct outputs *o, struct cutter *c)
{
	struct output_file *f = c->file;
	int err = c->err;

	c->file = NULL;
	f->cutting = false;
	f->blocks = c->blocks;
	if (err == EEXIST && !f->barred)
		f->barred = true;
	else if (err && (err == EOPNOTSUPP || err == ENOSYS || f->size / 2 > (int64_t)f->of->max))
		tell_stuck(o, f, err);
}

void cutter_cut(struct outputs *o, struct output_file *f, enum gap_edge edge)
{
	struct cutter *c = idle_cutter(o), here = {.has_cut = {.what = HAS_CUT}};
	int fd = c || edge == GAP_EXACT ? file_open(o, f, O_WRONLY) : -1;

	if (!c && edge != GAP_EXACT) {
		f->size = -1;
		return;
	}
	if (fd < 0) {
		file_forget(o, f);
		return;
	}
	atomic_store(&f->of->cut, true);
	if (!c)
		c = &here;
	c->file = f;
	c->fd = fd;
	c->max = f->of->max;
	c->size = f->size;
	c->edge = edge;
	f->cutting = true;
	if (c != &here) {
		if (!mailbox_post(c->in, &c->cut.mail))
			log_die("the mailbox of a cutter is bounded");
		return;
	}
	do_cut(c);
	cutter_has_cut(o, c);
}

void cutter_end(struct cutter *c)
{
	if (!mailbox_post(c->in, &c->leave.mail))
		log_die("the mailbox of a cutter is bounded");
	pthread_join(c->thread, NULL);
	mailbox_free(c->in);
}
