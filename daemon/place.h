/* SPDX-License-Identifier: MIT */
/*
 * Place - folders and sockets by name, where others may have put something there before us. What stands in a folder that others can write to may
 * be another thing at the next look; so files are kept in none, and a socket is changed through a descriptor that has been looked at.
 */
#ifndef PLACE_H
#define PLACE_H

#include <sys/types.h>

/* place_make_dirs - path, absolute, becomes a folder, if there is none: it 0700, those above it 0755. 0, or -1 errno. */
int place_make_dirs(const char *path);

/*
 * place_open_dir - open a folder to keep files in: ours or, with PLACE_OURS_OR_ROOTS, root's; not to be
 * written to by others (group: but our own).
 * A descriptor, or -1 with errno: EPERM when it is not such a one, ENOTDIR when it is a link.
 */
enum place_owner { PLACE_OURS, PLACE_OURS_OR_ROOTS };
int place_open_dir(const char *path, enum place_owner owner);

/* place_give_socket - set owner, group ((uid_t)-1, (gid_t)-1: as they are) and mode of a socket that we have just bound at path. 0, or -1 with
 * errno: EPERM when what stands there is not it any more. */
int place_give_socket(const char *path, uid_t uid, gid_t gid, mode_t mode);

#endif
