/* SPDX-License-Identifier: MIT */
#include "call.h"

#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "status.h"
#include "talk.h"

#define INTERFACE "org.jobd."

static const struct { const char *name; int status; } errors[] = {
	{ "Refused", CTL_REFUSED }, { "KeyConflict", CTL_REFUSED }, { "NoSuchRun", CTL_NO_SUCH }, { "NoSuchJob", CTL_NO_SUCH },
	{ "NotAllowed", CTL_REFUSED }, { "WrongState", CTL_REFUSED }, { "Busy", CTL_BUSY }, { "DiskFull", CTL_BUSY }, { "Failed", CTL_NO_DAEMON },
};

int call_status(const char *error)
{
	if (strncmp(error, INTERFACE, strlen(INTERFACE)) != 0)
		return CTL_REFUSED;
	for (size_t i = 0; i < sizeof(errors) / sizeof(*errors); i++)
		if (strcmp(error + strlen(INTERFACE), errors[i].name) == 0)
			return errors[i].status;
	return CTL_REFUSED;
}

int call_failed(const struct vl_reply *r)
{
	const char *message = json_string_value(json_object_get(r->params, "message"));
	const char *parameter = json_string_value(json_object_get(r->params, "parameter"));
	int status = call_status(r->error);

	if (message)
		return complain(status, "%s", message);
	if (strcmp(r->error, "org.varlink.service.InvalidParameter") == 0)
		return complain(status, "the daemon does not take the parameter %s; are jobctl and jobd of one version?",
				parameter ? parameter : "");
	return complain(status, "the daemon answered %s; are jobctl and jobd of one version?", r->error);
}

int call_broken(const struct vl_error *err)
{
	if (err->code == VL_ECLOSED)
		return complain(CTL_NO_DAEMON, "the daemon went away; what it had accepted is not lost, running jobs run on: ask again when it is back "
				"(`jobctl ls` tells how things stand)");
	if (err->code == VL_EWOKEN)
		return CTL_INTERRUPTED;
	if (err->code == VL_ETIME)
		return complain(CTL_TIMED_OUT, "%s", err->text);
	return complain(CTL_NO_DAEMON, "%s", err->text);
}

int call_begin(struct vl_conn *c, const char *method, json_t *params, unsigned flags)
{
	char *full;
	struct vl_error err;
	int rc;

	if (!params)
		return complain(CTL_USAGE, "an argument is not UTF-8; bytes that are not can be given by NDJSON with argv_b64");
	full = xasprintf(INTERFACE "%s", method);
	rc = vl_send(c, full, params, flags, -1, &err);
	free(full);
	return rc == 0 ? 0 : call_broken(&err);
}

int call_next(struct vl_conn *c, json_t **ret, int *ret_last)
{
	struct vl_reply r = { 0 };
	struct vl_error err;
	int rc = 0;

	if (vl_recv(c, -1, &r, &err) != 0)
		return call_broken(&err);
	if (r.error)
		rc = call_failed(&r);
	else
		*ret = json_incref(r.params);
	*ret_last = !r.continues;
	vl_reply_done(&r);
	return rc;
}

int call(struct vl_conn *c, const char *method, json_t *params, json_t **ret)
{
	int last, rc = call_begin(c, method, params, VL_PLAIN);

	return rc ? rc : call_next(c, ret, &last);
}

json_t *call_try(struct vl_conn *c, const char *method, json_t *params)
{
	struct vl_reply r = { 0 };
	struct vl_error err;
	json_t *got = NULL;
	char *full = xasprintf(INTERFACE "%s", method);

	if (params && vl_call(c, full, params, VL_PLAIN, -1, &r, &err) == 0 && !r.error)
		got = json_incref(r.params);
	vl_reply_done(&r);
	free(full);
	return got;
}

int call_more(struct vl_conn *c, const char *method, json_t *params, int (*fn)(void *arg, const json_t *params), void *arg)
{
	int last = 0, rc = call_begin(c, method, params, VL_MORE);

	while (rc == 0 && !last) {
		json_t *reply = NULL;

		rc = call_next(c, &reply, &last);
		if (rc == 0)
			rc = fn(arg, reply);
		json_decref(reply);
	}
	return rc;
}

/* ---- addresses -------------------------------------------------------------------------------------------------------- */

int address_read(const char *text, struct address *ret)
{
	struct address a = { .run = xstrdup(text) };
	char *slash = strchr(a.run, '/');

	if (slash) {
		*slash = '\0';
		a.path = slash + 1;
	}
	if (!*a.run || (a.path && !*a.path)) {
		free(a.run);
		return complain(CTL_USAGE, "\"%s\" is no address; a run is its number or name, a job is RUN/PATH", text);
	}
	*ret = a;
	return 0;
}

int address_read_job(const char *text, struct address *ret)
{
	int rc = address_read(text, ret);

	if (rc == 0 && !ret->path) {
		address_done(ret);
		return complain(CTL_USAGE, "\"%s\" is a run; a job is needed: %s/PATH (jobctl ls %s lists them)", text, text, text);
	}
	return rc;
}

int address_read_run(const char *text, struct address *ret)
{
	int rc = address_read(text, ret);

	if (rc == 0 && ret->path) {
		address_done(ret);
		return complain(CTL_USAGE, "\"%s\" is a job; a run is needed, its number or its name", text);
	}
	return rc;
}

void address_done(struct address *a)
{
	free(a->run);
	*a = (struct address){ 0 };
}
