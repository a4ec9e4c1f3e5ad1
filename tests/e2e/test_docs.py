#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What documents show works: blocks fenced as `sh test` are run in order, in an empty folder, against a private jobd. A block fenced as
`text output` that follows has to be what they print, where a line `...` stands for any lines. What documents link to exists."""
import os
import re
import subprocess
import tempfile
import unittest

import kit

BLOCK = re.compile(r"^```(\S+)(?: (\S+))?\n(.*?)^```$", re.M | re.S)


def documents():
    found = [os.path.join(kit.SOURCE, name) for name in ("README.md", "HACKING.md")]
    return found + [os.path.join(kit.SOURCE, "doc", name) for name in sorted(os.listdir(os.path.join(kit.SOURCE, "doc"))) if name.endswith(".md")]


def stories(text):
    """(commands, expected output or None) of each block that is to be run."""
    blocks = BLOCK.findall(text)
    for (language, mark, body), following in zip(blocks, blocks[1:] + [("", "", "")]):
        if (language, mark) == ("sh", "test"):
            yield body, following[2] if following[:2] == ("text", "output") else None


def matches(expected, printed):
    pattern = "".join(r"(?:.*\n)*?" if line == "..." else re.escape(line) + "\n" for line in expected.splitlines())
    return re.fullmatch(pattern, printed) is not None


class Documents(unittest.TestCase):
    def test_examples_work(self):
        for path in documents():
            with open(path, encoding="utf-8") as f:
                found = list(stories(f.read()))
            if not found:
                continue
            with kit.Daemon() as daemon:
                folder = os.path.join(daemon.folder, "here")
                os.mkdir(folder)
                env = dict(daemon.env, PATH=os.path.dirname(kit.JOBCTL) + ":" + os.environ["PATH"])
                for commands, expected in found:
                    with self.subTest(os.path.basename(path), commands=commands):
                        done = subprocess.run(["bash", "-eu", "-c", commands], cwd=folder, env=env, capture_output=True, text=True, timeout=kit.PATIENCE)
                        self.assertEqual(0, done.returncode, done.stdout + done.stderr)
                        if expected is not None:
                            self.assertTrue(matches(expected, done.stdout), "%s\nis not\n%s" % (done.stdout, expected))

    def test_links_lead_somewhere(self):
        for path in documents():
            with open(path, encoding="utf-8") as f:
                for target in re.findall(r"\]\(([^)#:]+)\)", f.read()):
                    with self.subTest(os.path.basename(path), target=target):
                        self.assertTrue(os.path.exists(os.path.join(os.path.dirname(path), target)))

    def test_the_sample_configuration_and_its_manual_have_every_key(self):
        with open(os.path.join(kit.SOURCE, "lib/proto/conf.h"), encoding="utf-8") as f:
            fields = re.findall(r"^\t[^/]*\b(\w+);", re.search(r"struct conf \{(.*?)\n\};", f.read(), re.S).group(1), re.M)
        with open(os.path.join(kit.SOURCE, "etc/jobd.conf"), encoding="utf-8") as f:
            sample = re.sub(r"^#(?=\w+ = )", "", f.read(), flags=re.M)
        with open(os.path.join(kit.SOURCE, "doc/jobd.conf.5"), encoding="utf-8") as f:
            manual = re.findall(r"^\.It Ic (\w+)$", f.read(), re.M)
        self.assertEqual(fields, re.findall(r"^(\w+) = ", sample, re.M))
        self.assertEqual(fields, manual)
        with tempfile.NamedTemporaryFile("w", suffix=".conf") as f:
            f.write(sample)
            f.flush()
            done = subprocess.run([kit.JOBCTL, "config", "check", f.name], capture_output=True, text=True)
        self.assertEqual(0, done.returncode, done.stderr)

    def test_the_readme_has_its_two_commands(self):
        with open(os.path.join(kit.SOURCE, "README.md"), encoding="utf-8") as f:
            commands = re.findall(r"^    (\./\S+)$", f.read(), re.M)
        self.assertEqual(["./quickstart", "./tests/run"], commands)
        for command in commands:
            self.assertTrue(os.access(os.path.join(kit.SOURCE, command), os.X_OK), command)


if __name__ == "__main__":
    unittest.main()
