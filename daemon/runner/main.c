/* SPDX-License-Identifier: MIT */
/*
 * jobd-runner - runs jobs for jobd, and outlives it. See runner.h for the parts, lib/proto/runner_msg.h for what is said.
 *
 * All signals are blocked in all threads and have their default action: what concerns us is read from a descriptor, and a child needs
 * to undo nothing but the mask. (So SIGPIPE and SIGXFSZ are as good as ignored here, and are not ignored in jobs.)
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/close_range.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "failpoint.h"
#include "log.h"
#include "notify.h"
#include "runner.h"

#define EVENTS_A_TURN 16
#define WORKERS_MAX 256
#define FDS_A_START 3           /* stdout, stderr, stdin: until it has been spawned; then a job has its pidfd alone */
#define FDS_OF_OURS 96          /* sockets, workers, a packet's descriptors */
#define FDS_RESERVED (FDS_OF_OURS + 2 * QUEUE_MAX * FDS_A_START)        /* a packet more may come than the queue is to hold */
#define ACCEPT_PAUSE_MS 250
#define LEAVE_PATIENCE_S 5      /* for the last acknowledgements, once everything has been ended */

struct options {
	const char *socket, *state;
	long workers, idle_exit_s;
	long ready_fd;
	long allow_uid;
	struct policy policy;
	enum cage_wish cages;
};

static const char usage[] =
	"usage: jobd-runner --socket PATH --state DIR [--workers N] [--idle-exit SECONDS] [--allow-user USER]\n"
	"                   [--min-uid N] [--run-as USER]... [--log-level error|warn|info|debug] [--ready-fd N]\n"
	"                   [--no-cgroups]\n"
	"Runs jobs for jobd. Started by jobd or by systemd, not by hand.\n"
	"  --idle-exit  leave after so long without a job and without jobd (30; 0: never)\n"
	"  --allow-user a user (name or number) beside root and our own who may connect\n"
	"  --min-uid    the jobs of that user's jobd run as users from this number on (1)\n"
	"  --run-as     and as this one; root has to be named\n"
	"  --no-cgroups leave control groups alone; jobs are held by session, parent and environment\n";

static void __attribute__((noreturn)) usage_error(void)
{
	fputs(usage, stderr);
	exit(2);
}

static long parse_number(const char *option, const char *text, long min, long max)
{
	char *end;
	long n;

	errno = 0;
	n = strtol(text, &end, 10);
	if (errno || end == text || *end || n < min || n > max) {
		fprintf(stderr, "jobd-runner: %s takes a number from %ld to %ld, got \"%s\"\n", option, min, max, text);
		exit(2);
	}
	return n;
}

static long parse_user(const char *option, const char *text)
{
	const struct passwd *pw = getpwnam(text);

	if (pw)
		return (long)pw->pw_uid;
	if (strspn(text, "0123456789") == strlen(text))
		return parse_number(option, text, 0, UINT32_MAX - 1L);
	fprintf(stderr, "jobd-runner: %s: there is no user \"%s\"\n", option, text);
	exit(2);
}

static void parse_run_as(const char *text, struct policy *p)
{
	if (p->n_users == POLICY_USERS_MAX) {
		fprintf(stderr, "jobd-runner: --run-as can be given %d times\n", POLICY_USERS_MAX);
		exit(2);
	}
	p->users[p->n_users++] = (uid_t)parse_user("--run-as", text);
}

static void parse_log_level(const char *text)
{
	enum log_level level;

	if (log_level_parse(text, &level) < 0) {
		fprintf(stderr, "jobd-runner: --log-level takes error, warn, info or debug, got \"%s\"\n", text);
		exit(2);
	}
	log_set_level(level);
}

static void parse_option(int c, struct options *o)
{
	switch (c) {
	case 's':
		o->socket = optarg;
		break;
	case 'd':
		o->state = optarg;
		break;
	case 'w':
		o->workers = parse_number("--workers", optarg, 1, WORKERS_MAX);
		break;
	case 'i':
		o->idle_exit_s = parse_number("--idle-exit", optarg, 0, 1000000);
		break;
	case 'r':
		o->ready_fd = parse_number("--ready-fd", optarg, 1, 1000000);
		break;
	case 'u':
		o->allow_uid = parse_user("--allow-user", optarg);
		break;
	case 'm':
		o->policy.min_uid = (uid_t)parse_number("--min-uid", optarg, 1, UINT32_MAX - 1L);
		break;
	case 'a':
		parse_run_as(optarg, &o->policy);
		break;
	case 'l':
		parse_log_level(optarg);
		break;
	case 'g':
		o->cages = CAGE_NEVER;
		break;
	case 'h':
		fputs(usage, stdout);
		exit(0);
	default:
		usage_error();
	}
}

static struct options parse_options(int argc, char **argv)
{
	static const struct option longs[] = {
		{"socket", required_argument, NULL, 's'}, {"state", required_argument, NULL, 'd'},
		{"workers", required_argument, NULL, 'w'}, {"idle-exit", required_argument, NULL, 'i'},
		{"ready-fd", required_argument, NULL, 'r'}, {"allow-user", required_argument, NULL, 'u'},
		{"min-uid", required_argument, NULL, 'm'}, {"run-as", required_argument, NULL, 'a'},
		{"log-level", required_argument, NULL, 'l'}, {"no-cgroups", no_argument, NULL, 'g'},
		{"help", no_argument, NULL, 'h'}, {0},
	};
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	struct options o = {.workers = cpus < 2 ? 2 : cpus > WORKERS_MAX ? WORKERS_MAX : cpus, .idle_exit_s = 30, .ready_fd = -1,
			    .allow_uid = -1, .policy.min_uid = 1};
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) >= 0)
		parse_option(c, &o);
	if (!o.socket || !o.state || optind != argc)
		usage_error();
	return o;
}

/* ---- the process ---- */

static void __attribute__((noreturn)) fail(const char *what)
{
	log_error("%s: %s", what, strerror(errno));
	exit(1);
}

/* 0, 1 and 2 are open, so that no descriptor of a job ever is one of them. */
static void open_standard_fds(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= 2);
	if (fd < 0)
		exit(1);
	close(fd);
}

/* libc keeps two signals to itself and refuses to touch them; who was started by its posix_spawn finds them ignored, and so would our jobs.
 * KILL and STOP cannot be changed and need not be. */
static void default_signals(void)
{
	static const char as_new[64];           /* the kernel's struct sigaction, all zero: SIG_DFL */

	for (int sig = 1; sig < NSIG; sig++)
		if (signal(sig, SIG_DFL) == SIG_ERR)
			syscall(SYS_rt_sigaction, sig, as_new, NULL, NSIG / 8);
}

static int block_signals(void)
{
	sigset_t all, ours;

	default_signals();
	sigfillset(&all);
	if (sigprocmask(SIG_SETMASK, &all, NULL) < 0)
		return -1;
	sigemptyset(&ours);
	sigaddset(&ours, SIGTERM);
	sigaddset(&ours, SIGINT);
	return signalfd(-1, &ours, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void read_boot_id(uint8_t id[16])
{
	char text[64] = "";
	FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");
	unsigned byte;
	int n = 0;

	if (f && !fgets(text, sizeof(text), f))
		text[0] = '\0';
	if (f)
		fclose(f);
	for (const char *c = text; n < 16 && sscanf(c, "%2x", &byte) == 1; n++) {
		id[n] = (uint8_t)byte;
		c += c[2] == '-' ? 3 : 2;
	}
}

static uint32_t capacity_of(rlim_t nofile)
{
	rlim_t all_queued = nofile > FDS_OF_OURS + FDS_A_START + 1 ? (nofile - FDS_OF_OURS) / (FDS_A_START + 1) : 1;
	rlim_t n = nofile > FDS_RESERVED && nofile - FDS_RESERVED > all_queued ? nofile - FDS_RESERVED : all_queued;

	return n > 1000000 ? 1000000 : (uint32_t)n;
}

/* ---- signals, leaving ---- */

static void take_signal(struct runner *r, struct source *s, uint32_t events)
{
	struct signalfd_siginfo si;

	(void)events;
	while (read(s->fd, &si, sizeof(si)) == sizeof(si)) {
		if (si.ssi_signo == SIGCHLD)
			orders_sweep(r);
		if (si.ssi_signo == SIGCHLD || r->stopping)
			continue;
		log_info("signal %u: ending %zu jobs, then leaving", si.ssi_signo, r->n_running);
		notify_send("STOPPING=1\nSTATUS=Ending %zu jobs", r->n_running);
		r->stopping = true;
		orders_end_all(r);
	}
}

static int64_t now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec;
}

/* What has ended and is not acknowledged is worth waiting for, unless we are told to go and nobody comes to ask. */
static bool may_leave(const struct runner *r)
{
	if (r->stopping && !r->n_running && !r->peer)
		return true;
	return (r->stopping || r->quit) && !r->attempts.n;
}

/* Seconds until we leave if nothing happens any more; -1: never. */
static int64_t patience_s(const struct runner *r, long idle_exit_s)
{
	if (r->stopping)
		return r->n_running ? -1 : LEAVE_PATIENCE_S;
	return r->attempts.n || r->peer || !idle_exit_s ? -1 : idle_exit_s;
}

static void turn(struct runner *r, const struct epoll_event *ev, int n)
{
	for (int i = 0; i < n; i++) {
		struct source *s = ev[i].data.ptr;

		s->ready(r, s, ev[i].events);
	}
	report_flush(r);
	peer_bury(r);
}

static void loop(struct runner *r, long idle_exit_s)
{
	struct epoll_event ev[EVENTS_A_TURN];
	int64_t idle_since = now_s();

	while (!may_leave(r)) {
		int64_t patience = patience_s(r, idle_exit_s), left = patience - (now_s() - idle_since);
		int n;

		if (patience >= 0 && left <= 0)
			return;
		n = epoll_wait(r->epoll, ev, EVENTS_A_TURN, r->accept_paused ? ACCEPT_PAUSE_MS : patience < 0 ? -1 : (int)left * 1000);
		if (n < 0 && errno != EINTR)
			log_die("epoll_wait: %s", strerror(errno));
		peer_accept_again(r);
		if (n > 0) {
			turn(r, ev, n);
			idle_since = now_s();
		}
	}
}

/* ---- life ---- */

static void start_workers(struct runner *r, const struct options *o)
{
	size_t n = (size_t)o->workers;

	r->workers = calloc(n, sizeof(struct worker *));
	r->loads = calloc(n, sizeof(unsigned));
	if (!r->workers || !r->loads)
		fail("workers");
	for (; r->n_workers < n; r->n_workers++) {
		r->workers[r->n_workers] = worker_new(r->n_workers, cage_socket_number(o->socket), &r->base, &r->cages, r->box);
		if (!r->workers[r->n_workers])
			fail("cannot start a worker thread");
	}
}

static void open_socket(struct runner *r, const struct options *o)
{
	int rc, passed = notify_listen_fds();

	if (passed > 1) {
		log_error("%d sockets were passed, one is wanted", passed);
		exit(1);
	}
	if (passed) {
		if (listen_passed(NOTIFY_LISTEN_START, &r->listener) < 0)
			fail("the passed descriptor is not a listening SOCK_SEQPACKET socket");
		return;
	}
	rc = listen_at(o->socket, r->allow_uid, &r->listener);
	if (rc > 0) {
		log_info("another runner serves %s; nothing to do", o->socket);
		exit(0);
	}
	if (rc < 0)
		fail(o->socket);
}

static void watch_sources(struct runner *r, int signal_fd)
{
	r->accept_source = (struct source){.fd = r->listener.fd, .ready = peer_accept};
	r->mail_source = (struct source){.fd = mailbox_fd(r->box), .ready = orders_mail};
	r->signal_source = (struct source){.fd = signal_fd, .ready = take_signal};
	if (watch_source(r, &r->accept_source) < 0 || watch_source(r, &r->mail_source) < 0 || watch_source(r, &r->signal_source) < 0)
		fail("epoll_ctl");
}

static void tell_ready(const struct runner *r, const struct options *o)
{
	log_info("serving %s for up to %u jobs at once, %u workers", o->socket, r->capacity, r->n_workers);
	notify_send("READY=1\nSTATUS=Serving up to %u jobs at once", r->capacity);
	if (o->ready_fd < 0)
		return;
	if (write((int)o->ready_fd, "ready\n", 6) != 6)
		log_warn("--ready-fd %ld: %s", o->ready_fd, strerror(errno));
	close((int)o->ready_fd);
}

static void adopt_end(void *arg, struct kept_record *rec)
{
	struct runner *r = arg;

	if (attempts_find(&r->attempts, rec->end.job, rec->end.attempt))
		kept_give_back(&r->kept, rec);
	else
		attempts_adopt(&r->attempts, &rec->end)->record = rec;
}

static void find_old_ends(struct runner *r, const char *socket_path)
{
	kept_open(&r->kept, socket_path, r->boot_id, adopt_end, r);
	if (r->attempts.n)
		log_info("an earlier runner left %zu ends that nobody acknowledged", r->attempts.n);
}

/* From now on we are told of children that die; in control groups they are nobody's business but the workers'. */
static void open_sweep(struct runner *r, const struct options *o, int signal_fd)
{
	sigset_t ours;

	sigemptyset(&ours);
	sigaddset(&ours, SIGTERM);
	sigaddset(&ours, SIGINT);
	sigaddset(&ours, SIGCHLD);
	sweep_open(&r->sweep, cage_socket_number(o->socket));
	if (r->sweep.on && signalfd(signal_fd, &ours, SFD_CLOEXEC | SFD_NONBLOCK) < 0)
		fail("signals");
}

/* handover.pml: runner_starts. */
static void start(struct runner *r, const struct options *o)
{
	int signal_fd = block_signals();

	if (signal_fd < 0)
		fail("signals");
	r->allow_uid = o->allow_uid < 0 ? NO_UID : (uid_t)o->allow_uid;
	open_socket(r, o);
	syscall(SYS_close_range, 3, ~0u, CLOSE_RANGE_CLOEXEC);
	if (child_base_init(&r->base) < 0)
		fail("limits");
	r->policy = o->policy;
	r->base.policy = &r->policy;
	r->capacity = capacity_of(child_raise_nofile());
	if (getrandom(r->runner_id, sizeof(r->runner_id), 0) != sizeof(r->runner_id))
		fail("getrandom");
	read_boot_id(r->boot_id);
	attempts_init(&r->attempts);
	FAILPOINT("before_recover_cages");
	if (cage_open(&r->cages, o->socket, o->cages) < 0 || sweep_clear(cage_socket_number(o->socket)) < 0)
		exit(1);
	if (r->cages.fd < 0)
		open_sweep(r, o, signal_fd);
	FAILPOINT("after_recover_cages");
	find_old_ends(r, o->socket);
	FAILPOINT("after_recover_ends");
	TAILQ_INIT(&r->news);
	TAILQ_INIT(&r->swept);
	LIST_INIT(&r->conns);
	r->epoll = epoll_create1(EPOLL_CLOEXEC);
	r->box = mailbox_new(0);
	if (r->epoll < 0 || !r->box)
		fail("the loop");
	start_workers(r, o);
	r->outputs = outputs_new(o->state, r->box);
	if (!r->outputs)
		fail("cannot start the thread that looks at outputs");
	watch_sources(r, signal_fd);
}

/* Everything has ended, so the workers have nothing left; a kill that came too late may still be on its way back. */
static void finish(struct runner *r)
{
	struct conn *c;

	listen_close(&r->listener);
	LIST_FOREACH(c, &r->conns, link)
		peer_drop(r, c, "leaving");
	peer_bury(r);
	for (unsigned i = 0; i < r->n_workers; i++)
		worker_free(r->workers[i]);
	outputs_free(r->outputs);
	orders_mail(r, NULL, 0);
	mailbox_free(r->box);
	cage_close(&r->cages);
	sweep_close(&r->sweep);
	if (r->attempts.n)
		log_warn("leaving with %zu ends that nobody acknowledged; the next runner tells them", r->attempts.n);
	attempts_done(&r->attempts);
	kept_close(&r->kept);
	free(r->workers);
	free(r->loads);
	close(r->signal_source.fd);
	close(r->base.null_fd);
	close(r->epoll);
}

int main(int argc, char **argv)
{
	static struct runner r;
	struct options o;

	open_standard_fds();
	failpoints_init(argc, argv);
	notify_init();
	o = parse_options(argc, argv);
	start(&r, &o);
	tell_ready(&r, &o);
	loop(&r, o.idle_exit_s);
	log_info("leaving");
	finish(&r);
	return 0;
}
