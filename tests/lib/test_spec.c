/* SPDX-License-Identifier: MIT */
/* Specifications of jobs and runs: every option, good and bad, with the words in which it is refused; what merges and what replaces. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "spec_kit.h"

/* ---- a job ------------------------------------------------------------------------------------------------------------ */

START_TEST(a_job_starts_from_the_defaults_of_the_book)
{
	given_job("{\"path\":\"a/b\",\"argv\":[\"prog\",\"a b\",\"\"]}");
	ck_assert_str_eq(job.path, "a/b");
	ck_assert(job.kind == SPEC_ARGV && job.argc == 3 && !job.argv[3] && !job.shell);
	ck_assert_str_eq(job.argv[1], "a b");
	ck_assert(!job.cwd && !job.n_env && !job.n_env_inherit && !job.stdin_file && !job.stdin_text && !job.user && !job.group);
	ck_assert(job.umask == -1 && job.nice == 0 && job.timeout_ms == 0 && job.grace_ms == 10000);
	ck_assert(job.retry.max == 0 && job.retry.min_ns == 0 && job.retry.cap_ns == 125000000 && job.retry.max_ns == 10000000000);
	ck_assert(job.retry.elapsed_ns == 0 && job.retry_on == 15 && !job.has_retry_on_exit);
	ck_assert_double_eq(job.retry.base, 2.0);
	for (unsigned i = 0; i < 300; i++)
		ck_assert(spec_set_has(&job.success_exit, i) == (i == 0) && !spec_set_has(&job.skip_exit, i));
	ck_assert(job.on_error == SPEC_FAIL && job.on_lost == SPEC_LOST_RETRY && job.lost_max == 3);
	ck_assert(!job.n_after && job.when == JT_ON_SUCCESS && job.priority == 0 && job.duration_ns == -1 && !job.n_labels);
}
END_TEST

START_TEST(every_option_arrives)
{
	with("\"cwd\":\"/tmp\",\"env\":{\"B\":\"2\",\"A\":\"1=x\"},\"env_inherit\":[\"HOME\"],"
	     "\"stdin\":{\"text\":\"hello\"},\"user\":\"u\",\"group\":\"g\"");
	ck_assert_str_eq(job.cwd, "/tmp");
	ck_assert(job.n_env == 2 && job.env_bytes == 10 && job.n_env_inherit == 1);
	ck_assert_str_eq(job.env[0].name, "A");
	ck_assert_str_eq(job.env[0].value, "1=x");
	ck_assert_str_eq(job.stdin_text, "hello");
	ck_assert_str_eq(job.user, "u");
	ck_assert_str_eq(job.group, "g");
	with("\"umask\":\"027\",\"nice\":-5,\"timeout_s\":1.5,\"grace_s\":0,\"stdin\":{\"file\":\"in\"},\"labels\":{\"x\":\"y\"}");
	ck_assert(job.umask == 027 && job.nice == -5 && job.timeout_ms == 1500 && job.grace_ms == 0 && job.n_labels == 1);
	ck_assert_str_eq(job.stdin_file, "in");
	with("\"retry\":{\"max\":3,\"min_s\":0.5,\"cap_s\":1,\"max_s\":60,\"base\":3,\"elapsed_s\":100,\"on\":[\"exit\",\"timeout\"],"
	     "\"on_exit\":[1,255],\"not_on_exit\":[2]}");
	ck_assert(job.retry.max == 3 && job.retry.min_ns == 500000000 && job.retry.cap_ns == 1000000000 && job.retry.max_ns == 60000000000);
	ck_assert(job.retry.elapsed_ns == 100000000000 && job.retry_on == (SPEC_ON_EXIT | SPEC_ON_TIMEOUT) && job.has_retry_on_exit);
	ck_assert(spec_set_has(&job.retry_on_exit, 255) && spec_set_has(&job.retry_not_on_exit, 2));
	with("\"success_exit\":[0,3],\"skip_exit\":[75],\"on_error\":\"stop\",\"on_lost\":\"hold\",\"lost_max\":1");
	ck_assert(spec_set_has(&job.success_exit, 3) && spec_set_has(&job.skip_exit, 75));
	ck_assert(job.on_error == SPEC_STOP && job.on_lost == SPEC_LOST_HOLD && job.lost_max == 1);
	with("\"after\":[\"b\",\"c/\"],\"when\":\"finished\",\"priority\":-7,\"duration_s\":0.25");
	ck_assert(job.n_after == 2 && job.when == JT_ON_FINISHED && job.priority == -7 && job.duration_ns == 250000000);
	ck_assert_str_eq(job.after[1], "c/");
}
END_TEST

START_TEST(names_of_choices_are_those_of_the_book)
{
	static const char *const on_error[] = { "fail", "warn", "ignore", "skip", "stop" };
	static const char *const on_lost[] = { "retry", "fail", "hold" };
	static const char *const when[] = { "success", "failure", "finished" };
	static const char *const on[] = { "exit", "signal", "timeout", "spawn" };
	char text[100];

	for (unsigned i = 0; i < 5; i++) {
		(void)snprintf(text, sizeof(text), "\"on_error\":\"%s\"", on_error[i]);
		with(text);
		ck_assert_int_eq(job.on_error, i);
	}
	for (unsigned i = 0; i < 3; i++) {
		(void)snprintf(text, sizeof(text), "\"on-lost\":\"%s\",\"when\":\"%s\"", on_lost[i], when[i]);
		with(text);
		ck_assert(job.on_lost == i && job.when == i);
	}
	for (unsigned i = 0; i < 4; i++) {
		(void)snprintf(text, sizeof(text), "\"retry\":{\"on\":[\"%s\"]}", on[i]);
		with(text);
		ck_assert_uint_eq(job.retry_on, 1u << i);
	}
}
END_TEST

START_TEST(a_command_is_one_of_four)
{
	given_job("{\"path\":\"a\",\"shell\":\"echo $HOME\"}");
	ck_assert(job.kind == SPEC_SHELL && !job.argv && job.argc == 0);
	given_job("{\"path\":\"a\",\"argv_b64\":[\"L2Jpbi9scw==\",\"/w==\",\"\"]}");
	ck_assert(job.kind == SPEC_ARGV && job.argc == 3);
	ck_assert_str_eq(job.argv[0], "/bin/ls");
	ck_assert_str_eq(job.argv[1], "\xff");
	refused_job("{\"path\":\"a\"}", "argv", "job \"a\": has nothing to run; give argv, argv_b64, shell or fetch");
	refused_job("{\"path\":\"a\",\"argv\":[\"x\"],\"shell\":\"x\"}", "shell",
		    "job \"a\": argv, argv_b64, shell and fetch exclude each other; give exactly one");
	refused_job("{\"path\":\"a\",\"argv\":[\"x\"],\"argv_b64\":[\"eA==\"]}", "argv_b64",
		    "job \"a\": argv, argv_b64, shell and fetch exclude each other; give exactly one");
	refused_job("{\"path\":\"a\",\"shell\":\"x\",\"fetch\":{\"url\":\"https://example.org/\"}}", "fetch",
		    "job \"a\": argv, argv_b64, shell and fetch exclude each other; give exactly one");
	refused_job("{\"path\":\"a\",\"argv\":[]}", "argv", "job \"a\": argv must not be empty");
	refused_job("{\"path\":\"a\",\"argv\":[\"\"]}", "argv[0]", "job \"a\": argv[0] must not be empty");
	refused_job("{\"path\":\"a\",\"argv\":\"ls -l\"}", "argv", "job \"a\": argv must be a list of strings, got \"ls -l\"");
	refused_job("{\"path\":\"a\",\"shell\":\"\"}", "shell", "job \"a\": shell must not be empty");
	refused_job("{\"path\":\"a\",\"argv_b64\":[]}", "argv_b64", "job \"a\": argv_b64 must be a list of at least one string of base64");
	refused_job("{\"path\":\"a\",\"argv_b64\":[\"eA\"]}", "argv_b64[0]", "job \"a\": argv_b64[0] must be a string of base64, got \"eA\"");
	refused_job("{\"path\":\"a\",\"argv_b64\":[\"eAB4\"]}", "argv_b64[0]", "job \"a\": argv_b64[0] must not hold a NUL byte");
}
END_TEST

START_TEST(bad_options_are_refused_by_name)
{
	refused_with("\"cwd\":\"tmp\"", "cwd", "cwd must be an absolute path, got \"tmp\"");
	refused_with("\"cwd\":\"/a\\u0000b\"", "cwd", "cwd must not hold a NUL byte");
	refused_with("\"env\":[]", "env", "env must be an object of names and strings");
	refused_with("\"env\":{\"1A\":\"x\"}", "env.1A", "env.1A is not a name of letters, digits and underscores");
	refused_with("\"env\":{\"A-B\":\"x\"}", "env.A-B", "env.A-B is not a name of letters, digits and underscores");
	refused_with("\"env\":{\"JOBD_RUN\":\"1\"}", "env.JOBD_RUN", "env.JOBD_RUN is set by jobd and cannot be given");
	refused_with("\"env\":{\"A\":1}", "env.A", "env.A must be a string, got 1");
	refused_with("\"env\":{\"A\":\"\\u0000\"}", "env.A", "env.A must not hold a NUL byte");
	refused_with("\"stdin\":{}", "stdin", "stdin must have either file or text");
	refused_with("\"stdin\":{\"file\":\"a\",\"text\":\"b\"}", "stdin", "stdin must have either file or text");
	refused_with("\"stdin\":{\"fiel\":\"a\"}", "stdin.fiel", "unknown field \"stdin.fiel\"; did you mean \"file\"?");
	refused_with("\"user\":\"\"", "user", "user must not be empty");
	refused_with("\"umask\":\"08\"", "umask", "umask must be a string of octal digits \"000\"..\"777\", got \"08\"");
	refused_with("\"umask\":\"1777\"", "umask", "umask must be a string of octal digits \"000\"..\"777\", got \"1777\"");
	refused_with("\"umask\":22", "umask", "umask must be a string of octal digits \"000\"..\"777\", got 22");
	refused_with("\"nice\":20", "nice", "nice must be -20..19, got 20");
	refused_with("\"timeout_s\":-1", "timeout_s", "timeout_s must be 0..1000000000 seconds, got -1");
	refused_with("\"timeout_s\":\"1m\"", "timeout_s", "timeout_s must be a number of seconds, got \"1m\"");
	refused_with("\"grace_s\":1e10", "grace_s", "grace_s must be 0..1000000000 seconds, got 1e+10");
	refused_with("\"retry\":3", "retry", "retry must be an object, got 3");
	refused_with("\"retry\":{\"max\":-1}", "retry.max", "retry.max must be 0..1000000, got -1");
	refused_with("\"retry\":{\"base\":0.5}", "retry.base", "retry.base must be 1..1000, got 0.5");
	refused_with("\"retry\":{\"on\":[\"never\"]}", "retry.on[0]",
		     "retry.on[0] must be \"exit\", \"signal\", \"timeout\" or \"spawn\", got \"never\"");
	refused_with("\"retry\":{\"on_exit\":[256]}", "retry.on_exit[0]", "retry.on_exit[0] must be an exit status 0..255, got 256");
	refused_with("\"success_exit\":0", "success_exit", "success_exit must be a list of exit statuses, got 0");
	refused_with("\"skip_exit\":[75,-1]", "skip_exit[1]", "skip_exit[1] must be an exit status 0..255, got -1");
	refused_with("\"skip_exit\":[0]", "skip_exit", "exit status 0 is in success_exit and in skip_exit");
	refused_with("\"on_error\":\"fial\"", "on_error", "on_error must be \"fail\", \"warn\", \"ignore\", \"skip\" or \"stop\", got \"fial\"");
	refused_with("\"on_lost\":null,\"lost_max\":-1", "lost_max", "lost_max must be 0..1000000, got -1");
	refused_with("\"after\":\"b\"", "after", "after must be a list of strings, got \"b\"");
	refused_with("\"when\":\"always\"", "when", "when must be \"success\", \"failure\" or \"finished\", got \"always\"");
	refused_with("\"priority\":2147483648", "priority", "priority must be -2147483648..2147483647, got 2147483648");
	refused_with("\"priority\":1.5", "priority", "priority must be an integer, got 1.5");
	refused_with("\"labels\":{\"\":\"x\"}", "labels", "labels must have names of 1..255 bytes");
	refused_with("\"timout_s\":1", "timout_s", "unknown field \"timout_s\"; did you mean \"timeout_s\"?");
	refused_with("\"timeout-s\":1,\"timeout_s\":1", "timeout_s", "timeout_s is given twice, with a dash and with an underscore");
	refused_with("\"workers\":1", "workers", "unknown field \"workers\"");
}
END_TEST

START_TEST(paths_follow_the_rules_of_the_tree)
{
	memset(&err, 0, sizeof(err));
	ck_assert_int_eq(read_job("{\"shell\":\"true\"}"), -1);
	ck_assert_str_eq(err.text, "a job has no path");
	ck_assert_str_eq(err.field, "path");
	ck_assert_int_eq(read_job("{\"path\":\"a//b\",\"shell\":\"true\"}"), -1);
	ck_assert_str_eq(err.field, "path");
	ck_assert_str_eq(err.job, "a//b");
	ck_assert_ptr_nonnull(strstr(err.text, "a//b"));
	ck_assert_int_eq(read_job("{\"path\":\"a/~\",\"shell\":\"true\"}"), -1);
	given_run("{\"barrier\":\"sync\"}");
	given_job("{\"path\":\"a/~\",\"shell\":\"true\"}");
	ck_assert_int_eq(read_job("{\"path\":\"a/sync\",\"shell\":\"true\"}"), -1);
	refused_job("[]", "", "a job must be an object, got a list");
	refused_job("\"true\"", "", "a job must be an object, got \"true\"");
}
END_TEST

START_TEST(what_exec_would_refuse_is_refused_before)
{
	char *text = big_job("{\"path\":\"a\",\"argv\":[\"x\",\"", SPEC_STRING_MAX, "\"]}");

	given_job(text);
	free(text);
	text = big_job("{\"path\":\"a\",\"argv\":[\"x\",\"", SPEC_STRING_MAX + 1, "\"]}");
	refused_job(text, "argv[1]", "job \"a\": argv[1] has 131072 bytes, the limit is 131071");
	free(text);
	text = big_job("{\"path\":\"a\",\"shell\":\"", SPEC_STRING_MAX + 1, "\"}");
	refused_job(text, "shell", "job \"a\": shell has 131072 bytes, the limit is 131071");
	free(text);
	text = big_job("{\"path\":\"a\",\"shell\":\"x\",\"env\":{\"NAME\":\"", SPEC_STRING_MAX - 4, "\"}}");
	refused_job(text, "env.NAME", "job \"a\": env.NAME has 131072 bytes with its name, the limit is 131071");
	free(text);
}
END_TEST

START_TEST(argv_and_env_together_are_bounded)
{
	json_t *obj = json_pack("{s:s, s:{}, s:[s]}", "path", "a", "env", "argv", "x"), *env = json_object_get(obj, "env");
	char *value = big_job("", 100000, ""), name[16];

	for (int i = 0; i < 5; i++) {
		(void)snprintf(name, sizeof(name), "V%d", i);
		json_object_set_new(env, name, json_string(value));
	}
	ck_assert_int_eq(spec_job_read(obj, &run, &arena, &job, &err), 0);
	json_object_set_new(env, "V5", json_string(value));
	ck_assert_int_eq(spec_job_read(obj, &run, &arena, &job, &err), -1);
	ck_assert_str_eq(err.text, "job \"a\": argv (2 bytes) and env (600024 bytes) together exceed the limit of 524288 bytes");
	ck_assert_str_eq(err.field, "env");
	ck_assert_int_eq(err.code, JT_ELIMIT);
	free(value);
	json_decref(obj);
}
END_TEST

START_TEST(labels_are_bounded_with_those_of_the_defaults)
{
	json_t *obj = json_pack("{s:s, s:s, s:{}}", "path", "a", "shell", "x", "labels"), *labels = json_object_get(obj, "labels");
	char name[16];

	given_run("{\"defaults\":{\"labels\":{\"base\":\"1\"}}}");
	for (int i = 0; i < SPEC_LABELS_MAX - 1; i++) {
		(void)snprintf(name, sizeof(name), "l%d", i);
		json_object_set_new(labels, name, json_string("v"));
	}
	ck_assert_int_eq(spec_job_read(obj, &run, &arena, &job, &err), 0);
	ck_assert_uint_eq(job.n_labels, SPEC_LABELS_MAX);
	json_object_set_new(labels, "last", json_string("v"));
	ck_assert_int_eq(spec_job_read(obj, &run, &arena, &job, &err), -1);
	ck_assert_str_eq(err.text, "job \"a\": labels has 65 entries with the defaults, the limit is 64");
	json_object_set_new(labels, "one more", json_string("v"));
	ck_assert_int_eq(spec_job_read(obj, &run, &arena, &job, &err), -1);
	ck_assert_str_eq(err.text, "job \"a\": labels has 65 entries, the limit is 64");
	json_decref(obj);
}
END_TEST

/* ---- a run ------------------------------------------------------------------------------------------------------------ */

START_TEST(a_run_has_its_options)
{
	ck_assert(!run.name && !run.key && run.workers == 0 && run.order == JT_BY_PATH && !run.n_labels);
	ck_assert(!run.interval_ms && !run.period_ms && !run.jitter_ms && !run.deadline_ms);
	ck_assert_str_eq(run.barrier, "~");
	given_run("{\"name\":\"nightly\",\"key\":\"k/1\",\"workers\":4,\"barrier\":\"@\",\"order\":\"fifo\",\"interval_s\":0.5,\"jitter_s\":1,"
		  "\"deadline-s\":3600,\"labels\":{\"a\":\"b\"}}");
	ck_assert_str_eq(run.name, "nightly");
	ck_assert_str_eq(run.key, "k/1");
	ck_assert_str_eq(run.barrier, "@");
	ck_assert(run.workers == 4 && run.order == JT_BY_FIFO && run.n_labels == 1);
	ck_assert(run.interval_ms == 500 && run.jitter_ms == 1000 && run.deadline_ms == 3600000);
	given_run("{\"period_s\":60,\"order\":\"depth\"}");
	ck_assert(run.period_ms == 60000 && run.order == JT_BY_DEPTH);
}
END_TEST

START_TEST(bad_options_of_a_run_are_refused_by_name)
{
	refused_run("{\"name\":\"a/b\"}", "name", "name must have no \"/\", no \"-\" at its start and not only digits, got \"a/b\"");
	refused_run("{\"name\":\"-a\"}", "name", "name must have no \"/\", no \"-\" at its start and not only digits, got \"-a\"");
	refused_run("{\"name\":\"17\"}", "name", "name must have no \"/\", no \"-\" at its start and not only digits, got \"17\"");
	refused_run("{\"name\":\"\"}", "name", "name must be a string of 1..255 bytes, got \"\"");
	refused_run("{\"name\":\"a\\nb\"}", "name", "name must not hold control characters");
	refused_run("{\"key\":7}", "key", "key must be a string of 1..255 bytes, got 7");
	refused_run("{\"workers\":0}", "workers", "workers must be 1..100000, got 0");
	refused_run("{\"barrier\":\"a/b\"}", "barrier", "barrier must be one component, without \"/\"");
	refused_run("{\"order\":\"size\"}", "order", "order must be \"path\", \"depth\" or \"fifo\", got \"size\"");
	refused_run("{\"interval_s\":1,\"period_s\":1}", "period_s", "interval_s and period_s exclude each other; give one");
	refused_run("{\"wokers\":1}", "wokers", "unknown field \"wokers\"; did you mean \"workers\"?");
	refused_run("{\"jobs\":[]}", "jobs", "unknown field \"jobs\"");
	refused_run("{\"defaults\":{\"retry\":{\"max\":-1}}}", "defaults.retry.max", "defaults.retry.max must be 0..1000000, got -1");
	refused_run("{\"defaults\":{\"retyr\":{}}}", "defaults.retyr", "unknown field \"defaults.retyr\"; did you mean \"retry\"?");
	refused_run("{\"defaults\":{\"path\":\"a\"}}", "defaults.path", "defaults.path cannot be given: each job has a path of its own");
	refused_run("{\"defaults\":[]}", "defaults", "defaults must be an object, got a list");
	refused_run("[]", "", "the options of a run must be an object, got a list");
}
END_TEST

/* ---- what merges and what replaces --------------------------------------------------------------------------------- */

START_TEST(env_labels_and_retry_merge_key_by_key)
{
	given_run("{\"env\":{\"A\":\"run\",\"B\":\"run\"},\"defaults\":{\"env\":{\"B\":\"default\",\"C\":\"default\"},"
		  "\"labels\":{\"x\":\"1\",\"y\":\"1\"},\"retry\":{\"max\":2,\"on\":[\"exit\"]}}}");
	with("\"env\":{\"C\":\"job\",\"D\":\"job\"},\"labels\":{\"y\":\"2\"},\"retry\":{\"max_s\":60}");
	ck_assert_uint_eq(job.n_env, 4);
	ck_assert_str_eq(job.env[0].value, "run");
	ck_assert_str_eq(job.env[1].value, "default");
	ck_assert_str_eq(job.env[2].value, "job");
	ck_assert_str_eq(job.env[3].name, "D");
	ck_assert(job.n_labels == 2 && !strcmp(job.labels[0].value, "1") && !strcmp(job.labels[1].value, "2"));
	ck_assert(job.retry.max == 2 && job.retry.max_ns == 60000000000 && job.retry_on == SPEC_ON_EXIT);
	ck_assert_uint_eq(run.base.n_env, 3);
}
END_TEST

START_TEST(bounds_of_retries_are_put_in_order_last)
{
	given_run("{\"defaults\":{\"retry\":{\"cap_s\":20}}}");
	with("\"nice\":1");
	ck_assert(job.retry.cap_ns == 10000000000 && job.retry.max_ns == 10000000000);
	with("\"retry\":{\"max_s\":60}");
	ck_assert(job.retry.cap_ns == 20000000000 && job.retry.max_ns == 60000000000);
}
END_TEST

START_TEST(everything_else_is_replaced)
{
	given_run("{\"cwd\":\"/run\",\"on_error\":\"warn\",\"defaults\":{\"argv\":[\"default\",\"x\"],\"stdin\":{\"text\":\"default\"},"
		  "\"success_exit\":[0,1],\"after\":[\"z\"],\"timeout_s\":5,\"umask\":\"077\"}}");
	given_job("{\"path\":\"a\"}");
	ck_assert(job.kind == SPEC_ARGV && job.argc == 2 && job.on_error == SPEC_WARN && job.timeout_ms == 5000 && job.umask == 077);
	ck_assert_str_eq(job.cwd, "/run");
	given_job("{\"path\":\"a\",\"shell\":\"true\",\"stdin\":{\"file\":\"f\"},\"success_exit\":[2],"
		  "\"after\":[],\"timeout_s\":0,\"on_error\":\"fail\",\"cwd\":\"/\"}");
	ck_assert(job.kind == SPEC_SHELL && !job.argv && !job.stdin_text && job.on_error == SPEC_FAIL);
	ck_assert(!spec_set_has(&job.success_exit, 0) && spec_set_has(&job.success_exit, 2) && !job.n_after && !job.timeout_ms);
	ck_assert_str_eq(job.cwd, "/");
}
END_TEST

START_TEST(defaults_overrule_what_the_run_says_for_its_jobs)
{
	given_run("{\"cwd\":\"/run\",\"on_error\":\"warn\",\"defaults\":{\"cwd\":\"/default\",\"on_error\":\"skip\"}}");
	with("\"nice\":1");
	ck_assert_str_eq(job.cwd, "/default");
	ck_assert_int_eq(job.on_error, SPEC_SKIP);
}
END_TEST

/* ---- whatever comes ---------------------------------------------------------------------------------------------------- */

/* Bytes of a good job changed at random: taken or refused with a text, and nothing else. */
START_TEST(mangled_jobs_harm_nobody)
{
	static const char full[] =
		"{\"path\":\"a/b\",\"argv\":[\"x\",\"y\"],\"env\":{\"A\":\"1\"},\"stdin\":{\"text\":\"t\"},\"umask\":\"022\",\"timeout_s\":1.5,"
		"\"retry\":{\"max\":2,\"on\":[\"exit\"],\"on_exit\":[1,2]},\"skip_exit\":[75],\"after\":[\"c/\"],\"labels\":{\"l\":\"v\"}}";
	unsigned seed = 4711;
	int n_read = 0;

	for (int round = 0; round < 20000; round++) {
		char text[sizeof(full)];
		json_error_t jerr;
		json_t *obj;

		memcpy(text, full, sizeof(full));
		for (int k = 0; k < 2; k++)
			text[(unsigned)rand_r(&seed) % (sizeof(full) - 1)] = (char)(' ' + rand_r(&seed) % 95);
		obj = json_loadb(text, sizeof(full) - 1, JSON_ALLOW_NUL, &jerr);
		memset(&err, 0, sizeof(err));
		if (obj && spec_job_read(obj, &run, &arena, &job, &err) < 0)
			ck_assert_msg(err.text[0] && err.code != JT_OK, "%s", text);
		n_read += obj != NULL;
		json_decref(obj);
	}
	ck_assert_int_gt(n_read, 1000);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		a_job_starts_from_the_defaults_of_the_book, every_option_arrives, names_of_choices_are_those_of_the_book,
		a_command_is_one_of_four, bad_options_are_refused_by_name, paths_follow_the_rules_of_the_tree,
		what_exec_would_refuse_is_refused_before, argv_and_env_together_are_bounded, labels_are_bounded_with_those_of_the_defaults,
		a_run_has_its_options, bad_options_of_a_run_are_refused_by_name, env_labels_and_retry_merge_key_by_key,
		bounds_of_retries_are_put_in_order_last, everything_else_is_replaced, defaults_overrule_what_the_run_says_for_its_jobs,
		mangled_jobs_harm_nobody,
	};

	return spec_suite("spec", tests, sizeof(tests) / sizeof(*tests));
}
