/* SPDX-License-Identifier: MIT */
/* Outputs: see outputs.h. The main thread makes a struct watched and gives it away; it comes back to be freed, in the same mailbox. */
#include "outputs.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "gap.h"
#include "log.h"

#define TICK_MS 10
#define LOOKS_A_TICK 256
#define QUIET_AFTER 3           /* looks that find nothing new */
#define N_SLOTS 4096            /* of the table of inotify's numbers */
#define CUTTERS_MAX 64
#define NAME_SIZE 64

struct output_file {
	struct watched *of;
	dev_t dev;
	ino_t ino;
	int64_t size, blocks;           /* when it was looked at last */
	unsigned idle;                  /* looks since it grew */
	int wd;                         /* QUIET: inotify's number; -1 */
	bool growing;
	bool cutting;                   /* a cutter has it: it is not looked at */
	bool settled;                   /* the last cut has been begun */
	bool barred;                    /* somebody else wrote down a gap */
	TAILQ_ENTRY(output_file) growing_link;
	LIST_ENTRY(output_file) wd_link;
};

enum request { WATCH, FORGET, CUT, HAS_CUT, LEAVE };

struct letter {
	struct mail mail;               /* first */
	enum request what;
	struct watched *about;
	struct cutter *by;              /* HAS_CUT */
};

struct watched {
	struct letter watch, forget;
	uint64_t job, max;
	bool whole;                     /* nothing is cut out: beyond max the job is ended */
	uint32_t attempt;
	bool forgotten;                 /* goes when no cutter has a file of it any more */
	atomic_bool cut;                /* set by the thread, before the first gap is made */
	struct note *settled;           /* set by the main thread with the letter that says forget; NULL: nobody waits */
	struct output_file file[2];
	LIST_ENTRY(watched) link;
};

/*
 * A thread that does nothing but punch. Many file systems write out first what they are to throw away, and hold up the writer meanwhile: so each
 * output that is too large needs one of its own, or the others would grow as long.
 */
struct cutter {
	struct letter cut, has_cut, leave;
	pthread_t thread;
	struct mailbox *in, *out;
	struct output_file *file;       /* the other thread's; NULL: idle */
	int fd;
	uint64_t max;
	int64_t size, blocks;           /* blocks: when it had cut */
	enum gap_edge edge;
	int err;
};

TAILQ_HEAD(growing_list, output_file);
LIST_HEAD(wd_list, output_file);

struct outputs {
	pthread_t thread;
	struct mailbox *in, *to;
	const char *state_dir;
	bool leaving, said_no_dir, said_no_inotify;
	int dir, inotify;               /* dir -1: not opened yet; inotify -1: none, everything is looked at all the time */
	int64_t tick_ns;                /* of the last round of looks */
	struct cutter *cutters[CUTTERS_MAX];
	int n_cutters;
	struct growing_list growing;
	struct wd_list by_wd[N_SLOTS];
	LIST_HEAD(, watched) all;
};

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

struct output_ids outputs_identify(const int fds[2])
{
	struct output_ids ids = {0};
	struct stat st;

	for (int i = 0; i < 2; i++) {
		int flags = fcntl(fds[i], F_GETFL);

		/* who sent it could not write to it: then neither do we, whatever it is called */
		if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY || fstat(fds[i], &st) < 0 || !S_ISREG(st.st_mode))
			continue;
		ids.file[i].dev = st.st_dev;
		ids.file[i].ino = st.st_ino;
	}
	return ids;
}

/* ---- the file behind the name ---- */

static void name_of(const struct output_file *f, char name[NAME_SIZE])
{
	const struct watched *w = f->of;

	snprintf(name, NAME_SIZE, "%" PRIu64 "/%" PRIu64 ".%" PRIu32 ".%s", w->job >> 32, w->job & UINT32_MAX, w->attempt,
		 f == &w->file[0] ? "out" : "err");
}

/* It is made by jobd, and may not be there yet when we start. */
static bool have_dir(struct outputs *o)
{
	char path[4096];
	int n = snprintf(path, sizeof(path), "%s/out", o->state_dir);

	if (o->dir < 0 && n > 0 && (size_t)n < sizeof(path))
		o->dir = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (o->dir < 0 && !o->said_no_dir)
		log_warn("%s/out: %s; outputs are not held to output_max while jobs run", o->state_dir, strerror(errno));
	o->said_no_dir = o->dir < 0;
	return o->dir >= 0;
}

static bool is_same(const struct output_file *f, const struct stat *st)
{
	return st->st_dev == f->dev && st->st_ino == f->ino;
}

/* -1: it can not be opened, or is not the one that was passed to us. */
static int open_again(struct outputs *o, const struct output_file *f, int flags)
{
	char name[NAME_SIZE];
	struct stat st;
	int fd;

	name_of(f, name);
	fd = openat(o->dir, name, flags | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd >= 0 && fstat(fd, &st) == 0 && is_same(f, &st))
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

/* ---- growing, quiet, forgotten ---- */

static void set_growing(struct outputs *o, struct output_file *f)
{
	f->idle = 0;
	if (f->growing)
		return;
	if (TAILQ_EMPTY(&o->growing))
		o->tick_ns = now_ns();
	f->growing = true;
	TAILQ_INSERT_TAIL(&o->growing, f, growing_link);
}

static void not_growing(struct outputs *o, struct output_file *f)
{
	if (f->growing)
		TAILQ_REMOVE(&o->growing, f, growing_link);
	f->growing = false;
}

static struct wd_list *slot_of(struct outputs *o, int wd)
{
	return &o->by_wd[(unsigned)wd % N_SLOTS];
}

static void drop_wd(struct output_file *f)
{
	if (f->wd >= 0)
		LIST_REMOVE(f, wd_link);
	f->wd = -1;
}

static void forget_file(struct outputs *o, struct output_file *f)
{
	if (f->wd >= 0)
		inotify_rm_watch(o->inotify, f->wd);    /* fails when it has fired meanwhile */
	drop_wd(f);
	not_growing(o, f);
	f->ino = 0;
}

/* One shot: the next write tells, and those after it cost the job nothing. */
static int arm(struct outputs *o, const struct output_file *f)
{
	char path[64];
	int wd, fd = open_again(o, f, O_PATH);

	if (fd < 0)
		return -1;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	wd = inotify_add_watch(o->inotify, path, IN_MODIFY | IN_ONESHOT);
	if (wd < 0 && !o->said_no_inotify)
		log_warn("inotify: %s; quiet outputs are looked at as often as growing ones", strerror(errno));
	o->said_no_inotify = wd < 0;
	close(fd);
	return wd;
}

static bool stat_file(struct outputs *o, const struct output_file *f, struct stat *st)
{
	char name[NAME_SIZE];

	name_of(f, name);
	return fstatat(o->dir, name, st, AT_SYMLINK_NOFOLLOW) == 0 && is_same(f, st);
}

/* What was written between the last look and the arming nobody tells: look once more. */
static void rest(struct outputs *o, struct output_file *f)
{
	struct stat st;

	f->idle = 0;
	if (f->wd < 0) {
		f->wd = arm(o, f);
		if (f->wd < 0)
			return;
		LIST_INSERT_HEAD(slot_of(o, f->wd), f, wd_link);
	}
	if (stat_file(o, f, &st) && st.st_size == f->size && st.st_blocks == f->blocks)
		not_growing(o, f);
}

/* ---- what is told ---- */

static void tell(struct outputs *o, struct note *n)
{
	if (!mailbox_post(o->to, &n->mail))
		log_die("the main thread's mailbox is bounded");
}

static void tell_to_end(struct outputs *o, struct output_file *f)
{
	struct stuck_note *s = malloc(sizeof(*s));

	if (!s)
		log_die("no memory for a message");
	*s = (struct stuck_note){.note = {.kind = NOTE_STUCK}, .job = f->of->job, .attempt = f->of->attempt};
	forget_file(o, f);
	tell(o, &s->note);
}

static void tell_stuck(struct outputs *o, struct output_file *f, int err)
{
	log_error("run %" PRIu64 " job %" PRIu64 ": its output can not be held to %" PRIu64 " bytes, so the job is ended: %s", f->of->job >> 32,
		  f->of->job & UINT32_MAX, f->of->max, strerror(err));
	tell_to_end(o, f);
}

/* ---- cutters ---- */

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
static void has_cut(struct outputs *o, struct cutter *c)
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

/* When all are busy it is looked at again in the next round; at the end of a job there is none, and it is done here. */
static void cut(struct outputs *o, struct output_file *f, enum gap_edge edge)
{
	struct cutter *c = idle_cutter(o), here = {.has_cut = {.what = HAS_CUT}};
	int fd = c || edge == GAP_EXACT ? open_again(o, f, O_WRONLY) : -1;

	if (!c && edge != GAP_EXACT) {
		f->size = -1;
		return;
	}
	if (fd < 0) {
		forget_file(o, f);
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
	has_cut(o, c);
}

/* ---- a look ---- */

/* Who can take its own output away from its name could as well write elsewhere: that is let go. */
static void look(struct outputs *o, struct output_file *f)
{
	struct stat st;
	bool changed;

	if (f->cutting)
		return;
	if (!stat_file(o, f, &st)) {
		forget_file(o, f);
		return;
	}
	changed = st.st_size != f->size || st.st_blocks != f->blocks;
	f->idle = changed ? 0 : f->idle + 1;
	f->size = st.st_size;
	f->blocks = st.st_blocks;
	if (f->of->whole && f->size > (int64_t)f->of->max)
		tell_to_end(o, f);
	else if (changed && f->size > (int64_t)f->of->max)
		cut(o, f, GAP_AT_BLOCK);
	else if (f->idle >= QUIET_AFTER)
		rest(o, f);
}

/* Each at most once a round, those that had to wait first in the next one. */
static void round_of_looks(struct outputs *o)
{
	struct output_file *last = TAILQ_LAST(&o->growing, growing_list), *f;

	o->tick_ns = now_ns();
	for (int i = 0; i < LOOKS_A_TICK && (f = TAILQ_FIRST(&o->growing)); i++) {
		TAILQ_REMOVE(&o->growing, f, growing_link);
		TAILQ_INSERT_TAIL(&o->growing, f, growing_link);
		look(o, f);
		if (f == last)
			break;
	}
}

/* ---- what is told to us ---- */

static void written_to(struct outputs *o, const struct inotify_event *ev)
{
	struct output_file *f;

	LIST_FOREACH(f, slot_of(o, ev->wd), wd_link)
		if (f->wd == ev->wd) {
			drop_wd(f);     /* it was one shot */
			set_growing(o, f);
			return;
		}
}

static void all_may_have_grown(struct outputs *o)
{
	struct watched *w;

	LIST_FOREACH(w, &o->all, link)
		for (int i = 0; i < 2; i++)
			if (w->file[i].ino)
				set_growing(o, &w->file[i]);
}

static void read_inotify(struct outputs *o)
{
	_Alignas(struct inotify_event) char buf[4096];
	ssize_t n;

	while ((n = read(o->inotify, buf, sizeof(buf))) > 0)
		for (char *p = buf; p < buf + n;) {
			const struct inotify_event *ev = (const struct inotify_event *)p;

			if (ev->mask & IN_Q_OVERFLOW)
				all_may_have_grown(o);
			else
				written_to(o, ev);
			p += sizeof(*ev) + ev->len;
		}
}

/* Old enough to be worth a look, and to have written much by now. */
static void begin(struct outputs *o, struct watched *w)
{
	LIST_INSERT_HEAD(&o->all, w, link);
	if (!have_dir(o))
		return;
	for (int i = 0; i < 2; i++) {
		struct output_file *f = &w->file[i];

		if (!f->ino)
			continue;
		set_growing(o, f);
		look(o, f);
	}
}

/* Nothing writes to it any more. */
static void settle(struct outputs *o, struct output_file *f)
{
	struct stat st;

	f->settled = true;
	if (f->of->whole || !f->ino || !stat_file(o, f, &st) || st.st_size <= (int64_t)f->of->max)
		return;
	f->size = st.st_size;
	cut(o, f, GAP_EXACT);
}

/* Comes here again whenever a cutter has done with a file of it. */
static void forget(struct outputs *o, struct watched *w)
{
	w->forgotten = true;
	for (int i = 0; i < 2; i++) {
		not_growing(o, &w->file[i]);
		if (w->settled && !w->file[i].cutting && !w->file[i].settled)
			settle(o, &w->file[i]);
	}
	if (w->file[0].cutting || w->file[1].cutting)
		return;
	for (int i = 0; i < 2; i++)
		forget_file(o, &w->file[i]);
	if (w->settled)
		tell(o, w->settled);
	LIST_REMOVE(w, link);
	free(w);
}

static void take_back(struct outputs *o, struct cutter *c)
{
	struct watched *w = c->file->of;

	has_cut(o, c);
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
	left = TICK_MS - (now_ns() - o->tick_ns) / 1000000;
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
			read_inotify(o);
		if (wait_ms(o) == 0)
			round_of_looks(o);
	}
	return NULL;
}

/* ---- the main thread's ---- */

static void end_cutter(struct cutter *c)
{
	if (!mailbox_post(c->in, &c->leave.mail))
		log_die("the mailbox of a cutter is bounded");
	pthread_join(c->thread, NULL);
	mailbox_free(c->in);
}

/* Nothing runs any more, so nobody waits for what a cutter was about to do. */
static void release(struct outputs *o)
{
	struct watched *w;

	for (int i = 0; i < o->n_cutters; i++)
		end_cutter(o->cutters[i]);
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
