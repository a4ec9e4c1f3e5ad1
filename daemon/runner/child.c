/* SPDX-License-Identifier: MIT */
/*
 * Child: see child.h.
 *
 *   clone (into the cage) -> session -> descriptors -> nice, limits -> user -> tied to us -> umask -> cwd -> stdin file -> signals -> exec
 *
 * Between clone and exec the child runs on our memory with a stack of its own while the calling thread stands still. So the functions
 * marked CHILD make raw system calls only: libc's setresuid and setgroups would change *our* threads, errno is
 * our thread's, any lock may be held by another thread, and instrumented code would confuse the sanitizers. What needs a look-up (user,
 * groups, PATH) is resolved before. The thread sanitizer does not survive a shared-memory clone at all: there it is a fork and a pipe.
 */
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "failpoint.h"

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WITH_FORK 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define WITH_FORK 1
#endif

/* The stack for the child of a clone3 has to be entered in assembler; elsewhere the child goes into its cage by itself, which is slower. */
#if defined(__x86_64__) && !defined(WITH_FORK)
#define WITH_CLONE3 1
#endif

#define CHILD __attribute__((no_sanitize("address", "undefined", "thread")))
#define STACK_SIZE (64 * 1024)
#define KERNEL_SIGSET_SIZE 8

struct spawn {
	const struct child_base *base;
	const struct order *order;
	const struct user_ids *ids;
	int cage_fd;                            /* -1: none */
	int report_fd;                          /* WITH_FORK: where the fault goes */
	struct { int stage, code; } fault;      /* written by the child; code 0: it has executed */
};

/* ---- in the child ---- */

/* A system call that leaves errno alone: the result, or minus the error. */
#if defined(__x86_64__)
CHILD static long sys6(long nr, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long ret;

	__asm__ volatile("syscall" : "=a"(ret) : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
	return ret;
}
#elif defined(__aarch64__)
CHILD static long sys6(long nr, long a, long b, long c, long d, long e, long f)
{
	register long x8 __asm__("x8") = nr;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	register long x5 __asm__("x5") = f;

	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory", "cc");
	return x0;
}
#else
/* errno here is that of the calling thread, which stands still meanwhile and looks at it no more. */
CHILD static long sys6(long nr, long a, long b, long c, long d, long e, long f)
{
	long ret = syscall(nr, a, b, c, d, e, f);

	return ret < 0 ? -errno : ret;
}
#endif
#define SYS(nr, a, b, c) sys6(nr, (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define SYS4(nr, a, b, c, d) sys6(nr, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)

/* Only the fork of the thread sanitizer still has a pipe to keep open and to write to. */
CHILD static void __attribute__((noreturn)) child_fail(struct spawn *s, enum rm_stage stage, long code)
{
	s->fault.stage = (int)stage;
	s->fault.code = (int)-code;
	if (s->report_fd >= 0)
		SYS(__NR_write, s->report_fd, &s->fault, sizeof(s->fault));
	for (;;)
		SYS(__NR_exit_group, 127, 0, 0);
}

#define MUST(s, stage, call) do { \
		long rc_ = (call); \
		if (rc_ < 0) \
			child_fail(s, stage, rc_); \
	} while (0)

#ifndef WITH_CLONE3
CHILD static void child_enter_cage(struct spawn *s)
{
	long fd;

	if (s->cage_fd < 0)
		return;
	fd = SYS4(__NR_openat, s->cage_fd, "cgroup.procs", O_WRONLY | O_CLOEXEC, 0);
	MUST(s, RM_AT_FORK, fd);
	MUST(s, RM_AT_FORK, SYS(__NR_write, fd, "0", 1));
	SYS(__NR_close, fd, 0, 0);
}
#endif

/* None of the sources is below 3 (main sees to that), so no dup2 overwrites one. */
CHILD static void child_descriptors(struct spawn *s)
{
	const struct order *o = s->order;

	MUST(s, RM_AT_STDIN, SYS(__NR_dup3, o->stdin_kind == RM_STDIN_FD ? o->fds[2] : s->base->null_fd, 0, 0));
	MUST(s, RM_AT_FORK, SYS(__NR_dup3, o->fds[0], 1, 0));
	MUST(s, RM_AT_FORK, SYS(__NR_dup3, o->fds[1], 2, 0));
	if (s->report_fd < 0)
		SYS(__NR_close_range, 3, ~0u, 0);       /* an old kernel: all of ours are close-on-exec anyhow */
}

CHILD static void child_limits(struct spawn *s)
{
	int nice = s->base->nice + s->order->nice;
	long fd;

	nice = nice < -20 ? -20 : nice > 19 ? 19 : nice;
	if (s->order->nice)
		MUST(s, RM_AT_LIMITS, SYS(__NR_setpriority, PRIO_PROCESS, 0, nice));
	MUST(s, RM_AT_LIMITS, SYS4(__NR_prlimit64, 0, RLIMIT_NOFILE, &s->base->nofile, 0));
	if (!s->base->reset_oom_score)
		return;
	fd = SYS4(__NR_openat, AT_FDCWD, "/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC, 0);
	MUST(s, RM_AT_LIMITS, fd);
	MUST(s, RM_AT_LIMITS, SYS(__NR_write, fd, "0", 1));
	SYS(__NR_close, fd, 0, 0);
}

/* Groups first, the user last: each needs the privilege that the next one gives up. Then look whether it is so. */
CHILD static void child_user(struct spawn *s)
{
	const struct user_ids *u = s->ids;
	uid_t r, e, saved;

	if (!u->change)
		return;
	MUST(s, RM_AT_USER, SYS(__NR_setgroups, u->n_groups, u->groups, 0));
	MUST(s, RM_AT_USER, SYS(__NR_setresgid, u->gid, u->gid, u->gid));
	MUST(s, RM_AT_USER, SYS(__NR_setresuid, u->uid, u->uid, u->uid));
	MUST(s, RM_AT_USER, SYS(__NR_getresuid, &r, &e, &saved));
	if (r != u->uid || e != u->uid || saved != u->uid)
		child_fail(s, RM_AT_USER, -EPERM);
	MUST(s, RM_AT_USER, SYS(__NR_getresgid, &r, &e, &saved));
	if (r != u->gid || e != u->gid || saved != u->gid)
		child_fail(s, RM_AT_USER, -EPERM);
}

/*
 * When the runner is killed nobody can tell any more how its jobs end, and the next runner may be asked to run them again (rule 7): they
 * die with it. A change of user takes the tie off, so it comes after that; a set-user-ID program takes it off too, and what a
 * job has started itself is not tied: there the unit's cgroup has to help.
 */
CHILD static void child_tie(struct spawn *s)
{
	MUST(s, RM_AT_FORK, SYS(__NR_prctl, PR_SET_PDEATHSIG, MUTANT("no_kill_of_dead_runners_jobs") ? 0 : SIGKILL, 0));
	if (SYS(__NR_getppid, 0, 0, 0) != s->base->pid)
		child_fail(s, RM_AT_FORK, -ESRCH);
}

/* O_NONBLOCK so that a FIFO without a writer cannot hold us, taken off before the job sees it. */
CHILD static void child_stdin_file(struct spawn *s)
{
	long fd, flags;

	if (!s->order->stdin_file)
		return;
	fd = SYS4(__NR_openat, AT_FDCWD, s->order->stdin_file, O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC, 0);
	MUST(s, RM_AT_STDIN, fd);
	flags = SYS(__NR_fcntl, fd, F_GETFL, 0);
	MUST(s, RM_AT_STDIN, flags);
	MUST(s, RM_AT_STDIN, SYS(__NR_fcntl, fd, F_SETFL, flags & ~O_NONBLOCK));
	MUST(s, RM_AT_STDIN, SYS(__NR_dup3, fd, 0, 0));
	SYS(__NR_close, fd, 0, 0);
}

/*
 * As execvp(3), as the user and in the job's directory; a candidate is looked at before execve, which is dear even when it fails. No
 * /bin/sh for a file without a header (ENOEXEC): a job that wants a shell says so.
 */
CHILD static void child_exec(struct spawn *s)
{
	const struct order *o = s->order;
	long rc, worst = -ENOENT;

	for (const char *c = o->candidates; *c; c++) {
		rc = SYS(__NR_faccessat, AT_FDCWD, c, X_OK);
		if (!rc)
			rc = SYS(__NR_execve, c, o->argv, o->envp);
		if (rc != -ENOENT && rc != -ENOTDIR && rc != -EACCES)
			child_fail(s, RM_AT_EXEC, rc);
		if (rc == -EACCES)
			worst = rc;
		while (*c)
			c++;
	}
	child_fail(s, RM_AT_EXEC, worst);
}

CHILD static int child_main(void *arg)
{
	struct spawn *s = arg;
	uint64_t none = 0;

#ifndef WITH_CLONE3
	child_enter_cage(s);
#endif
	MUST(s, RM_AT_FORK, SYS(__NR_setsid, 0, 0, 0));
	child_descriptors(s);
	child_limits(s);
	child_user(s);
	child_tie(s);
	if (s->order->umask >= 0)
		SYS(__NR_umask, s->order->umask, 0, 0);
	if (s->order->cwd)
		MUST(s, RM_AT_CWD, SYS(__NR_chdir, s->order->cwd, 0, 0));
	child_stdin_file(s);
	MUST(s, RM_AT_FORK, SYS4(__NR_rt_sigprocmask, SIG_SETMASK, &none, 0, KERNEL_SIGSET_SIZE));
	child_exec(s);
	return 0;
}

/* ---- in the runner ---- */

static void reap(const struct child *c)
{
	siginfo_t si;

	while (waitid(P_PIDFD, (id_t)c->pidfd, &si, WEXITED) < 0 && errno == EINTR)
		;
	close(c->pidfd);
}

#ifdef WITH_FORK
static int start(struct spawn *s, struct child *ret)
{
	int pipe_fds[2], saved;
	pid_t pid;
	ssize_t n;

	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return -1;
	s->report_fd = pipe_fds[1];
	pid = fork();
	if (!pid)
		child_main(s);
	saved = errno;
	close(pipe_fds[1]);
	ret->pid = pid;
	ret->pidfd = pid < 0 ? -1 : (int)syscall(__NR_pidfd_open, pid, 0);
	n = pid < 0 ? 0 : read(pipe_fds[0], &s->fault, sizeof(s->fault));
	close(pipe_fds[0]);
	errno = saved;
	return n < 0 || pid < 0 || ret->pidfd < 0 ? -1 : 0;
}
#else
#ifdef WITH_CLONE3
/* clone(2) with a group to be born in. In the child nothing of the caller's frame may be used: it goes straight on to child_main. */
static long clone_into(struct spawn *s, char *top, int *ret_pidfd)
{
	struct clone_args ca = {.flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD | CLONE_INTO_CGROUP, .exit_signal = SIGCHLD,
				.pidfd = (uint64_t)(uintptr_t)ret_pidfd, .stack = (uint64_t)(uintptr_t)(top - STACK_SIZE),
				.stack_size = STACK_SIZE, .cgroup = (uint64_t)s->cage_fd};
	register int (*child)(void *) __asm__("r12") = child_main;
	register struct spawn *arg __asm__("r13") = s;
	long ret;

	__asm__ volatile("syscall\n\t"
			 "test %%rax, %%rax\n\t"
			 "jnz 1f\n\t"
			 "xor %%ebp, %%ebp\n\t"
			 "mov %%r13, %%rdi\n\t"
			 "call *%%r12\n\t"
			 "ud2\n"
			 "1:"
			 : "=a"(ret) : "a"(__NR_clone3), "D"(&ca), "S"(sizeof(ca)), "r"(child), "r"(arg) : "rcx", "r11", "memory");
	if (ret >= 0)
		return ret;
	errno = (int)-ret;
	return -1;
}
#endif

/* One stack a thread, made on first use: the thread stands still while its child is on it. Below lies a page that nobody may touch. */
static _Thread_local char *stack;

static char *stack_top(void)
{
	long page = sysconf(_SC_PAGESIZE);
	char *map;

	if (stack)
		return stack;
	map = mmap(NULL, STACK_SIZE + (size_t)page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (map == MAP_FAILED)
		return NULL;
	mprotect(map, (size_t)page, PROT_NONE);
	stack = map + page + STACK_SIZE;
	return stack;
}

static int start(struct spawn *s, struct child *ret)
{
	char *top = stack_top();

	s->report_fd = -1;
	if (!top)
		return -1;
#ifdef WITH_CLONE3
	if (s->cage_fd >= 0) {
		ret->pid = (pid_t)clone_into(s, top, &ret->pidfd);
		return ret->pid < 0 ? -1 : 0;
	}
#endif
	ret->pid = clone(child_main, top, CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, s, &ret->pidfd);
	return ret->pid < 0 ? -1 : 0;
}
#endif

enum rm_how child_how(int code)
{
	return code == EAGAIN || code == ENOMEM || code == EMFILE || code == ENFILE ? RM_AGAIN : RM_SPAWN;
}

int child_spawn(const struct child_base *b, const struct order *o, const struct user_ids *ids, int cage_fd, struct child *ret,
		struct child_error *err)
{
	struct spawn s = {.base = b, .order = o, .ids = ids, .cage_fd = cage_fd};
	struct child c;

	if (start(&s, &c) < 0) {
		*err = (struct child_error){.how = child_how(errno), .stage = RM_AT_FORK, .code = errno};
		return -1;
	}
	if (s.fault.code) {
		reap(&c);
		*err = (struct child_error){.how = child_how(s.fault.code), .stage = (enum rm_stage)s.fault.stage, .code = s.fault.code};
		return -1;
	}
	*ret = c;
	return 0;
}

/* Whether the runner's own oom_score_adj is below 0; where it cannot be read it is not. */
static int oom_score_is_negative(void)
{
	char sign;
	int fd = open("/proc/self/oom_score_adj", O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return 0;
	n = read(fd, &sign, 1);
	close(fd);
	return n == 1 && sign == '-';
}

int child_base_init(struct child_base *b)
{
	b->pid = getpid();
	errno = 0;
	b->nice = getpriority(PRIO_PROCESS, 0);
	if (errno || getrlimit(RLIMIT_NOFILE, &b->nofile) < 0)
		return -1;
	b->reset_oom_score = oom_score_is_negative();
	b->null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return b->null_fd < 0 ? -1 : 0;
}

rlim_t child_raise_nofile(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) < 0)
		return 1024;
	l.rlim_cur = l.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &l) < 0)
		getrlimit(RLIMIT_NOFILE, &l);
	return l.rlim_cur;
}
