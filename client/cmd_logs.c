/* SPDX-License-Identifier: MIT */
/* logs: what a job has written; its stdout to ours, its stderr to ours. */
#include <stdio.h>
#include <unistd.h>

#include "call.h"
#include "conn.h"
#include "log_pump.h"
#include "verbs.h"

static int show(const struct options *o, const struct address *a)
{
	struct log_stream streams[2];
	size_t n = 0;
	int rc = 0;

	if (o->out || !o->err)
		streams[n++] = (struct log_stream){ .name = "out", .fd = STDOUT_FILENO };
	if (o->err || !o->out)
		streams[n++] = (struct log_stream){ .name = "err", .fd = o->err && !o->out ? STDOUT_FILENO : STDERR_FILENO };
	for (size_t i = 0; i < n; i++) {
		streams[i].run = a->run;
		streams[i].path = a->path;
		streams[i].attempt = o->attempt;
		if (rc == 0)
			rc = conn_open(o, CONN_MAY_START, &streams[i].conn);
		if (rc == 0 && !o->follow)
			rc = log_copy(&streams[i]);
	}
	if (rc == 0 && o->follow)
		rc = log_follow_all(streams, n);
	for (size_t i = 0; i < n; i++)
		vl_close(streams[i].conn);
	return rc;
}

int cmd_logs(const struct options *o)
{
	struct address a;
	int rc = address_read_job(o->args[0], &a);

	if (rc)
		return rc;
	rc = show(o, &a);
	address_done(&a);
	return rc;
}
