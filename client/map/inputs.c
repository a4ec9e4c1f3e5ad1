/* SPDX-License-Identifier: MIT */
#include "map/inputs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buf.h"
#include "map/child.h"
#include "map/end_status.h"
#include "status.h"
#include "talk.h"

#define COUNT_LONGEST ((size_t)1 << 20)         /* a longer record is not held for the sake of a number */

static int open_input(const char *name)
{
	int fd = strcmp(name, "-") == 0 ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1) : open(name, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		complain(CTL_USAGE, "cannot read %s: %s", strcmp(name, "-") == 0 ? "standard input" : name, strerror(errno));
	return child_above_stdio(fd);
}

static int open_fd(int number)
{
	int fd = fcntl(number, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);

	if (fd < 0)
		complain(CTL_USAGE, "--fd %d: %s", number, strerror(errno));
	else if (number > STDERR_FILENO)
		close(number);          /* commands do not inherit it, and its writer notices when we close ours */
	return fd;
}

/* Standard input is ours alone from now on: who writes to it notices when the source is closed. */
static void give_up_stdin(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	if (fd > STDIN_FILENO) {
		dup2(fd, STDIN_FILENO);
		close(fd);
	}
}

static int open_one(const struct map_settings *m, size_t i)
{
	return m->input_fd >= 0 ? open_fd(m->input_fd) : open_input(m->n_inputs ? m->inputs[i] : "-");
}

static int zip(const struct map_settings *m, const struct jt_source *sources, size_t n, struct jt_source *ret)
{
	struct jt_item fill = { (void *)(uintptr_t)m->fill, m->fill ? strlen(m->fill) : 0, NULL };
	struct jt_error err;

	if (jt_zip(sources, n, m->zip, m->zip == JT_ZIP_FILL ? &fill : NULL, ret, &err) == 0)
		return 0;
	return complain(CTL_USAGE, "%s", err.text);
}

/* The sources of n descriptors as one; takes them. */
static int source_of(const struct map_settings *m, const int *fds, size_t n, const struct records_opts *o, struct jt_source *ret)
{
	struct jt_source *sources = xcalloc(n, sizeof(*sources));
	int rc = 0;

	for (size_t i = 0; i < n; i++)
		sources[i] = records_source(fds[i], o);
	if (n > 1)
		rc = zip(m, sources, n, ret);
	else
		*ret = sources[0];
	free(sources);
	return rc;
}

static void close_all(const int *fds, size_t n)
{
	while (n-- > 0)
		close(fds[n]);
}

/* A regular file once more, where it is read from, with an offset of its own. -1: it is none. */
static int open_again(int fd)
{
	struct stat st;
	off_t at = lseek(fd, 0, SEEK_CUR);
	char path[32];
	int again;

	if (at < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return -1;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = open(path, O_RDONLY | O_CLOEXEC);
	if (again >= 0)
		lseek(again, at, SEEK_SET);
	return again;
}

static bool open_for_count(const struct map_settings *m, const int *fds, size_t n, struct jt_source *ret)
{
	struct records_opts o = m->records;
	int *again = xcalloc(n, sizeof(*again));
	size_t opened = 0;
	bool can;

	o.longest = COUNT_LONGEST;
	while (opened < n && (again[opened] = open_again(fds[opened])) >= 0)
		opened++;
	can = opened == n && source_of(m, again, n, &o, ret) == 0;
	if (opened < n)
		close_all(again, opened);
	free(again);
	return can;
}

int inputs_open(const struct map_settings *m, struct jt_source *ret, struct jt_source *ret_count, bool *ret_can_count)
{
	size_t n = m->n_inputs > 1 ? m->n_inputs : 1, opened = 0;
	int *fds = xcalloc(n, sizeof(*fds)), rc = CTL_USAGE;

	while (opened < n && (fds[opened] = open_one(m, opened)) >= 0)
		opened++;
	if (opened == n) {
		*ret_can_count = m->progress != PROGRESS_NONE && m->total < 0 && open_for_count(m, fds, n, ret_count);
		rc = source_of(m, fds, n, &m->records, ret);
		if (rc && *ret_can_count)
			ret_count->close(ret_count->arg);
	} else {
		close_all(fds, opened);
	}
	give_up_stdin();
	free(fds);
	return rc;
}

int inputs_complain(const struct map_settings *m, int error)
{
	if (m->n_inputs > 1 && m->zip == JT_ZIP_STRICT && error == ENODATA)
		return complain(MAP_SOURCE_ERROR, "the inputs are not of the same length");
	return complain(MAP_SOURCE_ERROR, "the input cannot be read: %s", strerror(error));
}
