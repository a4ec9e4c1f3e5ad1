/* SPDX-License-Identifier: MIT */
/* Failpoint: see failpoint.h. Not compiled into a normal build. */
#include "failpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

extern struct failpoint *const __start_failpoints[], *const __stop_failpoints[];

static uint64_t seed;
static int log_fd = -1;

/* ---- a pass --------------------------------------------------------------------------------------------------------- */

/* FNV-1a of the name, and a finisher: near seeds and passes have nothing in common. */
static uint64_t draw(const char *name, uint64_t pass)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325) ^ seed;

	for (; *name; name++)
		h = (h ^ (unsigned char)*name) * UINT64_C(0x100000001b3);
	h ^= pass * UINT64_C(0x9e3779b97f4a7c15);
	h = (h ^ h >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	h = (h ^ h >> 27) * UINT64_C(0x94d049bb133111eb);
	return h ^ h >> 31;
}

static bool acts(const struct failpoint *fp, uint64_t pass)
{
	if (fp->at_pass)
		return pass == fp->at_pass;
	return (double)(draw(fp->name, pass) >> 11) * 0x1p-53 < fp->probability;
}

static void note(const struct failpoint *fp, uint64_t pass)
{
	static const char *const names[] = { "", "kill", "stop", "delay", "error", "log" };
	char line[160];
	int n;

	if (log_fd < 0)
		return;
	n = snprintf(line, sizeof(line), "%s %d %s %s %llu\n", program_invocation_short_name, (int)getpid(), fp->name, names[fp->action],
		     (unsigned long long)pass);
	if (n < 0 || n >= (int)sizeof(line) || write(log_fd, line, (size_t)n) != n)
		abort();
}

static void delay(long ms)
{
	struct timespec left = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	while (nanosleep(&left, &left) < 0 && errno == EINTR)
		;
}

static void act(const struct failpoint *fp)
{
	switch (fp->action) {
	case FAILPOINT_KILL:
		kill(getpid(), SIGKILL);
		break;
	case FAILPOINT_STOP:
		kill(getpid(), SIGSTOP);
		break;
	case FAILPOINT_DELAY:
		delay(fp->delay_ms);
		break;
	case FAILPOINT_ERROR:
	case FAILPOINT_LOG:
	case FAILPOINT_NOTHING:
		break;
	}
}

bool failpoint_pass(struct failpoint *fp)
{
	int saved = errno;
	uint64_t pass;

	if (!fp->action)
		return false;
	pass = atomic_fetch_add(&fp->passes, 1) + 1;
	if (!acts(fp, pass))
		return false;
	note(fp, pass);
	act(fp);
	errno = fp->action == FAILPOINT_ERROR ? fp->code : saved;
	return fp->action == FAILPOINT_ERROR;
}

bool failpoint_is_on(const struct failpoint *mutant)
{
	return mutant->action != FAILPOINT_NOTHING;
}

/* ---- the rules ------------------------------------------------------------------------------------------------------ */

static void __attribute__((noreturn)) refuse(const char *rule, const char *why)
{
	fprintf(stderr, "%s: JOBD_FP: rule \"%s\": %s\n", program_invocation_short_name, rule, why);
	exit(2);
}

static int code_of(const char *name)
{
	for (int code = 1; code < 134; code++)
		if (strerrorname_np(code) && !strcmp(strerrorname_np(code), name))
			return code;
	return 0;
}

static long time_of(const char *text)
{
	char *end;
	long n = strtol(text, &end, 10);

	if (end == text || n < 0)
		return -1;
	if (!strcmp(end, "ms"))
		return n <= 3600000 ? n : -1;
	return !strcmp(end, "s") && n <= 3600 ? n * 1000 : -1;
}

static void read_action(const char *rule, char *text, struct failpoint *ret)
{
	static const struct { const char *name; enum failpoint_action action; } actions[] = {
		{ "kill", FAILPOINT_KILL }, { "stop", FAILPOINT_STOP }, { "delay", FAILPOINT_DELAY },
		{ "error", FAILPOINT_ERROR }, { "log", FAILPOINT_LOG },
	};
	char *value = strchr(text, '=');

	if (value)
		*value++ = '\0';
	for (size_t i = 0; i < sizeof(actions) / sizeof(*actions); i++)
		if (!strcmp(actions[i].name, text))
			ret->action = actions[i].action;
	if (!ret->action)
		refuse(rule, "the action must be kill, stop, delay=TIME, error or log");
	if (value && ret->action != FAILPOINT_DELAY && ret->action != FAILPOINT_ERROR)
		refuse(rule, "this action takes no value");
	ret->delay_ms = value && ret->action == FAILPOINT_DELAY ? time_of(value) : -1;
	if (ret->action == FAILPOINT_DELAY && ret->delay_ms < 0)
		refuse(rule, "the delay must be a time as 50ms or 2s, at most an hour");
	ret->code = value && ret->action == FAILPOINT_ERROR ? code_of(value) : EIO;
	if (!ret->code)
		refuse(rule, "there is no such errno");
}

static void read_when(const char *rule, const char *text, struct failpoint *ret)
{
	char *end;

	ret->probability = 1;
	if (!text)
		return;
	if (!strncmp(text, "n=", 2)) {
		ret->at_pass = strtoull(text + 2, &end, 10);
		if (!ret->at_pass || *end)
			refuse(rule, "n must be a number from 1");
		return;
	}
	ret->probability = strtod(text, &end);
	if (end == text || *end || !(ret->probability >= 0 && ret->probability <= 1))
		refuse(rule, "the probability must be a number from 0 to 1");
}

static void apply(const char *rule, const char *pattern, const struct failpoint *how)
{
	for (struct failpoint *const *p = __start_failpoints; p < __stop_failpoints; p++) {
		struct failpoint *fp = *p;

		if (fp->kind == A_MUTANT || fnmatch(pattern, fp->name, 0))
			continue;
		if (fp->kind == A_FAILPOINT && how->action == FAILPOINT_ERROR) {
			if (!strpbrk(pattern, "*?["))
				refuse(rule, "nothing can fail there");
			continue;
		}
		fp->action = how->action;
		fp->probability = how->probability;
		fp->at_pass = how->at_pass;
		fp->delay_ms = how->delay_ms;
		fp->code = how->code;
	}
}

static void read_rule(char *text)
{
	char *rule = strdup(text), *pattern = strsep(&text, ":"), *action = strsep(&text, ":"), *when = strsep(&text, ":");
	struct failpoint how = { 0 };

	if (!rule)
		abort();
	if (!*pattern || !action || text)
		refuse(rule, "it must be NAME:ACTION or NAME:ACTION:WHEN");
	read_action(rule, action, &how);
	read_when(rule, when, &how);
	apply(rule, pattern, &how);
	free(rule);
}

static void read_rules(const char *all)
{
	char *copy = strdup(all), *rest = copy, *one;

	if (!copy)
		abort();
	while ((one = strsep(&rest, ";")))
		if (*one)
			read_rule(one);
	free(copy);
}

static void choose_mutant(const char *name)
{
	for (struct failpoint *const *p = __start_failpoints; p < __stop_failpoints; p++)
		if ((*p)->kind == A_MUTANT && !strcmp((*p)->name, name))
			(*p)->action = FAILPOINT_LOG;
}

/* ---- the list ------------------------------------------------------------------------------------------------------- */

/* Several places may share a name; it is printed once. */
static bool was_before(struct failpoint *const *p)
{
	for (struct failpoint *const *q = __start_failpoints; q < p; q++)
		if (!strcmp((*q)->name, (*p)->name))
			return true;
	return false;
}

static void list(bool mutants)
{
	for (struct failpoint *const *p = __start_failpoints; p < __stop_failpoints; p++)
		if (((*p)->kind == A_MUTANT) == mutants && !was_before(p))
			printf("%s%s\n", (*p)->name, (*p)->kind == A_CALL ? " error" : "");
	exit(0);
}

static void open_log(const char *path)
{
	log_fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	if (log_fd >= 0)
		return;
	fprintf(stderr, "%s: JOBD_FP_LOG: %s: %s\n", program_invocation_short_name, path, strerror(errno));
	exit(2);
}

void failpoints_init(int argc, char **argv)
{
	const char *rules = getenv("JOBD_FP"), *path = getenv("JOBD_FP_LOG"), *number = getenv("JOBD_FP_SEED"), *mutant = getenv("JOBD_MUTANT");

	if (argc == 2 && (!strcmp(argv[1], "--list-failpoints") || !strcmp(argv[1], "--list-mutants")))
		list(!strcmp(argv[1], "--list-mutants"));
	if (path && *path)
		open_log(path);
	seed = number ? strtoull(number, NULL, 10) : 0;
	if (rules)
		read_rules(rules);
	if (mutant)
		choose_mutant(mutant);
}
