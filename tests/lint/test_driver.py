#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tests/driver judges its tests rightly: a harness that calls a failure a pass would hide everything else."""
import os
import subprocess
import tempfile
import unittest

import tree

DRIVER = os.path.join(tree.ROOT, "tests", "driver")


class Driver(unittest.TestCase):
    def run_test(self, script, strict=True, name="tests/x", env=()):
        with tempfile.TemporaryDirectory() as d:
            log, trs = os.path.join(d, "log"), os.path.join(d, "trs")
            done = subprocess.run(["bash", DRIVER, "--test-name", name, "--log-file", log, "--trs-file", trs, "--color-tests", "no",
                                   "--enable-hard-errors", "yes", "--expect-failure", "no", "--", "bash", "-c", script, "true"],
                                  env=dict(os.environ, JOBD_STRICT_SKIPS="1" if strict else "0", **dict(env)), capture_output=True, text=True)
            self.assertEqual(0, done.returncode, done.stderr)
            fields = dict(line[1:].split(": ", 1) for line in open(trs))
            return fields["test-result"].strip(), tuple(map(int, fields["jobd-counts"].split())), open(log).read()

    def judged(self, script, **kw):
        return self.run_test(script, **kw)[:2]

    def test_silent_success_is_one_check(self):
        self.assertEqual(("PASS", (1, 0, 0)), self.judged("exit 0"))

    def test_failure_without_a_word_is_one_failure(self):
        self.assertEqual(("FAIL", (0, 1, 0)), self.judged("exit 3"))

    def test_libcheck_line(self):
        self.assertEqual(("PASS", (12, 0, 0)), self.judged("echo '100%: Checks: 12, Failures: 0, Errors: 0'"))
        self.assertEqual(("FAIL", (9, 3, 0)), self.judged("echo '75%: Checks: 12, Failures: 1, Errors: 2'; exit 1"))

    def test_several_suites_add_up(self):
        self.assertEqual(("PASS", (5, 0, 0)), self.judged("echo '100%: Checks: 2, Failures: 0, Errors: 0'; echo '100%: Checks: 3, Failures: 0, Errors: 0'"))

    def test_unittest_lines(self):
        self.assertEqual(("PASS", (7, 0, 0)), self.judged("echo 'Ran 7 tests in 0.1s'; echo; echo OK"))
        self.assertEqual(("FAIL", (4, 3, 0)), self.judged("echo 'Ran 7 tests in 0.1s'; echo 'FAILED (failures=1, errors=2)'; exit 1"))

    def test_own_closing_line(self):
        self.assertEqual(("PASS", (152, 0, 0)), self.judged("echo 152 passed, 0 failed"))

    def test_a_clean_line_does_not_hide_the_exit_status(self):
        self.assertEqual(("FAIL", (152, 1, 0)), self.judged("echo 152 passed, 0 failed; exit 1"))

    def test_skip_must_be_listed(self):
        result, counts, log = self.run_test("echo 'SKIP: no moon tonight'; exit 77")
        self.assertEqual("FAIL", result)
        self.assertIn("not listed in tests/skips.allowed: tests/x: no moon tonight", log)
        self.assertEqual(("SKIP", (0, 0, 1)), self.judged("echo 'SKIP: no moon tonight'; exit 77", strict=False))

    def test_skip_must_say_why(self):
        self.assertEqual("FAIL", self.judged("exit 77")[0])
        self.assertEqual("FAIL", self.judged("echo 'Ran 3 tests in 0.1s'; echo 'OK (skipped=1)'")[0])

    def test_time_limit(self):
        result, _, log = self.run_test("read -r _ < <(tail -f /dev/null)", env=[("JOBD_TEST_TIMEOUT", "1"), ("JOBD_SANITIZERS", "no")])
        self.assertEqual("FAIL", result)
        self.assertIn("not done after 1 s", log)

    def test_leftover_processes_are_ended(self):
        """It is told of once it runs: a process in the middle of exec has no environment that can be read."""
        _, _, log = self.run_test('mkfifo "$TMPDIR/up" && { setsid bash -c \'echo up >"$1"; read -r _ <"$1"\' - "$TMPDIR/up" & read -r _ <"$TMPDIR/up"; }')
        self.assertIn("left running, ended now", log)

    def test_a_mount_that_is_left_is_taken_away_and_is_a_failure(self):
        if subprocess.run(["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/tmp"], stderr=subprocess.DEVNULL).returncode != 0:
            print("SKIP: file systems can not be mounted")
            self.skipTest("file systems can not be mounted")
        result, _, log = self.run_test('mount -t tmpfs none "$TMPDIR" && echo "at $TMPDIR"')
        self.assertEqual("FAIL", result)
        place = log.split("at ", 1)[1].split("\n", 1)[0]
        self.assertIn("left behind, taken away now: mount " + place, log)
        with open("/proc/self/mountinfo", encoding="utf-8") as f:
            self.assertNotIn(place, f.read())

    def test_a_sanitizer_report_of_any_process_is_a_failure(self):
        result, _, log = self.run_test('path=${ASAN_OPTIONS#*log_path=}; echo "heap-use-after-free" >"${path%%:*}.77"; exit 0')
        self.assertEqual("FAIL", result)
        self.assertIn("heap-use-after-free", log)

    def test_private_folders(self):
        _, _, log = self.run_test('echo "$HOME $TMPDIR ${JOBD_SOCKET-none}"', env=[("JOBD_SOCKET", "/nowhere")])
        self.assertRegex(log, r"^/\S+/home /\S+/tmp none$")


if __name__ == "__main__":
    unittest.main()
