/* SPDX-License-Identifier: MIT */
/* jobd-fetch - one object into one file that is complete and right, or not there. `jobctl fetch` and the daemon start it. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "clock.h"
#include "config.h"
#include "fetch.h"
#include "mem.h"
#include "show.h"
#include "sums.h"

static const char usage[] =
	"usage: jobd-fetch [OPTIONS] URL -o FILE|-\n"
	"       jobd-fetch [OPTIONS] URL --range FIRST-LAST --into FILE --at OFFSET\n"
	"jobctl-fetch(1) tells what the options are, `jobctl fetch --help` lists them.\n";

/* ---- what is given --------------------------------------------------------------------------------------------------- */

static int read_address(struct fetch *f)
{
	const char *text = f->o->url, *why;

	f->is_s3 = s3_is(text);
	if (f->is_s3 && s3_read(text, &f->s3, &f->why) != 0)
		return -1;
	if (url_read(f->is_s3 ? f->s3.url : text, &f->first_url, &why) != 0) {
		char *shown = url_shown(text);

		fail_set(&f->why, FETCH_USAGE, "%s: %s (http://, https:// or s3://)", shown, why);
		free(shown);
		return -1;
	}
	url_copy(&f->first_url, &f->url);
	f->id = digest_id(f->is_s3 ? f->s3.url : text);
	return 0;
}

/* What decides about ranges is ours. */
static bool is_reserved(const char *line)
{
	static const char *const names[] = { "range", "if-range", "if-match", "if-none-match", "if-modified-since", "accept-encoding" };
	size_t len = strcspn(line, ":");

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (strlen(names[i]) == len && strncasecmp(line, names[i], len) == 0)
			return true;
	return false;
}

static int add_header(struct fetch *f, char *line, size_t number)
{
	const char *path = f->o->header_file;

	line[strcspn(line, "\r\n")] = '\0';
	if (line[0] == '#' || line[0] == '\0')
		return 0;
	if (line[strspn(line, "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")] != ':' || line[0] == ':')
		return fail_set(&f->why, FETCH_USAGE, "%s:%zu: not a header field: NAME: VALUE", path, number);
	if (is_reserved(line))
		return fail_set(&f->why, FETCH_USAGE, "%s:%zu: this field is set by fetch itself", path, number);
	f->extra.v = mem_grow(f->extra.v, f->extra.n + 1, sizeof(*f->extra.v));
	f->extra.v[f->extra.n++] = mem_text(line);
	return 0;
}

static int read_headers(struct fetch *f)
{
	FILE *in = f->o->header_file ? fopen(f->o->header_file, "re") : NULL;
	char *line = NULL;
	size_t size = 0, number = 0;
	int rc = 0;

	if (!f->o->header_file)
		return 0;
	if (!in)
		return fail_set(&f->why, FETCH_USAGE, "cannot read %s: %s", f->o->header_file, strerror(errno));
	while (rc == 0 && getline(&line, &size, in) > 0)
		rc = add_header(f, line, ++number);
	free(line);
	fclose(in);
	return rc;
}

/* ---- a life ---------------------------------------------------------------------------------------------------------- */

static void init(struct fetch *f, const struct fetch_options *o)
{
	*f = (struct fetch){ .o = o, .signal_fd = -1, .modified = -1, .begun_ms = clock_ms(), .beat_ms = clock_ms() };
	f->target.fd = f->keep.fd = -1;
	f->object.total = f->told = SIZE_UNKNOWN;
	f->first = o->range ? o->first : 0;
	f->end = o->range ? o->last + 1 : OPEN_END;
}

static int watch_signals(struct fetch *f)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	f->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return f->signal_fd < 0 ? fail_set(&f->why, FETCH_IO, "cannot watch signals: %s", strerror(errno)) : 0;
}

static int start(struct fetch *f)
{
	uint32_t streams = f->target.kind == TARGET_STREAM ? 1 : (uint32_t)f->o->streams;

	f->n_slots = f->allowed = streams;
	f->slot = mem_zero(streams, sizeof(*f->slot));
	for (uint32_t i = 0; i < streams; i++) {
		f->slot[i] = (struct slot){ .f = f, .part = JT_FETCH_NONE };
		answer_init(&f->slot[i].answer);
	}
	f->multi = curl_multi_init();
	keep_init(&f->keep, f->target.part);
	if (!f->multi || writer_start(&f->writer, f->o, &f->target, &f->keep, BUFFERS_PER_STREAM * streams) != 0)
		return fail_set(&f->why, FETCH_IO, "cannot start: %s", strerror(errno));
	f->wanted = f->given;
	if (!plan_resume(f)) {
		writer_ask(&f->writer, WORK_EMPTY, 0, NULL, 0);
		if (f->o->if_changed)
			finish_read_before(f);
	}
	return 0;
}

static void fetch(struct fetch *f)
{
	if (start(f) == 0)
		net_run(f);
	if (f->why.status == FETCH_OK && f->signal == 0 && !f->ended)
		finish(f);
	if (f->unchanged || !f->ended)
		finish_failed(f);
}

static void done(struct fetch *f)
{
	for (uint32_t i = 0; i < f->n_slots; i++) {
		struct slot *s = &f->slot[i];

		if (s->easy)
			curl_easy_cleanup(s->easy);
		curl_slist_free_all(s->headers);
		url_done(&s->url);
		answer_done(&s->answer);
	}
	free(f->slot);
	if (f->multi)
		curl_multi_cleanup(f->multi);
	hasher_end(&f->hasher);
	writer_end(&f->writer);
	jt_fetch_plan_free(f->plan);
	free(f->course);
	keep_done(&f->keep);
	target_done(&f->target);
	object_done(&f->object);
	object_done(&f->before);
	for (size_t i = 0; i < f->extra.n; i++)
		free((char *)(uintptr_t)f->extra.v[i]);
	free(f->extra.v);
	url_done(&f->first_url);
	url_done(&f->url);
	s3_done(&f->s3);
	free(f->id);
	if (f->signal_fd >= 0)
		close(f->signal_fd);
}

/* Whoever has sent the signal sees it as the end. */
static void die_of(int sig)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, sig);
	signal(sig, SIG_DFL);
	raise(sig);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static int life(const struct fetch_options *o)
{
	struct fetch f;
	int status, sig;

	init(&f, o);
	status = show_open(&f);
	if (status)
		return status;
	if (read_address(&f) == 0 && sums_read(o, &f.given, &f.why) == 0 && read_headers(&f) == 0 &&
	    target_open(&f.target, o, &f.why) == 0 && watch_signals(&f) == 0)
		fetch(&f);
	show_end(&f);
	status = (int)f.why.status;
	sig = status ? 0 : f.signal;
	if (f.writer.given > 0)                 /* the disk hangs: the thread that waits for it cannot be ended */
		_exit(status ? status : 128 + sig);
	done(&f);
	if (sig)
		die_of(sig);
	return status;
}

int main(int argc, char **argv)
{
	struct fetch_options o;
	int status = options_read(&o, argc, argv);

	signal(SIGPIPE, SIG_IGN);
	if (status == 0 && o.help)
		fputs(usage, stdout);
	else if (status == 0 && o.version)
		puts("jobd-fetch " PACKAGE_VERSION);
	else if (status == 0 && curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		status = FETCH_NET;
	else if (status == 0)
		status = life(&o);
	options_done(&o);
	return status;
}
