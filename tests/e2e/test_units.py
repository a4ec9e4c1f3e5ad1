#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The units are right in the eyes of systemd, jobd's sandbox is as tight as we say, and the timer's submission is the same one when triggered twice."""
import os
import re
import shlex
import shutil
import subprocess
import tempfile
import unittest

import kit

UNITS = os.path.join(kit.SOURCE, "systemd")
PLACES = {"@bindir@": "/usr/bin", "@libexecdir@": "/usr/libexec", "@sysconfdir@": "/etc"}
systemd_analyze = shutil.which("systemd-analyze")


def expanded(kind, folder, root):
    """The units of one kind as make installs them, with /usr/bin and so on moved below root so that the programs are found."""
    for name in os.listdir(os.path.join(UNITS, kind)):
        with open(os.path.join(UNITS, kind, name), encoding="utf-8") as f:
            text = f.read()
        for mark, place in PLACES.items():
            text = text.replace(mark, root + place)
        assert "@" not in re.sub(r"@(chown|clock|module|obsolete|privileged|raw-io|reboot|resources|swap|system-service|NAME|\.)|submit@", "", text), name
        with open(os.path.join(folder, name.removesuffix(".in")), "w", encoding="utf-8") as f:
            f.write(text)


@unittest.skipUnless(systemd_analyze, "systemd-analyze is not installed")
class Units(unittest.TestCase):
    def setUp(self):
        self.root = self.enterContext(tempfile.TemporaryDirectory())
        for program in ("usr/bin/jobd", "usr/bin/jobctl", "usr/libexec/jobd/jobd-runner"):
            path = os.path.join(self.root, program)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            shutil.copy("/bin/true", path)
        self.units = os.path.join(self.root, "units")
        os.mkdir(self.units)

    def analyze(self, *words):
        return subprocess.run([systemd_analyze, *words], capture_output=True, text=True, env=dict(os.environ, SYSTEMD_UNIT_PATH=self.units + ":", XDG_RUNTIME_DIR=self.root))

    def names(self):
        # A template is verified as an instance of itself.
        return [os.path.join(self.units, name.replace("@.", "@nightly.")) for name in sorted(os.listdir(self.units))]

    def verified(self, kind, *options):
        expanded(kind, self.units, self.root)
        for name in os.listdir(self.units):
            if "@." in name:
                os.symlink(name, os.path.join(self.units, name.replace("@.", "@nightly.")))
        done = self.analyze("verify", "--man=no", "--recursive-errors=no", *options, *(n for n in self.names() if "@." not in n))
        self.assertEqual((0, ""), (done.returncode, done.stdout + done.stderr))

    def test_system_units_verify(self):
        self.verified("system", "--system")

    def test_user_units_verify(self):
        self.verified("user", "--user")

    def exposed_at_most(self, unit, tenths):
        expanded("system", self.units, self.root)
        done = self.analyze("security", "--offline=yes", "--threshold=%d" % tenths, os.path.join(self.units, unit))
        self.assertEqual(0, done.returncode, done.stdout[-400:] + done.stderr)

    def test_jobd_is_in_a_tight_sandbox(self):
        self.exposed_at_most("jobd.service", 15)

    def test_the_runner_has_what_does_not_hinder_jobs(self):
        self.exposed_at_most("jobd-runner.service", 70)


class Occurrence(unittest.TestCase):
    def test_a_second_trigger_of_the_day_finds_the_first_ones_run(self):
        with open(os.path.join(UNITS, "system", "jobd-submit@.service.in"), encoding="utf-8") as f:
            text = f.read()
        words = shlex.split(re.search(r"^ExecStart=(.*)$", text, re.M).group(1))
        occurrence = re.search(r"^Environment=OCCURRENCE=(.*)$", text, re.M).group(1).replace("%%", "%")
        with kit.Daemon() as daemon:
            pipeline = os.path.join(daemon.folder, "nightly.yaml")
            with open(pipeline, "w", encoding="utf-8") as f:
                f.write("jobs:\n  copy: 'true'\n")
            command = words[2].replace("$$", "$").replace("@bindir@/jobctl", kit.JOBCTL).replace("@sysconfdir@/jobd/pipelines/%i.yaml", pipeline).replace("%i", "nightly")
            runs = [subprocess.run([*words[:2], command], env=dict(daemon.env, OCCURRENCE=occurrence), capture_output=True, text=True, check=True).stdout
                    for _ in range(2)]
            self.assertEqual(["1\n", "1\n"], runs)
            self.assertRegex(daemon.listed()[0]["key"], r"^nightly-\d{4}-\d\d-\d\d$")


if __name__ == "__main__":
    if not systemd_analyze:
        print("SKIP: systemd-analyze is not installed")
    unittest.main()
