/* SPDX-License-Identifier: MIT */
/*
 * The whole of jobd but its main, in this process: server, engine, store (on a file system in memory, where there is one) and the link to a
 * runner that starts no process: a job ends at once, as its command says, but those that sleep, which end when they are killed.
 */
#ifndef ENGINE_KIT_H
#define ENGINE_KIT_H

#include "engine.h"

/* The engine; it comes up with the first call. */
struct engine *engine_kit(void);
/* engine_kit_settle - returns when everything asked for so far is durable and told. */
void engine_kit_settle(void);
/* engine_kit_clear - cancels and removes every run, and takes back a shutdown: the next input finds what this one found. */
void engine_kit_clear(void);

/* fake_runner_listen - answers who connects to path as jobd-runner would. */
void fake_runner_listen(struct event_base *base, const char *path);

/* The target looks at what came back: what happens now is not the daemon's doing. */
extern bool engine_kit_checks;

/* Ends the process at once, whatever its threads do, and leaves no file behind. */
void engine_kit_leave(int status) __attribute__((noreturn));

#endif
