/* SPDX-License-Identifier: MIT */
/*
 * faulty - preloaded into jobd and jobd-runner: the n-th call of a function of libc fails, as a file that the test writes says.
 *
 * The file ($JOBD_FAULTY) is mapped by each process, so that a fault can be ordered before a start and while it runs. In the file, 32-bit
 * numbers: the program (1 jobd, 2 jobd-runner; 0: nothing is ordered), the function by its place in the list below, the errno (SHORT: a
 * write of half of it), how many calls pass before, how many fail then, and - written here - how many did.
 * A job has the environment of its own, and so never has this.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define SHORT 0x7fff

/* The order is that of CALLS in inject.py. */
enum call {
	OPEN, OPENAT, READ, PREAD, WRITE, PWRITE, FSYNC, FDATASYNC, FTRUNCATE, FALLOCATE, FSTAT, UNLINK, RENAME, MKDIR, MMAP, SOCKET, ACCEPT,
	CONNECT, BIND, RECV, RECVMSG, SEND, SENDMSG, EPOLL_CTL, EPOLL_WAIT, MEMFD, RANDOM, SPAWN, CLONE, WAITID, KILL, OTHER,
};

struct order {
	_Atomic int32_t program, call, error, pass, fail, failed;
};

static struct order *order;
static int32_t program;

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("JOBD_FAULTY");
	int fd;

	program = strcmp(program_invocation_short_name, "jobd") ? strcmp(program_invocation_short_name, "jobd-runner") ? 0 : 2 : 1;
	fd = path && program ? (int)syscall(SYS_open, path, O_RDWR | O_CLOEXEC) : -1;
	if (fd < 0)
		return;
	order = (struct order *)syscall(SYS_mmap, NULL, sizeof(*order), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0L);
	syscall(SYS_close, fd);
}

/* Whether this call is to fail; errno is set then. */
static int fails(enum call call)
{
	if (!order || order->program != program || order->call != (int32_t)call)
		return 0;
	if (atomic_fetch_sub(&order->pass, 1) > 0 || atomic_fetch_sub(&order->fail, 1) <= 0)
		return 0;
	atomic_fetch_add(&order->failed, 1);
	errno = order->error;
	return 1;
}

/* What wakes a thread can only say that it was interrupted or is full; another error of it means nothing. */
static int can_fail(int fd)
{
	struct stat st;

	return !order || order->error == EINTR || order->error == EAGAIN || syscall(SYS_fstat, fd, &st) < 0 || (st.st_mode & S_IFMT);
}

static void *next(const char *name)
{
	void *f = dlsym(RTLD_NEXT, name);

	if (!f)
		abort();
	return f;
}

#define FORWARD(type, name, params, args) \
	static type (*real) params; \
	if (!real) \
		real = (type (*) params)(uintptr_t)next(#name); \
	return real args

/* Functions that say an error by -1 and errno, and those that return it. */
#define MINUS_ONE(call, type, name, params, args) \
	type name params; \
	type name params \
	{ \
		if (fails(call)) \
			return (type)-1; \
		FORWARD(type, name, params, args); \
	}
#define RETURNED(call, name, params, args) \
	int name params; \
	int name params \
	{ \
		if (fails(call)) \
			return errno; \
		FORWARD(int, name, params, args); \
	}
/* Writing: n may become less. */
#define WRITING(call, name, params, args) \
	ssize_t name params; \
	ssize_t name params \
	{ \
		if (can_fail(fd) && fails(call)) { \
			if (errno != SHORT) \
				return -1; \
			n = n / 2 + 1 > n ? n : n / 2 + 1; \
		} \
		FORWARD(ssize_t, name, params, args); \
	}
#define OPENING(call, name, params, args) \
	int name params; \
	int name params \
	{ \
		va_list ap; \
		mode_t mode; \
		if (fails(call)) \
			return -1; \
		va_start(ap, flags); \
		mode = va_arg(ap, mode_t); \
		va_end(ap); \
		FORWARD(int, name, params, args); \
	}

OPENING(OPEN, open, (const char *path, int flags, ...), (path, flags, mode))
OPENING(OPEN, open64, (const char *path, int flags, ...), (path, flags, mode))
OPENING(OPENAT, openat, (int dir, const char *path, int flags, ...), (dir, path, flags, mode))
MINUS_ONE(READ, ssize_t, read, (int fd, void *buf, size_t n), (fd, buf, n))
MINUS_ONE(PREAD, ssize_t, pread, (int fd, void *buf, size_t n, off_t at), (fd, buf, n, at))
MINUS_ONE(PREAD, ssize_t, pread64, (int fd, void *buf, size_t n, off64_t at), (fd, buf, n, at))
WRITING(WRITE, write, (int fd, const void *buf, size_t n), (fd, buf, n))
WRITING(PWRITE, pwrite, (int fd, const void *buf, size_t n, off_t at), (fd, buf, n, at))
WRITING(PWRITE, pwrite64, (int fd, const void *buf, size_t n, off64_t at), (fd, buf, n, at))
MINUS_ONE(FSYNC, int, fsync, (int fd), (fd))
MINUS_ONE(FDATASYNC, int, fdatasync, (int fd), (fd))
MINUS_ONE(FTRUNCATE, int, ftruncate, (int fd, off_t n), (fd, n))
MINUS_ONE(FTRUNCATE, int, ftruncate64, (int fd, off64_t n), (fd, n))
RETURNED(FALLOCATE, posix_fallocate, (int fd, off_t at, off_t n), (fd, at, n))
MINUS_ONE(FSTAT, int, fstat, (int fd, struct stat *st), (fd, st))
MINUS_ONE(FSTAT, int, fstat64, (int fd, struct stat64 *st), (fd, st))
MINUS_ONE(UNLINK, int, unlink, (const char *path), (path))
MINUS_ONE(UNLINK, int, unlinkat, (int dir, const char *path, int flags), (dir, path, flags))
MINUS_ONE(RENAME, int, rename, (const char *from, const char *to), (from, to))
MINUS_ONE(MKDIR, int, mkdir, (const char *path, mode_t mode), (path, mode))
MINUS_ONE(MKDIR, int, mkdirat, (int dir, const char *path, mode_t mode), (dir, path, mode))
MINUS_ONE(MMAP, void *, mmap, (void *at, size_t n, int prot, int flags, int fd, off_t off), (at, n, prot, flags, fd, off))
MINUS_ONE(SOCKET, int, socket, (int domain, int type, int protocol), (domain, type, protocol))
MINUS_ONE(ACCEPT, int, accept4, (int fd, struct sockaddr *addr, socklen_t *len, int flags), (fd, addr, len, flags))
MINUS_ONE(CONNECT, int, connect, (int fd, const struct sockaddr *addr, socklen_t len), (fd, addr, len))
MINUS_ONE(BIND, int, bind, (int fd, const struct sockaddr *addr, socklen_t len), (fd, addr, len))
MINUS_ONE(RECV, ssize_t, recv, (int fd, void *buf, size_t n, int flags), (fd, buf, n, flags))
MINUS_ONE(RECVMSG, ssize_t, recvmsg, (int fd, struct msghdr *msg, int flags), (fd, msg, flags))
MINUS_ONE(SEND, ssize_t, send, (int fd, const void *buf, size_t n, int flags), (fd, buf, n, flags))
MINUS_ONE(SENDMSG, ssize_t, sendmsg, (int fd, const struct msghdr *msg, int flags), (fd, msg, flags))
MINUS_ONE(EPOLL_CTL, int, epoll_ctl, (int fd, int op, int of, struct epoll_event *ev), (fd, op, of, ev))
MINUS_ONE(EPOLL_WAIT, int, epoll_wait, (int fd, struct epoll_event *ev, int n, int ms), (fd, ev, n, ms))
MINUS_ONE(MEMFD, int, memfd_create, (const char *name, unsigned flags), (name, flags))
MINUS_ONE(RANDOM, ssize_t, getrandom, (void *buf, size_t n, unsigned flags), (buf, n, flags))
RETURNED(SPAWN, posix_spawn,
	 (pid_t *pid, const char *path, const posix_spawn_file_actions_t *fa, const posix_spawnattr_t *at, char *const argv[], char *const envp[]),
	 (pid, path, fa, at, argv, envp))
MINUS_ONE(WAITID, int, waitid, (idtype_t type, id_t id, siginfo_t *info, int options), (type, id, info, options))
MINUS_ONE(KILL, int, kill, (pid_t pid, int sig), (pid, sig))

int clone(int (*fn)(void *arg), void *stack, int flags, void *arg, ...)
{
	va_list ap;
	void *a, *b, *c;

	if (fails(CLONE))
		return -1;
	va_start(ap, arg);
	a = va_arg(ap, void *);
	b = va_arg(ap, void *);
	c = va_arg(ap, void *);
	va_end(ap);
	FORWARD(int, clone, (int (*fn2)(void *), void *, int, void *, ...), (fn, stack, flags, arg, a, b, c));
}
