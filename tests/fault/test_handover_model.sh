#!/bin/bash
# SPDX-License-Identifier: MIT
# The model of the hand-over holds in every interleaving; without any one of its rules it does not; and the code still says which step is where.
set -eu
model=$JOBD_SRCDIR/doc/handover.pml

# Steps of the model by name: each has its place in the code, and no comment names a step that is not there.
for step in commit_intent send_start take_start receive_end commit_end send_ack commit_lost recover runner_starts; do
	grep -q "$step" "$model" || { echo "the model has no step $step"; exit 1; }
	grep -rqE "handover\.pml: ([a-z_ ]*; )?$step" "$JOBD_SRCDIR/daemon" || { echo "nothing in daemon/ is marked 'handover.pml: $step'"; exit 1; }
done
while IFS= read -r step; do
	grep -qw "$step" "$model" || { echo "daemon/ names the step $step, which the model does not have"; exit 1; }
done < <(grep -rhoE 'handover\.pml: [a-z_]+' "$JOBD_SRCDIR/daemon" | sed 's/.*: //' | sort -u)

command -v spin >/dev/null || { echo "SKIP: spin is not installed"; exit 77; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

# errors_of DEFINES... - what the search finds
errors_of()
{
	rm -f pan ./*.trail
	spin "$@" -a "$model" >spin.log 2>&1 || { cat spin.log; exit 1; }
	${CC:-cc} -O2 -DSAFETY -o pan pan.c 2>cc.log || { cat cc.log; exit 1; }
	./pan -m1000000 >pan.log 2>&1
	grep -q 'max search depth too small\|out of memory' pan.log && { cat pan.log; exit 1; }
	sed -n 's/.*errors: \([0-9]*\).*/\1/p' pan.log
}
expect()
{
	local want=$1 found
	shift
	found=$(errors_of "$@")
	if [ "$found" != "$want" ]; then
		cat pan.log
		echo "spin $*: $found errors, $want expected"
		exit 1
	fi
	echo "$(sed -n 's/ *\([0-9]*\) states, stored/\1/p' pan.log | head -n 1) states, $found errors: ${*:-one job, 3 crashes of jobd, 1 of the runner}"
}
expect 0
expect 0 -DNJOBS=2 -DJCRASH=4 -DRCRASH=2
# Either of these two rules is enough; without both two instances live at once.
expect 0 -DNOFENCE
expect 0 -DNODEDUP
expect 1 -DNOFENCE -DNODEDUP
for rule in NOKILL ACKFIRST SENDFIRST FORGETENDS; do
	expect 1 -D$rule
done
expect 1 -DNJOBS=2 -DRELEASEFIRST
