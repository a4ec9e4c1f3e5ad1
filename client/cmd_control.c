/* SPDX-License-Identifier: MIT */
/* cancel, hold, release, pause, resume, retry, rm: one call for each address; silent when it is done. */
#include <string.h>

#include "call.h"
#include "conn.h"
#include "status.h"
#include "talk.h"
#include "verbs.h"

enum target { A_RUN, A_JOB, A_RUN_OR_JOB };

struct control {
	const char *method;
	enum target target;
	const char *nothing;    /* what to say where it changed nothing; NULL: the method always changes something */
	const char *option;     /* a flag of the method that is set; NULL: none */
};

static int read_target(const struct control *c, const char *text, struct address *ret)
{
	if (c->target == A_RUN)
		return address_read_run(text, ret);
	return c->target == A_JOB ? address_read_job(text, ret) : address_read(text, ret);
}

static int control_one(struct vl_conn *conn, const struct control *c, const char *text)
{
	json_t *params, *reply = NULL;
	struct address a;
	int rc = read_target(c, text, &a);

	if (rc)
		return rc;
	params = json_pack("{s:s, s:s*}", "run", a.run, "path", a.path);
	if (params && c->option)
		json_object_set_new(params, c->option, json_true());
	rc = call(conn, c->method, params, &reply);
	if (rc == 0 && c->nothing && json_integer_value(json_object_get(reply, "n")) == 0)
		mention("%s: %s", text, c->nothing);
	json_decref(reply);
	address_done(&a);
	return rc;
}

/* All are tried; the first failure gives the status. */
static int control(const struct options *o, const struct control *c)
{
	struct vl_conn *conn;
	int rc = conn_open(o, CONN_MAY_START, &conn);

	if (rc)
		return rc;
	for (size_t i = 0; i < o->n_args; i++) {
		int one = control_one(conn, c, o->args[i]);

		if (rc == 0)
			rc = one;
	}
	vl_close(conn);
	return rc;
}

int cmd_cancel(const struct options *o)
{
	return control(o, &(struct control){ "Cancel", A_RUN_OR_JOB, "has ended already", o->now ? "now" : NULL });
}

int cmd_hold(const struct options *o)
{
	return control(o, &(struct control){ "Hold", A_JOB, "is held already", NULL });
}

int cmd_release(const struct options *o)
{
	return control(o, &(struct control){ "Release", A_JOB, "is not held", NULL });
}

int cmd_pause(const struct options *o)
{
	return control(o, &(struct control){ "Pause", A_RUN, NULL, NULL });
}

int cmd_resume(const struct options *o)
{
	return control(o, &(struct control){ "Resume", A_RUN, NULL, NULL });
}

int cmd_retry(const struct options *o)
{
	return control(o, &(struct control){ "Retry", A_RUN_OR_JOB, "there is nothing to run again", o->all ? "all" : NULL });
}

int cmd_rm(const struct options *o)
{
	return control(o, &(struct control){ "Remove", A_RUN, NULL, NULL });
}
