/* SPDX-License-Identifier: MIT */
/*
 * Log - one line per event on standard error, written with one write(2), so that threads and processes do not mix their lines.
 * Control bytes are escaped (\xNN): text from jobs and clients cannot forge lines. Under the systemd journal the
 * priority prefixes "<3>" ... are put in front. Whoever ends an error logs it, once. errno is preserved.
 */
#ifndef LOG_H
#define LOG_H

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* log_set_level - show this level and those above; before any thread is started. The default is info. */
void log_set_level(enum log_level level);
/* log_level_parse - "error", "warn", "info" or "debug". 0, or -1 when it is none of these (*ret untouched). */
int log_level_parse(const char *name, enum log_level *ret);

void log_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* log_die - log an error and abort: for mistakes of our own and for memory that a crash-only process cannot go on without. */
void log_die(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));

#endif
