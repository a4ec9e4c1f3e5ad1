/* SPDX-License-Identifier: MIT */
/* jobd.conf: one table says which keys there are, of which kind and range; reading and printing walk it. */
#include "conf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "nearest.h"

#define CONF_FILE_MAX (1024 * 1024)

enum kind { UINT, OCTAL, SIZE, TEXT, LEVEL };

struct key {
	const char *name;
	enum kind kind;
	size_t offset;
	uint64_t min, max;
};
#define AT(field) offsetof(struct conf, field)
static const struct key keys[] = {
	{ "slots", UINT, AT(slots), 1, 100000 },
	{ "socket_mode", OCTAL, AT(socket_mode), 0, 0777 },
	{ "socket_group", TEXT, AT(socket_group), 0, 0 },
	{ "admin_group", TEXT, AT(admin_group), 0, 0 },
	{ "log_level", LEVEL, AT(log_level), 0, 0 },
	{ "output_max", SIZE, AT(output_max), 4096, (uint64_t)1 << 50 },
	{ "output_total", SIZE, AT(output_total), 0, (uint64_t)1 << 60 },
	{ "output_per_user", SIZE, AT(output_per_user), 0, (uint64_t)1 << 60 },
	{ "max_sessions", UINT, AT(max_sessions), 1, 1000000 },
	{ "max_sessions_per_uid", UINT, AT(max_sessions_per_uid), 1, 1000000 },
	{ "max_jobs_per_uid", UINT, AT(max_jobs_per_uid), 1, UINT32_MAX },
	{ "max_bytes_per_uid", SIZE, AT(max_bytes_per_uid), 1, (uint64_t)1 << 50 },
	{ "patience_s", UINT, AT(patience_s), 1, 3600 },
	{ "retain_days", UINT, AT(retain_days), 0, 100000 },
	{ "retain_runs", UINT, AT(retain_runs), 0, UINT32_MAX },
	{ "retain_backups", UINT, AT(retain_backups), 1, 1000 },
};
#define N_KEYS (sizeof(keys) / sizeof(*keys))

static const char *const levels[] = {
	[CONF_LOG_ERROR] = "error", [CONF_LOG_WARNING] = "warning", [CONF_LOG_INFO] = "info", [CONF_LOG_DEBUG] = "debug",
};
#define N_LEVELS (sizeof(levels) / sizeof(*levels))

/* A line being read. */
struct place {
	const char *file;
	int line;
	struct conf_error *err;
};

static __attribute__((format(printf, 2, 3))) int refuse(const struct place *at, const char *fmt, ...)
{
	struct conf_error *e = at->err;
	int n = at->line ? snprintf(e->text, sizeof(e->text), "%s:%d: ", at->file, at->line)
			 : snprintf(e->text, sizeof(e->text), "%s: ", at->file);
	va_list ap;

	e->line = at->line;
	va_start(ap, fmt);
	if (n >= 0 && (size_t)n < sizeof(e->text) && vsnprintf(e->text + n, sizeof(e->text) - (size_t)n, fmt, ap) < 0)
		e->text[n] = '\0';
	va_end(ap);
	return -1;
}

void conf_init(struct conf *c)
{
	*c = (struct conf){
		.socket_mode = 0600, .log_level = CONF_LOG_INFO, .output_max = (uint64_t)64 << 20, .output_total = (uint64_t)10 << 30,
		.max_sessions = 1000, .max_sessions_per_uid = 64, .max_jobs_per_uid = 5000000,
		.max_bytes_per_uid = (uint64_t)4 << 30, .patience_s = 10, .retain_days = 30, .retain_runs = 1000, .retain_backups = 3,
	};
}

void conf_done(struct conf *c)
{
	free(c->socket_group);
	free(c->admin_group);
	conf_init(c);
}

static int read_number(const char *value, int base, uint64_t *ret, const char **ret_rest)
{
	char *end;

	if (*value < '0' || *value > '9')
		return -1;
	errno = 0;
	*ret = strtoull(value, &end, base);
	*ret_rest = end;
	return errno ? -1 : 0;
}

/* 64, 64K, 64M, 64G */
static int read_size(const char *value, uint64_t *ret)
{
	static const char units[] = "KMG";
	const char *rest, *unit;
	unsigned shift = 0;

	if (read_number(value, 10, ret, &rest) != 0)
		return -1;
	if (*rest) {
		unit = strchr(units, *rest);
		if (!unit || rest[1])
			return -1;
		shift = 10 * (unsigned)(unit - units + 1);
	}
	if (*ret > UINT64_MAX >> shift)
		return -1;
	*ret <<= shift;
	return 0;
}

static int set_number(const struct place *at, const struct key *k, const char *value, struct conf *c)
{
	const char *rest = "";
	uint64_t n = 0;
	bool ok = k->kind == SIZE ? read_size(value, &n) == 0 : read_number(value, k->kind == OCTAL ? 8 : 10, &n, &rest) == 0 && !*rest;

	if (!ok && k->kind == OCTAL)
		return refuse(at, "%s must be an octal mode such as 0660, got \"%s\"", k->name, value);
	if (!ok)
		return refuse(at, "%s must be a number%s, got \"%s\"", k->name, k->kind == SIZE ? " of bytes such as 64M" : "", value);
	if (n < k->min || n > k->max)
		return refuse(at, k->kind == OCTAL ? "%s must be %llo..%llo, got \"%s\"" : "%s must be %llu..%llu, got \"%s\"", k->name,
			      (unsigned long long)k->min, (unsigned long long)k->max, value);
	if (k->kind == SIZE)
		*(uint64_t *)((char *)c + k->offset) = n;
	else
		*(uint32_t *)((char *)c + k->offset) = (uint32_t)n;
	return 0;
}

static int set_text(const struct place *at, const struct key *k, const char *value, struct conf *c)
{
	char **field = (char **)((char *)c + k->offset);

	free(*field);
	*field = strdup(value);
	return *field ? 0 : refuse(at, "out of memory");
}

static int set_level(const struct place *at, const struct key *k, const char *value, struct conf *c)
{
	for (size_t i = 0; i < N_LEVELS; i++)
		if (strcmp(value, levels[i]) == 0) {
			c->log_level = (enum conf_log_level)i;
			return 0;
		}
	return refuse(at, "%s must be error, warning, info or debug, got \"%s\"", k->name, value);
}

static int set_key(const struct place *at, const struct key *k, const char *value, struct conf *c)
{
	if (!*value)
		return refuse(at, "%s has no value; to use the default, remove the line", k->name);
	if (k->kind == TEXT)
		return set_text(at, k, value, c);
	if (k->kind == LEVEL)
		return set_level(at, k, value, c);
	return set_number(at, k, value, c);
}

static int find_key(const struct place *at, const char *name, size_t *ret)
{
	struct nearest near;
	const char *meant;

	nearest_init(&near, name);
	for (size_t i = 0; i < N_KEYS; i++) {
		if (strcmp(name, keys[i].name) == 0) {
			*ret = i;
			return 0;
		}
		nearest_offer(&near, keys[i].name);
	}
	meant = nearest_get(&near);
	if (meant)
		return refuse(at, "unknown key \"%s\"; did you mean \"%s\"?", name, meant);
	return refuse(at, "unknown key \"%s\"; the keys are described in jobd.conf(5)", name);
}

static char *trim(char *s)
{
	size_t n;

	s += strspn(s, " \t\r");
	n = strlen(s);
	while (n > 0 && strchr(" \t\r", s[n - 1]))
		s[--n] = '\0';
	return s;
}

/* seen[i]: the line that set key i. */
static int read_line(const struct place *at, char *line, struct conf *c, int seen[N_KEYS])
{
	char *hash = strchr(line, '#'), *equals, *name;
	size_t i = 0;

	if (hash)
		*hash = '\0';
	line = trim(line);
	if (!*line)
		return 0;
	equals = strchr(line, '=');
	if (!equals)
		return refuse(at, "expected \"key = value\", got \"%s\"", line);
	*equals = '\0';
	name = trim(line);
	if (find_key(at, name, &i) != 0)
		return -1;
	if (seen[i])
		return refuse(at, "%s was set in line %d already; remove one of them", name, seen[i]);
	seen[i] = at->line;
	return set_key(at, &keys[i], trim(equals + 1), c);
}

static int read_lines(struct place *at, char *text, struct conf *c)
{
	int seen[N_KEYS] = { 0 };

	for (char *line = text, *next; line; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		at->line++;
		if (read_line(at, line, c, seen) != 0)
			return -1;
	}
	return 0;
}

int conf_parse(const char *file, const char *text, size_t len, struct conf *c, struct conf_error *err)
{
	struct place at = { .file = file, .err = err };
	struct conf fresh;
	char *copy;
	int rc;

	if (memchr(text, '\0', len))
		return refuse(&at, "contains a NUL byte; this is not a text file");
	copy = strndup(text, len);
	if (!copy)
		return refuse(&at, "out of memory");
	conf_init(&fresh);
	rc = read_lines(&at, copy, &fresh);
	free(copy);
	if (rc != 0) {
		conf_done(&fresh);
		return -1;
	}
	conf_done(c);
	*c = fresh;
	return 0;
}

static ssize_t read_file(int fd, char *buf, size_t cap)
{
	size_t len = 0;

	for (;;) {
		ssize_t n = read(fd, buf + len, cap - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -1 : (ssize_t)len;
		len += (size_t)n;
		if (len == cap) {
			errno = EFBIG;
			return -1;
		}
	}
}

int conf_read(const char *path, struct conf *c, struct conf_error *err)
{
	struct place at = { .file = path, .err = err };
	int fd = open(path, O_RDONLY | O_CLOEXEC), rc;
	ssize_t len = -1;
	char *buf;

	if (fd < 0)
		return refuse(&at, "cannot be opened: %s", strerror(errno));
	buf = malloc(CONF_FILE_MAX);
	if (buf)
		len = read_file(fd, buf, CONF_FILE_MAX);
	rc = len < 0 ? refuse(&at, "cannot be read: %s", strerror(errno)) : conf_parse(path, buf, (size_t)len, c, err);
	free(buf);
	close(fd);
	return rc;
}

static void print_key(FILE *out, const struct key *k, const struct conf *c)
{
	const void *field = (const char *)c + k->offset;
	const char *text = k->kind == TEXT ? *(char *const *)field : NULL;

	if (k->kind == TEXT && !text)
		fprintf(out, "# %s =\n", k->name);
	else if (k->kind == TEXT)
		fprintf(out, "%s = %s\n", k->name, text);
	else if (k->kind == LEVEL)
		fprintf(out, "%s = %s\n", k->name, levels[c->log_level]);
	else if (k->kind == SIZE)
		fprintf(out, "%s = %llu\n", k->name, (unsigned long long)*(const uint64_t *)field);
	else if (k->kind == UINT && *(const uint32_t *)field < k->min)
		fprintf(out, "# %s =\n", k->name);
	else
		fprintf(out, k->kind == OCTAL ? "%s = %04o\n" : "%s = %u\n", k->name, *(const uint32_t *)field);
}

char *conf_print(const struct conf *c)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return NULL;
	for (size_t i = 0; i < N_KEYS; i++)
		print_key(out, &keys[i], c);
	if (fclose(out) == 0)
		return text;
	free(text);
	return NULL;
}
