/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <stdio.h>

#include "status.h"
#include "verbs.h"

int cmd_version(const struct options *o)
{
	(void)o;
	puts("jobctl " PACKAGE_VERSION);
	return CTL_OK;
}
