/* SPDX-License-Identifier: MIT */
/*
 * jobd.conf - `key = value` lines, `#` comments. Read by jobd at its start and at SIGHUP, and by `jobctl config check`.
 *
 *   slots = 8                   # jobs at once over all runs; default: the CPUs
 *   output_max = 64M            # bytes kept of each output of a job; K, M, G are powers of 1024
 */
#ifndef CONF_H
#define CONF_H

#include <stddef.h>
#include <stdint.h>

enum conf_log_level { CONF_LOG_ERROR, CONF_LOG_WARNING, CONF_LOG_INFO, CONF_LOG_DEBUG };

struct conf {
	uint32_t slots;                 /* 0: not given = CPUs */
	uint32_t socket_mode;           /* permission bits; 0600 */
	char *socket_group;             /* NULL: not given */
	char *admin_group;              /* NULL: not given */
	enum conf_log_level log_level;  /* info */
	uint64_t output_max;            /* bytes; 64 MiB */
	uint64_t output_total;          /* bytes; 0: no limit; 10 GiB */
	uint64_t output_per_user;       /* bytes; 0: no limit; 0 */
	uint32_t max_sessions;          /* 1000 */
	uint32_t max_sessions_per_uid;  /* 64 */
	uint32_t max_jobs_per_uid;      /* that have not ended; 5,000,000 */
	uint64_t max_bytes_per_uid;     /* of their specifications; 4 GiB */
	uint32_t patience_s;            /* how long database and runner may be silent before jobd is degraded; 10 */
	uint32_t retain_days;           /* how long ended runs are kept; 0: for ever; 30 */
	uint32_t retain_runs;           /* how many ended runs are kept; 0: all; 1000 */
	uint32_t retain_backups;        /* how many backups of the database are kept; 3 */
};

struct conf_error {
	int line;                       /* 0: not about a line (the file could not be read: see text) */
	char text[512];                 /* `/etc/jobd/jobd.conf:3: unknown key "slot"; did you mean "slots"?` */
};

/* The defaults above. */
void conf_init(struct conf *c);
/* Frees what c owns; c is as after conf_init. */
void conf_done(struct conf *c);

/*
 * conf_read - read a file over the defaults. 0; or -1 with *err, and *c is as before.
 * A file that is not there is an error: whoever has only a default place for it asks access(2) first.
 * conf_parse - the same for text in memory; `file` is its name in messages.
 * A key may stand once. c was initialised; on success what it held before is freed.
 */
int conf_read(const char *path, struct conf *c, struct conf_error *err);
int conf_parse(const char *file, const char *text, size_t len, struct conf *c, struct conf_error *err);

/* conf_print - every key with its value, one a line, in the format that conf_parse reads. Caller frees. NULL: out of memory. */
char *conf_print(const struct conf *c);

#endif
