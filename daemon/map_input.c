/* SPDX-License-Identifier: MIT */
/*
 * Map - standard inputs that are too large for one call. What the client says of one, part by part, goes straight into a file, so memory
 * holds a part at most:
 *
 *	OUT/RUN/.in-ERA.TAG  while it is told, and until its item has a place        OUT/RUN/INDEX.BASE.in  then, as long as it may be started
 *
 * ERA is of this process: the sweep of the next one removes what it finds of another. The file of a place is on the disk before the record of
 * its item is, and found again by the item's place and base; it goes when the end is on record.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "map.h"

#define NAME_SIZE 64

static void name_of_told(char name[NAME_SIZE], const struct map *m, uint64_t tag)
{
	snprintf(name, NAME_SIZE, "%u/" SWEEP_INPUT "%" PRIx64 ".%" PRIu64, m->run->id, sweep_era(m->run->e->sweep), tag);
}

static void name_of_place(char name[NAME_SIZE], uint64_t id, uint32_t base)
{
	snprintf(name, NAME_SIZE, "%u/%u.%u.in", JOB_RUN(id), JOB_IDX(id), base);
}

static void unlink_counted(struct run *r, const char *name)
{
	struct stat st;

	if (fstatat(r->e->out_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || unlinkat(r->e->out_fd, name, 0) < 0)
		return;
	budget_add(r, -(st.st_size < r->out_bytes ? st.st_size : r->out_bytes));
}

/* ---- told --------------------------------------------------------------------------------------------------------------- */

void map_input_drop(struct map *m)
{
	char name[NAME_SIZE];

	if (!m->input.tag)
		return;
	close(m->input.fd);
	name_of_told(name, m, m->input.tag);
	unlink_counted(m->run, name);
	m->input.tag = 0;
}

/* Read by everybody who has it as standard input, who may open /dev/stdin; by name nobody comes to it. */
static int begin(struct map *m, uint64_t tag, struct req_error *err)
{
	char name[NAME_SIZE];
	int fd;

	name_of_told(name, m, tag);
	fd = output_create(m->run->e, m->run->id, name);
	if (fd < 0 || fchmod(fd, 0444) < 0) {
		int e = errno;

		if (fd >= 0)
			close(fd);
		return req_fail(err, "org.jobd.Refused", "the standard input of item %" PRIu64 " cannot be kept: %s", tag, strerror(e));
	}
	m->input.tag = tag;
	m->input.fd = fd;
	m->input.bytes = 0;
	return 0;
}

/* What is written begins to go to the disk at once, so that little is left to wait for when it is put. */
static int add(struct map *m, const char *data, size_t n, struct req_error *err)
{
	for (size_t done = 0; done < n;) {
		ssize_t k = write(m->input.fd, data + done, n - done);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return req_fail(err, "org.jobd.Refused", "the standard input of item %" PRIu64 " cannot be kept: %s", m->input.tag, strerror(errno));
		done += (size_t)k;
	}
	(void)sync_file_range(m->input.fd, m->input.bytes, (off_t)n, SYNC_FILE_RANGE_WRITE);
	m->input.bytes += (int64_t)n;
	budget_add(m->run, (int64_t)n);
	return 0;
}

static int check(const struct map *m, uint64_t tag, int64_t offset, struct req_error *err)
{
	int64_t there = m->input.tag == tag ? m->input.bytes : 0;

	if (!m->set->item_on_stdin)
		return req_fail(err, "org.jobd.Refused", "item %" PRIu64 " has no standard input of its own: command.stdin is not set", tag);
	if (tag < m->next_tag)
		return req_fail(err, "org.jobd.Refused", "tag %" PRIu64 " is not above %" PRIu64 ": tags grow, and none is used twice", tag, m->next_tag - 1);
	if (offset && offset != there)
		return req_fail(err, "org.jobd.Refused", "of the standard input of item %" PRIu64 " there are %" PRId64 " bytes: the next part cannot begin at "
				"%" PRId64, tag, there, offset);
	return 0;
}

int map_input(struct map *m, uint64_t tag, int64_t offset, const char *data, size_t n, struct req_error *err)
{
	const struct map_item *it = map_find(m, tag);

	if (it && it->claimed)
		return 0;               /* told again by a client that came back */
	if (check(m, tag, offset, err) < 0)
		return -1;
	if (!budget_takes(m->run, (int64_t)n))
		return req_fail(err, "org.jobd.Refused", "the standard input of item %" PRIu64 " finds no room: outputs have reached output_total or "
				"output_per_user (jobd.conf); `jobctl rm` makes room", tag);
	if (!offset || m->input.tag != tag) {
		map_input_drop(m);
		if (begin(m, tag, err) < 0)
			return -1;
	}
	return add(m, data, n, err);
}

/* ---- put ------------------------------------------------------------------------------------------------------------------ */

int map_input_check(const struct map *m, const struct spec_put *p, struct req_error *err)
{
	if (!p->input_bytes)
		return 0;
	if (m->input.tag != (uint64_t)p->tag || m->input.bytes != p->input_bytes)
		return req_fail(err, "org.jobd.Refused", "item %" PRId64 " is to have %" PRId64 " bytes of standard input, and %" PRId64 " were told by MapInput",
				p->tag, p->input_bytes, m->input.tag == (uint64_t)p->tag ? m->input.bytes : 0);
	return 0;
}

void map_input_take(struct map_item *it, const struct spec_put *p)
{
	struct map *m = it->map;

	if (!p->input_bytes)
		return;
	close(m->input.fd);
	m->input.tag = 0;
	it->input = INPUT_TOLD;
	it->input_tag = it->tag;
}

int map_input_place(struct map_item *it)
{
	struct engine *e = it->map->run->e;
	char from[NAME_SIZE], to[NAME_SIZE];
	int fd;

	if (it->input != INPUT_TOLD)
		return -1;
	it->input = INPUT_PLACED;
	name_of_told(from, it->map, it->input_tag);
	name_of_place(to, it->id, it->base);
	fd = renameat(e->out_fd, from, e->out_fd, to) < 0 ? -1 : openat(e->out_fd, to, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		log_error("run %u: the standard input of item %" PRIu64 ": %s", it->map->run->id, it->tag, strerror(errno));
	return fd;
}

void map_input_gone(struct map_item *it)
{
	char name[NAME_SIZE];

	if (it->input == INPUT_TOLD)
		name_of_told(name, it->map, it->input_tag);
	else
		name_of_place(name, it->id, it->base);
	if (it->input != INPUT_NONE)
		unlink_counted(it->map->run, name);
	it->input = INPUT_NONE;
}

/* ---- found again, and used -------------------------------------------------------------------------------------------------- */

void map_input_restore(struct map_item *it)
{
	char name[NAME_SIZE];

	name_of_place(name, it->id, it->base);
	if (faccessat(it->map->run->e->out_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		it->input = INPUT_PLACED;
	if (it->state == ITEM_ENDED)
		map_input_gone(it);
}

void map_input_unplace(struct map *m, jt_job place)
{
	char name[NAME_SIZE];

	name_of_place(name, JOB_ID(m->run->id, place), run_mem(m->run, place)->attempts);
	unlink_counted(m->run, name);
}

int map_input_open(const struct active *a)
{
	const struct map_item *it = map_item_at(a->run->map, a->idx);
	char name[NAME_SIZE];
	struct stat st;
	int fd;

	name_of_place(name, it->id, it->base);
	fd = openat(a->run->e->out_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0 && fstat(fd, &st) == 0 && st.st_size == a->spec->item->input_bytes)
		return fd;
	if (fd < 0 && errno != ENOENT)
		return -1;
	if (fd >= 0)
		close(fd);
	log_error("run %u: the standard input of item %" PRIu64 " (%s) is not what was put", a->run->id, it->tag, name);
	errno = ENODATA;
	return -1;
}
