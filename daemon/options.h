/* SPDX-License-Identifier: MIT */
/* Options - what jobd is told by its arguments and its environment: places, and what it is to do there. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <limits.h>
#include <stdbool.h>

struct options {
	char state[PATH_MAX], socket[PATH_MAX], config[PATH_MAX];
	char runner_socket[PATH_MAX];
	char runner[PATH_MAX];          /* the program; "": it is not ours to start */
	char fetch[PATH_MAX];           /* the program, there or not */
	bool config_given;              /* it has to be there */
	bool say_ready;
	const char *restore;            /* a backup: restore it instead of serving */
};

/* options_read - o: all zero. --help and --version end the process. 0; or -1, and it has been said what is wrong. */
int options_read(struct options *o, int argc, char **argv);
/* options_runner_unit - where the runner of this state is when it is a unit, as systemd/ has it: nobody who restores should have to know. 0; -1: it
 * can be none. */
int options_runner_unit(const struct options *o, char buf[PATH_MAX]);

#endif
