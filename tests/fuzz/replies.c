/* SPDX-License-Identifier: MIT */
/*
 * Replies: jobctl before a hostile daemon. Every verb ends, with an exit status, and whatever it was told, what it prints for people moves
 * no cursor.
 *
 * Input: a byte (the verb), then all that the daemon sends before it hangs up; every connection of the verb gets the same.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/conn.h"
#include "client/escape.h"
#include "client/status.h"
#include "client/verbs.h"
#include "fuzz.h"

#define ARGS_MAX 6
#define SENT_MAX 65536

static const char *const commands[][ARGS_MAX] = {
	{ "ls" }, { "ls", "7" }, { "ls", "7/a" }, { "tree", "7" }, { "show", "7" }, { "show", "7/a" }, { "why", "7" }, { "why", "7/a" },
	{ "events", "7" }, { "events" }, { "events", "--follow", "7" }, { "wait", "7" }, { "wait", "--exit-code", "7/a" }, { "follow", "7" },
	{ "status" }, { "stats" }, { "ping" }, { "cancel", "7" }, { "hold", "7/a" }, { "release", "7/a" }, { "pause", "7" }, { "resume", "7" },
	{ "retry", "7/a" }, { "rm", "7" }, { "seal", "7" }, { "shutdown" }, { "run", "-d", "-c", "true" }, { "submit", "/proc/self/fd/FILE" },
	{ "submit", "--wait", "/proc/self/fd/FILE" }, { "submit", "--follow", "/proc/self/fd/FILE" }, { "add", "7", "/proc/self/fd/FILE" },
	{ "logs", "--out", "7/a" }, { "logs", "--follow", "--out", "7/a" },
	{ "ls", "--json" }, { "ls", "--json", "7" }, { "tree", "--json", "7" }, { "show", "--json", "7/a" }, { "why", "--json", "7/a" },
	{ "events", "--json", "7" }, { "wait", "--json", "7" }, { "status", "--json" }, { "stats", "--json" }, { "ping", "--json" },
};
#define N_COMMANDS (sizeof(commands) / sizeof(*commands))

/* ---- the daemon --------------------------------------------------------------------------------------------------------- */

static const uint8_t *sent;
static size_t n_sent;
static int peers[64];
static size_t n_peers;

int __wrap_conn_open(const struct options *o, enum conn_start start, struct vl_conn **ret);

/* In the place of conn_open: a connection whose other side has said all it will. */
int __wrap_conn_open(const struct options *o, enum conn_start start, struct vl_conn **ret)
{
	int sv[2];

	(void)o, (void)start;
	if (n_peers == sizeof(peers) / sizeof(*peers))
		return CTL_NO_DAEMON;
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) == 0);
	must(send(sv[1], sent, n_sent, MSG_DONTWAIT) == (ssize_t)n_sent);
	must(shutdown(sv[1], SHUT_WR) == 0);
	peers[n_peers++] = sv[1];
	*ret = vl_conn_new(sv[0]);
	return 0;
}

static void hang_up(void)
{
	while (n_peers)
		close(peers[--n_peers]);
}

/* ---- what people see ---------------------------------------------------------------------------------------------------- */

/* Not by the table of escape.c: this is what the table is held against. */
static bool is_harmless(unsigned c)
{
	return c == '\n' || (c >= 0x20 && c < 0x7f) || (c >= 0xa0 && c != 0x61c && !(c >= 0x200b && c <= 0x200f) && !(c >= 0x2028 && c <= 0x202e) &&
	       !(c >= 0x2060 && c <= 0x206f) && c != 0xfeff);
}

static void check_for_people(const char *s, size_t n)
{
	unsigned c = 0;
	size_t len;

	for (; n; s += len, n -= len) {
		len = utf8_len(s, n, &c);
		must(len > 0 && is_harmless(c));
	}
}

/* By the rules of JSON only what is below a blank is escaped. */
static void check_for_programs(const char *s, size_t n)
{
	for (; n; s++, n--)
		must((unsigned char)*s >= 0x20 || *s == '\n');
}

/* ---- the verb ----------------------------------------------------------------------------------------------------------- */

static int run_verb(const char *const *words)
{
	const struct verb *v = verb_find(words[0]);
	struct options o;
	int argc = 0, rc;

	while (argc + 1 < ARGS_MAX && words[argc + 1])
		argc++;
	options_init(&o);
	must(v && options_parse(&o, v->name, v->opts, v->stop, argc, (char **)(uintptr_t)(words + 1)) == 0);
	rc = v->fn(&o);
	options_done(&o);
	return rc;
}

/* A small file for the verbs that read one; the words with its name in them. */
static int open_file(const char *const *words, const char **ret, char *name, size_t size)
{
	static const char jobs[] = "a: true\na/b < a: false\n";
	int fd = memfd_create("jobs", MFD_CLOEXEC);

	must(fd >= 0 && write(fd, jobs, sizeof(jobs) - 1) == (ssize_t)sizeof(jobs) - 1);
	(void)snprintf(name, size, "/proc/self/fd/%d", fd);
	for (size_t i = 0; i < ARGS_MAX; i++)
		ret[i] = words[i] && strstr(words[i], "/FILE") ? name : words[i];
	return fd;
}

/* Both streams of the verb, as they would be printed. */
static int run_captured(const char *const *words, char **ret_text, size_t *ret_len)
{
	FILE *real_out = stdout, *real_err = stderr, *f = open_memstream(ret_text, ret_len);
	int rc;

	must(f);
	stdout = stderr = f;
	rc = run_verb(words);
	stdout = real_out;
	stderr = real_err;
	must(fclose(f) == 0);
	return rc;
}

/* Outputs of jobs go to descriptor 1 as they are. */
static void silence_outputs(void)
{
	static bool done;
	int fd;

	if (done)
		return;
	fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	must(fd >= 0 && dup2(fd, STDOUT_FILENO) == STDOUT_FILENO);
	close(fd);
	done = true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *words[ARGS_MAX];
	char name[32], *text = NULL;
	size_t len = 0;
	int fd, rc;

	if (size < 1 || size > SENT_MAX)
		return 0;
	silence_outputs();
	sent = data + 1;
	n_sent = size - 1;
	fd = open_file(commands[data[0] % N_COMMANDS], words, name, sizeof(name));
	rc = run_captured(words, &text, &len);
	must(rc >= 0 && rc < 256);
	if (strcmp(words[1] ? words[1] : "", "--json") == 0)
		check_for_programs(text, len);
	else
		check_for_people(text, len);
	free(text);
	close(fd);
	hang_up();
	return 0;
}
