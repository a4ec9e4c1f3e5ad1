/* SPDX-License-Identifier: MIT */
/* A call to its method, and the interface that every varlink service has. */
#include <stdlib.h>
#include <string.h>

#include "proto/arena.h"
#include "proto/fields.h"
#include "server_impl.h"

#define SERVICE "org.varlink.service"

static const char service_description[] =
	"# What every varlink service answers.\n"
	"interface org.varlink.service\n"
	"\n"
	"method GetInfo() -> (vendor: string, product: string, version: string, url: string, interfaces: []string)\n"
	"method GetInterfaceDescription(interface: string) -> (description: string)\n"
	"\n"
	"error InterfaceNotFound (interface: string)\n"
	"error MethodNotFound (method: string)\n"
	"error MethodNotImplemented (method: string)\n"
	"error InvalidParameter (parameter: string)\n"
	"error PermissionDenied ()\n"
	"error ExpectedMore ()\n";

/* An error with one string. */
static void fail_with(struct call *c, const char *error, const char *name, const char *value)
{
	json_t *params = json_object();

	if (!params || json_object_set_new(params, name, json_string(value)) < 0)
		abort();
	call_error(c, error, params);
}

/* ---- org.varlink.service ------------------------------------------------------------------------------------------ */

static const struct field no_fields[] = { FIELD_END };

static void get_info(void *ctx, struct call *c, const json_t *params)
{
	const struct server_opts *o = &((struct server *)ctx)->opts;
	struct field_error err;
	char none;
	json_t *info;

	if (fields_read(no_fields, params, &none, NULL, &err) < 0) {
		call_invalid(c, err.field);
		return;
	}
	info = json_pack("{s:s, s:s, s:s, s:s, s:[s, s]}", "vendor", o->vendor, "product", o->product, "version", o->version, "url",
			 o->url, "interfaces", SERVICE, o->interface);
	if (!info)
		abort();
	call_reply(c, info);
}

struct description_params {
	const char *interface;
};
static const struct field description_fields[] = {
	FIELD_STRING("interface", struct description_params, interface, 0, SERVER_FRAME_MAX, FIELD_REQUIRED),
	FIELD_END
};

static const char *description_of(const struct server *srv, const char *interface)
{
	if (!strcmp(interface, SERVICE))
		return service_description;
	return strcmp(interface, srv->opts.interface) ? NULL : srv->opts.description;
}

static void get_interface_description(void *ctx, struct call *c, const json_t *params)
{
	struct description_params p = { 0 };
	struct field_error err;
	struct arena a;
	const char *text;

	arena_init(&a);
	if (fields_read(description_fields, params, &p, &a, &err) < 0)
		call_invalid(c, err.field);
	else if (!(text = description_of(ctx, p.interface)))
		fail_with(c, SERVER_INTERFACE_NOT_FOUND, "interface", p.interface);
	else
		call_reply(c, json_pack("{s:s}", "description", text));
	arena_done(&a);
}

static const struct server_method service_methods[] = {
	{ .name = SERVICE ".GetInfo", .fn = get_info },
	{ .name = SERVICE ".GetInterfaceDescription", .fn = get_interface_description },
	{ .name = NULL },
};

/* ---- to the method ------------------------------------------------------------------------------------------------ */

static const struct server_method *find(const struct server_method *methods, const char *name)
{
	for (; methods->name; methods++)
		if (!strcmp(methods->name, name))
			return methods;
	return NULL;
}

static bool is_of(const char *method, size_t interface_len, const char *interface)
{
	return strlen(interface) == interface_len && !memcmp(method, interface, interface_len);
}

static void not_found(struct call *c, const char *method)
{
	const char *dot = strrchr(method, '.');
	size_t len = dot ? (size_t)(dot - method) : 0;
	char *interface;

	if (len == 0) {
		call_invalid(c, "method");
		return;
	}
	if (is_of(method, len, SERVICE) || is_of(method, len, c->s->srv->opts.interface)) {
		fail_with(c, SERVER_METHOD_NOT_FOUND, "method", method);
		return;
	}
	interface = strndup(method, len);
	if (!interface)
		abort();
	fail_with(c, SERVER_INTERFACE_NOT_FOUND, "interface", interface);
	free(interface);
}

bool server_streams(const struct server *srv, const char *method)
{
	const struct server_method *m = find(srv->opts.methods, method);

	return m && m->streams;
}

void server_dispatch(struct call *c, const char *method)
{
	struct server *srv = c->s->srv;
	const struct server_method *ours = find(service_methods, method), *theirs = find(srv->opts.methods, method);

	if (c->flags & VL_UPGRADE)
		call_invalid(c, "upgrade");
	else if (ours)
		ours->fn(srv, c, c->params);
	else if (!theirs)
		not_found(c, method);
	else if (!theirs->fn)
		fail_with(c, SERVER_METHOD_NOT_IMPLEMENTED, "method", method);
	else
		theirs->fn(srv->opts.ctx, c, c->params);
}
