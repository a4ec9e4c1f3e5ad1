/* SPDX-License-Identifier: MIT */
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fetch_defaults.h"
#include "jobtree_fetch.h"
#include "mem.h"
#include "status.h"

enum kind { FLAG, TEXT, TEXTS, COUNT, SIZE, SECONDS };

struct row {
	const char *name;
	int letter;
	enum kind kind;
	size_t offset;
	uint64_t min, max;      /* COUNT and SIZE */
};

#define AT(field) offsetof(struct fetch_options, field)
static const struct row rows[] = {
	{ "alloc", 0, TEXT, AT(alloc_name), 0, 0 },
	{ "at", 0, SIZE, AT(at), 0, INT64_MAX },
	{ "cacert", 0, TEXT, AT(cacert), 0, 0 },
	{ "checksum", 0, TEXTS, AT(checksum), 0, 0 },
	{ "checksum-file", 0, TEXT, AT(checksum_file), 0, 0 },
	{ "deadline", 0, SECONDS, AT(deadline_ms), 0, 0 },
	{ "durable", 0, FLAG, AT(durable), 0, 0 },
	{ "header-file", 0, TEXT, AT(header_file), 0, 0 },
	{ "heartbeat", 0, SECONDS, AT(heartbeat_ms), 0, 0 },
	{ "help", 'h', FLAG, AT(help), 0, 0 },
	{ "http2", 0, FLAG, AT(http2), 0, 0 },
	{ "if-changed", 0, FLAG, AT(if_changed), 0, 0 },
	{ "into", 0, TEXT, AT(into), 0, 0 },
	{ "json", 0, FLAG, AT(json), 0, 0 },
	{ "keep-bad", 0, FLAG, AT(keep_bad), 0, 0 },
	{ "limit-rate", 0, SIZE, AT(limit_rate), 1, INT64_MAX },
	{ "max-per-host", 0, COUNT, AT(max_per_host), 1, JT_FETCH_STREAMS_MAX },
	{ "min-part", 0, SIZE, AT(min_part), 4096, INT64_MAX },
	{ "mtime", 0, FLAG, AT(mtime), 0, 0 },
	{ "no-clobber", 0, FLAG, AT(no_clobber), 0, 0 },
	{ "no-fsync", 0, FLAG, AT(no_fsync), 0, 0 },
	{ "output", 'o', TEXT, AT(output), 0, 0 },
	{ "progress-fd", 0, COUNT, AT(progress_fd), 0, 1 << 20 },
	{ "quiet", 'q', FLAG, AT(quiet), 0, 0 },
	{ "range", 0, TEXT, AT(range), 0, 0 },
	{ "restarts", 0, COUNT, AT(restarts), 0, 1000 },
	{ "retry-after-cap", 0, SECONDS, AT(retry_after_cap_ms), 0, 0 },
	{ "save-bytes", 0, SIZE, AT(save_bytes), 65536, INT64_MAX },
	{ "save-interval", 0, SECONDS, AT(save_ms), 0, 0 },
	{ "stall-timeout", 0, SECONDS, AT(stall_ms), 0, 0 },
	{ "stats", 0, FLAG, AT(stats), 0, 0 },
	{ "streams", 'x', COUNT, AT(streams), 1, JT_FETCH_STREAMS_MAX },
	{ "tries", 0, COUNT, AT(tries), 1, 1000000 },
	{ "trust-size", 0, FLAG, AT(trust_size), 0, 0 },
	{ "url-fd", 0, COUNT, AT(url_fd), 0, 1 << 20 },
	{ "version", 0, FLAG, AT(version), 0, 0 },
};
#define N_ROWS (sizeof(rows) / sizeof(*rows))

__attribute__((format(printf, 1, 2))) static int wrong(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fputs("fetch: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	return FETCH_USAGE;
}

/* ---- values ------------------------------------------------------------------------------------------------------ */

static bool number(const char **p, uint64_t *ret)
{
	char *end;

	errno = 0;
	*ret = strtoull(*p, &end, 10);
	if (errno || **p < '0' || **p > '9')
		return false;
	*p = end;
	return true;
}

/* 4096, 64K, 8M, 2G */
static bool size(const char *text, uint64_t *ret)
{
	uint64_t factor;

	if (!number(&text, ret))
		return false;
	factor = *text == 'K' ? 1u << 10 : *text == 'M' ? 1u << 20 : *text == 'G' ? 1u << 30 : 1;
	if (factor > 1)
		text++;
	return *text == '\0' && !__builtin_mul_overflow(*ret, factor, ret);
}

static int set_number(const struct row *row, const char *text, uint64_t *field)
{
	const char *p = text;
	uint64_t v;
	bool good = row->kind == SIZE ? size(text, &v) : number(&p, &v) && *p == '\0';

	if (!good || v < row->min || v > row->max)
		return wrong("--%s must be a %s from %llu to %llu, got \"%s\"", row->name,
			     row->kind == SIZE ? "number of bytes (K, M and G are understood)" : "number", (unsigned long long)row->min,
			     (unsigned long long)row->max, text);
	*field = v;
	return 0;
}

static int set_seconds(const struct row *row, const char *text, int64_t *field)
{
	char *end;
	double v = strtod(text, &end);

	if (end == text || *end || text[strspn(text, "0123456789.")] || !(v > 0) || v > 1e9)
		return wrong("--%s must be a time in seconds above 0, got \"%s\"", row->name, text);
	*field = (int64_t)(v * 1000);
	if (*field == 0)
		*field = 1;
	return 0;
}

static void add_text(struct texts *t, const char *text)
{
	t->v = mem_grow(t->v, t->n + 1, sizeof(*t->v));
	t->v[t->n++] = text;
}

static int set(struct fetch_options *o, const struct row *row, const char *text)
{
	char *field = (char *)o + row->offset;

	switch (row->kind) {
	case FLAG:
		*(bool *)field = true;
		return 0;
	case TEXT:
		*(const char **)field = text;
		return 0;
	case TEXTS:
		add_text((struct texts *)field, text);
		return 0;
	case SECONDS:
		return set_seconds(row, text, (int64_t *)field);
	case COUNT:
	case SIZE:
		break;
	}
	return set_number(row, text, (uint64_t *)field);
}

/* ---- what goes together -------------------------------------------------------------------------------------------- */

static int read_range(struct fetch_options *o)
{
	const char *p = o->range;

	if (!p)
		return 0;
	if (!number(&p, &o->first) || *p++ != '-' || !number(&p, &o->last) || *p || o->last < o->first || o->last >= INT64_MAX)
		return wrong("--range must be FIRST-LAST, two offsets of bytes, the last included; got \"%s\"", o->range);
	return 0;
}

static int read_alloc(struct fetch_options *o)
{
	static const char *const names[] = { [ALLOC_FALL] = "fall", [ALLOC_SPARSE] = "sparse", [ALLOC_NONE] = "none" };

	for (unsigned i = 0; o->alloc_name && i < sizeof(names) / sizeof(*names); i++)
		if (strcmp(o->alloc_name, names[i]) == 0) {
			o->alloc = (enum alloc)i;
			return 0;
		}
	return o->alloc_name ? wrong("--alloc must be fall, sparse or none, got \"%s\"", o->alloc_name) : 0;
}

static int check_target(const struct fetch_options *o)
{
	bool in_place = o->into || (o->output && strcmp(o->output, "-") == 0);

	if (!o->output == !o->into)
		return wrong("give one target: -o FILE, -o - for standard output, or --into FILE with --range and --at");
	if (o->into && (!o->range || o->at == UINT64_MAX))
		return wrong("--into needs --range FIRST-LAST, what to fetch, and --at OFFSET, where to write it");
	if (!o->into && o->at != UINT64_MAX)
		return wrong("--at belongs to --into");
	if (o->output && !*o->output)
		return wrong("-o needs the name of a file");
	if (in_place && (o->no_clobber || o->keep_bad || o->if_changed || o->mtime))
		return wrong("--no-clobber, --keep-bad, --if-changed and --mtime need a file of its own: -o FILE");
	if (o->if_changed && o->range)
		return wrong("--if-changed compares whole objects; it cannot be combined with --range");
	return 0;
}

/* The URL came over a descriptor: an argument could be read by everybody on this machine. */
static int read_url_fd(struct fetch_options *o)
{
	size_t len = 0, cap = 1 << 16;
	ssize_t n = 1;

	if (o->url_fd == UINT64_MAX)
		return 0;
	if (o->url)
		return wrong("give the URL once: as an argument or by --url-fd");
	o->url = mem_zero(cap + 1, 1);
	while (len < cap && ((n = read((int)o->url_fd, o->url + len, cap - len)) > 0 || (n < 0 && errno == EINTR)))
		len += n > 0 ? (size_t)n : 0;
	if (n < 0)
		return wrong("cannot read the URL from descriptor %llu: %s", (unsigned long long)o->url_fd, strerror(errno));
	if (n > 0 || strlen(o->url) != len)
		return wrong("the URL is too long or holds a NUL");
	close((int)o->url_fd);
	return 0;
}

static int check(struct fetch_options *o)
{
	int rc = read_url_fd(o);

	if (rc == 0 && (!o->url || !*o->url))
		rc = wrong("needs a URL: jobctl fetch URL -o FILE");
	if (rc == 0)
		rc = check_target(o);
	if (rc == 0)
		rc = read_range(o);
	if (rc == 0)
		rc = read_alloc(o);
	if (o->max_per_host && o->max_per_host < o->streams)
		o->streams = o->max_per_host;
	return rc;
}

static const struct row *row_of(int letter)
{
	for (size_t i = 0; i < N_ROWS; i++)
		if (rows[i].letter == letter)
			return &rows[i];
	return NULL;
}

static int read_words(struct fetch_options *o, int argc, char **argv)
{
	struct option longs[N_ROWS + 1] = { 0 };
	int c, index = 0, rc = 0;

	for (size_t i = 0; i < N_ROWS; i++)
		longs[i] = (struct option){ rows[i].name, rows[i].kind == FLAG ? no_argument : required_argument, NULL, 256 + (int)i };
	while (rc == 0 && (c = getopt_long(argc, argv, "ho:qx:", longs, &index)) != -1)
		rc = c == '?' ? FETCH_USAGE : set(o, c >= 256 ? &rows[c - 256] : row_of(c), optarg);
	if (rc == 0 && optind + 1 < argc)
		return wrong("takes one URL, not also \"%s\"", argv[optind + 1]);
	if (rc == 0 && optind < argc)
		o->url = mem_text(argv[optind]);
	return rc;
}

int options_read(struct fetch_options *o, int argc, char **argv)
{
	int rc;

	*o = (struct fetch_options){
		.min_part = FETCH_MIN_PART, .streams = FETCH_STREAMS, .tries = FETCH_TRIES, .restarts = FETCH_RESTARTS, .stall_ms = FETCH_STALL_MS,
		.retry_after_cap_ms = FETCH_RETRY_AFTER_CAP_MS, .heartbeat_ms = FETCH_HEARTBEAT_MS, .save_bytes = FETCH_SAVE_BYTES,
		.save_ms = FETCH_SAVE_MS, .at = UINT64_MAX, .url_fd = UINT64_MAX, .progress_fd = UINT64_MAX,
	};
	rc = read_words(o, argc, argv);
	return rc || o->help || o->version ? rc : check(o);
}

void options_done(struct fetch_options *o)
{
	free(o->url);
	free(o->checksum.v);
}
