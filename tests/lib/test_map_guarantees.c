/* SPDX-License-Identifier: MIT */
/*
 * The guarantees of a map, for functions and for commands alike, alone and in a row: window, threads at work, promptness, the idle map, and what
 * is left when it is freed. Proven by what sources, work and sinks see, not by time.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "map_kit.h"

static struct feed f;

/* ---- both kinds of work: each returns the item's bytes ---- */

enum kind { FUNCTION, COMMAND, N_KINDS };

static struct jt_template *template;
static struct jt_command command;

static int copies(void *arg, const struct jt_call *call, const struct jt_item *item, struct jt_item *ret)
{
	(void)arg;
	(void)call;
	*ret = (struct jt_item){ malloc(item->len), item->len, free };
	memcpy(ret->data, item->data, item->len);
	return 0;
}

static void runs_shell(const char *script)
{
	char sh[] = "/bin/sh", c[] = "-c", *text = strdup(script), *argv[] = { sh, c, text };
	template = jt_template_new(argv, 3, JT_TEMPLATE_AS_IS, NULL);
	command = (struct jt_command){ .template = template, .input = JT_COMMAND_ITEM_ON_STDIN };
	free(text);
}

static struct jt_work work_of(enum kind kind)
{
	return kind == FUNCTION ? (struct jt_work){ .run = copies } : jt_command_work(&command);
}

static void expect_no_child(void)
{
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
	ck_assert_int_eq(errno, ECHILD);
}

/* A joined thread may stand in /proc for a moment longer: this ends when it has gone, or with the test's time. */
static void expect_threads(unsigned n)
{
	while (count_of("/proc/self/task") != n)
		sched_yield();
}

static void wait_for(sem_t *s)
{
	while (sem_wait(s) != 0)
		continue;
}

/* ---- window, order ---- */

/* The first result is held until the source has given as many as there is room for. */
static int take_when_full(void *arg, const struct jt_map_result *r)
{
	(void)arg;
	if (r->seq == 1)
		wait_for(&f.told);
	ck_assert_int_eq(r->status, 0);
	ck_assert_uint_eq(r->seq, atomic_fetch_add(&f.taken, 1) + 1);
	ck_assert_uint_eq(r->output.len, r->item.len);
	ck_assert_int_eq(memcmp(r->output.data, r->item.data, r->item.len), 0);
	return 0;
}

START_TEST(the_window_is_exact_and_the_source_asked_once_for_each_item)
{
	runs_shell("exec cat");
	for (enum kind kind = FUNCTION; kind < N_KINDS; kind++) {
		struct jt_map_opts o = { .threads = 2 };
		struct jt_work work = work_of(kind);
		struct jt_map_counters c;
		feed_init(&f, 100);
		f.bound = f.tell_at = 64;       /* the default: 4 N, but at least so many */
		struct jt_map *m = start(&o, &f, &work);
		ck_assert(jt_map_run(m, take_when_full, NULL) == JT_MAP_END);
		jt_map_stats(m, &c);
		ck_assert_uint_eq(c.held_max, 64);
		ck_assert_uint_eq(f.held_max, 64);
		ck_assert_uint_eq(c.pulled, 100);
		ck_assert_uint_eq(c.delivered, 100);
		jt_map_free(m);
		feed_done(&f);
	}
	jt_template_free(template);
}
END_TEST

/* ---- threads at work ---- */

#define N 3

static atomic_uint running, running_max, slots;
static atomic_int shared;                /* two with the same slot at once */
static pthread_barrier_t all_here;

/* N at a time meet here: a map that runs fewer at once never ends. */
static int meets(void *arg, const struct jt_call *call, const struct jt_item *item, struct jt_item *ret)
{
	unsigned now = atomic_fetch_add(&running, 1) + 1;
	if (atomic_fetch_or(&slots, 1u << call->slot) & 1u << call->slot)
		atomic_store(&shared, 1);
	if (now > atomic_load(&running_max))
		atomic_store(&running_max, now);
	pthread_barrier_wait(&all_here);
	atomic_fetch_and(&slots, ~(1u << call->slot));
	atomic_fetch_sub(&running, 1);
	return copies(arg, call, item, ret);
}

START_TEST(n_functions_run_at_once_and_no_more)
{
	struct jt_map_opts o = { .threads = N, .window = 4 * N };
	struct jt_work work = { .run = meets };
	feed_init(&f, 100 * N);
	pthread_barrier_init(&all_here, NULL, N);
	struct jt_map *m = start(&o, &f, &work);
	for (uint64_t seq = 1; seq <= 100 * N; seq++)
		expect_result(m, seq);
	expect_for_ever(m, JT_MAP_END);
	jt_map_free(m);
	pthread_barrier_destroy(&all_here);
	ck_assert_uint_eq(running_max, N);
	ck_assert_int_eq(shared, 0);
	feed_done(&f);
}
END_TEST

/* Each writes b when it begins and e before it ends, and waits between for a byte: what stands in the pipe says how many there were at once. */
START_TEST(n_commands_run_at_once_and_no_more)
{
	struct jt_map_opts o = { .threads = N, .window = 4 * N };
	int said[2], go[2], at_once = 0;
	char script[200], what;
	ck_assert_int_eq(pipe(said), 0);
	ck_assert_int_eq(pipe(go), 0);
	snprintf(script, sizeof(script), "printf b >&%d; head -c 1 <&%d >/dev/null; printf e >&%d", said[1], go[0], said[1]);
	runs_shell(script);
	command.input = JT_COMMAND_NO_STDIN;
	struct jt_work work = jt_command_work(&command);
	feed_init(&f, 4 * N);
	f.tell_at = 4 * N;
	struct jt_map *m = start(&o, &f, &work);
	for (int began = 0, ended = 0; ended < 4 * N;) {
		ck_assert_int_eq(read(said[0], &what, 1), 1);
		at_once += what == 'b' ? 1 : -1;
		began += what == 'b';
		ended += what == 'e';
		ck_assert_int_le(at_once, N);
		if (began == N && ended == 0)
			wait_for(&f.told);      /* there are more that could begin */
		if (what == 'b' && at_once == N)
			ck_assert_int_eq(write(go[1], "12345", began == 4 * N ? N : 1), began == 4 * N ? N : 1);
	}
	for (uint64_t seq = 1; seq <= 4 * N; seq++)
		expect_result(m, seq);
	expect_for_ever(m, JT_MAP_END);
	jt_map_free(m);
	feed_done(&f);
	jt_template_free(template);
	expect_no_child();
}
END_TEST

/* ---- rows ---- */

struct row {
	struct jt_map *first, *second;
};

/* A source that says -EAGAIN before item 3 and never becomes readable, and two maps behind it. */
static struct row blocked_row(enum kind first, enum kind second, struct jt_map_opts o)
{
	struct row row;
	struct jt_work w1 = work_of(first), w2 = work_of(second);
	feed_init(&f, 5);
	f.again_at = 3;
	f.fd = eventfd(0, EFD_CLOEXEC);
	row.first = start(&o, &f, &w1);
	struct jt_source s = jt_map_as_source(row.first);
	row.second = jt_map_start(&o, &s, &w2, NULL);
	ck_assert(row.second != NULL);
	return row;
}

static void free_row(struct row *row)
{
	jt_map_free(row->second);
	jt_map_free(row->first);
	close(f.fd);
	feed_done(&f);
}

START_TEST(a_blocked_source_delays_no_result_of_a_row_and_its_end_leaves_nothing)
{
	runs_shell("exec cat");
	struct row any = blocked_row(FUNCTION, FUNCTION, (struct jt_map_opts){ .threads = 1 });
	free_row(&any);                 /* what the first thread of a process leaves is not a map's */
	unsigned threads = count_of("/proc/self/task"), fds = count_of("/proc/self/fd");
	for (unsigned kinds = 0; kinds < N_KINDS * N_KINDS; kinds++) {
		struct row row = blocked_row(kinds % N_KINDS, kinds / N_KINDS, (struct jt_map_opts){ .threads = 2 });
		wait_for(&f.blocked);
		for (uint64_t seq = 1; seq <= 2; seq++) {
			struct jt_map_result r;
			ck_assert(jt_map_next(row.second, &r, -1) == JT_MAP_RESULT);
			ck_assert_uint_eq(r.seq, seq);
			jt_map_result_done(&r);
		}
		free_row(&row);
		expect_threads(threads);
		ck_assert_uint_eq(count_of("/proc/self/fd"), fds);
		expect_no_child();
	}
	jt_template_free(template);
}
END_TEST

/* All threads wait: the source's in next, the workers for an item, the other here. The free has to end what runs, too. */
START_TEST(a_map_of_commands_that_never_end_is_freed_with_them)
{
	int begun[2];
	char script[100], two[2];
	ck_assert_int_eq(pipe(begun), 0);
	snprintf(script, sizeof(script), "printf x >&%d; exec sleep 1000", begun[1]);
	runs_shell(script);
	unsigned fds = count_of("/proc/self/fd");
	struct row row = blocked_row(COMMAND, FUNCTION, (struct jt_map_opts){ .threads = 2 });
	wait_for(&f.blocked);
	for (size_t n = 0; n < 2; n++)
		ck_assert_int_eq(read(begun[0], &two[n], 1), 1);
	free_row(&row);
	expect_no_child();
	ck_assert_uint_eq(count_of("/proc/self/fd"), fds);
	close(begun[1]);
	ck_assert_int_eq(read(begun[0], two, 1), 0);    /* nobody holds it any more */
	close(begun[0]);
	jt_template_free(template);
}
END_TEST

/* ---- waiting ---- */

#define TIDS 256

/* What the kernel says of the switches of threads from the first on; one that is not ours, as a sanitizer's, is older than the first. */
static unsigned long switches(pid_t first)
{
	unsigned long sum = 0, n;
	char path[64], line[200];
	for (pid_t tid = first; tid < first + TIDS; tid++) {
		snprintf(path, sizeof(path), "/proc/self/task/%d/status", tid);
		FILE *status = fopen(path, "re");
		while (status && fgets(line, sizeof(line), status))
			if (sscanf(line, "voluntary_ctxt_switches: %lu", &n) == 1 || sscanf(line, "nonvoluntary_ctxt_switches: %lu", &n) == 1)
				sum += n;
		if (status)
			fclose(status);
	}
	return sum;
}

static void *own_tid(void *arg)
{
	*(pid_t *)arg = gettid();
	return NULL;
}

START_TEST(an_idle_map_wakes_nobody)
{
	struct jt_map_opts o = { .threads = 2 };
	struct jt_work work = work_of(FUNCTION);
	struct jt_map_result r;
	pthread_t thread;
	pid_t first = 0;
	ck_assert_int_eq(pthread_create(&thread, NULL, own_tid, &first), 0);
	pthread_join(thread, NULL);
	feed_init(&f, 2);
	f.again_at = 2;
	f.fd = eventfd(0, EFD_CLOEXEC);
	struct jt_map *m = start(&o, &f, &work);
	expect_result(m, 1);
	unsigned long before;
	do {                            /* until all have gone to sleep: a map that never does fails by the test's time */
		before = switches(first);
		ck_assert(jt_map_next(m, &r, 200) == JT_MAP_AGAIN);
	} while (switches(first) != before);
	jt_map_free(m);
	close(f.fd);
	feed_done(&f);
}
END_TEST

static void *stops(void *arg)
{
	jt_map_stop(arg, JT_MAP_NOW);
	return NULL;
}

static void *stops_async(void *arg)
{
	jt_map_stop_async(arg);
	return NULL;
}

START_TEST(any_thread_may_stop_a_map_whose_threads_all_sleep)
{
	void *(*const how[])(void *) = { stops, stops_async };
	for (unsigned i = 0; i < 200; i++) {
		struct row row = blocked_row(FUNCTION, FUNCTION, (struct jt_map_opts){ .threads = 2 });
		pthread_t thread;
		for (unsigned taken = 0; taken < i % 3; taken++) {
			struct jt_map_result r;
			ck_assert(jt_map_next(row.second, &r, -1) == JT_MAP_RESULT);
			jt_map_result_done(&r);
		}
		ck_assert_int_eq(pthread_create(&thread, NULL, how[i % 2], row.second), 0);
		enum jt_map_status st;
		for (struct jt_map_result r; (st = jt_map_next(row.second, &r, -1)) == JT_MAP_RESULT;)
			jt_map_result_done(&r);
		ck_assert_str_eq(jt_map_status_name(st), "stopped");
		pthread_join(thread, NULL);
		free_row(&row);
	}
}
END_TEST

static sem_t may_end;
static int second_waits(void *arg, const struct jt_call *call, const struct jt_item *item, struct jt_item *ret)
{
	if (call->seq == 2)
		wait_for(&may_end);
	return copies(arg, call, item, ret);
}

/* A stop by a signal handler at the moment in which the last result is taken: the descriptor changes to "nothing" and must not stay so. */
START_TEST(a_stop_is_seen_by_the_descriptor_whenever_it_comes)
{
	struct jt_map_opts o = { .threads = 2 };
	struct jt_work work = { .run = second_waits };
	for (unsigned i = 0; i < 500; i++) {
		pthread_t thread;
		struct jt_map_result r;
		feed_init(&f, 2);
		sem_init(&may_end, 0, 0);       /* anew: the item that waits for it may not have begun */
		struct jt_map *m = start(&o, &f, &work);
		struct pollfd p = { .fd = jt_map_fd(m), .events = POLLIN };
		ck_assert_int_eq(poll(&p, 1, -1), 1);
		ck_assert_int_eq(pthread_create(&thread, NULL, stops_async, m), 0);
		ck_assert(jt_map_next(m, &r, 0) == JT_MAP_RESULT);
		jt_map_result_done(&r);
		ck_assert_int_eq(poll(&p, 1, -1), 1);
		ck_assert(jt_map_next(m, &r, 0) == JT_MAP_STOPPED);
		pthread_join(thread, NULL);
		sem_post(&may_end);
		jt_map_free(m);
		feed_done(&f);
	}
}
END_TEST

/* The smallest windows: each item is a hand-over among all threads, and a wake-up that is lost ends the test by its time. */
START_TEST(no_wake_up_is_lost)
{
	for (uint32_t window = 1; window <= 3; window++)
		for (int timeout_ms = -1; timeout_ms <= 1; timeout_ms++) {
			struct jt_map_opts o = { .threads = window, .window = window };
			struct jt_work work = work_of(FUNCTION);
			struct jt_map_result r;
			uint64_t taken = 0;
			feed_init(&f, 3000);
			struct jt_map *m = start(&o, &f, &work);
			for (enum jt_map_status st; (st = jt_map_next(m, &r, timeout_ms)) <= JT_MAP_AGAIN;)
				if (st == JT_MAP_RESULT) {
					ck_assert_uint_eq(r.seq, ++taken);
					jt_map_result_done(&r);
				}
			ck_assert_uint_eq(taken, 3000);
			jt_map_free(m);
			feed_done(&f);
		}
}
END_TEST

/* ---- two at once ---- */

static int adds(void *arg)
{
	atomic_fetch_add((atomic_int *)arg, 1);
	return 0;
}

START_TEST(two_at_once_leave_nothing)
{
	atomic_int n = 0;
	jt_both(adds, &n, adds, &n);
	unsigned threads = count_of("/proc/self/task"), fds = count_of("/proc/self/fd");
	for (int i = 0; i < 100; i++)
		ck_assert_int_eq(jt_both(adds, &n, adds, &n), 0);
	ck_assert_int_eq(n, 202);
	expect_threads(threads);
	ck_assert_uint_eq(count_of("/proc/self/fd"), fds);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		the_window_is_exact_and_the_source_asked_once_for_each_item,
		n_functions_run_at_once_and_no_more,
		n_commands_run_at_once_and_no_more,
		a_blocked_source_delays_no_result_of_a_row_and_its_end_leaves_nothing,
		a_map_of_commands_that_never_end_is_freed_with_them,
		an_idle_map_wakes_nobody,
		any_thread_may_stop_a_map_whose_threads_all_sleep,
		a_stop_is_seen_by_the_descriptor_whenever_it_comes,
		no_wake_up_is_lost,
		two_at_once_leave_nothing,
	};
	return run_suite("guarantees of maps", tests, sizeof(tests) / sizeof(*tests));
}
