/* SPDX-License-Identifier: MIT */
/*
 * Codec of the messages between jobd and jobd-runner: see runner_msg.h.
 *
 *   header  type u8, flags u8, zero u16, body_len u32
 *   string  length u32 (with its NUL; ABSENT: none), bytes
 *
 * A body must be used up exactly, so that a later version cannot be misread in silence.
 */
#include "proto/runner_msg.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define HEADER_LEN 8
#define RM_F_MEMFD 1u
#define ABSENT UINT32_MAX
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

/* ---- writing ---- */

static unsigned char *put_uint(unsigned char *to, uint64_t v, int n_bytes)
{
	for (int i = 0; i < n_bytes; i++)
		to[i] = (unsigned char)(v >> (8 * i));
	return to + n_bytes;
}

static unsigned char *put_bytes(unsigned char *to, const void *bytes, size_t len)
{
	if (len)
		memcpy(to, bytes, len);
	return to + len;
}

static unsigned char *put_header(unsigned char *to, enum rm_type type, unsigned flags, size_t body_len)
{
	to = put_uint(to, type, 1);
	to = put_uint(to, flags, 1);
	to = put_uint(to, 0, 2);
	return put_uint(to, body_len, 4);
}

static unsigned char *put_hello(unsigned char *to, const struct rm_hello *h)
{
	to = put_uint(to, h->version, 4);
	to = put_uint(to, h->pid, 4);
	return put_uint(to, h->generation, 8);
}

static unsigned char *put_welcome(unsigned char *to, const struct rm_welcome *w)
{
	to = put_uint(to, w->version, 4);
	to = put_uint(to, w->pid, 4);
	to = put_bytes(to, w->runner_id, sizeof(w->runner_id));
	to = put_bytes(to, w->boot_id, sizeof(w->boot_id));
	to = put_uint(to, w->capacity, 4);
	to = put_uint(to, w->n_inventory, 4);
	return put_uint(to, w->held_by, 4);
}

static unsigned char *put_end(unsigned char *to, const struct rm_end *e)
{
	to = put_uint(to, e->job, 8);
	to = put_uint(to, e->attempt, 4);
	to = put_uint(to, e->how, 1);
	to = put_uint(to, e->stage, 1);
	to = put_uint(to, e->cause, 1);
	to = put_uint(to, 0, 1);
	to = put_uint(to, (uint32_t)e->code, 4);
	to = put_uint(to, (uint32_t)e->pid, 4);
	to = put_uint(to, (uint64_t)e->started_at_us, 8);
	to = put_uint(to, (uint64_t)e->ended_at_us, 8);
	to = put_uint(to, (uint64_t)e->wall_ns, 8);
	to = put_uint(to, (uint64_t)e->cpu_us, 8);
	return put_uint(to, (uint64_t)e->maxrss_kb, 8);
}

static unsigned char *put_started(unsigned char *to, const struct rm_started *s)
{
	to = put_uint(to, s->job, 8);
	to = put_uint(to, s->attempt, 4);
	to = put_uint(to, (uint32_t)s->pid, 4);
	return put_uint(to, (uint64_t)s->started_at_us, 8);
}

/* ACK and KILL: both are a job, an attempt and one more number. */
static unsigned char *put_about(unsigned char *to, uint64_t job, uint32_t attempt, uint32_t more)
{
	to = put_uint(to, job, 8);
	to = put_uint(to, attempt, 4);
	return put_uint(to, more, 4);
}

static const size_t body_len_of[] = {
	[RM_HELLO] = 16, [RM_WELCOME] = 52, [RM_INVENTORY] = 64, [RM_READY] = 0, [RM_START] = SIZE_MAX, [RM_STARTED] = 24,
	[RM_ENDED] = 64, [RM_ACK] = 16, [RM_KILL] = 16, [RM_PING] = 0, [RM_PONG] = 0, [RM_QUIT] = 0,
};
#define N_TYPES (sizeof(body_len_of) / sizeof(*body_len_of))

static void put_body(unsigned char *to, const struct rm_msg *m)
{
	switch (m->type) {
	case RM_HELLO:
		put_hello(to, &m->u.hello);
		break;
	case RM_WELCOME:
		put_welcome(to, &m->u.welcome);
		break;
	case RM_INVENTORY:
	case RM_ENDED:
		put_end(to, &m->u.end);
		break;
	case RM_STARTED:
		put_started(to, &m->u.started);
		break;
	case RM_ACK:
		put_about(to, m->u.ack.job, m->u.ack.attempt, 0);
		break;
	case RM_KILL:
		put_about(to, m->u.kill.job, m->u.kill.attempt, m->u.kill.grace_ms);
		break;
	case RM_START:
	case RM_READY:
	case RM_PING:
	case RM_PONG:
	case RM_QUIT:
		break;
	}
}

int rm_put(struct rm_packet *p, const struct rm_msg *m)
{
	size_t len;

	if (m->type < RM_HELLO || m->type >= N_TYPES || m->type == RM_START) {
		errno = EINVAL;
		return -1;
	}
	len = body_len_of[m->type];
	if (p->len + HEADER_LEN + len > sizeof(p->buf)) {
		errno = ENOBUFS;
		return -1;
	}
	put_body(put_header(p->buf + p->len, m->type, 0, len), m);
	p->len += HEADER_LEN + len;
	return 0;
}

int rm_send(int sock, struct rm_packet *p)
{
	ssize_t n;

	if (!p->len)
		return 0;
	do
		n = send(sock, p->buf, p->len, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -1;
	p->len = 0;
	return 0;
}

/* ---- START ---- */

#define START_FIXED (8 + 4 + 4 + 4 + 8 + 4 + 4 + 4 + 4 + 8)

static size_t text_len(const char *s)
{
	return 4 + (s ? strlen(s) + 1 : 0);
}

static size_t start_len(const struct rm_start *st)
{
	return START_FIXED + 4 + st->argv_len + 4 + st->envp_len + text_len(st->cwd) + text_len(st->stdin_file) + text_len(st->user)
		+ text_len(st->group);
}

static unsigned char *put_block(unsigned char *to, const char *block, size_t len)
{
	return put_bytes(put_uint(to, len, 4), block, len);
}

static unsigned char *put_text(unsigned char *to, const char *s)
{
	return s ? put_block(to, s, strlen(s) + 1) : put_uint(to, ABSENT, 4);
}

static void put_start(unsigned char *to, const struct rm_start *st)
{
	to = put_uint(to, st->job, 8);
	to = put_uint(to, st->attempt, 4);
	to = put_uint(to, st->argc, 4);
	to = put_uint(to, st->envc, 4);
	to = put_uint(to, (uint64_t)st->timeout_ms, 8);
	to = put_uint(to, st->grace_ms, 4);
	to = put_uint(to, (uint32_t)st->umask, 4);
	to = put_uint(to, (uint32_t)st->nice, 4);
	to = put_uint(to, st->stdin_kind, 4);
	to = put_uint(to, st->output_max, 8);
	to = put_block(to, st->argv, st->argv_len);
	to = put_block(to, st->envp, st->envp_len);
	to = put_text(to, st->cwd);
	to = put_text(to, st->stdin_file);
	to = put_text(to, st->user);
	put_text(to, st->group);
}

static int send_with_fds(int sock, const void *buf, size_t len, const int *fds, size_t n_fds)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int) * RM_FDS_MAX)];
	} control = {0};
	struct iovec iov = {.iov_base = (void *)buf, .iov_len = len};
	struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};
	struct cmsghdr *cm;
	ssize_t n;

	if (n_fds) {
		mh.msg_control = control.buf;
		mh.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
		cm = CMSG_FIRSTHDR(&mh);
		cm->cmsg_level = SOL_SOCKET;
		cm->cmsg_type = SCM_RIGHTS;
		cm->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
		memcpy(CMSG_DATA(cm), fds, sizeof(int) * n_fds);
	}
	do
		n = sendmsg(sock, &mh, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -1 : 0;
}

/* A sealed memfd that holds the body, or -1 with errno. */
static int start_in_memfd(const struct rm_start *st, size_t len)
{
	int fd = memfd_create("jobd-start", MFD_CLOEXEC | MFD_ALLOW_SEALING), saved;
	void *map;

	if (fd < 0)
		return -1;
	if (ftruncate(fd, (off_t)len) < 0)
		goto fail;
	map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		goto fail;
	put_start(map, st);
	munmap(map, len);
	if (fcntl(fd, F_ADD_SEALS, SEALS | F_SEAL_SEAL) == 0)
		return fd;
fail:
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

static int send_in_memfd(int sock, const struct rm_start *st, size_t len, int *fds, size_t n_fds)
{
	unsigned char head[HEADER_LEN];
	int fd = start_in_memfd(st, len), rc, saved;

	if (fd < 0)
		return -1;
	put_header(head, RM_START, RM_F_MEMFD, 0);
	fds[n_fds] = fd;
	rc = send_with_fds(sock, head, sizeof(head), fds, n_fds + 1);
	saved = errno;
	close(fd);
	errno = saved;
	return rc;
}

int rm_send_start(int sock, const struct rm_start *st)
{
	size_t len = start_len(st), n_fds = st->stdin_kind == RM_STDIN_FD ? 3 : 2;
	unsigned char buf[RM_PACKET_MAX];
	int fds[RM_FDS_MAX];

	if (len > RM_START_MAX) {
		errno = E2BIG;
		return -1;
	}
	memcpy(fds, st->fds, n_fds * sizeof(*fds));
	if (HEADER_LEN + len > sizeof(buf))
		return send_in_memfd(sock, st, len, fds, n_fds);
	put_start(put_header(buf, RM_START, 0, len), st);
	return send_with_fds(sock, buf, HEADER_LEN + len, fds, n_fds);
}

/* ---- reading ---- */

/* A cursor that goes bad at the first read beyond the end and gives zeros from then on. */
struct cursor {
	const unsigned char *at, *end;
	int bad;
};

static const void *get_bytes(struct cursor *c, size_t len)
{
	const void *bytes = c->at;

	if (c->bad || (size_t)(c->end - c->at) < len) {
		c->bad = 1;
		return NULL;
	}
	c->at += len;
	return bytes;
}

static uint64_t get_uint(struct cursor *c, int n_bytes)
{
	const unsigned char *b = get_bytes(c, (size_t)n_bytes);
	uint64_t v = 0;

	for (int i = 0; b && i < n_bytes; i++)
		v |= (uint64_t)b[i] << (8 * i);
	return v;
}

static void get_copy(struct cursor *c, void *to, size_t len)
{
	const void *bytes = get_bytes(c, len);

	if (bytes)
		memcpy(to, bytes, len);
}

static void get_hello(struct cursor *c, struct rm_hello *h)
{
	h->version = (uint32_t)get_uint(c, 4);
	h->pid = (uint32_t)get_uint(c, 4);
	h->generation = get_uint(c, 8);
}

static void get_welcome(struct cursor *c, struct rm_welcome *w)
{
	w->version = (uint32_t)get_uint(c, 4);
	w->pid = (uint32_t)get_uint(c, 4);
	get_copy(c, w->runner_id, sizeof(w->runner_id));
	get_copy(c, w->boot_id, sizeof(w->boot_id));
	w->capacity = (uint32_t)get_uint(c, 4);
	w->n_inventory = (uint32_t)get_uint(c, 4);
	w->held_by = (uint32_t)get_uint(c, 4);
}

static void get_end(struct cursor *c, struct rm_end *e)
{
	e->job = get_uint(c, 8);
	e->attempt = (uint32_t)get_uint(c, 4);
	e->how = (uint8_t)get_uint(c, 1);
	e->stage = (uint8_t)get_uint(c, 1);
	e->cause = (uint8_t)get_uint(c, 1);
	e->pad = (uint8_t)get_uint(c, 1);
	e->code = (int32_t)get_uint(c, 4);
	e->pid = (int32_t)get_uint(c, 4);
	e->started_at_us = (int64_t)get_uint(c, 8);
	e->ended_at_us = (int64_t)get_uint(c, 8);
	e->wall_ns = (int64_t)get_uint(c, 8);
	e->cpu_us = (int64_t)get_uint(c, 8);
	e->maxrss_kb = (int64_t)get_uint(c, 8);
	if (e->how > RM_AGAIN || e->stage > RM_AT_EXEC || e->cause > RM_BY_OUTPUT || e->pad)
		c->bad = 1;
}

static void get_started(struct cursor *c, struct rm_started *s)
{
	s->job = get_uint(c, 8);
	s->attempt = (uint32_t)get_uint(c, 4);
	s->pid = (int32_t)get_uint(c, 4);
	s->started_at_us = (int64_t)get_uint(c, 8);
}

static void get_ack(struct cursor *c, struct rm_ack *a)
{
	a->job = get_uint(c, 8);
	a->attempt = (uint32_t)get_uint(c, 4);
	a->pad = (uint32_t)get_uint(c, 4);
	if (a->pad)
		c->bad = 1;
}

static void get_kill(struct cursor *c, struct rm_kill *k)
{
	k->job = get_uint(c, 8);
	k->attempt = (uint32_t)get_uint(c, 4);
	k->grace_ms = (uint32_t)get_uint(c, 4);
}

/* A string with exactly one NUL, at its end; NULL when absent. */
static const char *get_text(struct cursor *c)
{
	size_t len = get_uint(c, 4);
	const char *s;

	if (len == ABSENT)
		return NULL;
	s = get_bytes(c, len);
	if (!s || !len || memchr(s, '\0', len) != s + len - 1)
		c->bad = 1;
	return s;
}

/* A block of exactly n NUL-terminated strings. */
static const char *get_block(struct cursor *c, uint32_t n, size_t *ret_len)
{
	size_t len = get_uint(c, 4);
	const char *block = get_bytes(c, len), *s = block, *end;

	if (!block)
		return NULL;
	for (; n && s < block + len; n--) {
		end = memchr(s, '\0', (size_t)(block + len - s));
		if (!end)
			break;
		s = end + 1;
	}
	if (n || s != block + len)
		c->bad = 1;
	*ret_len = len;
	return block;
}

static void get_start(struct cursor *c, struct rm_start *st)
{
	st->job = get_uint(c, 8);
	st->attempt = (uint32_t)get_uint(c, 4);
	st->argc = (uint32_t)get_uint(c, 4);
	st->envc = (uint32_t)get_uint(c, 4);
	st->timeout_ms = (int64_t)get_uint(c, 8);
	st->grace_ms = (uint32_t)get_uint(c, 4);
	st->umask = (int32_t)get_uint(c, 4);
	st->nice = (int32_t)get_uint(c, 4);
	st->stdin_kind = (uint32_t)get_uint(c, 4);
	st->output_max = get_uint(c, 8);
	st->argv = get_block(c, st->argc, &st->argv_len);
	st->envp = get_block(c, st->envc, &st->envp_len);
	st->cwd = get_text(c);
	st->stdin_file = get_text(c);
	st->user = get_text(c);
	st->group = get_text(c);
	if (!st->argc || st->timeout_ms < 0 || st->umask < -1 || st->umask > 0777 || st->nice < -40 || st->nice > 40
	    || st->stdin_kind > RM_STDIN_FILE || (st->stdin_kind == RM_STDIN_FILE) != (st->stdin_file != NULL))
		c->bad = 1;
}

/* Takes the descriptors that a START owns; what is left over or missing is malformed. */
static int start_fds(struct rm_start *st, const int fds[RM_FDS_MAX])
{
	int n = st->stdin_kind == RM_STDIN_FD ? 3 : 2;

	st->fds_lost = fds[0] == RM_FDS_LOST;
	if (st->fds_lost) {
		memset(st->fds, -1, sizeof(st->fds));
		return 0;
	}
	memcpy(st->fds, fds, sizeof(st->fds));
	for (int i = 0; i < RM_FDS_MAX; i++)
		if ((fds[i] >= 0) != (i < n))
			return -1;
	return 0;
}

static int map_memfd(int fd, struct rm_map *ret)
{
	struct stat st;
	void *addr;
	int seals = fcntl(fd, F_GET_SEALS);

	if (seals < 0 || (seals & SEALS) != SEALS || fstat(fd, &st) < 0 || st.st_size <= 0 || st.st_size > RM_START_MAX)
		return -1;
	addr = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (addr == MAP_FAILED)
		return -1;
	*ret = (struct rm_map){.addr = addr, .len = (size_t)st.st_size};
	return 0;
}

/* The last descriptor is the body: map it, and close it whatever comes of it. */
static int open_memfd(int fds[RM_FDS_MAX], struct rm_map *ret)
{
	int rc;

	for (int i = RM_FDS_MAX - 1; i >= 0; i--) {
		if (fds[i] < 0)
			continue;
		rc = map_memfd(fds[i], ret);
		close(fds[i]);
		fds[i] = -1;
		return rc;
	}
	return -1;
}

static void get_body(struct cursor *c, struct rm_msg *m)
{
	switch (m->type) {
	case RM_HELLO:
		get_hello(c, &m->u.hello);
		break;
	case RM_WELCOME:
		get_welcome(c, &m->u.welcome);
		break;
	case RM_INVENTORY:
	case RM_ENDED:
		get_end(c, &m->u.end);
		break;
	case RM_STARTED:
		get_started(c, &m->u.started);
		break;
	case RM_ACK:
		get_ack(c, &m->u.ack);
		break;
	case RM_KILL:
		get_kill(c, &m->u.kill);
		break;
	case RM_START:
		get_start(c, &m->u.start);
		break;
	case RM_READY:
	case RM_PING:
	case RM_PONG:
	case RM_QUIT:
		break;
	}
}

static int malformed(struct rm_map *map)
{
	rm_unmap(map);
	errno = EPROTO;
	return -1;
}

int rm_next(const void *buf, size_t len, size_t *pos, int fds[RM_FDS_MAX], struct rm_msg *ret, struct rm_map *ret_map)
{
	struct cursor c = {.at = (const unsigned char *)buf + *pos, .end = (const unsigned char *)buf + len}, body;
	struct rm_msg m = {0};
	unsigned flags;
	size_t body_len;
	int alone = *pos == 0;

	*ret_map = (struct rm_map){0};
	if (*pos == len)
		return 0;
	m.type = (enum rm_type)get_uint(&c, 1);
	flags = (unsigned)get_uint(&c, 1);
	if (get_uint(&c, 2))
		c.bad = 1;
	body_len = get_uint(&c, 4);
	body.at = get_bytes(&c, body_len);
	if (c.bad || m.type < RM_HELLO || m.type >= N_TYPES)
		return malformed(ret_map);
	body = (struct cursor){.at = body.at, .end = body.at + body_len};
	if (m.type != RM_START && (flags || body_len != body_len_of[m.type]))
		return malformed(ret_map);
	if (m.type == RM_START && (!alone || c.at != c.end || (flags & ~RM_F_MEMFD)))
		return malformed(ret_map);
	if (flags & RM_F_MEMFD) {
		if (body_len || open_memfd(fds, ret_map) < 0)
			return malformed(ret_map);
		body = (struct cursor){.at = ret_map->addr, .end = (unsigned char *)ret_map->addr + ret_map->len};
	}
	get_body(&body, &m);
	if (body.bad || body.at != body.end || (m.type == RM_START && start_fds(&m.u.start, fds) < 0))
		return malformed(ret_map);
	*pos = len - (size_t)(c.end - c.at);
	*ret = m;
	return 1;
}

void rm_unmap(struct rm_map *m)
{
	if (m->addr)
		munmap(m->addr, m->len);
	*m = (struct rm_map){0};
}

/* Collects passed descriptors; more than fit cannot arrive, the kernel cuts them off and says MSG_CTRUNC. Returns how many. */
static size_t take_fds(struct msghdr *mh, int fds[RM_FDS_MAX])
{
	size_t n = 0, len;

	for (int i = 0; i < RM_FDS_MAX; i++)
		fds[i] = -1;
	for (struct cmsghdr *cm = CMSG_FIRSTHDR(mh); cm; cm = CMSG_NXTHDR(mh, cm)) {
		if (cm->cmsg_level != SOL_SOCKET || cm->cmsg_type != SCM_RIGHTS)
			continue;
		len = (cm->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < len && n < RM_FDS_MAX; i++)
			memcpy(&fds[n++], CMSG_DATA(cm) + i * sizeof(int), sizeof(int));
	}
	return n;
}

static void close_fds(int fds[RM_FDS_MAX])
{
	for (int i = 0; i < RM_FDS_MAX; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
		fds[i] = -1;
	}
}

ssize_t rm_recv(int sock, void *buf, size_t cap, int fds[RM_FDS_MAX])
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int) * RM_FDS_MAX)];
	} control;
	struct iovec iov = {.iov_base = buf, .iov_len = cap};
	struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.buf, .msg_controllen = sizeof(control.buf)};
	size_t n_fds;
	ssize_t n;

	for (int i = 0; i < RM_FDS_MAX; i++)
		fds[i] = -1;
	do
		n = recvmsg(sock, &mh, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -1;
	n_fds = take_fds(&mh, fds);
	if (!(mh.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
		return n;
	close_fds(fds);
	if (!(mh.msg_flags & MSG_TRUNC) && n_fds < RM_FDS_MAX) {        /* there was room for more: the process may not have them */
		fds[0] = RM_FDS_LOST;
		return n;
	}
	errno = EPROTO;
	return -1;
}
