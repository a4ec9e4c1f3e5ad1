/* SPDX-License-Identifier: MIT */
/* Two functions at once: one here, one in a thread that lives as long as this call. */
#include <errno.h>
#include <pthread.h>

#include "jobtree_map.h"

struct other {
	jt_fn fn;
	void *arg;
	int r;
};

static void *run_other(void *arg)
{
	struct other *o = arg;
	o->r = o->fn(o->arg);
	return NULL;
}

int jt_both(jt_fn f1, void *arg1, jt_fn f2, void *arg2)
{
	struct other o = { f2, arg2, 0 };
	pthread_t thread;
	if (pthread_create(&thread, NULL, run_other, &o) != 0)
		return -EAGAIN;
	int r = f1(arg1);
	pthread_join(thread, NULL);
	return r != 0 ? r : o.r;
}
