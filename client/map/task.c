/* SPDX-License-Identifier: MIT */
#include "map/task.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "map/child.h"
#include "map/errors.h"
#include "map/loop.h"

#define AFTER_KILL_NS INT64_C(500000000)        /* until the pipes are closed that somebody beyond the group holds */

/* ---- the end ---- */

static void reap(struct task *t)
{
	siginfo_t si = { 0 };

	while (waitid(P_PID, (id_t)t->pid, &si, WEXITED) < 0 && errno == EINTR)
		;
	t->status = t->why ? t->why : si.si_code == CLD_EXITED ? si.si_status : TASK_SIGNAL + si.si_status;
	t->pid = 0;
}

static void event_drop(struct event **ev)
{
	if (*ev)
		event_free(*ev);
	*ev = NULL;
}

static void pipe_close(struct event **ev)
{
	int fd;

	if (!*ev)
		return;
	fd = event_get_fd(*ev);
	event_drop(ev);
	close(fd);
}

static void close_all(struct task *t)
{
	pipe_close(&t->out_ev);
	pipe_close(&t->err_ev);
	pipe_close(&t->exit_ev);
	event_drop(&t->timer);
	t->stage->n_paused -= t->paused;
	t->paused = false;
}

static void maybe_over(struct task *t)
{
	if (!t->exited || t->out_ev || t->err_ev)
		return;
	reap(t);
	close_all(t);
	t->end = loop_epoch_now();
	stage_task_ended(t);
}

static void on_exit_of(evutil_socket_t fd, short what, void *arg)
{
	struct task *t = arg;

	(void)fd, (void)what;
	t->exited = true;
	pipe_close(&t->exit_ev);
	maybe_over(t);
}

static void kill_group(struct task *t);
static void tell_to_end(struct task *t, int why);

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct task *t = arg;

	(void)fd, (void)what;
	if (!t->why) {
		tell_to_end(t, TASK_TIMEOUT);
	} else if (!t->killed) {
		kill_group(t);
	} else {
		pipe_close(&t->out_ev);
		pipe_close(&t->err_ev);
		maybe_over(t);
	}
}

static void timer_set(struct task *t, int64_t ns)
{
	struct timeval tv = loop_timeval(ns);

	if (!t->timer)
		t->timer = evtimer_new(t->stage->loop->base, on_timer, t);
	evtimer_add(t->timer, &tv);
}

static void read_on(struct task *t)
{
	t->stage->n_paused -= t->paused;
	t->paused = false;
	if (t->out_ev)
		event_add(t->out_ev, NULL);
	if (t->err_ev)
		event_add(t->err_ev, NULL);
}

static void kill_group(struct task *t)
{
	if (!t->pid)
		return;
	t->why = t->why ? t->why : TASK_STOPPED;
	t->killed = true;
	kill(-t->pid, SIGKILL);
	timer_set(t, AFTER_KILL_NS);
	read_on(t);
}

static void tell_to_end(struct task *t, int why)
{
	if (!t->pid || t->why)
		return;
	t->why = why;
	kill(-t->pid, SIGTERM);
	kill(-t->pid, SIGCONT);
	timer_set(t, t->stage->set->grace_ns);
}

/* ---- while it runs ---- */

static void read_pipe(struct task *t, struct event **ev, struct chunks *into)
{
	enum chunk_excess excess = stage_leaves(t) ? EXCESS_MEMORY : EXCESS_SPOOL;
	struct map_loop *l = t->stage->loop;
	bool spool;
	ssize_t n;

	if (!t->killed && !stage_may_read(t)) {
		event_del(*ev);
		t->stage->n_paused += !t->paused;
		t->paused = true;
		return;
	}
	n = chunks_read(&l->store, into, event_get_fd(*ev), excess, &spool);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n < 0 && spool)
		loop_io_failed(l, "the spool", l->set->spool_dir);
	if (n <= 0)
		pipe_close(ev);
	maybe_over(t);
}

static void on_out(evutil_socket_t fd, short what, void *arg)
{
	struct task *t = arg;

	(void)fd, (void)what;
	read_pipe(t, &t->out_ev, &t->out);
}

static void on_err(evutil_socket_t fd, short what, void *arg)
{
	struct task *t = arg;

	(void)fd, (void)what;
	read_pipe(t, &t->err_ev, &t->err);
}

/* ---- the start ---- */

size_t task_parts(const struct task *t)
{
	return t->stage->set->tuples ? t->item->len : 1;
}

bool task_can_divide(const struct task *t)
{
	size_t n = t->n_parts ? t->n_parts : task_parts(t) - t->part_at, unit = t->stage->set->unit;

	return unit > 0 && n >= 2 * unit;
}

struct jt_bytes task_part(const struct task *t, size_t i)
{
	const struct jt_item *part = t->stage->set->tuples ? (const struct jt_item *)t->item->data + i : t->item;

	return (struct jt_bytes){ part->data, part->len };
}

struct jt_bytes *task_words(const struct task *t, size_t *ret_n)
{
	size_t n = t->stage->set->item_on_stdin ? 0 : t->n_parts ? t->n_parts : task_parts(t) - t->part_at;
	struct jt_bytes *words = xcalloc(n + 1, sizeof(*words));

	for (size_t i = 0; i < n; i++) {
		words[i] = task_part(t, t->part_at + i);
		if (words[i].len && memchr(words[i].data, '\0', words[i].len)) {
			free(words);
			return NULL;
		}
	}
	*ret_n = n;
	return words;
}

static char **argv_of(const struct task *t)
{
	const struct stage_settings *set = t->stage->set;
	struct jt_template_values v = { .seq = t->seq, .slot = t->slot + 1, .threads = set->threads, .columns = set->columns };
	struct jt_bytes *words = task_words(t, &v.n_items);
	size_t argc;
	char **argv;

	if (!words)
		return NULL;
	v.items = words;
	argv = jt_template_expand(set->template, &v, &argc);
	free(words);
	if (argv && set->shell)
		argv[2] = set->shell;
	return argv;
}

/* Standard input: nothing, or the item in a file without a name. */
static int stdin_of(const struct task *t)
{
	int fd;

	if (!t->stage->set->item_on_stdin)
		return t->stage->loop->null_fd;
	fd = child_above_stdio(memfd_create("item", MFD_CLOEXEC));
	for (size_t at = 0; fd >= 0 && at < t->item->len;) {
		ssize_t n = pwrite(fd, (const char *)t->item->data + at, t->item->len - at, (off_t)at);

		if (n <= 0) {
			close(fd);
			return -1;
		}
		at += (size_t)n;
	}
	return fd;
}

/* What the environment says of the attempt: the last entries of envp are places for it. */
static void set_env(const struct task *t, char env[3][64])
{
	char **envp = t->stage->loop->env_of_attempt;

	snprintf(env[0], 64, "JOBD_SEQ=%" PRIu64, t->seq);
	snprintf(env[1], 64, "JOBD_SLOT=%" PRIu32, t->slot + 1);
	snprintf(env[2], 64, "JOBD_ATTEMPT=%" PRIu32, t->attempt);
	for (size_t i = 0; i < 3; i++)
		envp[i] = env[i];
	envp[3] = t->stage->env_name;
}

struct plumbing { int in, out[2], err[2]; };
#define NO_PLUMBING { -1, { -1, -1 }, { -1, -1 } }

static void plumbing_close(const struct task *t, struct plumbing *p, bool readers_too)
{
	const int fds[] = { p->in == t->stage->loop->null_fd ? -1 : p->in, p->out[1], p->err[1], readers_too ? p->out[0] : -1, readers_too ? p->err[0] : -1 };

	for (size_t i = 0; i < sizeof(fds) / sizeof(*fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

static int plumb(const struct task *t, struct plumbing *p)
{
	const struct map_settings *set = t->stage->loop->set;

	p->in = stdin_of(t);
	if (p->in < 0)
		return -1;
	if ((set->grouping != GROUP_NOT || !t->stage->last || t->stage->loop->log) && child_plumbing(p->out) < 0)
		return -1;
	return errors_are_ours(t->stage) ? child_plumbing(p->err) : 0;
}

static struct child_plan plan_of(const struct task *t, const struct plumbing *p, char **argv)
{
	const struct map_loop *l = t->stage->loop;
	int out = p->out[1] >= 0 ? p->out[1] : l->stdout_fd;
	const int err[] = { [STDERR_PASS] = STDERR_FILENO, [STDERR_MERGE] = out, [STDERR_DROP] = l->null_fd, [STDERR_FIELD] = -1 };

	return (struct child_plan){ argv, l->envp, p->in, out, p->err[1] >= 0 ? p->err[1] : err[l->set->err], &l->mask };
}

static struct event *watch(struct task *t, int fd, event_callback_fn fn)
{
	struct event *ev = fd >= 0 ? event_new(t->stage->loop->base, fd, EV_READ | EV_PERSIST, fn, t) : NULL;

	if (ev)
		event_add(ev, NULL);
	return ev;
}

static int spawn(struct task *t, char **argv)
{
	struct plumbing p = NO_PLUMBING;
	char env[3][64];
	int rc = plumb(t, &p) < 0 ? errno : 0, pidfd;

	if (rc == 0) {
		struct child_plan plan = plan_of(t, &p, argv);

		set_env(t, env);
		rc = child_start(&plan, &t->pid, &pidfd);
	}
	plumbing_close(t, &p, rc != 0);
	if (rc != 0)
		return rc;
	t->exit_ev = watch(t, pidfd, on_exit_of);
	t->out_ev = watch(t, p.out[0], on_out);
	t->err_ev = watch(t, p.err[0], on_err);
	return 0;
}

static int start(struct task *t)
{
	char **argv = argv_of(t);
	int rc;

	if (!argv)
		return EILSEQ;
	t->exited = t->killed = false;
	t->why = 0;
	if (t->part_at == 0)
		t->start = loop_epoch_now();
	rc = spawn(t, argv);
	free(argv);
	if (rc == 0 && t->stage->set->timeout_ns > 0)
		timer_set(t, t->stage->set->timeout_ns);
	return rc;
}

static void read_on_all(struct stage *s)
{
	struct task *head = s->last && errors_are_ours(s) ? stage_head(s) : NULL;

	if (head)
		errors_pass(head);
	for (uint32_t i = 0; s->n_paused > 0 && i < s->window.size; i++)
		if (s->task[i].paused && stage_may_read(&s->task[i]))
			read_on(&s->task[i]);
}

static bool has_come(const struct task_stream *s)
{
	return s->ended || s->at >= s->size;
}

bool task_is_whole(const struct task *t)
{
	return has_come(&t->there.out) && has_come(&t->there.err);
}

static void leave(struct task *t)
{
	(void)t;                        /* nobody but us knows of it */
}

static void clear(struct task *t)
{
	if (t->pid) {
		kill(-t->pid, SIGKILL);
		reap(t);
		close_all(t);
	}
	chunks_drop(&t->stage->loop->store, &t->out);
	chunks_drop(&t->stage->loop->store, &t->err);
	chunks_drop(&t->stage->loop->store, &t->gone);
	buf_done(&t->line);
}

const struct task_home task_here = { start, tell_to_end, kill_group, read_on_all, leave, clear };
