/* SPDX-License-Identifier: MIT */
/* Log: see log.h. */
#include "log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEXT_MAX 2048   /* longer ones are cut and marked */

static const struct { const char *name, *prefix; } levels[] = {
	[LOG_LEVEL_ERROR] = {"error", "<3>"},
	[LOG_LEVEL_WARN] = {"warn", "<4>"},
	[LOG_LEVEL_INFO] = {"info", "<6>"},
	[LOG_LEVEL_DEBUG] = {"debug", "<7>"},
};
#define N_LEVELS (sizeof(levels) / sizeof(*levels))

static enum log_level shown = LOG_LEVEL_INFO;

void log_set_level(enum log_level level)
{
	shown = level;
}

int log_level_parse(const char *name, enum log_level *ret)
{
	for (size_t i = 0; i < N_LEVELS; i++) {
		if (!strcmp(name, levels[i].name)) {
			*ret = (enum log_level)i;
			return 0;
		}
	}
	return -1;
}

/* JOURNAL_STREAM names the journal's socket as device:inode; a stderr redirected since is another one. */
static bool to_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;

	return stream && sscanf(stream, "%llu:%llu", &dev, &ino) == 2 && !fstat(STDERR_FILENO, &st)
		&& st.st_dev == dev && st.st_ino == ino;
}

/* Appends text with control bytes as \xNN; returns the end. Room for four times the text is there. */
static char *escape(char *to, const char *text)
{
	static const char hex[] = "0123456789abcdef";

	for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
		if (*c >= 0x20 && *c != 0x7f) {
			*to++ = (char)*c;
			continue;
		}
		*to++ = '\\';
		*to++ = 'x';
		*to++ = hex[*c >> 4];
		*to++ = hex[*c & 15];
	}
	return to;
}

static void put(enum log_level level, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));

static void put(enum log_level level, const char *fmt, va_list ap)
{
	int saved = errno;
	char text[TEXT_MAX], line[4 * TEXT_MAX + 256], *end = line;
	int n = vsnprintf(text, sizeof(text), fmt, ap);

	if (n < 0)
		return;
	if ((size_t)n >= sizeof(text))
		memcpy(text + sizeof(text) - 4, "...", 4);
	if (to_journal())
		end = stpcpy(end, levels[level].prefix);
	else
		end += snprintf(end, 128, "%.64s: %s: ", program_invocation_short_name, levels[level].name);
	end = escape(end, text);
	*end++ = '\n';
	if (write(STDERR_FILENO, line, (size_t)(end - line)) < 0)
		errno = saved;  /* a log that cannot be written has nowhere to complain */
	errno = saved;
}

/* Only for the four functions below: a variadic function cannot hand its arguments on without this. */
#define PUT_IF_SHOWN(level) do { \
		if (shown >= (level)) { \
			va_list ap; \
			va_start(ap, fmt); \
			put(level, fmt, ap); \
			va_end(ap); \
		} \
	} while (0)

void log_error(const char *fmt, ...)
{
	PUT_IF_SHOWN(LOG_LEVEL_ERROR);
}

void log_warn(const char *fmt, ...)
{
	PUT_IF_SHOWN(LOG_LEVEL_WARN);
}

void log_info(const char *fmt, ...)
{
	PUT_IF_SHOWN(LOG_LEVEL_INFO);
}

void log_debug(const char *fmt, ...)
{
	PUT_IF_SHOWN(LOG_LEVEL_DEBUG);
}

void log_die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	put(LOG_LEVEL_ERROR, fmt, ap);
	va_end(ap);
	abort();
}
