/* SPDX-License-Identifier: MIT */
/* Restore - `jobd --restore`: a backup takes the place of the database, which nobody may use meanwhile. */
#ifndef RESTORE_H
#define RESTORE_H

#include "options.h"

/* restore - by who has the lock of the state. Logs what has been done. 0; or -1, and it is logged why not. */
int restore(const struct options *o);

#endif
