/* SPDX-License-Identifier: MIT */
/* Starter - brings up the user's own daemon, once, however many clients want it at the same time. */
#ifndef STARTER_H
#define STARTER_H

/* starter_run - a daemon at `socket` (the user's default). 0 when one has said that it is ready, whoever started it; or
 * CTL_NO_DAEMON and it has complained. */
int starter_run(const char *socket);

#endif
