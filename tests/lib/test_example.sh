#!/bin/bash
# SPDX-License-Identifier: MIT
# The example for C programs runs as its comment says: the prune comes last, after the copy that had to be tried twice.
set -eu
out=$("$JOBD_BUILDDIR/etc/examples/mirror")
echo "$out"
[ "$(head -n 1 <<< "$out")" = "disk/snapshot: ok" ]
[ "$(tail -n 1 <<< "$out")" = "disk/snapshot/~/prune: ok" ]
[ "$(wc -l <<< "$out")" = 4 ]
