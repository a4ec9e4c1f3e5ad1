# SPDX-License-Identifier: MIT
"""Connections as other users, for tests that run as root."""
import os
import pwd

import kit
import varlink

OWNER, OTHER, ADMIN = (pwd.getpwnam(name) for name in ("nobody", "daemon", "bin"))


def connect_as(path, uid, gid):
    """Identity is that of connect(); afterwards this process is root again."""
    os.setegid(gid)
    os.seteuid(uid)
    try:
        return varlink.Connection(path, kit.PATIENCE)
    finally:
        os.seteuid(0)
        os.setegid(0)
