#!/bin/bash
# SPDX-License-Identifier: MIT
# All vectors agree, and the program that says so notices when one does not.
set -eu
vectors=$JOBD_BUILDDIR/tests/vectors
file=$JOBD_SRCDIR/tests/vectors.d/tasktree.jsonl
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

"$vectors" "$file"

# corrupt SED-EXPRESSION - one record, changed: the program must fail
corrupt()
{
	grep '"h047-' "$file" | sed "$1" > "$dir/bad.jsonl"
	grep '"h047-' "$file" | cmp -s - "$dir/bad.jsonl" && { echo "corruption $1 changed nothing"; exit 1; }
	if "$vectors" "$dir/bad.jsonl" > "$dir/said"; then
		echo "corruption $1 was not noticed"
		exit 1
	fi
	grep -q '^0 passed, 1 failed$' "$dir/said"
}
corrupt 's/"failed":false/"failed":true/'
corrupt 's/\[16,"F",/[17,"F",/'
corrupt 's/"never_started":\[\]/"never_started":["s"]/'
corrupt 's/\[1,"S","s\/a"\]/[1,"S","s\/b"]/'
corrupt 's/"out":{.*/"out":{"error":"E"}}/'
echo "corrupted records are noticed"
