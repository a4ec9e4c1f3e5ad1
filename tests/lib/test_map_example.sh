#!/bin/bash
# SPDX-License-Identifier: MIT
# The example of a map: lines come out in their order with the right digests; the first while the input still stands open; empty lines fail alone.
set -eu
digests=$JOBD_BUILDDIR/etc/examples/digests

status=0
out=$(printf 'a\n\nfoobar' | "$digests" 2>"$TMPDIR/err") || status=$?
[ "$status" = 1 ]
[ "$out" = $'af63dc4c8601ec8c a\n85944171f73967e8 foobar' ]
[ "$(cat "$TMPDIR/err")" = 'digests: 1 empty lines' ]

seq 20000 | "$digests" | cut -d' ' -f2 | cmp - <(seq 20000)

mkfifo "$TMPDIR/in" "$TMPDIR/out"
"$digests" <"$TMPDIR/in" >"$TMPDIR/out" &
exec 3>"$TMPDIR/in" 4<"$TMPDIR/out"
echo first >&3
read -r _ line <&4
[ "$line" = first ]
exec 3>&-
wait $!
