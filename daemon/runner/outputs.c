/* SPDX-License-Identifier: MIT */
/* Outputs: see outputs.h. The main thread makes a struct watched and gives it away; it comes back to be freed, in the same mailbox. */
#include "outputs_impl.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "log.h"

#define TICK_MS 10
#define LOOKS_A_TICK 256
#define QUIET_AFTER 3           /* looks that find nothing new */

static void tell(struct outputs *o, struct note *n)
{
	if (!mailbox_post(o->to, &n->mail))
		log_die("the main thread's mailbox is bounded");
}

void outputs_tell_to_end(struct outputs *o, struct output_file *f)
{
	struct stuck_note *s = malloc(sizeof(*s));

	if (!s)
		log_die("no memory for a message");
	*s = (struct stuck_note){.note = {.kind = NOTE_STUCK}, .job = f->of->job, .attempt = f->of->attempt};
	file_forget(o, f);
	tell(o, &s->note);
}

/* ---- a look ---- */

/* Who can take its own output away from its name could as well write elsewhere: that is let go. */
static void look(struct outputs *o, struct output_file *f)
{
	struct stat st;
	bool changed;

	if (f->cutting)
		return;
	if (!file_stat(o, f, &st)) {
		file_forget(o, f);
		return;
	}
	changed = st.st_size != f->size || st.st_blocks != f->blocks;
	f->idle = changed ? 0 : f->idle + 1;
	f->size = st.st_size;
	f->blocks = st.st_blocks;
	if (f->of->whole && f->size > (int64_t)f->of->max)
		outputs_tell_to_end(o, f);
	else if (changed && f->size > (int64_t)f->of->max)
		cutter_cut(o, f, GAP_AT_BLOCK);
	else if (f->idle >= QUIET_AFTER)
		file_rest(o, f);
}

/* Each at most once a round, those that had to wait first in the next one. */
static void round_of_looks(struct outputs *o)
{
	struct output_file *last = TAILQ_LAST(&o->growing, growing_list), *f;

	o->tick_ns = outputs_now_ns();
	for (int i = 0; i < LOOKS_A_TICK && (f = TAILQ_FIRST(&o->growing)); i++) {
		TAILQ_REMOVE(&o->growing, f, growing_link);
		TAILQ_INSERT_TAIL(&o->growing, f, growing_link);
		look(o, f);
		if (f == last)
			break;
	}
}

/* ---- what is told to us ---- */

/* Old enough to be worth a look, and to have written much by now. */
static void begin(struct outputs *o, struct watched *w)
{
	LIST_INSERT_HEAD(&o->all, w, link);
	if (!file_have_dir(o))
		return;
	for (int i = 0; i < 2; i++) {
		struct output_file *f = &w->file[i];

		if (!f->ino)
			continue;
		file_set_growing(o, f);
		look(o, f);
	}
}

/* Nothing writes to it any more. */
static void settle(struct outputs *o, struct output_file *f)
{
	struct stat st;

	f->settled = true;
	if (f->of->whole || !f->ino || !file_stat(o, f, &st) || st.st_size <= (int64_t)f->of->max)
		return;
	f->size = st.st_size;
	cutter_cut(o, f, GAP_EXACT);
}

/* Comes here again whenever a cutter has done with a file of it. */
static void forget(struct outputs *o, struct watched *w)
{
	w->forgotten = true;
	for (int i = 0; i < 2; i++) {
		file_set_quiet(o, &w->file[i]);
		if (w->settled && !w->file[i].cutting && !w->file[i].settled)
			settle(o, &w->file[i]);
	}
	if (w->file[0].cutting || w->file[1].cutting)
		return;
	for (int i = 0; i < 2; i++)
		file_forget(o, &w->file[i]);
	if (w->settled)
		tell(o, w->settled);
	LIST_REMOVE(w, link);
	free(w);
}

static void take_back(struct outputs *o, struct cutter *c)
{
	struct watched *w = c->file->of;

	cutter_has_cut(o, c);
	if (w->forgotten)
		forget(o, w);
}

static void take_mail(struct outputs *o)
{
	struct mail *next;

	for (struct mail *m = mailbox_take(o->in); m; m = next) {
		struct letter *l = (struct letter *)m;

		next = m->next;
		if (l->what == WATCH)
			begin(o, l->about);
		else if (l->what == FORGET)
			forget(o, l->about);
		else if (l->what == HAS_CUT)
			take_back(o, l->by);
		else
			o->leaving = true;
	}
}

/* ---- the loop ---- */

static int wait_ms(const struct outputs *o)
{
	int64_t left;

	if (TAILQ_EMPTY(&o->growing))
		return -1;
	left = TICK_MS - (outputs_now_ns() - o->tick_ns) / 1000000;
	return left < 0 ? 0 : (int)left;
}

static void *work(void *arg)
{
	struct outputs *o = arg;
	struct pollfd p[] = {{.fd = mailbox_fd(o->in), .events = POLLIN}, {.fd = o->inotify, .events = POLLIN}};

	while (!o->leaving) {
		if (poll(p, 2, wait_ms(o)) < 0 && errno != EINTR)
			log_die("poll: %s", strerror(errno));
		if (p[0].revents)
			take_mail(o);
		if (p[1].revents)
			file_read_inotify(o);
		if (wait_ms(o) == 0)
			round_of_looks(o);
	}
	return NULL;
}

/* ---- the main thread's ---- */

/* Nothing runs any more, so nobody waits for what a cutter was about to do. */
static void release(struct outputs *o)
{
	struct watched *w;

	for (int i = 0; i < o->n_cutters; i++)
		cutter_end(o->cutters[i]);
	while ((w = LIST_FIRST(&o->all))) {
		LIST_REMOVE(w, link);
		free(w);
	}
	if (o->in) {
		mailbox_take(o->in);
		mailbox_free(o->in);
	}
	for (int i = 0; i < o->n_cutters; i++)
		free(o->cutters[i]);
	if (o->dir >= 0)
		close(o->dir);
	if (o->inotify >= 0)
		close(o->inotify);
	free(o);
}

struct outputs *outputs_new(const char *state_dir, struct mailbox *to)
{
	struct outputs *o = calloc(1, sizeof(*o));
	int rc;

	if (!o)
		return NULL;
	o->state_dir = state_dir;
	o->to = to;
	o->dir = -1;
	o->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	TAILQ_INIT(&o->growing);
	o->in = mailbox_new(0);
	rc = o->in ? pthread_create(&o->thread, NULL, work, o) : errno;
	if (rc == 0)
		return o;
	release(o);
	errno = rc;
	return NULL;
}

static void post(struct outputs *o, struct letter *l)
{
	if (!mailbox_post(o->in, &l->mail))
		log_die("the mailbox of the outputs is bounded");
}

struct watched *outputs_watch(struct outputs *o, uint64_t job, uint32_t attempt, uint64_t max, const struct output_ids *ids)
{
	struct watched *w = calloc(1, sizeof(*w));

	if (!w)
		log_die("no memory for the outputs of a job");
	w->job = job;
	w->attempt = attempt;
	w->max = max & ~RM_OUTPUT_WHOLE;
	w->whole = max & RM_OUTPUT_WHOLE;
	for (int i = 0; i < 2; i++)
		w->file[i] = (struct output_file){.of = w, .dev = ids->file[i].dev, .ino = ids->file[i].ino, .wd = -1};
	w->watch = (struct letter){.what = WATCH, .about = w};
	w->forget = (struct letter){.what = FORGET, .about = w};
	post(o, &w->watch);
	return w;
}

bool outputs_forget(struct outputs *o, struct watched *w, struct note *settled)
{
	bool cut = w && atomic_load(&w->cut);

	if (cut)
		w->settled = settled;
	if (w)
		post(o, &w->forget);
	return cut;
}

void outputs_free(struct outputs *o)
{
	struct letter leave = {.what = LEAVE};

	if (!o)
		return;
	post(o, &leave);
	pthread_join(o->thread, NULL);
	release(o);
}
