/* SPDX-License-Identifier: MIT */
/* What the executor with threads sees of a request to end early. */
#ifndef JOBTREE_CANCEL_H
#define JOBTREE_CANCEL_H

#include <stdlib.h>

#include "jobtree.h"

struct jt_cancel {
	_Atomic int asked;
	int fd;                         /* an eventfd; readable from the first request on */
};

#endif
