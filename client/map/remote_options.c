/* SPDX-License-Identifier: MIT */
/* The options of a map as org.jobd has them: the command, when it is tried again, and the surroundings of this process. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "escape.h"
#include "map/loop.h"
#include "map/remote.h"
#include "proto/base64.h"
#include "talk.h"

static json_t *base64_of(const char *text)
{
	size_t n = strlen(text);
	char *b64 = xcalloc(1, BASE64_SIZE(n));
	json_t *s;

	base64_encode(text, n, b64);
	s = json_string(b64);
	free(b64);
	return s;
}

static json_t *command_of(const struct stage_settings *set)
{
	json_t *words = json_array(), *command;

	for (size_t i = 0; i < set->n_words; i++)
		json_array_append_new(words, base64_of(set->words[i]));
	command = json_pack("{s:o, s:b, s:b, s:i}", "words_b64", words, "shell", set->shell != NULL, "stdin", (int)set->item_on_stdin, "threads",
			    (int)set->threads);
	if (command && set->columns > 0)
		json_object_set_new(command, "columns", json_integer(set->columns));
	return command;
}

/* Exit statuses among the kinds: all of them, or those of a list. */
static void add_statuses(json_t *retry, json_t *on, const struct stage_settings *set)
{
	json_t *list = json_array();
	bool all = true;

	for (int i = 1; i <= 255; i++) {
		if (set->retry_on[i])
			json_array_append_new(list, json_integer(i));
		all = all && set->retry_on[i];
	}
	if (json_array_size(list) > 0)
		json_array_append_new(on, json_string("exit"));
	if (all || json_array_size(list) == 0)
		json_decref(list);
	else
		json_object_set_new(retry, "on_exit", list);
}

static json_t *retry_of(const struct stage_settings *set)
{
	json_t *on = json_array(), *retry = json_pack("{s:I, s:f, s:f, s:f}", "max", (json_int_t)set->retry.max, "cap_s", (double)set->retry.cap_ns / 1e9,
						      "max_s", (double)set->retry.max_ns / 1e9, "base", set->retry.base);

	add_statuses(retry, on, set);
	if (set->retry_on[RETRY_SIGNAL])
		json_array_append_new(on, json_string("signal"));
	if (set->retry_on[RETRY_TIMEOUT])
		json_array_append_new(on, json_string("timeout"));
	json_object_set_new(retry, "on", on);
	return retry;
}

/* Variables that begin so are the daemon's own to set. */
static json_t *environment(void)
{
	json_t *env = json_object();

	for (char **e = environ; *e; e++) {
		char *equals = strchr(*e, '='), *name;

		if (!equals || strncmp(*e, "JOBD_", 5) == 0)
			continue;
		name = xstrndup(*e, (size_t)(equals - *e));
		if (json_object_set_new(env, name, json_string(equals + 1)) < 0)
			mention("the variable %s is not UTF-8: commands do not get it", name);
		free(name);
	}
	return env;
}

static void set_unless_zero(json_t *o, const char *name, int64_t ns)
{
	if (ns > 0)
		json_object_set_new(o, name, json_real((double)ns / 1e9));
}

static void add_control(json_t *o, const struct stage *s)
{
	const struct map_settings *set = s->loop->set;

	if (s->name)
		json_object_set_new(o, "name", json_string(s->name));
	if (set->n_stages > 1)
		json_object_set_new(o, "stage", json_integer((json_int_t)s->number));
	set_unless_zero(o, "timeout_s", s->set->timeout_ns);
	json_object_set_new(o, "grace_s", json_real((double)s->set->grace_ns / 1e9));
	if (s->set->retry.max > 0)
		json_object_set_new(o, "retry", retry_of(s->set));
	set_unless_zero(o, "interval_s", set->delay_ns);
	if (set->output_max > 0)
		json_object_set_new(o, "output_max", json_integer(set->output_max));
	json_object_set_new(o, "undelivered_max", json_integer((json_int_t)(set->buffer_bytes + set->spool_bytes)));
}

json_t *remote_options(const struct stage *s)
{
	static const char *const errs[] = { [STDERR_PASS] = "apart", [STDERR_MERGE] = "merge", [STDERR_DROP] = "drop", [STDERR_FIELD] = "apart" };
	char *cwd = getcwd(NULL, 0);
	json_t *o = json_pack("{s:I, s:I, s:o, s:s?, s:o, s:s}", "slots", (json_int_t)s->set->slots, "window", (json_int_t)remote_window(s->set),
			      "command", command_of(s->set), "cwd", cwd, "env", environment(), "stderr", errs[s->loop->set->err]);

	free(cwd);
	if (o)
		add_control(o, s);
	return o;
}
