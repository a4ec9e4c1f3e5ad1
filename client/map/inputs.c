/* SPDX-License-Identifier: MIT */
#include "map/inputs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "map/child.h"
#include "status.h"
#include "talk.h"

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

int inputs_open(const struct map_settings *m, struct jt_source *ret)
{
	size_t n = m->n_inputs > 1 ? m->n_inputs : 1, opened = 0;
	struct jt_source *sources = xcalloc(n, sizeof(*sources));
	int rc = 0;

	for (; opened < n; opened++) {
		int fd = open_one(m, opened);

		if (fd < 0)
			break;
		sources[opened] = records_source(fd, &m->records);
	}
	if (opened < n) {
		while (opened-- > 0)
			sources[opened].close(sources[opened].arg);
		rc = CTL_USAGE;
	} else if (n > 1) {
		rc = zip(m, sources, n, ret);
	} else {
		*ret = sources[0];
	}
	give_up_stdin();
	free(sources);
	return rc;
}

const char *inputs_error(const struct map_settings *m, int error)
{
	if (m->n_inputs > 1 && m->zip == JT_ZIP_STRICT && error == ENODATA)
		return "the inputs are not of the same length";
	return strerror(error);
}
