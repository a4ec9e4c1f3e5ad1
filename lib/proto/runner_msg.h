/* SPDX-License-Identifier: MIT */
/*
 * Messages between jobd and jobd-runner: binary, bounded, over SOCK_SEQPACKET.
 *
 * A packet (at most RM_PACKET_MAX bytes) holds one or more messages; a message is a header and a body, both little-endian
 * and unaligned-safe. A START stands alone in its packet, because descriptors travel with the packet (SCM_RIGHTS). A START
 * whose body is too large for a packet travels in a sealed memfd (flag RM_F_MEMFD, the last descriptor; the packet then
 * holds the header with body_len 0).
 *
 * Conversation. jobd connects; rules 1-7 are those of "Never lose track" (doc/handover.md):
 *   jobd   -> HELLO            the runner first reads the older connection to its end or drops it whole (rule 3), then
 *   runner -> WELCOME, INVENTORY x n, READY     (rule 4): what runs and what has ended and is not acknowledged
 *   jobd   -> START            idempotent by (job, attempt): a repeat of a running or unacknowledged one is dropped (rule 2)
 *   runner -> STARTED, ENDED   ENDED is kept until acknowledged, and repeated in the next inventory
 *   jobd   -> ACK              after the commit (rule 5). An ACK of something unknown is ignored
 *   jobd   -> KILL             TERM to the group now, KILL after grace_ms; grace_ms 0: KILL now
 *   jobd   -> PING;  runner -> PONG
 *   jobd   -> QUIT             exit as soon as nothing runs and nothing is unacknowledged (at once when idle)
 */
#ifndef RUNNER_MSG_H
#define RUNNER_MSG_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <stdint.h>

#define RM_VERSION 1
#define RM_PACKET_MAX 65536
#define RM_START_MAX (1024 * 1024)      /* body of a START in a memfd */
#define RM_FDS_MAX 4
#define RM_FDS_LOST (-2)

enum rm_type { RM_HELLO = 1, RM_WELCOME, RM_INVENTORY, RM_READY, RM_START, RM_STARTED, RM_ENDED, RM_ACK, RM_KILL, RM_PING, RM_PONG, RM_QUIT };

/* How an attempt ended. */
enum rm_how {
	RM_RUNNING = 0,         /* in an INVENTORY only: it has not */
	RM_EXIT,                /* code = exit status */
	RM_SIGNAL,              /* code = signal number */
	RM_SPAWN,               /* never executed: code = errno, stage says where */
	RM_AGAIN,               /* did not begin for want of a resource (EAGAIN, ENOMEM, EMFILE, ENFILE): not an attempt; code = errno.
				 * At RM_AT_FORK anybody would have met it; later it may concern the job's user alone */
};
enum rm_stage { RM_AT_NONE, RM_AT_FORK, RM_AT_STDIN, RM_AT_CWD, RM_AT_USER, RM_AT_LIMITS, RM_AT_EXEC };

/* Why the runner ended it: set when a TERM or KILL of ours preceded the end. */
enum rm_cause { RM_BY_ITSELF = 0, RM_BY_TIMEOUT, RM_BY_KILL, RM_BY_OUTPUT };

struct rm_hello {
	uint32_t version;
	uint32_t pid;                   /* jobd's, for the log */
	uint64_t generation;            /* of connections, counted by jobd; for the log */
};

/* What holds the processes of a job together. */
enum rm_held_by { RM_HELD_BY_SESSION, RM_HELD_BY_CGROUP, RM_HELD_BY_SUBREAPER };

struct rm_welcome {
	uint32_t version;
	uint32_t pid;
	uint8_t runner_id[16];          /* random, made when the runner starts: another id = another incarnation */
	uint8_t boot_id[16];
	uint32_t capacity;              /* children it can have at once (descriptors) */
	uint32_t n_inventory;           /* INVENTORY messages that follow, then READY */
	uint32_t held_by;               /* enum rm_held_by */
};

struct rm_end {
	uint64_t job;                   /* run << 32 | index */
	uint32_t attempt;
	uint8_t how, stage, cause, pad;
	int32_t code;
	int32_t pid;
	int64_t started_at_us;          /* wall clock, for show; 0: never started */
	int64_t ended_at_us;
	int64_t wall_ns;                /* monotonic length */
	int64_t cpu_us;                 /* user + system */
	int64_t maxrss_kb;
};

struct rm_started {
	uint64_t job;
	uint32_t attempt;
	int32_t pid;
	int64_t started_at_us;
};

struct rm_kill {
	uint64_t job;
	uint32_t attempt;
	uint32_t grace_ms;
};

struct rm_ack {
	uint64_t job;
	uint32_t attempt;
	uint32_t pad;
};

/* Strings are borrowed from the packet (decode) or the caller (encode); NULL = absent. argv and envp are blocks of NUL-terminated
 * strings, one after the other. Descriptors: stdout and stderr always, stdin if stdin_kind is RM_STDIN_FD. */
#define RM_OUTPUT_WHOLE (UINT64_C(1) << 62)     /* in output_max: nothing is cut out. To a runner that does not know it there is no cap */
enum rm_stdin { RM_STDIN_NULL, RM_STDIN_FD, RM_STDIN_FILE };
struct rm_start {
	uint64_t job;
	uint32_t attempt;
	uint32_t argc, envc;
	const char *argv;  size_t argv_len;
	const char *envp;  size_t envp_len;
	const char *cwd;                /* entered in the child, after it has become the user */
	const char *stdin_file;         /* RM_STDIN_FILE: opened in the child, after it has become the user */
	const char *user;               /* NULL: as the runner. Resolved by the runner */
	const char *group;              /* NULL: the user's */
	int64_t timeout_ms;             /* 0: none */
	uint32_t grace_ms;
	int32_t umask;                  /* -1: the runner's */
	int32_t nice;                   /* added; 0: none */
	uint32_t stdin_kind;
	uint64_t output_max;            /* bytes of stdout + stderr each; 0: no cap. With RM_OUTPUT_WHOLE: beyond it the job is ended */
	int fds[RM_FDS_MAX];            /* stdout, stderr, [stdin]; -1 none. Decode: owned by the caller */
	bool fds_lost;                  /* decode: they did not arrive, as the receiver may have no more; all are -1 */
};

struct rm_msg {
	enum rm_type type;
	union {
		struct rm_hello hello;
		struct rm_welcome welcome;
		struct rm_end end;              /* INVENTORY, ENDED */
		struct rm_start start;
		struct rm_started started;
		struct rm_ack ack;
		struct rm_kill kill;
	} u;
};

/*
 * A packet being filled. rm_put_* append one message and return 0, or -1 with errno ENOBUFS when it does not fit: send, then
 * repeat. No allocation.
 */
struct rm_packet {
	size_t len;
	unsigned char buf[RM_PACKET_MAX];
};
int rm_put(struct rm_packet *p, const struct rm_msg *m);        /* every type but START */

/* rm_send_start - encode and send one START with its descriptors. 0, or -1 with errno (EAGAIN: nothing was sent; E2BIG: over
 * RM_START_MAX). Descriptors stay the caller's. */
int rm_send_start(int sock, const struct rm_start *st);
/* rm_send - send a filled packet (nothing when empty) and empty it. 0, or -1 with errno (EAGAIN: not sent, not emptied). */
int rm_send(int sock, struct rm_packet *p);

/*
 * rm_recv - receive one packet. Returns its length, 0 at end of file, -1 with errno. Descriptors (at most RM_FDS_MAX, close-on-exec) go to
 * fds, unused ones -1; more than that, or a truncated packet: EPROTO, nothing is kept open. Where the process has no descriptor left for them,
 * fds[0] is RM_FDS_LOST: rm_next then tells a START without any (one in a memfd is malformed, for its body was one of them).
 * rm_next - cut the next message off a received packet. *pos starts at 0. 1: *ret is set; 0: no more; -1: malformed (EPROTO).
 * A START in a memfd is mapped: *ret_map, to be freed with rm_unmap when its strings are done with.
 */
struct rm_map { void *addr; size_t len; };
ssize_t rm_recv(int sock, void *buf, size_t cap, int fds[RM_FDS_MAX]);
int rm_next(const void *buf, size_t len, size_t *pos, int fds[RM_FDS_MAX], struct rm_msg *ret, struct rm_map *ret_map);
void rm_unmap(struct rm_map *m);

#endif
