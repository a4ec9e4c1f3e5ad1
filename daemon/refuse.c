/* SPDX-License-Identifier: MIT */
/* Refuse - the error of a request is filled in: which one, in which words, and what is at fault. */
#include <stdarg.h>
#include <stdio.h>

#include "engine.h"

int req_fail(struct req_error *err, const char *name, const char *fmt, ...)
{
	va_list ap;

	err->name = name;
	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	return -1;
}

int req_at(struct req_error *err, const char *field, const char *path)
{
	snprintf(err->field, sizeof(err->field), "%s", field);
	snprintf(err->path, sizeof(err->path), "%.255s", path ? path : "");
	return -1;
}

int refuse_spec(struct req_error *err, const struct spec_error *se)
{
	req_fail(err, "org.jobd.Refused", "%s", se->text);
	return req_at(err, se->field, se->job);
}

int refuse_tree(struct req_error *err, const struct jt_error *je, const char *path)
{
	req_fail(err, "org.jobd.Refused", "%s", je->text);
	return req_at(err, "path", path);
}
