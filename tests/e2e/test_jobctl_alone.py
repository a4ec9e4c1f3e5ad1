#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What jobctl does without a daemon: help, version, config check, completion, and mistakes of the command line."""
import os
import re
import shutil
import subprocess
import unittest

import kit

ENV = {k: v for k, v in os.environ.items() if not k.startswith("JOBD_")}


def jobctl(*words, text="", **env):
    return subprocess.run([kit.JOBCTL, *words], input=text, capture_output=True, text=True, env=dict(ENV, **env), timeout=kit.PATIENCE)


def verbs():
    return [line.split()[0] for line in jobctl("--help").stdout.splitlines() if line.startswith("  ")]


class Alone(unittest.TestCase):
    def test_help_lists_every_verb_and_each_has_its_own(self):
        names = verbs()
        self.assertEqual("run", names[0])
        self.assertGreater(len(names), 25)
        for name in names:
            done = jobctl(name, "--help")
            self.assertEqual((0, ""), (done.returncode, done.stderr))
            self.assertTrue(done.stdout.startswith("usage: jobctl " + name), done.stdout)

    def test_nothing_and_nonsense_are_usage(self):
        done = jobctl()
        self.assertEqual((2, ""), (done.returncode, done.stdout))
        self.assertIn("usage:", done.stderr)
        done = jobctl("cancle", "1")
        self.assertEqual(2, done.returncode)
        self.assertIn('did you mean "cancel"?', done.stderr)
        done = jobctl("submit", "--folow", "-")
        self.assertEqual(2, done.returncode)
        self.assertIn("did you mean --follow?", done.stderr)

    def test_options_of_other_tools_are_told_what_they_are_called_here(self):
        with open(os.path.join(kit.SOURCE, "client", "elsewhere.c"), encoding="utf-8") as f:
            rows = re.findall(r'^\t{ "(\w+)", " (.+) ", "(.+)" },$', f.read(), re.M)
        self.assertIn(("map", "P max-procs", "here it is -j N"), rows)
        for verb, names, here in rows:
            usage = jobctl(verb, "--help").stdout
            for name in names.split():
                option = ("--" if name[1:] else "-") + name
                done = jobctl(verb, option, "x")
                self.assertEqual((2, "", "jobctl: %s has no option %s: %s\n" % (verb, option, here)), (done.returncode, done.stdout, done.stderr))
            for option in re.findall(r"(?<!\S)--?[a-z][a-z-]*", here):
                self.assertRegex(usage, r"(?m)^  .*(?<!\S)%s\b" % option, here)

    @staticmethod
    def pages(verb):
        """jobctl(1), and the page of the verb if it has one of its own."""
        text = ""
        for page in ("jobctl.1", "jobctl-%s.1" % verb):
            path = os.path.join(kit.SOURCE, "doc", page)
            if os.path.exists(path):
                with open(path, encoding="utf-8") as f:
                    text += f.read()
        return text

    def test_manual_page_has_every_verb_and_option(self):
        for name in verbs():
            page = self.pages(name)
            self.assertTrue(re.search(r"\bCm %s\b" % name, page) or re.search(r"^\.Cm status.* %s\b" % name, page, re.M), name)
            for option in re.findall(r"^  (?:-\w, )?--(\S+)", jobctl(name, "--help").stdout, re.M):
                self.assertTrue(re.search(r"(Fl|,|\|) -%s\b" % option, page), "%s --%s" % (name, option))

    def test_version(self):
        done = jobctl("version")
        self.assertEqual(0, done.returncode)
        self.assertRegex(done.stdout, r"^jobctl \d+\.\d+\.\d+\n$")
        self.assertEqual(done.stdout, jobctl("--version").stdout)

    def test_config_check(self):
        with kit.temporary_folder() as folder:
            path = os.path.join(folder, "jobd.conf")
            with open(path, "w", encoding="utf-8") as f:
                f.write("slots = 3\noutput_max = 1M\n")
            done = jobctl("config", "check", path)
            self.assertEqual(0, done.returncode)
            self.assertIn("slots = 3\n", done.stdout)
            self.assertIn("output_max = 1048576\n", done.stdout)
            self.assertEqual(done.stdout, jobctl("config", "check", JOBD_CONFIG=path).stdout)
            with open(path, "a", encoding="utf-8") as f:
                f.write("slot = 4\n")
            done = jobctl("config", "check", path)
            self.assertEqual((6, ""), (done.returncode, done.stdout))
            self.assertIn(path + ':3: unknown key "slot"; did you mean "slots"?', done.stderr)
        self.assertEqual(2, jobctl("config", "check", path).returncode)
        self.assertEqual(2, jobctl("config", "chekc").returncode)

    def test_completion_scripts_are_shell(self):
        for shell in ("bash", "zsh", "fish"):
            done = jobctl("completion", shell)
            self.assertEqual(0, done.returncode)
            for name in verbs():
                self.assertIn(name, done.stdout)
            if shutil.which(shell):
                subprocess.run([shell, "-n"], input=done.stdout, text=True, check=True)
        self.assertEqual(2, jobctl("completion", "csh").returncode)

    def test_completion_completes(self):
        script = jobctl("completion", "bash").stdout + 'COMP_WORDS=(jobctl "$@"); COMP_CWORD=$#; _jobctl; echo "${COMPREPLY[@]}"\n'
        done = subprocess.run(["bash", "-c", script, "bash", "sub"], capture_output=True, text=True, check=True)
        self.assertEqual("submit", done.stdout.strip())
        done = subprocess.run(["bash", "-c", script, "bash", "submit", "--fo"], capture_output=True, text=True, check=True)
        self.assertEqual("--follow --format", done.stdout.strip())

    def test_no_description_ends_its_quotes_in_fish(self):
        for line in jobctl("completion", "fish").stdout.splitlines()[1:]:
            self.assertRegex(line, r"^[^\"$`]* -d '([^'\\]|\\['\\])+'$")

    def test_the_name_of_a_run_is_completed_and_not_executed(self):
        with kit.Daemon() as d:
            d.submit("a: true\n", "--name", "sync$(>executed)")
            script = jobctl("completion", "bash").stdout + 'COMP_WORDS=(jobctl show "$1"); COMP_CWORD=2; _jobctl; printf "%s\\n" "${COMPREPLY[@]}"\n'
            env = dict(d.env, PATH=kit.BUILD + ":" + os.environ["PATH"])
            done = subprocess.run(["bash", "-c", script, "bash", "sy"], capture_output=True, text=True, check=True, env=env, cwd=d.folder)
            self.assertEqual((r"sync\$\(\>executed\)" + "\n", ""), (done.stdout, done.stderr))
            self.assertFalse(os.path.exists(os.path.join(d.folder, "executed")))


if __name__ == "__main__":
    unittest.main()
