/* SPDX-License-Identifier: MIT */
/*
 * A map over the lines of standard input: four threads compute, the results come out in the order of the lines, at most 16 lines are held
 * however long the input is, and a line is worked on while the next one has not come yet.
 *
 *	cc digests.c $(pkg-config --cflags --libs libjobtree) -o digests && ls | ./digests
 *
 * Output: the 64-bit FNV-1a digest of each line, and the line. An empty line is a failure: it is counted, and the rest goes on.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jobtree_map.h>

struct lines {                    /* bytes that were read and are not yet a line */
	char *text;
	size_t n, cap;
	int ended;
};

static int take_line(struct lines *in, size_t len, size_t skip, struct jt_item *ret)
{
	char *line = malloc(len + 1);
	if (!line)
		return -ENOMEM;
	memcpy(line, in->text, len);
	line[len] = 0;
	in->n -= len + skip;
	memmove(in->text, in->text + len + skip, in->n);
	*ret = (struct jt_item){ line, len, free };
	return 1;
}

static int make_room(struct lines *in)
{
	if (in->n + 4096 <= in->cap)
		return 0;
	char *text = realloc(in->text, 2 * in->cap + 4096);
	if (!text)
		return -ENOMEM;
	in->text = text;
	in->cap = 2 * in->cap + 4096;
	return 0;
}

/* Never waits: standard input is non-blocking, so read says EAGAIN, and the map polls the descriptor that next_fd names. */
static int next_line(void *arg, struct jt_item *ret)
{
	struct lines *in = arg;
	for (;;) {
		char *end = in->n > 0 ? memchr(in->text, '\n', in->n) : NULL;
		if (end)
			return take_line(in, (size_t)(end - in->text), 1, ret);
		if (in->ended)
			return in->n > 0 ? take_line(in, in->n, 0, ret) : 0;
		if (make_room(in) < 0)
			return -ENOMEM;
		ssize_t got = read(STDIN_FILENO, in->text + in->n, in->cap - in->n);
		if (got < 0 && errno != EINTR)
			return -errno;
		in->ended = got == 0;
		in->n += got > 0 ? (size_t)got : 0;
	}
}

static int next_fd(void *arg)
{
	(void)arg;
	return STDIN_FILENO;
}

static void close_lines(void *arg)
{
	struct lines *in = arg;
	free(in->text);
}

/* Called on four threads at once. The digest fits into the place of the output's length: nothing to free. */
static int digest(void *arg, const struct jt_call *call, const struct jt_item *line, struct jt_item *ret_output)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);
	(void)arg;
	(void)call;
	for (size_t i = 0; i < line->len; i++)
		h = (h ^ ((unsigned char *)line->data)[i]) * UINT64_C(0x100000001b3);
	ret_output->len = h;
	return line->len == 0;
}

/* Called here, one after the other. What cannot be printed stops the map. */
static int print(void *arg, const struct jt_map_result *r)
{
	unsigned *n_failed = arg;
	*n_failed += r->status != 0;
	return r->status == 0 && printf("%016zx %s\n", r->output.len, (char *)r->item.data) < 0;
}

int main(void)
{
	struct lines lines = { 0 };
	struct jt_source source = { next_line, next_fd, close_lines, &lines };
	struct jt_work work = { .run = digest };
	struct jt_map_opts opts = { .threads = 4, .window = 16 };
	struct jt_error err;
	unsigned n_failed = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);       /* a line is to be seen when it is there, also by a pipe */
	int flags = fcntl(STDIN_FILENO, F_GETFL);
	fcntl(STDIN_FILENO, F_SETFL, flags | O_NONBLOCK);
	struct jt_map *map = jt_map_start(&opts, &source, &work, &err);
	if (!map) {
		fprintf(stderr, "digests: %s\n", err.text);
		return 2;
	}
	enum jt_map_status st = jt_map_run(map, print, &n_failed);
	if (st == JT_MAP_SOURCE_ERROR)
		fprintf(stderr, "digests: standard input: %s\n", strerror(jt_map_source_error(map)));
	if (n_failed > 0)
		fprintf(stderr, "digests: %u empty lines\n", n_failed);
	jt_map_free(map);
	fcntl(STDIN_FILENO, F_SETFL, flags);
	return st != JT_MAP_END || n_failed > 0;
}
