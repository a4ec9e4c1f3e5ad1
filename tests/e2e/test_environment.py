# SPDX-License-Identifier: MIT
"""What a job finds in its environment: what it was given, and nothing of how jobd or its runner were started."""
import os
import sys
import unittest

import varlink
from case import Case

POISON = {"LD_LIBRARY_PATH": "/nowhere", "LD_BIND_NOW": "1", "BASH_ENV": "/nowhere", "ENV": "/nowhere", "IFS": "x", "PS4": "$(id)", "SHELLOPTS": "xtrace",
          "CDPATH": "/", "PYTHONPATH": "/nowhere", "PERL5OPT": "-d", "TMPDIR": "/nowhere", "TZ": "Mars", "LC_ALL": "C", "JOBD_SECRET": "canary",
          "BASH_FUNC_ls%%": "() { echo canary; }", "canary": "canary", "PATH": os.environ["PATH"], "HOME": "/nowhere", "USER": "canary"}
NAMES = {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "JOBD_SOCKET", "JOBD_RUN", "JOBD_JOB", "JOBD_PATH", "JOBD_ATTEMPT"}
HOSTILE = ["", "=", "A=B", "A B", "A\nB", "1A", "A-B", "A.B", "\u00e4", "A\u0000B", "\x1b[2J", "A\x7f", "A\t", "BASH_FUNC_x%%", "$(id)", "`id`", "A;B", "A/../B",
           "JOBD_RUN", "JOBD_SOCKET", "JOBD_X", "JOBD_"] + ["A%c" % c for c in range(32, 127) if not chr(c).isalnum() and chr(c) != "_"]
FOR_NOBODY_ELSE = ["LD_PRELOAD", "LD_AUDIT", "BASH_ENV", "ENV", "IFS", "PYTHONSTARTUP", "PYTHONPATH", "PERL5LIB", "RUBYOPT", "SHELLOPTS", "PS4", "GCONV_PATH"]


class Environment(Case):
    def setUp(self):
        self.saved = dict(os.environ)
        os.environ.update(POISON)
        self.addCleanup(self.restore)
        super().setUp()

    def restore(self):
        os.environ.clear()
        os.environ.update(self.saved)

    def environment_of(self, **job):
        run = self.submit({"a": dict({"argv": ["/usr/bin/env", "-0"]}, **job)})
        self.assertEqual(self.wait(run)["exit"], 0)
        return dict(item.split("=", 1) for item in self.output(run, "a").decode().split("\0") if item)

    def test_nothing_of_a_poisoned_start_is_left(self):
        found = self.environment_of()
        self.assertEqual(set(found), NAMES)
        self.assertNotIn("canary", str(found))
        self.assertTrue(found["PATH"].startswith("/usr/local/"))
        self.assertNotEqual(found["HOME"], "/nowhere")

    def test_signals_limits_and_mask_are_those_of_a_login(self):
        run = self.submit({"a": "grep -E '^Sig(Blk|Ign)|^ShdPnd' /proc/self/status; ls /proc/self/fd | wc -l; cat /proc/self/oom_score_adj"})
        self.wait(run)
        self.assertEqual(self.output(run, "a").decode().split(),
                         ["ShdPnd:", "0" * 16, "SigBlk:", "0" * 16, "SigIgn:", "0" * 16, "4", "0"])

    def test_what_a_job_is_given_comes_last_and_once(self):
        found = self.environment_of(env={"PATH": "/bin", "LD_LIBRARY_PATH": "/mine", "A": "two words\n=;$(id)"})
        self.assertEqual((found["PATH"], found["LD_LIBRARY_PATH"], found["A"]), ("/bin", "/mine", "two words\n=;$(id)"))

    def test_names_that_are_none_are_refused_by_name(self):
        self.assertGreater(len(HOSTILE), 50)
        for name in HOSTILE:
            if "\0" in name:
                continue        # no JSON at all for jobd
            with self.subTest(name):
                error = self.refusal("Submit", jobs=[{"path": "a", "shell": "true", "env": {name: "x"}}])
                self.assertEqual((error.name, error.parameters["path"]), ("org.jobd.Refused", "a"))
        self.assertEqual(self.call("List")["runs"], [])

    def test_values_may_hold_anything_but_NUL(self):
        value = "".join(chr(c) for c in range(1, 256)) + "'; DROP TABLE jobs; --"
        self.assertEqual(self.environment_of(env={"A": value})["A"], value)

    @unittest.skipIf(os.geteuid() != 0, "tested as root")
    def test_a_job_of_another_user_is_given_nothing_that_changes_its_programs(self):
        for name in FOR_NOBODY_ELSE:
            for where in ({"env": {name: "x"}}, {"defaults": {"env": {name: "x"}}}):
                with self.subTest(name):
                    job = {"path": "a", "shell": "true", "user": "nobody", **({"env": where["env"]} if "env" in where else {})}
                    with self.assertRaises(varlink.Error) as caught:
                        self.call("Submit", run={"defaults": where["defaults"]} if "defaults" in where else {}, jobs=[job])
                    self.assertEqual(caught.exception.name, "org.jobd.Refused")
                    self.assertIn(name, str(caught.exception))
        os.chmod(self.d.folder, 0o755)
        self.assertEqual(self.environment_of(user="nobody", env={"A": "b"})["A"], "b")


if __name__ == "__main__":
    if os.geteuid() != 0:
        print("SKIP: jobs of another user need root")
    sys.exit(unittest.main())
