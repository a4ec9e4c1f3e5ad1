/* SPDX-License-Identifier: MIT */
/* Restore: see restore.h. How the files are put into place is store_restore.c. */
#include "restore.h"

#include <limits.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "endpoint.h"
#include "log.h"
#include "store.h"

/* Its jobs are those of the database that goes: under one number they could be taken for others. */
static int check_no_runner(const struct options *o)
{
	char unit[PATH_MAX];
	const char *served = endpoint_is_served(o->runner_socket, SOCK_SEQPACKET) ? o->runner_socket :
			     options_runner_unit(o, unit) == 0 && endpoint_is_served(unit, SOCK_SEQPACKET) ? unit : NULL;

	if (!served)
		return 0;
	log_error("jobd-runner still serves %s and may run jobs of the database that is to be replaced: end it first "
		  "(`jobctl shutdown --kill` while jobd runs, else end jobd-runner itself, by systemctl if it is a unit)", served);
	return -1;
}

int restore(const struct options *o)
{
	struct store_restored done;
	struct store_error err;

	if (check_no_runner(o) < 0)
		return -1;
	if (store_restore(o->state, o->restore, &done, &err) < 0) {
		log_error("%s", err.text);
		return -1;
	}
	log_info("%s is restored into %s: %lld runs; %lld of them had not ended and are paused, `jobctl resume` lets them go on", o->restore,
		 o->state, (long long)done.runs, (long long)done.paused);
	if (done.kept)
		log_info("the database that was there is kept as %s", done.kept);
	free(done.kept);
	return 0;
}
