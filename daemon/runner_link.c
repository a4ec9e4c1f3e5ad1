/* SPDX-License-Identifier: MIT */
/* Runner link - see runner_link.h. */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "failpoint.h"
#include "log.h"
#include "runner_link.h"

#define RETRY_MIN_MS 20
#define RETRY_MAX_MS 2000
#define PACKETS_A_TURN 64               /* then other events get their turn */

/* DOWN -connect-> HELLO -WELCOME-> INVENTORY -READY-> UP -any fault-> DOWN (again after a delay) */
enum link_state { DOWN, SAID_HELLO, IN_INVENTORY, UP };

struct ack_queue {                      /* acknowledgements and kills that did not fit into the socket yet */
	struct rm_msg *v;
	size_t n, cap;
};

struct runner_link {
	struct event_base *base;
	struct runner_link_opts o;
	enum link_state state;
	int fd;
	struct event *in, *out, *again, *child;
	bool start_blocked;
	int retry_ms;
	pid_t pid;                      /* of the runner that we started; 0: none */
	struct rm_welcome welcome;
	struct rm_end *ends;            /* of this turn, or of the inventory */
	size_t n_ends, ends_cap;
	struct ack_queue queue;
	uint64_t generation;
	bool pong_due;
	int64_t silent_since_ns;        /* 0: it has answered */
	char why[200];                  /* it could not be had; "": it has answered since */
	struct rm_packet packet;
	unsigned char buf[RM_PACKET_MAX];
};

static void try_connect(struct runner_link *l);

static void again_later(struct runner_link *l)
{
	struct timeval tv = { l->retry_ms / 1000, l->retry_ms % 1000 * 1000 };

	event_add(l->again, &tv);
	l->retry_ms = l->retry_ms * 2 > RETRY_MAX_MS ? RETRY_MAX_MS : l->retry_ms * 2;
}

static void drop(struct runner_link *l, const char *why)
{
	bool was_up = l->state == UP;

	if (l->fd >= 0) {
		FAILPOINT("before_drop_runner");
		log_warn("runner: connection dropped: %s", why);
		event_del(l->in);
		event_del(l->out);
		close(l->fd);
		l->fd = -1;
	}
	l->state = DOWN;
	l->n_ends = 0;
	l->queue.n = 0;
	l->packet.len = 0;
	l->pong_due = false;
	if (was_up)
		l->o.on_down(l->o.ctx);
	again_later(l);
}

/* ---- starting the runner ------------------------------------------------------------------------------------------ */

static void child_changed(evutil_socket_t sig, short what, void *arg)
{
	struct runner_link *l = arg;
	int status;

	(void)sig, (void)what;
	FAILPOINT("before_reap_runner");
	if (l->pid <= 0 || waitpid(l->pid, &status, WNOHANG) != l->pid)
		return;
	FAILPOINT("after_reap_runner");
	snprintf(l->why, sizeof(l->why), "process %d ended (%s %d)", (int)l->pid, WIFSIGNALED(status) ? "signal" : "exit status",
		 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	log_info("runner: %s", l->why);
	l->pid = 0;
}

/*
 * The runner gets a session of its own, so that what is typed at our terminal does not reach it, and outlives us: when we die
 * it becomes init's child. Its stdin and stdout are /dev/null; it logs where we log.
 */
static int spawn_runner(struct runner_link *l)
{
	const char *argv[] = { l->o.program, "--socket", l->o.socket_path, "--state", l->o.state_dir, NULL };
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t at;
	sigset_t none;
	int rc;

	if (posix_spawn_file_actions_init(&fa) != 0 || posix_spawnattr_init(&at) != 0)
		return -1;
	sigemptyset(&none);
	posix_spawnattr_setflags(&at, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK);
	posix_spawnattr_setsigmask(&at, &none);
	posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDWR, 0);
	posix_spawn_file_actions_adddup2(&fa, 0, 1);
	rc = FAILS("before_spawn_runner") ? errno : posix_spawn(&l->pid, l->o.program, &fa, &at, (char *const *)argv, environ);
	FAILPOINT("after_spawn_runner");
	posix_spawn_file_actions_destroy(&fa);
	posix_spawnattr_destroy(&at);
	if (rc != 0) {
		snprintf(l->why, sizeof(l->why), "cannot start %.120s: %s", l->o.program, strerror(rc));
		log_error("runner: %s", l->why);
		l->pid = 0;
		return -1;
	}
	log_info("runner: started %s as process %d", l->o.program, (int)l->pid);
	return 0;
}

/* ---- connecting --------------------------------------------------------------------------------------------------- */

static int connect_path(const char *path)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int big = 1 << 20;

	if (fd < 0)
		return -1;
	snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
	if (connect(fd, (struct sockaddr *)&un, sizeof(un)) < 0) {
		int e = errno;

		close(fd);
		errno = e;
		return -1;
	}
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &big, sizeof(big));
	return fd;
}

static int send_packet(struct runner_link *l)
{
	int rc = FAILS("before_send_runner") ? -1 : rm_send(l->fd, &l->packet);

	FAILPOINT("after_send_runner");
	return rc;
}

static void say_hello(struct runner_link *l)
{
	struct rm_msg m = { .type = RM_HELLO };

	m.u.hello = (struct rm_hello){ .version = RM_VERSION, .pid = (uint32_t)getpid(), .generation = ++l->generation };
	rm_put(&l->packet, &m);
	if (send_packet(l) < 0)
		drop(l, strerror(errno));
	else
		l->state = SAID_HELLO;
}

static void readable(evutil_socket_t fd, short what, void *arg);
static void writable(evutil_socket_t fd, short what, void *arg);

static void try_connect(struct runner_link *l)
{
	int fd = connect_path(l->o.socket_path);

	if (fd < 0) {
		if (l->pid == 0 && l->o.program)
			spawn_runner(l);
		else if (l->retry_ms >= RETRY_MAX_MS)
			log_warn("runner: nobody answers on %s: %s", l->o.socket_path, strerror(errno));
		again_later(l);
		return;
	}
	l->fd = fd;
	l->n_ends = 0;
	event_assign(l->in, l->base, fd, EV_READ | EV_PERSIST, readable, l);
	event_assign(l->out, l->base, fd, EV_WRITE, writable, l);
	event_add(l->in, NULL);
	say_hello(l);
}

static void again_due(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	try_connect(arg);
}

/* ---- receiving ---------------------------------------------------------------------------------------------------- */

static void gather(struct runner_link *l, const struct rm_end *end)
{
	if (l->n_ends == l->ends_cap) {
		l->ends_cap = l->ends_cap ? l->ends_cap * 2 : 64;
		l->ends = realloc(l->ends, l->ends_cap * sizeof(*l->ends));
		if (!l->ends)
			abort();
	}
	l->ends[l->n_ends++] = *end;
}

static void answered(struct runner_link *l)
{
	l->pong_due = false;
	l->silent_since_ns = 0;
	l->why[0] = '\0';
}

static void inventory_done(struct runner_link *l)
{
	size_t n = l->n_ends;

	log_info("runner: process %u answers: %zu jobs run or have ended unacknowledged", l->welcome.pid, n);
	answered(l);
	l->state = UP;
	l->retry_ms = RETRY_MIN_MS;
	l->n_ends = 0;
	l->o.on_up(l->o.ctx, &l->welcome, l->ends, n);
}

/* Returns NULL, or why the connection can not go on. */
static const char *handle(struct runner_link *l, const struct rm_msg *m)
{
	switch (m->type) {
	case RM_WELCOME:
		if (l->state != SAID_HELLO)
			return "unexpected welcome";
		if (m->u.welcome.version != RM_VERSION)
			return "the runner speaks another version";
		l->welcome = m->u.welcome;
		l->state = IN_INVENTORY;
		return NULL;
	case RM_INVENTORY:
		if (l->state != IN_INVENTORY)
			return "unexpected inventory";
		gather(l, &m->u.end);
		return NULL;
	case RM_READY:
		if (l->state != IN_INVENTORY || l->n_ends != l->welcome.n_inventory)
			return "incomplete inventory";
		inventory_done(l);
		return NULL;
	case RM_STARTED:
		if (l->state == UP)
			l->o.on_started(l->o.ctx, &m->u.started);
		return NULL;
	case RM_ENDED:
		if (l->state == UP)
			gather(l, &m->u.end);
		return NULL;
	case RM_PONG:
		answered(l);
		return NULL;
	default:
		return "a message that a runner does not send";
	}
}

static const char *handle_packet(struct runner_link *l, size_t len, int fds[RM_FDS_MAX])
{
	struct rm_map map = { 0 };
	struct rm_msg m;
	size_t pos = 0;
	int rc;

	while ((rc = rm_next(l->buf, len, &pos, fds, &m, &map)) > 0) {
		const char *why = handle(l, &m);

		if (why)
			return why;
	}
	return rc < 0 ? "malformed packet" : NULL;
}

static void deliver(struct runner_link *l)
{
	size_t n = l->n_ends;

	if (l->state != UP || n == 0)
		return;
	l->n_ends = 0;
	l->o.on_ended(l->o.ctx, l->ends, n);
}

static void readable(evutil_socket_t fd, short what, void *arg)
{
	struct runner_link *l = arg;
	int fds[RM_FDS_MAX];

	(void)what;
	for (int i = 0; i < PACKETS_A_TURN; i++) {
		ssize_t n = FAILS("before_receive_runner") ? -1 : rm_recv(fd, l->buf, sizeof(l->buf), fds);
		const char *why;

		FAILPOINT("after_receive_runner");
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		if (n <= 0) {
			why = n == 0 ? "the runner closed it" : strerror(errno);
			deliver(l);
			drop(l, why);
			return;
		}
		why = handle_packet(l, (size_t)n, fds);
		if (why) {
			drop(l, why);
			return;
		}
	}
	deliver(l);
}

/* ---- sending ------------------------------------------------------------------------------------------------------ */

static void want_write(struct runner_link *l)
{
	if (!event_pending(l->out, EV_WRITE, NULL))
		event_add(l->out, NULL);
}

void runner_link_flush(struct runner_link *l)
{
	size_t i = 0;

	if (l->state != UP)
		return;
	while (i < l->queue.n) {
		if (rm_put(&l->packet, &l->queue.v[i]) == 0) {
			i++;
			continue;
		}
		if (send_packet(l) < 0)
			break;
	}
	if (i)
		memmove(l->queue.v, l->queue.v + i, (l->queue.n - i) * sizeof(*l->queue.v));
	l->queue.n -= i;
	if (l->queue.n == 0 && (!l->packet.len || send_packet(l) == 0))
		return;
	if (l->packet.len && errno != EAGAIN && errno != ENOBUFS)
		return;                 /* the read side will see it and drop */
	want_write(l);
}

static void writable(evutil_socket_t fd, short what, void *arg)
{
	struct runner_link *l = arg;

	(void)fd, (void)what;
	runner_link_flush(l);
	if (l->start_blocked) {
		l->start_blocked = false;
		l->o.on_writable(l->o.ctx);
	}
}

static void enqueue(struct runner_link *l, const struct rm_msg *m)
{
	if (l->state != UP)
		return;
	if (l->queue.n == l->queue.cap) {
		l->queue.cap = l->queue.cap ? l->queue.cap * 2 : 64;
		l->queue.v = realloc(l->queue.v, l->queue.cap * sizeof(*l->queue.v));
		if (!l->queue.v)
			abort();
	}
	l->queue.v[l->queue.n++] = *m;
}

/* The runner has gone and we have not heard of it yet: that is no fault of the job that was to start. */
static bool is_broken(int err)
{
	return err == EPIPE || err == ECONNRESET || err == ECONNREFUSED || err == ENOTCONN;
}

/* ETOOMANYREFS: as many descriptors as we may have are on their way already. */
static bool is_congested(int err)
{
	return err == EAGAIN || err == ENOBUFS || err == ETOOMANYREFS;
}

int runner_link_start(struct runner_link *l, const struct rm_start *st)
{
	if (l->state != UP) {
		errno = ENOTCONN;
		return -1;
	}
	/* Acknowledgements that did not fit go first: one may make the runner forget the very attempt that is ordered again. */
	if (!event_pending(l->out, EV_WRITE, NULL)) {
		int rc = FAILS("before_send_start") ? -1 : rm_send_start(l->fd, st);

		FAILPOINT("after_send_start");
		if (rc == 0)
			return 0;
		if (is_broken(errno))
			errno = ENOTCONN;
		if (errno == ENOTCONN || !is_congested(errno))
			return -1;
		want_write(l);
	}
	l->start_blocked = true;
	errno = EAGAIN;
	return -1;
}

void runner_link_ack(struct runner_link *l, uint64_t job, uint32_t attempt)
{
	struct rm_msg m = { .type = RM_ACK };

	m.u.ack = (struct rm_ack){ .job = job, .attempt = attempt };
	enqueue(l, &m);
}

void runner_link_kill(struct runner_link *l, uint64_t job, uint32_t attempt, uint32_t grace_ms)
{
	struct rm_msg m = { .type = RM_KILL };

	m.u.kill = (struct rm_kill){ .job = job, .attempt = attempt, .grace_ms = grace_ms };
	enqueue(l, &m);
}

void runner_link_quit(struct runner_link *l)
{
	struct rm_msg m = { .type = RM_QUIT };

	enqueue(l, &m);
	runner_link_flush(l);
}

void runner_link_ping(struct runner_link *l, int64_t now_ns)
{
	struct rm_msg m = { .type = RM_PING };

	if (l->pong_due)
		return;
	if (l->state == UP) {
		l->pong_due = true;
		enqueue(l, &m);
		runner_link_flush(l);
	}
	if (!l->silent_since_ns)
		l->silent_since_ns = now_ns;
}

int64_t runner_link_silent_ns(const struct runner_link *l, int64_t now_ns)
{
	return l->silent_since_ns ? now_ns - l->silent_since_ns : 0;
}

const char *runner_link_why(const struct runner_link *l)
{
	return l->why;
}

/* ---- life --------------------------------------------------------------------------------------------------------- */

bool runner_link_is_up(const struct runner_link *l)
{
	return l->state == UP;
}

uid_t runner_link_uid(const struct runner_link *l)
{
	struct ucred who;
	socklen_t len = sizeof(who);

	return l->fd >= 0 && getsockopt(l->fd, SOL_SOCKET, SO_PEERCRED, &who, &len) == 0 ? who.uid : (uid_t)-1;
}

int32_t runner_link_pid(const struct runner_link *l)
{
	return l->state == UP ? (int32_t)l->welcome.pid : 0;
}

uint32_t runner_link_capacity(const struct runner_link *l)
{
	return l->welcome.capacity;
}

enum rm_held_by runner_link_held_by(const struct runner_link *l)
{
	return l->welcome.held_by <= RM_HELD_BY_SUBREAPER ? (enum rm_held_by)l->welcome.held_by : RM_HELD_BY_SESSION;
}

struct runner_link *runner_link_new(struct event_base *base, const struct runner_link_opts *opts)
{
	struct runner_link *l = calloc(1, sizeof(*l));

	if (!l)
		abort();
	l->base = base;
	l->o = *opts;
	l->fd = -1;
	l->retry_ms = RETRY_MIN_MS;
	l->in = event_new(base, -1, 0, readable, l);
	l->out = event_new(base, -1, 0, writable, l);
	l->again = evtimer_new(base, again_due, l);
	l->child = evsignal_new(base, SIGCHLD, child_changed, l);
	event_add(l->child, NULL);
	try_connect(l);
	return l;
}
