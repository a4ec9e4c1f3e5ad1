/* SPDX-License-Identifier: MIT */
/* Varlink messages: from text to objects and back. No I/O. */
#include "proto/varlink.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/fields.h"
#include "proto/quote.h"

/* ---- from text ---------------------------------------------------------------------------------------------------- */

/* End of the string that begins behind s: its closing quote, or end. */
static const char *skip_string(const char *s, const char *end)
{
	for (;;) {
		const char *quote = memchr(s, '"', (size_t)(end - s));
		const char *escape = memchr(s, '\\', (size_t)((quote ? quote : end) - s));

		if (!escape)
			return quote ? quote : end;
		if (end - escape < 2)
			return end;
		s = escape + 2;
	}
}

/* The parser recurses once a level, so this is asked first. Right for valid JSON; what is not valid is found by the parser. */
static bool is_too_deep(const char *s, size_t len)
{
	const char *end = s + len;
	int depth = 0;

	for (; s < end; s++) {
		if (*s == '"')
			s = skip_string(s + 1, end);
		else if (*s == '{' || *s == '[')
			depth++;
		else if (*s == '}' || *s == ']')
			depth--;
		if (depth > VL_DEPTH_MAX)
			return true;
	}
	return false;
}

static json_t *refuse(struct vl_why *why, const char *text)
{
	quote_short(why->text, sizeof(why->text), text, strlen(text));
	return NULL;
}

static json_t *refuse_depth(struct vl_why *why)
{
	char text[32];

	(void)snprintf(text, sizeof(text), "more than %d levels", VL_DEPTH_MAX);
	return refuse(why, text);
}

json_t *vl_parse(const char *text, size_t len, struct vl_why *why)
{
	json_error_t jerr;
	json_t *obj;

	if (len == 0)
		return refuse(why, "an empty message");
	if (is_too_deep(text, len))
		return refuse_depth(why);
	obj = json_loadb(text, len, JSON_REJECT_DUPLICATES, &jerr);
	if (!obj)
		return refuse(why, jerr.text);
	if (json_is_object(obj))
		return obj;
	json_decref(obj);
	return refuse(why, "a message must be an object, got a list");
}

/* Lends the string of the message. */
static int lend_string(const struct field_at *at, const json_t *value, void *dst, struct arena *a)
{
	const char *s = json_string_value(value);

	(void)a;
	if (!s || !*s)
		return field_fail(at, "must be a string that is not empty");
	memcpy(dst, &s, sizeof(s));
	return 0;
}

struct call_in {
	struct vl_call call;
	bool more, oneway, upgrade;
};
static const struct field call_fields[] = {
	FIELD_CUSTOM("method", struct call_in, call.method, lend_string, FIELD_REQUIRED),
	FIELD_OBJECT("parameters", struct call_in, call.params, 0),
	FIELD_BOOL("more", struct call_in, more, 0),
	FIELD_BOOL("oneway", struct call_in, oneway, 0),
	FIELD_BOOL("upgrade", struct call_in, upgrade, 0),
	FIELD_END
};

int vl_call_read(const json_t *msg, struct vl_call *ret, struct vl_why *why)
{
	struct call_in in = { 0 };
	struct field_error err;

	if (fields_read(call_fields, msg, &in, NULL, &err) < 0) {
		refuse(why, err.text);
		return -1;
	}
	if (in.more && in.oneway) {
		refuse(why, "more and oneway exclude each other");
		return -1;
	}
	in.call.flags = (in.more ? VL_MORE : 0) | (in.oneway ? VL_ONEWAY : 0) | (in.upgrade ? VL_UPGRADE : 0);
	*ret = in.call;
	return 0;
}

struct reply_in {
	const json_t *params;
	const char *error;
	bool continues;
};
static const struct field reply_fields[] = {
	FIELD_OBJECT("parameters", struct reply_in, params, 0),
	FIELD_CUSTOM("error", struct reply_in, error, lend_string, 0),
	FIELD_BOOL("continues", struct reply_in, continues, 0),
	FIELD_END
};

int vl_reply_read(json_t *msg, struct vl_reply *ret, struct vl_why *why)
{
	struct reply_in in = { 0 };
	struct field_error err;
	json_t *params;

	if (fields_read(reply_fields, msg, &in, NULL, &err) < 0) {
		refuse(why, err.text);
		json_decref(msg);
		return -1;
	}
	params = in.params ? json_incref((json_t *)(uintptr_t)in.params) : json_object();
	if (!params)
		abort();
	*ret = (struct vl_reply){ .params = params, .error = in.error, .continues = in.continues, .msg = msg };
	return 0;
}

void vl_reply_done(struct vl_reply *r)
{
	json_decref(r->params);
	json_decref(r->msg);
	*r = (struct vl_reply){ 0 };
}

/* ---- to text ------------------------------------------------------------------------------------------------------ */

#define PACK_FIRST 2048

/* Not json_dumps: of jansson 2.14, where its buffer can not grow it leaves something out and goes on. */
char *vl_pack(const json_t *obj, size_t *ret_len)
{
	size_t size = PACK_FIRST, len;
	char *text = malloc(size), *more;

	len = text ? json_dumpb(obj, text, size - 1, JSON_COMPACT) : 0;
	if (len && len > size - 1) {
		size = len + 1;
		more = realloc(text, size);
		text = more ? more : (free(text), NULL);
		len = text ? json_dumpb(obj, text, size - 1, JSON_COMPACT) : 0;
	}
	if (!len) {
		free(text);
		return NULL;
	}
	text[len] = '\0';
	*ret_len = len + 1;
	return text;
}

/* A message with one string and parameters, which are taken. */
static json_t *new_message(const char *name, const char *value, json_t *params)
{
	json_t *msg = json_object();

	if (!msg || (name && json_object_set_new(msg, name, json_string(value)) < 0)) {
		json_decref(params);
		json_decref(msg);
		return NULL;
	}
	if (params && json_object_set_new(msg, "parameters", params) < 0) {
		json_decref(msg);
		return NULL;
	}
	return msg;
}

/* Sets what is asked for; NULL, msg released, when memory is out. */
static json_t *with_flag(json_t *msg, const char *name, bool wanted)
{
	if (!msg || !wanted || json_object_set_new(msg, name, json_true()) == 0)
		return msg;
	json_decref(msg);
	return NULL;
}

json_t *vl_call_new(const char *method, json_t *params, unsigned flags)
{
	json_t *msg = new_message("method", method, params);

	msg = with_flag(msg, "more", flags & VL_MORE);
	msg = with_flag(msg, "oneway", flags & VL_ONEWAY);
	return with_flag(msg, "upgrade", flags & VL_UPGRADE);
}

json_t *vl_reply_new(json_t *params, bool continues)
{
	return with_flag(new_message(NULL, NULL, params ? params : json_object()), "continues", continues);
}

json_t *vl_error_new(const char *error, json_t *params)
{
	return new_message("error", error, params ? params : json_object());
}
