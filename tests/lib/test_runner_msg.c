/* SPDX-License-Identifier: MIT */
/* The codec between jobd and jobd-runner: what goes in comes out, and nothing else gets through. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "proto/runner_msg.h"
#include "../play.h"

#define HEADER 8

static const struct rm_msg samples[] = {
	{.type = RM_HELLO, .u.hello = {.version = 1, .pid = 77, .generation = UINT64_C(0x1122334455667788)}},
	{.type = RM_WELCOME, .u.welcome = {.version = 1, .pid = 5, .runner_id = {1, 2, 3}, .boot_id = {[15] = 9}, .capacity = 1000, .n_inventory = 3,
						.held_by = RM_HELD_BY_CGROUP}},
	{.type = RM_INVENTORY, .u.end = {.job = UINT64_C(7) << 32 | 1, .attempt = 2, .how = RM_RUNNING, .pid = 44, .started_at_us = 1}},
	{.type = RM_READY},
	{.type = RM_STARTED, .u.started = {.job = UINT64_MAX, .attempt = UINT32_MAX, .pid = 3, .started_at_us = INT64_MAX}},
	{.type = RM_ENDED, .u.end = {.job = 1, .attempt = 2, .how = RM_SPAWN, .stage = RM_AT_CWD, .cause = RM_BY_KILL, .code = -1, .pid = 6,
				     .started_at_us = -7, .ended_at_us = 8, .wall_ns = 9, .cpu_us = 10, .maxrss_kb = 11}},
	{.type = RM_ACK, .u.ack = {.job = 8, .attempt = 9}},
	{.type = RM_KILL, .u.kill = {.job = 8, .attempt = 9, .grace_ms = 10000}},
	{.type = RM_PING},
	{.type = RM_PONG},
	{.type = RM_QUIT},
};
#define N_SAMPLES (int)(sizeof(samples) / sizeof(*samples))

static int pair[2];
static struct rm_packet packet;
static unsigned char buf[RM_PACKET_MAX];
static int fds[RM_FDS_MAX];

static void up(void)
{
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	packet.len = 0;
	for (int i = 0; i < RM_FDS_MAX; i++)
		fds[i] = -1;
}

static void down(void)
{
	close(pair[0]);
	close(pair[1]);
	for (int i = 0; i < RM_FDS_MAX; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

static struct rm_start sample_start(void)
{
	return (struct rm_start){.job = 3, .attempt = 4, .argc = 3, .envc = 1, .argv = "sh\0-c\0", .argv_len = 7, .envp = "A=1", .envp_len = 4,
		.cwd = "/tmp", .user = "nobody", .timeout_ms = 5000, .grace_ms = 100, .umask = 022, .nice = -5, .output_max = 1 << 20,
		.fds = {1, 2, -1, -1}};
}

/* Sends, receives, decodes; the map is given back with the message. */
static struct rm_msg through(const struct rm_start *st, struct rm_map *map)
{
	struct rm_msg m;
	size_t pos = 0;
	ssize_t n;

	ck_assert_int_eq(rm_send_start(pair[0], st), 0);
	n = rm_recv(pair[1], buf, sizeof(buf), fds);
	ck_assert_int_gt(n, 0);
	ck_assert_int_eq(rm_next(buf, (size_t)n, &pos, fds, &m, map), 1);
	ck_assert_uint_eq(pos, (size_t)n);
	return m;
}

START_TEST(every_message_comes_out_as_it_went_in)
{
	struct rm_map map;
	struct rm_msg m;
	size_t pos = 0;
	ssize_t n;

	for (int i = 0; i < N_SAMPLES; i++)
		ck_assert_int_eq(rm_put(&packet, &samples[i]), 0);
	ck_assert_int_eq(rm_send(pair[0], &packet), 0);
	ck_assert_uint_eq(packet.len, 0);
	n = rm_recv(pair[1], buf, sizeof(buf), fds);
	for (int i = 0; i < N_SAMPLES; i++) {
		ck_assert_int_eq(rm_next(buf, (size_t)n, &pos, fds, &m, &map), 1);
		ck_assert_mem_eq(&m, &samples[i], sizeof(m));
	}
	ck_assert_int_eq(rm_next(buf, (size_t)n, &pos, fds, &m, &map), 0);
}
END_TEST

START_TEST(a_start_carries_its_strings_and_descriptors)
{
	struct rm_start st = sample_start();
	struct rm_map map;
	struct rm_msg m = through(&st, &map);

	ck_assert_int_eq(m.type, RM_START);
	ck_assert_uint_eq(m.u.start.job, 3);
	ck_assert_uint_eq(m.u.start.argc, 3);
	ck_assert_mem_eq(m.u.start.argv, "sh\0-c\0", 7);
	ck_assert_mem_eq(m.u.start.envp, "A=1", 4);
	ck_assert_str_eq(m.u.start.cwd, "/tmp");
	ck_assert_str_eq(m.u.start.user, "nobody");
	ck_assert_ptr_null(m.u.start.group);
	ck_assert_int_eq(m.u.start.umask, 022);
	ck_assert_int_eq(m.u.start.nice, -5);
	ck_assert_int_eq(fcntl(m.u.start.fds[0], F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(m.u.start.fds[2], -1);
	ck_assert_ptr_null(map.addr);
}
END_TEST

START_TEST(a_large_start_travels_in_a_memfd_which_is_closed)
{
	struct rm_start st = sample_start();
	struct rm_map map;
	struct rm_msg m;
	char *big = malloc(200000);

	memset(big, 'x', 199999);
	big[199999] = '\0';
	st.envp = big;
	st.envp_len = 200000;
	m = through(&st, &map);
	ck_assert_mem_eq(m.u.start.envp, big, 200000);
	ck_assert_ptr_nonnull(map.addr);
	ck_assert_int_eq(fds[2], -1);
	rm_unmap(&map);
	ck_assert_ptr_null(map.addr);
	free(big);
}
END_TEST

START_TEST(a_start_over_the_limit_is_refused_before_it_is_sent)
{
	struct rm_start st = sample_start();
	char *big = calloc(1, RM_START_MAX);

	st.envp = big;
	st.envp_len = RM_START_MAX;
	ck_assert_int_eq(rm_send_start(pair[0], &st), -1);
	ck_assert_int_eq(errno, E2BIG);
	free(big);
}
END_TEST

static void send_by_hand(const void *data, size_t len, const int *give, size_t n_give)
{
	union { struct cmsghdr align; char buf[CMSG_SPACE(sizeof(int) * 16)]; } control = {0};
	struct iovec iov = {.iov_base = (void *)data, .iov_len = len};
	struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.buf, .msg_controllen = CMSG_SPACE(sizeof(int) * n_give)};
	struct cmsghdr *cm = CMSG_FIRSTHDR(&mh);

	cm->cmsg_level = SOL_SOCKET;
	cm->cmsg_type = SCM_RIGHTS;
	cm->cmsg_len = CMSG_LEN(sizeof(int) * n_give);
	memcpy(CMSG_DATA(cm), give, sizeof(int) * n_give);
	ck_assert_int_eq(sendmsg(pair[0], &mh, 0), (ssize_t)len);
}

static int highest_fd(void)
{
	int fd = dup(0);

	close(fd);
	return fd;
}

START_TEST(an_unsealed_memfd_is_refused)
{
	static const unsigned char head[HEADER] = {RM_START, 1};
	struct rm_map map;
	struct rm_msg m;
	size_t pos = 0;
	int mem = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING), give[3] = {0, 1, mem};

	ck_assert_int_eq(ftruncate(mem, 4096), 0);
	send_by_hand(head, sizeof(head), give, 3);
	close(mem);
	ck_assert_int_eq(rm_recv(pair[1], buf, sizeof(buf), fds), HEADER);
	ck_assert_int_eq(rm_next(buf, HEADER, &pos, fds, &m, &map), -1);
	ck_assert_int_eq(errno, EPROTO);
	ck_assert_ptr_null(map.addr);
	ck_assert_int_eq(fds[2], -1);
}
END_TEST

START_TEST(too_many_descriptors_are_an_error_and_none_stays_open)
{
	int give[8] = {0, 1, 2, 0, 1, 2, 0, 1}, before = highest_fd();

	send_by_hand("x", 1, give, 8);
	ck_assert_int_eq(rm_recv(pair[1], buf, sizeof(buf), fds), -1);
	ck_assert_int_eq(errno, EPROTO);
	ck_assert_int_eq(highest_fd(), before);
}
END_TEST

START_TEST(a_full_packet_says_so_and_stays_as_it_is)
{
	int n = 0;
	size_t len;

	while (!rm_put(&packet, &samples[5]))
		n++;
	ck_assert_int_eq(errno, ENOBUFS);
	len = packet.len;
	ck_assert_uint_eq(len, (size_t)n * (HEADER + 64));
	ck_assert_int_eq(rm_put(&packet, &samples[5]), -1);
	ck_assert_uint_eq(packet.len, len);
}
END_TEST

START_TEST(a_socket_without_room_loses_nothing)
{
	size_t len;
	int sent = 0;

	for (;;) {
		while (!rm_put(&packet, &samples[5]))
			;
		len = packet.len;
		if (rm_send(pair[0], &packet) < 0)
			break;
		sent++;
	}
	ck_assert_int_eq(errno, EAGAIN);
	ck_assert_uint_eq(packet.len, len);
	ck_assert_int_gt(sent, 0);
}
END_TEST

/* One message in memory; returns its length. A START is taken off a socket, with descriptors that need not be real. */
static size_t encoded(int i, unsigned char *to)
{
	struct rm_start st = sample_start();

	packet.len = 0;
	if (i < N_SAMPLES) {
		ck_assert_int_eq(rm_put(&packet, &samples[i]), 0);
		memcpy(to, packet.buf, packet.len);
		return packet.len;
	}
	ck_assert_int_eq(rm_send_start(pair[0], &st), 0);
	return (size_t)rm_recv(pair[1], to, RM_PACKET_MAX, fds);
}

/* Decodes all of exactly len bytes, in memory that ends there (the sanitizers watch the end). The last result. */
static int decode(const unsigned char *bytes, size_t len)
{
	unsigned char *exact = malloc(len ? len : 1);
	struct rm_map map;
	struct rm_msg m;
	size_t pos = 0;
	int rc, give[RM_FDS_MAX] = {1000, 1001, -1, -1};

	memcpy(exact, bytes, len);
	while ((rc = rm_next(exact, len, &pos, give, &m, &map)) > 0)
		ck_assert_uint_le(pos, len);
	free(exact);
	return rc;
}

START_TEST(a_message_cut_at_any_byte_is_malformed)
{
	size_t len = encoded(_i, buf);

	ck_assert_int_eq(decode(buf, len), 0);
	for (size_t cut = 1; cut < len; cut++)
		ck_assert_int_eq(decode(buf, cut), -1);
}
END_TEST

START_TEST(random_changes_never_lead_out_of_the_packet)
{
	static unsigned char changed[RM_PACKET_MAX];
	size_t len = encoded(_i, buf);

	srandom(4711);
	for (int round = 0; round < 20000; round++) {
		memcpy(changed, buf, len);
		for (long n = 1 + random() % 4; n; n--)
			changed[(size_t)random() % len] = (unsigned char)random();
		if (changed[0] == RM_START && changed[1] & 1)
			continue;       /* a memfd needs a real descriptor: tested above */
		decode(changed, len);
	}
}
END_TEST

START_TEST(counts_that_do_not_fit_their_strings_are_malformed)
{
	struct rm_start st = sample_start();
	const struct { size_t at; unsigned char value; } wrong[] = {
		{HEADER + 12, 2}, {HEADER + 12, 4}, {HEADER + 12, 0},           /* argc */
		{HEADER + 16, 0}, {HEADER + 16, 2},                             /* envc */
		{HEADER + 27, 0x80},                                            /* timeout_ms negative */
		{HEADER + 40, 9},                                               /* stdin_kind */
		{2, 1},                                                         /* the header's zero */
	};
	ssize_t n;

	ck_assert_int_eq(rm_send_start(pair[0], &st), 0);
	n = rm_recv(pair[1], buf, sizeof(buf), fds);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		unsigned char kept = buf[wrong[i].at];

		buf[wrong[i].at] = wrong[i].value;
		ck_assert_msg(decode(buf, (size_t)n) == -1, "case %zu passed", i);
		buf[wrong[i].at] = kept;
	}
	ck_assert_int_eq(decode(buf, (size_t)n), 0);
}
END_TEST

START_TEST(the_other_side_gone_is_no_signal_but_an_error)
{
	close(pair[1]);
	pair[1] = dup(0);
	ck_assert_int_eq(rm_put(&packet, &samples[8]), 0);
	ck_assert_int_eq(rm_send(pair[0], &packet), -1);
	ck_assert_int_eq(errno, EPIPE);
	ck_assert_int_eq(rm_recv(pair[0], buf, sizeof(buf), fds), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("runner messages");
	TCase *tc = tcase_create("codec");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, up, down);
	tcase_add_test(tc, every_message_comes_out_as_it_went_in);
	tcase_add_test(tc, a_start_carries_its_strings_and_descriptors);
	tcase_add_test(tc, a_large_start_travels_in_a_memfd_which_is_closed);
	tcase_add_test(tc, a_start_over_the_limit_is_refused_before_it_is_sent);
	tcase_add_test(tc, an_unsealed_memfd_is_refused);
	tcase_add_test(tc, too_many_descriptors_are_an_error_and_none_stays_open);
	tcase_add_test(tc, a_full_packet_says_so_and_stays_as_it_is);
	tcase_add_test(tc, a_socket_without_room_loses_nothing);
	tcase_add_loop_test(tc, a_message_cut_at_any_byte_is_malformed, 0, N_SAMPLES + 1);
	tcase_add_loop_test(tc, random_changes_never_lead_out_of_the_packet, 0, N_SAMPLES + 1);
	tcase_add_test(tc, counts_that_do_not_fit_their_strings_are_malformed);
	tcase_add_test(tc, the_other_side_gone_is_no_signal_but_an_error);
	suite_add_tcase(s, tc);
	return play_suite(s);
}
