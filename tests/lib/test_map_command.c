/* SPDX-License-Identifier: MIT */
/* Commands as the work of a map: what comes out, how they end, and that none outlives its map. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "map_kit.h"

/* ---- a source of texts ---- */

struct texts {
	const char *const *v;
	size_t n, at;
	int then_fd;                      /* >= 0: after the last one it waits for this descriptor, which never comes */
};

static int next_text(void *arg, struct jt_item *ret)
{
	struct texts *t = arg;
	if (t->at == t->n)
		return t->then_fd >= 0 ? -EAGAIN : 0;
	const char *s = t->v[t->at++];
	*ret = (struct jt_item){ .data = strdup(s), .len = strlen(s), .release = free };
	return 1;
}

static int text_fd(void *arg)
{
	return ((struct texts *)arg)->then_fd;
}

static struct jt_source source_of(struct texts *t)
{
	return (struct jt_source){ .next = next_text, .fd = text_fd, .arg = t };
}

/* ---- a map of one shell command ---- */

static struct jt_template *template;
static struct jt_command command;
static struct texts texts;

static void prepare(const char *shell)
{
	char sh[] = "/bin/sh", c[] = "-c", name[] = "sh", place[] = "{}", *script = strdup(shell), *argv[] = { sh, c, script, name, place };
	template = jt_template_new(argv, 5, JT_TEMPLATE_APPEND, NULL);
	free(script);
	command = (struct jt_command){ .template = template, .grace_ns = 10000000000 };
}

static struct jt_map *start_map(const char *const *items, size_t n, int then_fd)
{
	struct jt_map_opts o = { .threads = 2, .window = 8 };
	struct jt_work work = jt_command_work(&command);
	struct jt_error err;

	texts = (struct texts){ items, n, 0, then_fd };
	struct jt_source source = source_of(&texts);
	struct jt_map *m = jt_map_start(&o, &source, &work, &err);
	ck_assert_msg(m != NULL, "%s", err.text);
	return m;
}

static void expect(struct jt_map *m, int status, const void *output, size_t len)
{
	struct jt_map_result r;
	ck_assert_int_eq(jt_map_next(m, &r, -1), JT_MAP_RESULT);
	ck_assert_int_eq(r.status, status);
	ck_assert_uint_eq(r.output.len, len);
	ck_assert(len == 0 || memcmp(r.output.data, output, len) == 0);
	jt_map_result_done(&r);
}

static void finish(struct jt_map *m)
{
	struct jt_map_result r;
	ck_assert_int_eq(jt_map_next(m, &r, -1), JT_MAP_END);
	jt_map_free(m);
	jt_template_free(template);
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
	ck_assert_int_eq(errno, ECHILD);
}

/* ---- what comes out ---- */

START_TEST(outputs_are_byte_exact_and_in_order)
{
	static const char *const items[] = { "a", "bb", "" };
	prepare("printf '<%s>\\000\\377' \"$1\"");
	struct jt_map *m = start_map(items, 3, -1);
	expect(m, 0, "<a>\0\377", 5);
	expect(m, 0, "<bb>\0\377", 6);
	expect(m, 0, "<>\0\377", 4);
	finish(m);
}
END_TEST

START_TEST(a_failure_is_a_result)
{
	static const char *const items[] = { "exit 0", "exit 3", "kill -9 $$", "kill -TERM $$", "exit 255" };
	prepare("eval \"$1\"");
	struct jt_map *m = start_map(items, 5, -1);
	expect(m, 0, NULL, 0);
	expect(m, 3, NULL, 0);
	expect(m, JT_COMMAND_SIGNAL + SIGKILL, NULL, 0);
	expect(m, JT_COMMAND_SIGNAL + SIGTERM, NULL, 0);
	expect(m, 255, NULL, 0);
	finish(m);
}
END_TEST

START_TEST(what_cannot_be_started_says_why)
{
	char *huge = malloc(200001);
	const char *items[] = { "x", huge };
	char prog[] = "/nonexistent/program", *argv[] = { prog }, true_[] = "true", *argv2[] = { true_ };

	memset(huge, 'x', 200000);
	huge[200000] = 0;
	template = jt_template_new(argv, 1, JT_TEMPLATE_APPEND, NULL);
	command = (struct jt_command){ .template = template };
	struct jt_map *m = start_map(items, 1, -1);
	expect(m, -ENOENT, NULL, 0);
	finish(m);
	template = jt_template_new(argv2, 1, JT_TEMPLATE_APPEND, NULL);
	command = (struct jt_command){ .template = template };
	m = start_map(items, 2, -1);
	expect(m, 0, NULL, 0);
	expect(m, -E2BIG, NULL, 0);
	finish(m);
	free(huge);
}
END_TEST

START_TEST(the_item_may_come_on_standard_input)
{
	char *huge = malloc(300001), cat[] = "cat", *argv[] = { cat };
	const char *items[] = { "small\n", huge, "" };

	memset(huge, 'y', 300000);
	huge[300000] = 0;
	template = jt_template_new(argv, 1, JT_TEMPLATE_AS_IS, NULL);
	command = (struct jt_command){ .template = template, .input = JT_COMMAND_ITEM_ON_STDIN };
	struct jt_map *m = start_map(items, 3, -1);
	expect(m, 0, "small\n", 6);
	expect(m, 0, huge, 300000);
	expect(m, 0, NULL, 0);
	finish(m);
	free(huge);
}
END_TEST

START_TEST(tuples_fill_numbered_places)
{
	static const char *const left[] = { "1", "2" }, *const right[] = { "x", "y" };
	char echo[] = "echo", word[] = "{2}{1}", all[] = "{}", *argv[] = { echo, word, all };
	struct texts a = { left, 2, 0, -1 }, b = { right, 2, 0, -1 };
	struct jt_source sources[2] = { source_of(&a), source_of(&b) }, zip;

	template = jt_template_new(argv, 3, JT_TEMPLATE_APPEND, NULL);
	command = (struct jt_command){ .template = template, .tuples = true };
	ck_assert_int_eq(jt_zip(sources, 2, JT_ZIP_SHORT, NULL, &zip, NULL), 0);
	struct jt_work work = jt_command_work(&command);
	struct jt_map *m = jt_map_start(NULL, &zip, &work, NULL);
	expect(m, 0, "x1 1 x\n", 7);
	expect(m, 0, "y2 2 y\n", 7);
	finish(m);
}
END_TEST

START_TEST(ten_megabytes_and_a_limit)
{
	static const char *const items[] = { "10485760" };
	char *want = calloc(1, 10485760);
	prepare("head -c \"$1\" /dev/zero");
	struct jt_map *m = start_map(items, 1, -1);
	expect(m, 0, want, 10485760);
	finish(m);
	prepare("exec cat /dev/zero");
	command.output_max = 100000;
	m = start_map(items, 1, -1);
	expect(m, -EFBIG, want, 100000);
	finish(m);
	free(want);
}
END_TEST

/* ---- early ends ---- */

/* A command is timed out after it has said that it began: how long it takes to begin is the machine's business. */
static void expect_timed_out(const char *shell, int64_t grace_ns)
{
	static const char *const items[] = { "x" };
	struct jt_map_result r;
	size_t len = 0;

	for (int64_t ns = 50000000; !len && ns <= 50000000000; ns *= 10) {
		prepare(shell);
		command.timeout_ns = ns;
		command.grace_ns = grace_ns;
		struct jt_map *m = start_map(items, 1, -1);
		ck_assert_int_eq(jt_map_next(m, &r, -1), JT_MAP_RESULT);
		ck_assert_int_eq(r.status, -ETIMEDOUT);
		len = r.output.len;
		ck_assert(len == 0 || (len == 6 && memcmp(r.output.data, "begun\n", 6) == 0));
		jt_map_result_done(&r);
		finish(m);
	}
	ck_assert_uint_eq(len, 6);
}

START_TEST(a_timeout_ends_the_group)
{
	expect_timed_out("echo begun; sleep 1000 & wait", 10000000000);
}
END_TEST

START_TEST(who_ignores_sigterm_is_killed_after_the_grace)
{
	expect_timed_out("trap '' TERM; echo begun; while :; do sleep 1000; done", 50000000);
}
END_TEST

/* A process that left the group, which says so, keeps the output open: the map does not wait for it. It ends when the test closes its pipe. */
START_TEST(what_left_the_group_delays_nobody_beyond_the_grace)
{
	int hold[2];
	char script[200];

	ck_assert_int_eq(pipe(hold), 0);
	fcntl(hold[1], F_SETFD, FD_CLOEXEC);
	snprintf(script, sizeof(script), "setsid sh -c 'echo begun; exec cat' <&%d & read never <&%d", hold[0], hold[0]);
	expect_timed_out(script, 50000000);
	close(hold[0]);
	close(hold[1]);
}
END_TEST

static unsigned descriptors(void)
{
	return count_of("/proc/self/fd");
}

START_TEST(a_map_whose_source_is_blocked_is_freed_with_all_its_processes)
{
	static const char *const items[] = { "1", "2" };
	int never[2], begun[2];
	char script[100], two[2];
	unsigned before;

	ck_assert_int_eq(pipe2(never, O_CLOEXEC), 0);
	ck_assert_int_eq(pipe(begun), 0);
	before = descriptors();
	snprintf(script, sizeof(script), "echo -n x >&%d; exec sleep 1000", begun[1]);
	prepare(script);
	struct jt_map *m = start_map(items, 2, never[0]);
	for (size_t n = 0; n < 2; n++)
		ck_assert_int_eq(read(begun[0], &two[n], 1), 1);
	jt_map_free(m);
	jt_template_free(template);
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
	ck_assert_int_eq(errno, ECHILD);
	ck_assert_uint_eq(descriptors(), before);
	close(begun[1]);
	ck_assert_int_eq(read(begun[0], two, 1), 0);    /* nobody holds it any more */
	close(begun[0]);
	close(never[0]);
	close(never[1]);
}
END_TEST

START_TEST(a_stop_from_a_signal_handler_ends_what_runs)
{
	static const char *const items[] = { "1" };
	int begun[2];
	char script[100], c;
	struct jt_map_result r;

	ck_assert_int_eq(pipe(begun), 0);
	snprintf(script, sizeof(script), "echo -n x >&%d; exec sleep 1000", begun[1]);
	prepare(script);
	struct jt_map *m = start_map(items, 1, -1);
	ck_assert_int_eq(read(begun[0], &c, 1), 1);
	jt_map_stop_async(m);
	enum jt_map_status st = jt_map_next(m, &r, -1);
	if (st == JT_MAP_RESULT) {      /* it was terminated before anybody looked: then that is a result, and all that there was */
		ck_assert_int_eq(r.status, -ECANCELED);
		jt_map_result_done(&r);
		st = jt_map_next(m, &r, -1);
		ck_assert(st == JT_MAP_END || st == JT_MAP_STOPPED);
	} else {
		ck_assert_int_eq(st, JT_MAP_STOPPED);
	}
	close(begun[1]);
	ck_assert_int_eq(read(begun[0], &c, 1), 0);
	jt_map_free(m);
	jt_template_free(template);
	close(begun[0]);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		outputs_are_byte_exact_and_in_order,
		a_failure_is_a_result,
		what_cannot_be_started_says_why,
		the_item_may_come_on_standard_input,
		tuples_fill_numbered_places,
		ten_megabytes_and_a_limit,
		a_timeout_ends_the_group,
		who_ignores_sigterm_is_killed_after_the_grace,
		what_left_the_group_delays_nobody_beyond_the_grace,
		a_map_whose_source_is_blocked_is_freed_with_all_its_processes,
		a_stop_from_a_signal_handler_ends_what_runs,
	};
	return run_suite("commands of a map", tests, sizeof(tests) / sizeof(*tests));
}
