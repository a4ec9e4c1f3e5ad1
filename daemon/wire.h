/* SPDX-License-Identifier: MIT */
/* Wire - connects an engine with its loop, its sessions and its runner. */
#ifndef WIRE_H
#define WIRE_H

#include "engine.h"
#include "runner_link.h"
#include "server.h"

/*
 * wire_engine - the engine's indexes, its turn of the loop, its server and its health, on e->base, which is there. opts: what the caller wants
 * of the server; methods, ctx and on_close are set here. Nothing listens yet.
 */
void wire_engine(struct engine *e, const struct server_opts *opts);
/* wire_runner - e->link, after the engine has recovered what its store holds. ctx and the functions of opts are set here. */
void wire_runner(struct engine *e, const struct runner_link_opts *opts);

#endif
