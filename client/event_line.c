/* SPDX-License-Identifier: MIT */
#include "event_line.h"

#include <string.h>

#include "render.h"
#include "times.h"
#include "transfer.h"

void event_line(FILE *out, const json_t *event, enum event_scope scope)
{
	const char *path = reply_text(event, "path"), *state = reply_text(event, "state"), *kind = reply_text(event, "kind");
	char at[64], end[512], text[128];

	render_text(out, times_show_clock(reply_text(event, "at"), at, sizeof(at)));
	fputc(' ', out);
	if (scope == EVENT_OF_ANY_RUN)
		fprintf(out, "%" JSON_INTEGER_FORMAT " ", reply_int(event, "run", 0));
	render_text(out, kind ? kind : "?");
	if (path) {
		fputc(' ', out);
		render_text(out, path);
	}
	if (reply_int(event, "attempt", 0) > 1)
		fprintf(out, " (attempt %" JSON_INTEGER_FORMAT ")", reply_int(event, "attempt", 0));
	if (state) {
		fputs(": ", out);
		render_state(out, state);
	}
	if (json_object_get(event, "progress"))
		fprintf(out, ", %s", transfer_text(json_object_get(event, "progress"), text, sizeof(text)));
	if (*render_end(event, end, sizeof(end))) {
		fputs(", ", out);
		render_text(out, end);
	}
	fputc('\n', out);
}
