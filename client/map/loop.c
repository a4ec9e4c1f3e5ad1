/* SPDX-License-Identifier: MIT */
#include "map/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "map/child.h"
#include "map/halt.h"
#include "map/inputs.h"
#include "map/meter.h"
#include "map/end_status.h"
#include "map/remote.h"
#include "status.h"
#include "talk.h"

int64_t loop_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

double loop_epoch_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

struct timeval loop_timeval(int64_t ns)
{
	return (struct timeval){ ns / 1000000000, (ns % 1000000000 + 999) / 1000 };
}

/* ---- ends before the end ---- */

static void on_grace_over(evutil_socket_t fd, short what, void *arg)
{
	struct map_loop *l = arg;

	(void)fd, (void)what;
	l->grace_over = true;
}

static int64_t longest_grace(const struct map_loop *l)
{
	int64_t ns = 0;

	for (size_t i = 0; i < l->set->n_stages; i++)
		if (l->set->stage[i].grace_ns > ns)
			ns = l->set->stage[i].grace_ns;
	return ns;
}

void loop_stop(struct map_loop *l, int how, int exit_status)
{
	if (l->exit_status == 0)
		l->exit_status = exit_status;
	if (how <= l->stop)
		return;
	l->stop = how;
	for (size_t i = 0; i < (how == JTI_DRAINS ? 1 : l->set->n_stages); i++)        /* a drain runs down through the stages */
		stage_stop(&l->stage[i], how);
	if (how >= JTI_STOPPED) {
		struct timeval tv = loop_timeval(longest_grace(l));

		evtimer_add(l->grace_ev, &tv);
	}
}

void loop_io_failed(struct map_loop *l, const char *what, const char *where)
{
	if (l->exit_status == 0)
		complain(MAP_IO_ERROR, "%s%s%s cannot be used: %s", what, where ? " " : "", where ? where : "", strerror(errno));
	loop_stop(l, JTI_STOPPED, MAP_IO_ERROR);
	l->grace_over = true;
}

void loop_log_failed(struct map_loop *l)
{
	if (l->exit_status == 0)
		complain(MAP_IO_ERROR, "--log %s: %s", l->set->log, log_error(l->log));
	loop_stop(l, JTI_STOPPED, MAP_IO_ERROR);
	l->grace_over = true;
}

void loop_remote_failed(struct map_loop *l, int exit_status)
{
	loop_stop(l, JTI_STOPPED, exit_status);
	l->grace_over = true;
}

void loop_sink_gone(struct map_loop *l)
{
	if (l->signal == 0 && l->exit_status == 0)
		l->signal = SIGPIPE;
	loop_stop(l, JTI_STOPPED, 0);
	l->grace_over = true;
}

void loop_item_ended(struct map_loop *l, const struct stage *s)
{
	const struct halt *h = &l->set->halt;

	if (h->when != HALT_NEVER && halt_is_due(h, &s->n))
		loop_stop(l, h->when == HALT_NOW ? JTI_STOPPED : JTI_DRAINS, h->what == HALT_FAIL ? MAP_HALTED : 0);
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct map_loop *l = arg;

	(void)fd, (void)what;
	if (l->stop >= JTI_STOPPED)
		return;                 /* it ends for another reason already */
	if (l->exit_status == 0)
		complain(CTL_TIMED_OUT, "the deadline of the map is over");
	loop_stop(l, JTI_DEADLINE, CTL_TIMED_OUT);
}

static void on_signal(evutil_socket_t fd, short what, void *arg)
{
	struct map_loop *l = arg;
	struct signalfd_siginfo si;

	(void)what;
	if (read(fd, &si, sizeof(si)) != sizeof(si))
		return;
	if (l->signal == 0) {
		l->signal = (int)si.ssi_signo;
		loop_stop(l, JTI_STOPPED, 0);
		return;
	}
	for (size_t i = 0; i < l->set->n_stages; i++)
		stage_kill(&l->stage[i]);
	l->grace_over = l->killed = true;
}

/* ---- the pump ---- */

static void pump(struct map_loop *l)
{
	bool moved;

	do {
		moved = sink_pump(&l->sink);
		for (size_t i = l->set->n_stages; i-- > 0;)
			moved = stage_pump(&l->stage[i]) || moved;
	} while (moved);
}

static bool is_over(struct map_loop *l)
{
	struct stage *last = &l->stage[l->set->n_stages - 1];

	for (size_t i = 0; i < l->set->n_stages; i++)
		if (l->stage[i].n.running > 0)
			return false;
	if (l->stop >= JTI_STOPPED && l->grace_over)
		return true;
	if (!sink_is_idle(&l->sink))
		return false;
	return l->stop >= JTI_STOPPED ? !stage_has_results(last) : stage_is_over(last);
}

/* ---- begin and end ---- */

static void environment_init(struct map_loop *l)
{
	size_t n = 0;

	while (environ[n])
		n++;
	l->envp = xcalloc(n + 5, sizeof(*l->envp));
	n = 0;
	for (char **e = environ; *e; e++)
		if (strncmp(*e, "JOBD_SEQ=", 9) != 0 && strncmp(*e, "JOBD_SLOT=", 10) != 0 && strncmp(*e, "JOBD_ATTEMPT=", 13) != 0 &&
		    strncmp(*e, "JOBD_MAP=", 9) != 0)
			l->envp[n++] = *e;
	l->env_of_attempt = &l->envp[n];
}

static int watch_signals(struct map_loop *l)
{
	static const int caught[] = { SIGINT, SIGTERM, SIGHUP };
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigprocmask(SIG_SETMASK, NULL, &l->mask);
	for (size_t i = 0; i < sizeof(caught) / sizeof(*caught); i++) {
		struct sigaction was;

		if (sigaction(caught[i], NULL, &was) == 0 && was.sa_handler != SIG_IGN)         /* nohup */
			sigaddset(&set, caught[i]);
	}
	sigprocmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return -1;
	l->signal_ev = event_new(l->base, fd, EV_READ | EV_PERSIST, on_signal, l);
	event_add(l->signal_ev, NULL);
	return 0;
}

static int descriptors_init(struct map_loop *l)
{
	l->null_fd = child_above_stdio(open("/dev/null", O_RDWR | O_CLOEXEC));
	l->stdout_fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	if (l->stdout_fd >= 0 && l->set->pipe_size > 0)
		(void)fcntl(l->stdout_fd, F_SETPIPE_SZ, l->set->pipe_size);     /* not a pipe: nothing is held there */
	return l->null_fd >= 0 && l->stdout_fd >= 0 ? watch_signals(l) : -1;
}

static int loop_init(struct map_loop *l, const struct map_settings *set)
{
	*l = (struct map_loop){ .set = set, .keeps = set->log || (set->name && !set->local), .null_fd = -1, .stdout_fd = -1, .base = event_base_new(), .sink = { .fd = -1, .epoll = -1 } };
	chunk_store_init(&l->store, set->buffer_bytes, set->spool_bytes, set->spool_dir);
	l->store.looks_for_text = set->out == OUT_JSONL;
	l->sink.results = (struct results)RESULTS_NONE;
	l->sink.loop = l;
	l->stage = xcalloc(set->n_stages, sizeof(*l->stage));
	environment_init(l);
	if (!l->base || event_base_priority_init(l->base, COUNT_PRIORITIES) < 0 || descriptors_init(l) < 0)
		return complain(CTL_USAGE, "cannot begin: %s", strerror(errno));
	l->grace_ev = evtimer_new(l->base, on_grace_over, l);
	l->deadline_ev = evtimer_new(l->base, on_deadline, l);
	return 0;
}

static int in_batches(const struct stage_settings *set, struct jt_source *source)
{
	struct jt_error err;

	if (!set->batches || jt_batches(source, &set->batch, source, &err) == 0)
		return 0;
	return complain(CTL_USAGE, "%s", err.text);
}

/* What makes batches of the clock cannot be counted. */
static int open_source(struct map_loop *l, struct jt_source *ret)
{
	const struct stage_settings *first = &l->set->stage[0];
	struct jt_source again;
	bool can_count;
	int rc = inputs_open(l->set, ret, &again, &can_count);

	if (rc)
		return rc;
	if (can_count && first->batches && first->batch.linger_ns > 0) {
		again.close(again.arg);
		can_count = false;
	}
	can_count = can_count && in_batches(first, &again) == 0;
	count_init(&l->count, l->base, can_count ? &again : NULL);
	return in_batches(first, ret);
}

static int stages_init(struct map_loop *l)
{
	struct jt_source source;
	int rc = l->set->log ? log_open(l->set, &l->log) : 0;

	rc = rc ? rc : open_source(l, &source);
	for (size_t i = 0; rc == 0 && i < l->set->n_stages; i++) {
		rc = i > 0 ? in_batches(&l->set->stage[i], &source) : 0;
		if (rc)
			return rc;
		rc = stage_init(&l->stage[i], l, &l->set->stage[i], &source);
		source = stage_as_source(&l->stage[i]);
	}
	return rc ? rc : sink_init(&l->sink, l, &l->stage[l->set->n_stages - 1]);
}

static void signals_done(struct map_loop *l)
{
	if (!l->signal_ev)
		return;
	close(event_get_fd(l->signal_ev));
	event_free(l->signal_ev);
	sigprocmask(SIG_SETMASK, &l->mask, NULL);
}

static void loop_done(struct map_loop *l)
{
	for (size_t i = l->set->n_stages; i-- > 0;)
		if (l->stage[i].loop)
			stage_done(&l->stage[i]);
	sink_done(&l->sink);
	count_done(&l->count);
	log_close(l->log);
	if (l->grace_ev)
		event_free(l->grace_ev);
	if (l->deadline_ev)
		event_free(l->deadline_ev);
	signals_done(l);
	chunk_store_done(&l->store);
	if (l->base)
		event_base_free(l->base);
	if (l->null_fd >= 0)
		close(l->null_fd);
	if (l->stdout_fd >= 0)
		close(l->stdout_fd);
	free(l->envp);
	free(l->trouble);
	free(l->stage);
}

static bool remotes_are_over(const struct map_loop *l)
{
	for (size_t i = 0; i < l->set->n_stages; i++)
		if (l->stage[i].remote && !remote_is_over(l->stage[i].remote))
			return false;
	return true;
}

/* A second signal does not wait for the daemon any more. */
static void end_remotes(struct map_loop *l, bool failed)
{
	for (size_t i = 0; i < l->set->n_stages; i++)
		if (l->stage[i].remote)
			remote_end(l->stage[i].remote, failed);
	while (!remotes_are_over(l) && !l->killed)
		event_base_loop(l->base, EVLOOP_ONCE);
}

static void turn(struct map_loop *l)
{
	struct meter meter;

	meter_init(&meter, l);
	if (l->set->deadline_ns > 0) {
		struct timeval tv = loop_timeval(l->set->deadline_ns);

		evtimer_add(l->deadline_ev, &tv);
	}
	for (pump(l); !is_over(l); pump(l))
		event_base_loop(l->base, EVLOOP_ONCE);
	meter_done(&meter);
}

static int status_of(const struct map_loop *l)
{
	uint64_t failed = 0;

	if (l->exit_status)
		return l->exit_status;
	for (size_t i = 0; i < l->set->n_stages; i++) {
		const struct jti_course *c = &l->stage[i].course;

		if (i == 0 && c->source == JTI_SOURCE_FAILED)
			return inputs_complain(l->set, c->source_errno);
		failed += l->stage[i].n.failed;
	}
	return failed ? CTL_JOB_FAILED : CTL_OK;
}

int map_run(const struct map_settings *set)
{
	struct map_loop l;
	int rc = loop_init(&l, set), signo;

	if (rc == 0)
		rc = stages_init(&l);
	if (rc == 0) {
		turn(&l);
		rc = status_of(&l);
		end_remotes(&l, rc != 0 || l.signal);
		rc = rc ? rc : l.exit_status;
		signo = l.signal;
		if (set->stats)
			meter_stats(&l);
		loop_done(&l);
		if (signo) {
			signal(signo, SIG_DFL);
			raise(signo);
		}
		return rc;
	}
	loop_done(&l);
	return rc;
}
