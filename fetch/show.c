/* SPDX-License-Identifier: MIT */
#include "show.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "clock.h"
#include "fetch.h"
#include "mem.h"
#include "record.h"

int show_open(struct fetch *f)
{
	bool to_stdout = f->o->output && strcmp(f->o->output, "-") == 0;

	f->terminal = !f->o->quiet && !f->o->json && isatty(STDERR_FILENO);
	if (f->o->json || f->o->stats)
		f->lines = to_stdout ? stderr : stdout;
	if (f->o->progress_fd == UINT64_MAX)
		return 0;
	f->runner = fdopen((int)f->o->progress_fd, "w");
	if (f->runner)
		return 0;
	fprintf(stderr, "fetch: cannot write to descriptor %" PRIu64 " of --progress-fd: %s\n", f->o->progress_fd, strerror(errno));
	return FETCH_USAGE;
}

/* ---- lines for programs ---------------------------------------------------------------------------------------------- */

static void say(FILE *to, char *line)
{
	if (to) {
		fprintf(to, "%s\n", line);
		fflush(to);
	}
}

static void say_both(struct fetch *f, char *line, bool final)
{
	say(f->o->json || final ? f->lines : NULL, line);
	say(f->runner, line);
	free(line);
}

/* ---- the terminal ---------------------------------------------------------------------------------------------------- */

static const char *human(char text[32], double bytes)
{
	static const char units[] = "BKMGTPE";
	int i = 0;

	for (; bytes >= 1024 && units[i + 1]; i++)
		bytes /= 1024;
	snprintf(text, 32, i ? "%.1f %ciB" : "%.0f %c", bytes, units[i]);
	return text;
}

/* What is drawn over may neither wrap nor scroll away. */
static struct winsize window(void)
{
	struct winsize ws;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &ws) != 0 || ws.ws_col < 2 || ws.ws_row < 2)
		ws = (struct winsize){ .ws_col = 80, .ws_row = 24 };
	return ws;
}

/* Where a character of UTF-8 ends that begins at `at`. */
static size_t next_character(const char *text, size_t at)
{
	at += text[at] != '\0';
	while (((unsigned char)text[at] & 0xc0) == 0x80)
		at++;
	return at;
}

static size_t characters(const char *text)
{
	size_t n = 0;

	for (size_t at = 0; text[at]; at = next_character(text, at))
		n++;
	return n;
}

/* The last `most` characters: of a long name its end tells more than its beginning. */
static const char *tail(const char *text, size_t most)
{
	for (size_t n = characters(text); n > most; n--)
		text += next_character(text, 0);
	return text;
}

/* As much of the line as there are columns for. Frees it. */
static void draw_line(struct fetch *f, const struct winsize *ws, char *line)
{
	size_t end = 0;

	for (size_t col = 1; col < ws->ws_col; col++)
		end = next_character(line, end);
	fprintf(stderr, "%.*s\n", (int)end, line);
	free(line);
	f->drawn++;
}

static void erase(struct fetch *f)
{
	for (; f->drawn > 0; f->drawn--)
		fputs("\033[A\033[2K", stderr);
}

static void draw_slot(struct fetch *f, const struct winsize *ws, const struct slot *s)
{
	static const char *const states[] = { [SLOT_FREE] = "", [SLOT_WAITING] = "waits to try again", [SLOT_RUNNING] = "" };
	const struct jt_fetch_part *p = plan_part(f, s->part);
	char size[32], speed[32] = "-";
	uint64_t whole = p->end - p->start;

	if (s->speed != UINT64_MAX)
		human(speed, (double)s->speed);
	draw_line(f, ws, mem_print("  part %-3" PRIu32 " %10s  %3d %%  %10s/s  %s", s->part, p->end == OPEN_END ? "?" : human(size, (double)whole),
		p->end == OPEN_END || whole == 0 ? 0 : (int)(100 * (p->at - p->start) / whole), speed, states[s->state]));
}

static void draw_whole(struct fetch *f, const struct winsize *ws)
{
	char got[32], all[32] = "?", speed[32], *counts;
	int64_t ms = clock_ms() - f->begun_ms;
	size_t taken;

	if (f->end != OPEN_END)
		human(all, (double)(f->end - f->first));
	counts = mem_print("  %s of %s  %s/s", human(got, (double)f->written), all, human(speed, (double)f->received * 1000 / (double)(ms > 0 ? ms : 1)));
	taken = characters(counts) + 1;
	draw_line(f, ws, mem_print("%s%s", tail(f->target.name, taken < ws->ws_col ? ws->ws_col - taken : 0), counts));
	free(counts);
}

static void draw(struct fetch *f)
{
	struct winsize ws = window();

	erase(f);
	draw_whole(f, &ws);
	for (uint32_t i = 0; f->plan && i < f->n_slots && f->drawn + 1 < ws.ws_row; i++)
		if (f->slot[i].state != SLOT_FREE && f->slot[i].part != JT_FETCH_NONE)
			draw_slot(f, &ws, &f->slot[i]);
	fflush(stderr);
}

/* ---- what happens ---------------------------------------------------------------------------------------------------- */

void show_progress(struct fetch *f)
{
	if (f->o->json || f->runner)
		say_both(f, record_progress(f), false);
	if (f->terminal)
		draw(f);
}

static void tell(struct fetch *f, const char *text)
{
	erase(f);
	fprintf(stderr, "fetch: %s\n", text);
}

void show_note(struct fetch *f, const char *fmt, ...)
{
	va_list ap;
	char *text;

	va_start(ap, fmt);
	text = mem_vprint(fmt, ap);
	va_end(ap);
	if (!f->o->quiet)
		tell(f, text);
	say_both(f, record_event("note", text), false);
	free(text);
}

void show_restart(struct fetch *f)
{
	char *text = mem_print("%s: the object changed; fetching it anew", f->first_url.shown);

	if (!f->o->quiet)
		tell(f, text);
	say_both(f, record_event("restart", text), false);
	free(text);
}

static void tell_success(struct fetch *f)
{
	char bytes[32], speed[32];
	int64_t ms = clock_ms() - f->begun_ms;

	erase(f);
	if (f->unchanged)
		fprintf(stderr, "%s  not changed\n", f->target.name);
	else
		fprintf(stderr, "%s  %s in %.1f s, %s/s\n", f->target.name, human(bytes, (double)f->received), (double)ms / 1000,
			human(speed, (double)f->received * 1000 / (double)(ms > 0 ? ms : 1)));
}

void show_end(struct fetch *f)
{
	if (f->why.status != FETCH_OK)
		tell(f, f->why.text);
	else if (f->terminal && f->signal == 0)
		tell_success(f);
	if (f->lines || f->runner)
		say_both(f, record_end(f), true);
}
