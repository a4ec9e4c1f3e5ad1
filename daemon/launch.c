/* SPDX-License-Identifier: MIT */
/* Launch - a specification becomes a START: the environment, the user, the descriptors. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine.h"
#include "log.h"
#include "map.h"

/* A block of NUL-terminated strings, as a START wants argv and envp. */
struct block {
	char *buf;
	size_t len, cap;
	uint32_t n;
};

/* Where `more` bytes can be added. */
static char *block_room(struct block *b, size_t more)
{
	if (b->len + more > b->cap) {
		b->cap = (b->len + more) * 2;
		b->buf = xrealloc(b->buf, b->cap);
	}
	return b->buf + b->len;
}

static void block_add(struct block *b, const char *name, const char *value)
{
	size_t n = name ? strlen(name) + 1 : 0, v = strlen(value) + 1;
	char *at = block_room(b, n + v);

	if (name) {
		memcpy(at, name, n - 1);
		at[n - 1] = '=';
	}
	memcpy(at + n, value, v);
	b->len += n + v;
	b->n++;
}

/* What a login of the user gives; one user at a time is remembered, since most jobs are of one. */
struct login {
	uid_t uid;
	bool valid;
	char name[64], home[256], shell[256];
};

static const struct login *login_of(uid_t uid)
{
	static struct login l;          /* the loop thread's */
	struct passwd pw, *found = NULL;
	char buf[4096];

	if (l.valid && l.uid == uid)
		return &l;
	l = (struct login){ .uid = uid, .valid = true };
	snprintf(l.name, sizeof(l.name), "%u", (unsigned)uid);
	snprintf(l.home, sizeof(l.home), "/");
	snprintf(l.shell, sizeof(l.shell), "/bin/sh");
	if (getpwuid_r(uid, &pw, buf, sizeof(buf), &found) == 0 && found) {
		snprintf(l.name, sizeof(l.name), "%s", pw.pw_name);
		snprintf(l.home, sizeof(l.home), "%s", pw.pw_dir);
		if (*pw.pw_shell)
			snprintf(l.shell, sizeof(l.shell), "%s", pw.pw_shell);
	}
	return &l;
}

static uid_t uid_of(const struct active *a)
{
	struct passwd pw, *found = NULL;
	char buf[4096];

	if (!a->spec->user)
		return a->run->uid;
	if (getpwnam_r(a->spec->user, &pw, buf, sizeof(buf), &found) == 0 && found)
		return pw.pw_uid;
	return a->run->uid;
}

static void env_base(struct block *b, const struct login *l)
{
	const char *lang = getenv("LANG");

	block_add(b, "PATH", l->uid == 0 ? "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
					 : "/usr/local/bin:/usr/bin:/bin");
	block_add(b, "HOME", l->home);
	block_add(b, "USER", l->name);
	block_add(b, "LOGNAME", l->name);
	block_add(b, "SHELL", l->shell);
	block_add(b, "LANG", lang && *lang ? lang : "C.UTF-8");
}

static bool given(const struct spec_job *s, const char *name)
{
	for (size_t i = 0; i < s->n_env; i++)
		if (strcmp(s->env[i].name, name) == 0)
			return true;
	return false;
}

/* What the job says itself takes the place of what a login would say: one name stands once. */
static void env_merge(struct block *b, const struct spec_job *s, const struct block *base)
{
	for (const char *p = base->buf; p < base->buf + base->len; p += strlen(p) + 1) {
		const char *eq = strchr(p, '=');
		char name[16];

		snprintf(name, sizeof(name), "%.*s", (int)(eq - p), p);
		if (!given(s, name))
			block_add(b, NULL, p);
	}
	for (size_t i = 0; i < s->n_env; i++)
		block_add(b, s->env[i].name, s->env[i].value);
}

static void add_number(struct block *b, const char *name, uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, value);
	block_add(b, name, text);
}

static void env_of_item(struct block *b, const struct active *a, const struct map_item *it)
{
	if (a->run->name)
		block_add(b, "JOBD_MAP", a->run->name);
	else
		add_number(b, "JOBD_MAP", a->run->id);
	add_number(b, "JOBD_SEQ", it->seq);
	add_number(b, "JOBD_SLOT", a->slot);
}

static void env_begin(struct block *b, const struct active *a)
{
	struct block base = { 0 };

	env_base(&base, login_of(uid_of(a)));
	env_merge(b, a->spec, &base);
	free(base.buf);
	block_add(b, "JOBD_SOCKET", a->run->e->socket_path);
	add_number(b, "JOBD_RUN", a->run->id);
}

/* How the environment of a job begins: the same for all that say nothing of their own, so it is put together for the first of them. */
static void env_of_run(struct block *b, const struct active *a)
{
	struct run *r = a->run;
	struct run_env *kept = &r->env;

	if (a->spec->user || a->spec->env != r->spec->base.env) {
		env_begin(b, a);
		return;
	}
	if (!kept->n || kept->of != a->spec->env) {
		struct block new = { 0 };

		env_begin(&new, a);
		*kept = (struct run_env){ .of = a->spec->env, .text = arena_strndup(&r->arena, new.buf, new.len), .len = new.len, .n = new.n };
		free(new.buf);
	}
	memcpy(block_room(b, kept->len), kept->text, kept->len);
	b->len += kept->len;
	b->n += kept->n;
}

static void env_of(struct block *b, const struct active *a)
{
	const struct map_item *it = a->run->map ? map_item_at(a->run->map, a->idx) : NULL;

	env_of_run(b, a);
	block_add(b, "JOBD_PATH", jt_job_path(a->run->sched, a->idx, NULL));
	add_number(b, "JOBD_ATTEMPT", a->attempt - (it ? it->base : 0));
	if (it)
		env_of_item(b, a, it);
}

/* JOBD_JOB is the address that jobctl takes. */
static void env_address(struct block *b, const struct active *a)
{
	size_t len;
	const char *path = jt_job_path(a->run->sched, a->idx, &len);
	char *address = xcalloc(1, len + 16);

	snprintf(address, len + 16, "%u/%s", a->run->id, path);
	block_add(b, "JOBD_JOB", address);
	free(address);
}

static void add_option(void *arg, const char *name, const char *value)
{
	char *word = NULL;

	if (asprintf(&word, value ? "--%s=%s" : "--%s", name, value) < 0)
		log_die("out of memory");
	block_add(arg, NULL, word);
	free(word);
}

/* Its standard input is the URL, which no argument may show; its standard output the record of what it does: see progress.c. */
static void fetch_argv(struct block *b, const char *program, const struct spec_fetch *f)
{
	block_add(b, NULL, program);
	add_option(b, "url-fd", "0");
	add_option(b, "progress-fd", "1");
	spec_fetch_options(f, add_option, b);
}

/* -1: there is none, see map_argv. */
static int item_argv(struct block *b, struct active *a)
{
	char **argv = map_argv(a);

	for (size_t i = 0; argv && argv[i]; i++)
		block_add(b, NULL, argv[i]);
	free(argv);
	return argv ? 0 : -1;
}

static int argv_of(struct block *b, struct active *a)
{
	const struct spec_job *s = a->spec;

	if (s->kind == SPEC_ITEM)
		return item_argv(b, a);

	if (s->kind == SPEC_FETCH) {
		fetch_argv(b, a->run->e->fetch_program, s->fetch);
		return 0;
	}
	if (s->kind == SPEC_SHELL) {
		block_add(b, NULL, "/bin/sh");
		block_add(b, NULL, "-c");
		block_add(b, NULL, s->shell);
		return 0;
	}
	for (size_t i = 0; i < s->argc; i++)
		block_add(b, NULL, s->argv[i]);
	return 0;
}

static int bytes_fd(const char *text, size_t len)
{
	size_t done = 0;
	int fd = memfd_create("stdin", MFD_CLOEXEC);

	while (fd >= 0 && done < len) {
		ssize_t n = write(fd, text + done, len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			int e = errno;

			close(fd);
			errno = e;
			return -1;
		}
		done += (size_t)n;
	}
	if (fd >= 0)
		lseek(fd, 0, SEEK_SET);
	return fd;
}

static void close_fds(int *fds, int n)
{
	int e = errno;

	for (int i = 0; i < n; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	errno = e;
}

/* What it reads as its standard input; data NULL: nothing that we give. */
static struct jt_bytes stdin_bytes(const struct active *a)
{
	const struct spec_job *s = a->spec;
	const char *text = s->kind == SPEC_FETCH ? s->fetch->url : s->stdin_text;

	if (s->kind == SPEC_ITEM && a->run->spec->map->item_on_stdin && s->item->n)
		return s->item->v[0];
	return (struct jt_bytes){ text, text ? strlen(text) : 0 };
}

/* Of a map stderr may be the same as stdout, or nothing. -1 with errno: nothing is open. */
static int open_outputs(struct active *a, int fds[2])
{
	int to = a->run->is_map ? a->run->spec->map->stderr_to : SPEC_STDERR_APART;

	if (to == SPEC_STDERR_APART)
		return output_open(a, 2, fds);
	if (output_open(a, 1, fds) < 0)
		return -1;
	fds[1] = to == SPEC_STDERR_MERGE ? fcntl(fds[0], F_DUPFD_CLOEXEC, 0) : open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (fds[1] < 0)
		close_fds(fds, 1);
	return fds[1] < 0 ? -1 : 0;
}

/* -1 with errno: there is none. */
static int open_stdin(struct active *a, struct rm_start *st)
{
	struct jt_bytes text = stdin_bytes(a);

	if (a->spec->stdin_file) {
		st->stdin_kind = RM_STDIN_FILE;
		st->stdin_file = a->spec->stdin_file;
		return 0;
	}
	if (a->spec->item && a->spec->item->input_bytes)
		st->fds[2] = map_input_open(a);
	else if (text.data)
		st->fds[2] = bytes_fd(text.data, text.len);
	else
		return 0;
	st->stdin_kind = RM_STDIN_FD;
	return st->fds[2] < 0 ? -1 : 0;
}

static int open_fds(struct active *a, struct rm_start *st)
{
	for (int i = 0; i < RM_FDS_MAX; i++)
		st->fds[i] = -1;
	if (open_outputs(a, st->fds) < 0)
		return -1;
	if (open_stdin(a, st) == 0)
		return 0;
	close_fds(st->fds, 2);
	return -1;
}

/* An own error before the runner had it: the attempt ends as one that could not be spawned. */
static void failed_here(struct active *a, int code, int stage)
{
	struct rm_end end = { .job = JOB_ID(a->run->id, a->idx), .attempt = a->attempt, .how = RM_SPAWN, .stage = (uint8_t)stage,
			      .code = code, .ended_at_us = now_us() };

	a->state = A_SENT;
	outcome_batch(a->run->e, &end, 1);
}

/* For want of something that is not the job's to have: it waits. */
static int lacking(struct engine *e, const char *what)
{
	health_begin(e, TROUBLE_OUTPUTS, "%s (%s): %s; jobs wait until they can", what, e->state_dir, strerror(errno));
	errno = EAGAIN;
	return -1;
}

static void fill_start(struct rm_start *st, struct active *a, const struct block *argv, const struct block *env)
{
	const struct spec_job *s = a->spec;

	st->job = JOB_ID(a->run->id, a->idx);
	st->attempt = a->attempt;
	st->argc = argv->n;
	st->argv = argv->buf;
	st->argv_len = argv->len;
	st->envc = env->n;
	st->envp = env->buf;
	st->envp_len = env->len;
	st->cwd = s->cwd ? s->cwd : "/";
	st->user = s->user;
	if (!st->user && a->run->uid != runner_link_uid(a->run->e->link))
		st->user = login_of(a->run->uid)->name;
	st->group = s->group;
	st->timeout_ms = s->timeout_ms;
	st->grace_ms = (uint32_t)s->grace_ms;
	st->umask = s->umask;
	st->nice = s->nice;
	st->output_max = a->output_max = budget_output_max(a->run);
	if (a->run->is_map)
		st->output_max |= RM_OUTPUT_WHOLE;
}

int launch(struct active *a)
{
	struct engine *e = a->run->e;
	struct block argv = { 0 }, env = { 0 };
	struct rm_start st = { 0 };
	int rc, err;

	if (!e->ready || !runner_link_is_up(e->link)) {         /* what is sent before the inventory has been settled would look lost */
		errno = ENOTCONN;
		return -1;
	}
	if (health_holds_starts(e)) {
		errno = EAGAIN;
		return -1;
	}
	rc = open_fds(a, &st);
	if (rc < 0 && errno == ENODATA) {
		failed_here(a, EIO, RM_AT_EXEC);
		return 0;
	}
	if (rc < 0)
		return lacking(e, "files for outputs cannot be made");
	if (a->run->map)
		map_slot_take(a);
	if (argv_of(&argv, a) < 0) {
		close_fds(st.fds, 3);
		failed_here(a, EILSEQ, RM_AT_EXEC);
		return 0;
	}
	env_of(&env, a);
	env_address(&env, a);
	fill_start(&st, a, &argv, &env);
	rc = runner_link_start(e->link, &st);
	err = errno;
	close_fds(st.fds, 3);
	free(argv.buf);
	free(env.buf);
	if (rc == 0) {
		a->state = A_SENT;
		a->is_short = true;
		e->n_starts++;
		return 0;
	}
	if (err == E2BIG) {
		failed_here(a, err, RM_AT_EXEC);
		return 0;
	}
	errno = err;
	return err == EAGAIN || err == ENOTCONN ? -1 : lacking(e, "orders to the runner cannot be made");
}
