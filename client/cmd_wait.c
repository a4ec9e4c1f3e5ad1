/* SPDX-License-Identifier: MIT */
/* wait: until all of them have ended; the worst decides. */
#include "call.h"
#include "conn.h"
#include "exit_code.h"
#include "render.h"
#include "status.h"
#include "talk.h"
#include "verbs.h"

static int read_targets(const struct options *o, json_t *targets)
{
	for (size_t i = 0; i < o->n_args; i++) {
		struct address a;
		json_t *target;
		int rc = address_read(o->args[i], &a);

		if (rc)
			return rc;
		target = json_pack("{s:s, s:s*}", "run", a.run, "path", a.path);
		address_done(&a);
		if (!target)
			return complain(CTL_USAGE, "\"%s\" is not UTF-8", o->args[i]);
		json_array_append_new(targets, target);
	}
	return 0;
}

static int finish(const struct options *o, const json_t *reply)
{
	const json_t *results = json_object_get(reply, "results"), *first = json_array_get(results, 0);
	json_t *row;
	size_t i;
	int rc = (int)reply_int(reply, "exit", CTL_JOB_FAILED);

	if (o->json)
		json_array_foreach((json_t *)results, i, row)
			render_json(stdout, row);
	if (!json_is_true(json_object_get(reply, "done")))
		return CTL_TIMED_OUT;
	return o->exit_code && reply_text(first, "path") ? exit_code_of(first, rc) : rc;
}

static int wait_for(const struct options *o, struct vl_conn *conn, json_t *targets)
{
	json_t *params = json_pack("{s:O}", "targets", targets), *reply = NULL;
	int rc;

	if (o->timeout_s >= 0)
		json_object_set_new(params, "timeout_s", json_real(o->timeout_s));
	rc = call(conn, "Wait", params, &reply);
	if (rc == 0)
		rc = finish(o, reply);
	json_decref(reply);
	return rc;
}

int cmd_wait(const struct options *o)
{
	json_t *targets;
	struct vl_conn *conn = NULL;
	int rc;

	if (o->exit_code && o->n_args != 1)
		return complain(CTL_USAGE, "--exit-code is for one job, got %zu addresses", o->n_args);
	targets = json_array();
	rc = read_targets(o, targets);
	if (rc == 0)
		rc = conn_open(o, CONN_MAY_START, &conn);
	if (rc == 0)
		rc = wait_for(o, conn, targets);
	json_decref(targets);
	vl_close(conn);
	return rc;
}
