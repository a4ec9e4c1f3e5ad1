#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""make install puts everything where it belongs, below the prefix and DESTDIR, and a C program builds against what is installed."""
import os
import re
import shutil
import subprocess
import tempfile
import unittest

import kit

PREFIX = "/usr/local"
EXPECTED = """
bin/jobctl bin/jobd libexec/jobd/jobd-runner
include/jobtree.h include/jobtree_fetch.h include/jobtree_map.h lib/libjobtree.so lib/pkgconfig/libjobtree.pc
share/jobd/org.jobd.varlink
lib/systemd/system/jobd.service lib/systemd/system/jobd.socket lib/systemd/system/jobd-runner.service
lib/systemd/system/jobd-submit@.service lib/systemd/system/jobd-submit@.timer
lib/systemd/user/jobd.service lib/systemd/user/jobd.socket lib/systemd/user/jobd-runner.service
lib/sysusers.d/jobd.conf lib/tmpfiles.d/jobd.conf etc/jobd/jobd.conf
share/doc/jobd/examples/replicate.yaml share/doc/jobd/examples/fleet.yaml share/doc/jobd/examples/fleet-failing.yaml
share/man/man1/jobctl.1 share/man/man1/jobctl-fetch.1 share/man/man8/jobd.8 share/man/man5/jobd.conf.5
share/bash-completion/completions/jobctl share/zsh/site-functions/_jobctl share/fish/vendor_completions.d/jobctl.fish
""".split()

PROGRAM = r"""
#include <jobtree.h>
#include <stdio.h>
int main(void)
{
	struct jt_error err;
	struct jt_opts opts = { .slots = 1 };
	struct jt_sched *s = jt_sched_new(&opts, &err);
	if (!s || jt_path_check("a//b", 4, "~", &err) == 0)
		return 1;
	puts(err.text);
	jt_sched_free(s);
	return 0;
}
"""


class Install(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dest = tempfile.mkdtemp()
        done = subprocess.run(["make", "-s", "-C", kit.BUILD, "install", "DESTDIR=" + cls.dest], capture_output=True, text=True, env=cls.environment())
        assert done.returncode == 0, done.stdout + done.stderr
        cls.root = cls.dest + PREFIX
        cls.files = {os.path.relpath(os.path.join(here, name), cls.dest + PREFIX) for here, _, names in os.walk(cls.dest) for name in names}

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.dest)

    @staticmethod
    def environment():
        """A make of its own, not a part of the one that runs the tests."""
        return {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "DESTDIR")}

    def test_everything_is_there(self):
        self.assertEqual([], sorted(set(EXPECTED) - self.files))

    def test_nothing_lies_outside_the_prefix(self):
        self.assertEqual([], sorted(f for f in self.files if f.startswith("../")))

    def test_units_name_the_installed_programs(self):
        with open(os.path.join(self.root, "lib/systemd/system/jobd.service"), encoding="utf-8") as f:
            self.assertIn("ExecStart=%s/bin/jobd " % PREFIX, f.read())
        with open(os.path.join(self.root, "lib/systemd/system/jobd-runner.service"), encoding="utf-8") as f:
            self.assertIn("ExecStart=%s/libexec/jobd/jobd-runner " % PREFIX, f.read())

    def test_an_administrators_file_is_not_overwritten(self):
        path = os.path.join(self.root, "etc/jobd/jobd.conf")
        with open(path, encoding="utf-8") as f:
            ours = f.read()
        with open(path, "a", encoding="utf-8") as f:
            f.write("slots = 2\n")
        subprocess.run(["make", "-s", "-C", kit.BUILD, "install-data", "DESTDIR=" + self.dest], capture_output=True, check=True, env=self.environment())
        with open(path, encoding="utf-8") as f:
            self.assertEqual(ours + "slots = 2\n", f.read())

    def test_the_library_exports_its_own_names_alone(self):
        listed = subprocess.run(["nm", "-D", "--defined-only", os.path.join(self.root, "lib/libjobtree.so")], capture_output=True, text=True, check=True).stdout
        names = [line.split()[2] for line in listed.splitlines() if " A " not in line]
        self.assertTrue(names)
        self.assertEqual([], [name for name in names if not re.match(r"jt_", name)])

    def test_a_program_builds_against_it(self):
        source = os.path.join(self.dest, "program.c")
        with open(source, "w", encoding="utf-8") as f:
            f.write(PROGRAM)
        env = dict(self.environment(), PKG_CONFIG_PATH=self.root + "/lib/pkgconfig", PKG_CONFIG_SYSROOT_DIR=self.dest, LD_LIBRARY_PATH=self.root + "/lib")
        flags = subprocess.run(["pkg-config", "--cflags", "--libs", "libjobtree"], capture_output=True, text=True, check=True, env=env).stdout.split()
        sanitizers = os.environ.get("JOBD_SANITIZERS", "no")
        if sanitizers != "no":
            flags.append("-fsanitize=" + sanitizers)
        compiler = os.environ.get("CC", "cc").split()
        subprocess.run([*compiler, source, "-o", source[:-2], *flags], check=True, env=env)
        printed = subprocess.run([source[:-2]], capture_output=True, text=True, check=True, env=env).stdout
        self.assertIn("a//b", printed)


if __name__ == "__main__":
    unittest.main()
