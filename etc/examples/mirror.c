/* SPDX-License-Identifier: MIT */
/*
 * A tree of jobs inside a C program: libjobtree says what may start, four threads do the work.
 *
 *	cc mirror.c $(pkg-config --cflags --libs libjobtree) -o mirror && ./mirror
 *
 * `disk/snapshot` comes first, then both copies at once, and `disk/snapshot/~/prune` only if both have succeeded.
 */
#include <stdio.h>
#include <string.h>

#include <jobtree.h>

static const char *const jobs[] = {
	"disk/snapshot", "disk/snapshot/copy-near", "disk/snapshot/copy-far", "disk/snapshot/~/prune",
};

/* Called on any of the threads, for different jobs at the same time. The far copy succeeds the second time only. */
static enum jt_outcome work(void *arg, const char *path, jt_job job, uint32_t attempt)
{
	(void)arg;
	(void)job;
	return strstr(path, "far") && attempt == 1 ? JT_END_FAIL : JT_END_OK;
}

/* Called on the thread that called jt_run_threads: no lock is needed here. */
static void on_end(void *arg, jt_job job, const struct jt_end *end)
{
	printf("%s: %s\n", jt_job_path(arg, job, NULL), jt_state_name(end->state));
}

int main(void)
{
	struct jt_opts opts = { .slots = 4 };
	struct jt_error err;
	struct jt_result result = { 0 };
	struct jt_sched *tree = jt_sched_new(&opts, &err);
	struct jt_run_opts run = { .retry = JT_RETRY_DEFAULT, .on_end = on_end, .on_end_arg = tree };
	run.retry.max = 3;

	int r = tree ? 0 : -1;
	for (size_t i = 0; r == 0 && i < sizeof(jobs) / sizeof(*jobs); i++) {
		struct jt_spec spec = { .path = jobs[i], .path_len = strlen(jobs[i]) };
		r = jt_sched_add(tree, &spec, 1, NULL, NULL, &err);
	}
	if (r == 0)
		r = jt_run_threads(tree, work, NULL, &run, NULL, &result, &err);
	if (r < 0)
		fprintf(stderr, "mirror: %s\n", err.text);
	jt_sched_free(tree);
	return r < 0 || result.failed;
}
