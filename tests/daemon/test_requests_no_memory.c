/* SPDX-License-Identifier: MIT */
/*
 * The n-th allocation of a request fails, for every n until the request succeeds, in the whole daemon. Either the request fails (or the
 * connection does), or the daemon ends as it does for want of small memory: by abort, which is as good as kill -9. Never a crash, a
 * hang, or an answer that is none.
 *
 * Each try is a process of its own, with a daemon of its own. JOBD_SOAK=1: every n; else a sample of the later ones.
 *
 *     test_requests_no_memory REQUEST N       that one alone, for a debugger
 */
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <event2/event.h>

#include "tests/fuzz/engine_kit.h"
#include "tests/fuzz/fuzz.h"

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);

static _Thread_local long left = -1;            /* allocations of this thread until the one that fails; -1: none does */

static bool fails(void)
{
	return left >= 0 && !engine_kit_checks && left-- == 0;
}

void *__wrap_malloc(size_t n) { return fails() ? NULL : __real_malloc(n); }
void *__wrap_calloc(size_t n, size_t size) { return fails() ? NULL : __real_calloc(n, size); }
void *__wrap_realloc(void *p, size_t n) { return fails() ? NULL : __real_realloc(p, n); }

#define CALL(method, params) "{\"method\":\"org.jobd." method "\",\"parameters\":" params "}\0"
#define ONE_JOB "{\"jobs\":[{\"path\":\"a\",\"shell\":\"true\",\"env\":{\"A\":\"b\"}},{\"path\":\"a/b\",\"argv\":[\"x\"],\"after\":[\"a\"]}]}"
/* The run that this connection makes. */
#define RUN "{\"run\":\"\0010\"}"
#define JOB "{\"run\":\"\0010\",\"path\":\"a\"}"

static const struct request {
	const char *name, *bytes;
	size_t n;
} requests[] = {
#define R(name, bytes) { name, bytes, sizeof(bytes) - 1 }
	R("Submit", CALL("Submit", ONE_JOB)),
	R("Open, Add, Seal", CALL("Open", "{\"mode\":\"bulk\"}") CALL("Add", "{\"run\":\0010,\"jobs\":[{\"path\":\"a\",\"shell\":\"true\"}]}")
	  CALL("Seal", "{\"run\":\0010}")),
	R("a stream", CALL("Open", "{\"mode\":\"stream\"}") CALL("Add", "{\"run\":\0010,\"jobs\":[{\"path\":\"a\",\"shell\":\"true\"}]}")
	  CALL("Seal", "{\"run\":\0010,\"path\":\"a\"}")),
	R("List", CALL("Submit", ONE_JOB) CALL("List", "{}") CALL("List", RUN)),
	R("Get", CALL("Submit", ONE_JOB) CALL("Get", JOB)),
	R("Explain", CALL("Submit", ONE_JOB) CALL("Explain", "{\"run\":\"\0010\",\"path\":\"a/b\"}")),
	R("Watch", CALL("Submit", ONE_JOB) CALL("Watch", "{\"run\":\"\0010\",\"since\":0}")),
	R("Wait", CALL("Submit", ONE_JOB) CALL("Wait", "{\"targets\":[" JOB "],\"timeout_s\":0}")),
	R("Logs", CALL("Submit", ONE_JOB) CALL("Logs", "{\"run\":\"\0010\",\"path\":\"a\",\"stream\":\"out\"}")),
	R("Cancel", CALL("Submit", ONE_JOB) CALL("Cancel", RUN)),
	R("Hold, Release", CALL("Submit", ONE_JOB) CALL("Hold", "{\"run\":\"\0010\",\"path\":\"a/b\"}") CALL("Release", "{\"run\":\"\0010\",\"path\":\"a/b\"}")),
	R("Pause, Resume", CALL("Submit", ONE_JOB) CALL("Pause", RUN) CALL("Resume", RUN)),
	R("Retry, Remove", CALL("Submit", ONE_JOB) CALL("Retry", RUN) CALL("Remove", RUN)),
	R("Stats", CALL("Stats", "{}")),
	R("what is refused", CALL("Submit", "{\"jobs\":[{\"path\":\"a\",\"argv\":[]}]}") CALL("Nothing", "{}") CALL("Get", "{\"run\":\"none\"}")),
};
#define N_REQUESTS (sizeof(requests) / sizeof(*requests))

enum verdict { ALL_WELL = 10, REQUEST_FAILED, DAEMON_ENDED };

static int log_fd = -1;         /* what goes to standard error */

/* An abort for want of memory, or of a promise that was broken: fuzz.h says so. */
static void on_abort(int sig)
{
	char text[4096] = "";
	ssize_t n;

	(void)sig;
	left = -1;
	n = pread(log_fd, text, sizeof(text) - 1, 0);
	text[n > 0 ? n : 0] = '\0';
	if (strstr(text, ": broken: ")) {
		printf("%s", text);
		engine_kit_leave(EXIT_FAILURE);
	}
	engine_kit_leave(DAEMON_ENDED);
}

static void keep_log(void)
{
	log_fd = memfd_create("log", MFD_CLOEXEC);
	if (log_fd < 0 || dup2(log_fd, STDERR_FILENO) < 0)
		exit(EXIT_FAILURE);
}

static void __attribute__((noreturn)) try(const struct request *rq, long n)
{
	static uint8_t input[4096];

	keep_log();
	alarm(20);
	json_set_alloc_funcs(__wrap_malloc, free);      /* should the daemon leave it at libc's */
	event_set_mem_functions(__wrap_malloc, __wrap_realloc, free);
	engine_kit();
	signal(SIGABRT, on_abort);
	memcpy(input + 1, rq->bytes, rq->n);
	left = n;
	LLVMFuzzerTestOneInput(input, rq->n + 1);
	n = left;
	left = -1;
	engine_kit_leave(n >= 0 ? ALL_WELL : REQUEST_FAILED);
}

/* Early ones are the frame's and the parser's; then all kinds come again and again. */
static long next(long n)
{
	const char *soak = getenv("JOBD_SOAK");

	return n < 12 || (soak && *soak == '1') ? n + 1 : n + 1 + n / 4;
}

static bool one(const struct request *rq, int counts[3])
{
	int status = 0;

	for (long n = 0; !WIFEXITED(status) || WEXITSTATUS(status) != ALL_WELL; n = next(n)) {
		pid_t pid = fork();

		if (pid == 0)
			try(rq, n);
		if (pid < 0 || waitpid(pid, &status, 0) != pid)
			abort();
		if (!WIFEXITED(status) || WEXITSTATUS(status) < ALL_WELL || WEXITSTATUS(status) > DAEMON_ENDED) {
			printf("%s: allocation %ld: %s %d\n", rq->name, n, WIFSIGNALED(status) ? "signal" : "exit status",
			       WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
			return false;
		}
		counts[WEXITSTATUS(status) - ALL_WELL]++;
	}
	return true;
}

int main(int argc, char **argv)
{
	int failed = 0, counts[3] = { 0 };

	for (size_t i = 0; argc == 3 && i < N_REQUESTS; i++)
		if (strcmp(requests[i].name, argv[1]) == 0)
			try(&requests[i], strtol(argv[2], NULL, 10));

	setvbuf(stdout, NULL, _IONBF, 0);       /* each try is a copy of this process */
	for (size_t i = 0; i < N_REQUESTS; i++)
		failed += !one(&requests[i], counts);
	printf("%d requests went well, %d failed, %d ended the daemon\n", counts[0], counts[1], counts[2]);
	printf("%zu passed, %d failed\n", N_REQUESTS - (size_t)failed, failed);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
