/* SPDX-License-Identifier: MIT */
/*
 * Runner frames: packets between jobd and jobd-runner, in both directions (they have one decoder). What is accepted says the same when it
 * is written again; a START becomes an order as in the runner.
 *
 * Input: a byte (1: the body of a START in a memfd; bits 1-3: how many descriptors come along), then the packet or the body.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz.h"
#include "proto/runner_msg.h"
#include "runner/order.h"

#define IN_MEMFD 1

static void pass_fds(int fds[RM_FDS_MAX], int n)
{
	for (int i = 0; i < RM_FDS_MAX; i++)
		fds[i] = i < n ? open("/dev/null", O_RDWR | O_CLOEXEC) : -1;
}

static void close_fds(int fds[RM_FDS_MAX])
{
	for (int i = 0; i < RM_FDS_MAX; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

static void check_same_again(const struct rm_msg *m, const uint8_t *bytes, size_t n)
{
	static struct rm_packet p;

	p.len = 0;
	must(rm_put(&p, m) == 0);
	must(p.len == n && memcmp(p.buf, bytes, n) == 0);
}

static size_t length_of_all(char *const *v)
{
	size_t n = 0;

	for (; *v; v++)
		n += strlen(*v) + 1;
	return n;
}

static void check_order(const struct rm_start *st)
{
	struct order *o = order_new(st, NULL);
	const char *candidate;

	must(o && length_of_all(o->argv) == st->argv_len && length_of_all(o->envp) == st->envp_len);
	for (candidate = o->candidates; *candidate; candidate += strlen(candidate) + 1)
		must(strstr(candidate, st->argv));
	must(!o->cwd == !st->cwd && !o->user == !st->user);
	order_free(o);          /* and its descriptors */
}

/* The same START, sent as jobd does. */
static void check_sent(const struct rm_start *st)
{
	static unsigned char buf[RM_PACKET_MAX];
	int sv[2], fds[RM_FDS_MAX];
	struct rm_map map;
	struct rm_msg m;
	size_t pos = 0;
	ssize_t n;

	must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) == 0);
	must(rm_send_start(sv[0], st) == 0);
	n = rm_recv(sv[1], buf, sizeof(buf), fds);
	must(n > 0 && rm_next(buf, (size_t)n, &pos, fds, &m, &map) == 1);
	must(m.u.start.job == st->job && m.u.start.argv_len == st->argv_len && m.u.start.envp_len == st->envp_len);
	must(memcmp(m.u.start.argv, st->argv, st->argv_len) == 0);
	must(!m.u.start.cwd == !st->cwd && (!st->cwd || strcmp(m.u.start.cwd, st->cwd) == 0));
	close_fds(m.u.start.fds);
	rm_unmap(&map);
	close(sv[0]);
	close(sv[1]);
}

static void read_packet(const uint8_t *data, size_t size, int fds[RM_FDS_MAX])
{
	size_t pos = 0, before = 0;
	struct rm_map map;
	struct rm_msg m;

	while (rm_next(data, size, &pos, fds, &m, &map) == 1) {
		must(pos > before && pos <= size);
		if (m.type == RM_START) {
			check_sent(&m.u.start);
			check_order(&m.u.start);
			for (int i = 0; i < RM_FDS_MAX; i++)
				fds[i] = -1;
		} else {
			check_same_again(&m, data + before, pos - before);
		}
		rm_unmap(&map);
		before = pos;
	}
}

static int memfd_of(const uint8_t *data, size_t size)
{
	int fd = memfd_create("start", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	must(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	must(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) == 0);
	return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t header[8] = { RM_START, 1 };
	int fds[RM_FDS_MAX], n;

	if (size < 1)
		return 0;
	n = data[0] >> 1 & 7;
	pass_fds(fds, n);
	if (!(data[0] & IN_MEMFD)) {
		read_packet(data + 1, size - 1, fds);
	} else if (n < RM_FDS_MAX) {
		fds[n] = memfd_of(data + 1, size - 1);
		read_packet(header, sizeof(header), fds);
	}
	close_fds(fds);
	return 0;
}
