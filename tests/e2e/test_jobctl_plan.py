#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""plan: every file in tests/client/data gives what stands beside it: .plan (order), .sim (under virtual time), .err (refused, or a warning).

JOBCTL_GOLDEN=write puts down what comes out now; read it before it is committed."""
import glob
import json
import os
import subprocess
import unittest

import kit

DATA = os.path.join(kit.SOURCE, "tests", "client", "data")
INPUTS = sorted(p for p in glob.glob(os.path.join(DATA, "*")) if p.endswith((".yaml", ".json", ".ndjson", ".lines")))
ENV = {k: v for k, v in os.environ.items() if k not in ("JOBD_SOCKET", "XDG_RUNTIME_DIR")}


def plan(*words, text=None):
    return subprocess.run([kit.JOBCTL, "--socket", "/nonexistent", "plan", *words], cwd=DATA, input=text, capture_output=True, text=True, env=ENV,
                          timeout=kit.PATIENCE)


class Plan(unittest.TestCase):
    maxDiff = None

    def golden(self, path, text):
        if os.environ.get("JOBCTL_GOLDEN") == "write" and text:
            with open(path, "w", encoding="utf-8") as f:
                f.write(text)
        if not os.path.exists(path):
            self.assertEqual("", text)
            return
        with open(path, encoding="utf-8") as f:
            self.assertEqual(f.read(), text)

    def test_files_give_what_stands_beside_them(self):
        self.assertGreater(len(INPUTS), 8)
        for path in INPUTS:
            with self.subTest(os.path.basename(path)):
                name = os.path.basename(path)
                done = plan("-j", "2", name)
                self.golden(path + ".plan", done.stdout)
                self.golden(path + ".err", done.stderr)
                self.assertEqual(6 if not done.stdout else 0, done.returncode)
                if done.returncode == 0:
                    self.golden(path + ".sim", plan("-j", "2", "--simulate", name).stdout)

    def test_json_says_the_same(self):
        shown = json.loads(plan("-j", "2", "--simulate", "--json", "nightly.yaml").stdout)
        self.assertEqual(("nightly", 2, 7, 1), (shown["name"], shown["workers"], shown["jobs"], shown["barriers"]))
        row = {r["path"]: r for r in shown["order"]}
        self.assertEqual((0.0, 10.0), (row["db1/dump"]["start_s"], row["db1/dump"]["end_s"]))
        self.assertEqual((30.0, 31.0), (row["db1/dump/~/prune"]["start_s"], row["db1/dump/~/prune"]["end_s"]))
        self.assertEqual(31.5, shown["makespan_s"])
        self.assertNotIn("alarm", row)

    def test_standard_input_is_named_in_mistakes(self):
        done = plan("-", text="a: x\nb//c: x\n")
        self.assertEqual((6, ""), (done.returncode, done.stdout))
        self.assertTrue(done.stderr.startswith("jobctl: standard input:2: "), done.stderr)

    def test_many_lines(self):
        done = plan("-j", "4", "--json", "-", text="".join("d%d/j%05d: x\n" % (i % 7, i) for i in range(20000)))
        self.assertEqual(20000, len(json.loads(done.stdout)["order"]))


if __name__ == "__main__":
    unittest.main()
