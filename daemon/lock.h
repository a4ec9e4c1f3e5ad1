/* SPDX-License-Identifier: MIT */
/* Lock - one jobd owns a state directory. The lock goes with the process, however it ends. */
#ifndef LOCK_H
#define LOCK_H

/*
 * lock_take - lock the file `lock` in the directory state_fd, whose name is dir, and write our process into it. The descriptor, which
 * holds the lock until it is closed; or -1, and it is logged who has the lock.
 */
int lock_take(int state_fd, const char *dir);

#endif
