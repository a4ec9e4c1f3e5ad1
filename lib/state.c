/* SPDX-License-Identifier: MIT */
/* The names of states, and what each outcome means (SEMANTICS 3). */
#include "tree.h"

static const char *const names[] = {
	[JT_WAITING] = "waiting", [JT_READY] = "ready",     [JT_HELD] = "held",     [JT_STARTING] = "starting",
	[JT_RUNNING] = "running", [JT_BACKOFF] = "backoff", [JT_SOK] = "ok",        [JT_WARNED] = "warned",
	[JT_FAILED] = "failed",   [JT_SKIPPED] = "skipped", [JT_CANCELLED] = "cancelled", [JT_LOST] = "lost",
};
_Static_assert(sizeof(names) / sizeof(*names) == JT_N_STATES, "a state without a name");

const char *jt_state_name(enum jt_state st)
{
	return (size_t)st < JT_N_STATES ? names[st] : "unknown";
}

int jt_state_parse(const char *name, enum jt_state *ret)
{
	for (unsigned i = 0; i < JT_N_STATES; i++)
		if (strcmp(name, names[i]) == 0) {
			*ret = (enum jt_state)i;
			return 0;
		}
	return -1;
}

bool jt_state_is_final(enum jt_state st)
{
	return st >= JT_SOK && st < JT_N_STATES;
}

static const struct jt_end ends[] = {
	/*                   state         goes_on fails_run stops_run */
	[JT_END_OK]     = { JT_SOK,       true,  false, false },
	[JT_END_WARN]   = { JT_WARNED,    true,  true,  false },
	[JT_END_IGNORE] = { JT_WARNED,    true,  false, false },
	[JT_END_SKIP]   = { JT_SKIPPED,   false, false, false },
	[JT_END_FAIL]   = { JT_FAILED,    false, true,  false },
	[JT_END_ABORT]  = { JT_FAILED,    false, true,  true },
	[JT_END_CANCEL] = { JT_CANCELLED, false, true,  false },
	[JT_END_LOST]   = { JT_LOST,      false, true,  false },
};

struct jt_end jt_end_of(enum jt_outcome o)
{
	return (size_t)o < sizeof(ends) / sizeof(*ends) ? ends[o] : ends[JT_END_FAIL];
}
