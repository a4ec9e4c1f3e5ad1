/* SPDX-License-Identifier: MIT */
/* Exit statuses: the same in every verb. `wait --exit-code` of one job and `run` give the job's own instead. */
#ifndef STATUS_H
#define STATUS_H

enum status {
	CTL_OK = 0,
	CTL_JOB_FAILED = 1,
	CTL_USAGE = 2,
	CTL_NO_SUCH = 3,
	CTL_NO_DAEMON = 4,
	CTL_TIMED_OUT = 5,
	CTL_REFUSED = 6,
	CTL_BUSY = 7,
	CTL_INTERRUPTED = 130,
};

#endif
