#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Every input that ever broke something, and those from which the fuzzers start, through every target. With JOBD_SOAK=1 the fuzzers run, too.
set -u
targets=$(make -s --no-print-directory -C "$JOBD_BUILDDIR" check-fuzz-list) || exit 1
passed=0 failed=0
for target in $targets; do
	if "$JOBD_BUILDDIR/tests/fuzz/$target" "$JOBD_SRCDIR/tests/fuzz/corpus/$target"; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		echo "FAIL $target"
	fi
done
if [ "${JOBD_SOAK:-0}" = 1 ]; then
	if command -v clang >/dev/null; then
		"$JOBD_SRCDIR/tests/fuzz/run" --soak && passed=$((passed + 1)) || failed=$((failed + 1))
	else
		echo "SKIP: clang is not installed: nothing is fuzzed"
	fi
fi
echo "$passed passed, $failed failed"
[ $failed = 0 ]
