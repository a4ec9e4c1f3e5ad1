/* SPDX-License-Identifier: MIT */
/* Exit statuses that maps have beside those of every verb. 126 and 127: the command cannot be executed, is not there. */
#ifndef MAP_END_STATUS_H
#define MAP_END_STATUS_H

enum map_status {
	MAP_SOURCE_ERROR = 20,
	MAP_HALTED = 21,
	MAP_DAEMON_LOST = 22,
	MAP_IO_ERROR = 23,
};

#endif
