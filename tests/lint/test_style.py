#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The rules of HACKING.md that a machine can check: the include wall, one place each for SQL and threads, first lines, leftovers."""
import ast
import json
import os
import re
import shutil
import subprocess
import unittest

import tree

C = (".c", ".h")
OUTSIDE_LIB = ("sqlite3.h", "event2/", "jansson.h", "yaml.h", "libsmartcols", "systemd/", "curl/")


def includes(path):
    return [(n, re.search(r'[<"]([^>"]+)[>"]', line).group(1)) for n, line in tree.lines(tree.code(path), r'^\s*#\s*include\s*[<"]')]


def below(path, folder):
    return path.startswith(folder + "/")


class Lint(unittest.TestCase):
    maxDiff = None

    def none(self, found, rule):
        self.assertEqual([], found, "\n%s\n  %s" % (rule, "\n  ".join(found)))

    def headers(self, folder):
        return {os.path.basename(p) for p in tree.files(folder, suffix=(".h",))}

    def test_lib_includes_neither_daemon_nor_client(self):
        foreign = (self.headers("daemon") | self.headers("client")) - self.headers("lib")
        found = ["%s:%d includes %s" % (p, n, inc) for p in tree.files("lib", suffix=C) for n, inc in includes(p)
                 if os.path.basename(inc) in foreign or "daemon/" in inc or "client/" in inc]
        self.none(found, "lib/ stands below daemon/ and client/")

    def test_lib_itself_depends_on_libc_alone(self):
        found = ["%s:%d includes %s" % (p, n, inc) for p in tree.files("lib", suffix=C) if not below(p, "lib/proto")
                 for n, inc in includes(p) if inc.startswith(OUTSIDE_LIB) or inc.startswith("proto/")]
        self.none(found, "libjobtree needs nothing but the C library")

    def test_daemon_and_client_do_not_know_each_other(self):
        found = []
        for mine, other in (("daemon", "client"), ("client", "daemon")):
            foreign = self.headers(other) - self.headers(mine) - self.headers("lib")
            found += ["%s:%d includes %s" % (p, n, inc) for p in tree.files(mine, suffix=C) for n, inc in includes(p)
                      if os.path.basename(inc) in foreign or other + "/" in inc]
        self.none(found, "the client knows the published interface alone")

    def test_fetch_knows_neither_of_them_nor_they_it(self):
        others = (self.headers("daemon") | self.headers("client")) - self.headers("lib") - self.headers("fetch")
        found = ["%s:%d includes %s" % (p, n, inc) for p in tree.files("fetch", suffix=C) for n, inc in includes(p)
                 if os.path.basename(inc) in others or "daemon/" in inc or "client/" in inc]
        found += ["%s:%d includes %s" % (p, n, inc) for p in tree.files("lib", "daemon", "client", suffix=C) for n, inc in includes(p)
                  if "fetch/" in inc or inc.startswith("curl/")]
        self.none(found, "jobd-fetch is a program of its own: it is started, not called")

    def test_the_runner_knows_neither_json_nor_sql_nor_the_loop(self):
        found = ["%s:%d includes %s" % (p, n, inc) for p in tree.files("daemon/runner", suffix=C) for n, inc in includes(p)
                 if inc.startswith(("sqlite3.h", "jansson.h", "yaml.h", "event2/"))]
        self.none(found, "the runner parses nothing from clients and touches no database")

    def test_only_the_store_includes_sqlite(self):
        found = ["%s:%d" % (p, n) for p in tree.files("lib", "daemon", "client", "fetch", suffix=C) for n, inc in includes(p)
                 if inc == "sqlite3.h" and not re.match(r"daemon/store[^/]*\.[ch]$|client/map/(log|keys)\.c$", p)]
        self.none(found, "SQL has one place: daemon/store*.c; and a map's own log: client/map/log.c")

    def test_sql_is_never_put_together(self):
        found = []
        for p in tree.files("daemon", suffix=C):
            for n, line in tree.lines(tree.code(p), r"\b(sqlite3_exec|sqlite3_prepare\w*)\s*\("):
                if re.search(r"\b(sqlite3_mprintf|asprintf|sprintf|snprintf)\b", line):
                    found.append("%s:%d" % (p, n))
            found += ["%s:%d %s" % (p, n, line.strip()) for n, line in
                      tree.lines(tree.code(p), r'\b\w*printf\s*\(.*"\s*(SELECT|INSERT|UPDATE|DELETE|CREATE|DROP)\b')]
        self.none(found, "SQL is a string literal with ?1 parameters")

    def test_only_the_mailbox_has_a_mutex(self):
        """threads.c (jt_run_threads) and map_wait.c (jt_map_*; its lock is declared in map_threads.h) are the library's executors; the runner's workers and the mailbox are the daemon's."""
        found = ["%s:%d %s" % (p, n, line.strip()) for p in tree.files("lib", "daemon", "client", "fetch", suffix=C)
                 if os.path.basename(p) not in ("mailbox.c", "threads.c", "map_wait.c", "map_threads.h", "run_threads.c")
                 for n, line in tree.lines(tree.code(p), r"\bpthread_(mutex|rwlock|spin|cond)_|\bmtx_|\bcnd_")]
        self.none(found, "threads own, messages move")

    def test_nobody_waits_for_any_child(self):
        found = ["%s:%d %s" % (p, n, line.strip()) for p in tree.files("lib", "daemon", "client", "fetch", suffix=C)
                 for n, line in tree.lines(tree.code(p), r"\bwaitpid\s*\(\s*-1|\bwait\s*\(\s*(NULL|0|&)|\bwait3\s*\(|P_ALL\b")]
        self.none(found, "children are reaped by pidfd, in one place")

    def test_no_unbounded_string_functions(self):
        found = ["%s:%d %s" % (p, n, line.strip()) for p in tree.files("lib", "daemon", "client", "fetch", suffix=C)
                 for n, line in tree.lines(tree.code(p), r"\b(strcpy|strcat|sprintf|vsprintf|gets|atoi|atol|atof|strtok)\s*\(")]
        self.none(found, "numbers are parsed with their range, buffers have sizes")

    def test_tests_do_not_wait_by_sleeping(self):
        found = ["%s:%d %s" % (p, n, line.strip()) for p in tree.files("tests", suffix=C)
                 for n, line in tree.lines(tree.code(p), r"\b(sleep|usleep|nanosleep|clock_nanosleep)\s*\(")]
        found += ["%s:%d %s" % (p, n, line.strip()) for p in tree.files("tests", suffix=(".py",)) if os.path.basename(p) != "check_history.py"
                  for n, line in tree.lines(tree.text(p), r"\btime\.sleep\s*\(")]
        found += ["%s:%d %s" % (p, n, line.strip()) for p in tree.files("tests", suffix=(".sh",)) + ["tests/run", "tests/driver"]
                  for n, line in tree.lines(tree.text(p), r"^\s*sleep\s+[0-9.$]")]
        self.none(found, "wait for an event, a ready line or a FIFO")

    def test_every_source_says_its_licence(self):
        wanted = tree.files("lib", "daemon", "client", "fetch", "tests", "etc", "scripts", "systemd", suffix=(".c", ".h", ".py", ".sh", ".in", ".yaml"))
        wanted += ["Makefile.am", "configure.ac", "tests/run", "tests/driver", ".ci/run", "quickstart", "scripts/build", "scripts/packages"]
        found = [p for p in wanted if os.path.exists(os.path.join(tree.ROOT, p)) and os.path.basename(p) != "check_history.py"
                 and not any("SPDX-License-Identifier: MIT" in line for line in tree.text(p).split("\n")[:3])]
        self.none(found, "the first lines hold `SPDX-License-Identifier: MIT`")

    def test_nothing_is_left_for_later(self):
        words = r"\b(%s)\b" % "|".join(("TO" + "DO", "FIX" + "ME", "X" + "XX", "HA" + "CK"))
        found = ["%s:%d %s" % (p, n, line.strip()) for p in tree.files("lib", "daemon", "client", "fetch", "tests", "etc", "scripts", "systemd", "doc")
                 if p.endswith((".c", ".h", ".py", ".sh", ".md", ".in", ".varlink", ".yaml", ".am"))
                 for n, line in tree.lines(tree.text(p), words)]
        self.none(found, "what is missing is an issue, not a comment")

    def test_no_trailing_blanks(self):
        found = ["%s:%d" % (p, n) for p in tree.files("lib", "daemon", "client", "fetch", "tests", "etc", "scripts", "systemd", "doc", suffix=C + (".py", ".sh", ".md", ".yaml", ".in"))
                 for n, _ in tree.lines(tree.text(p), r"[ \t]+$")]
        self.none(found, "no blanks at the end of a line")

    def test_python_parses(self):
        for p in tree.files("tests", "etc", "scripts", suffix=(".py",)):
            with self.subTest(p):
                ast.parse(tree.text(p), p)

    def test_json_parses(self):
        for p in tree.files(suffix=(".json",)):
            with self.subTest(p):
                json.loads(tree.text(p))
        for p in tree.files(suffix=(".jsonl", ".ndjson")):
            for n, line in enumerate(tree.text(p).splitlines(), 1):
                with self.subTest(p, line=n):
                    json.loads(line)

    def test_shell_parses(self):
        scripts = [p for p in tree.files("tests", "etc", "scripts", ".ci") + ["quickstart"]
                   if os.path.isfile(os.path.join(tree.ROOT, p)) and not p.endswith((".py", ".pyc", ".jsonl", ".json")) and self.is_shell(p)]
        for p in scripts:
            with self.subTest(p):
                subprocess.run(["bash", "-n", os.path.join(tree.ROOT, p)], check=True)
        if shutil.which("shellcheck"):
            done = subprocess.run(["shellcheck", "-S", "warning", *scripts], cwd=tree.ROOT, capture_output=True, text=True)
            self.assertEqual("", done.stdout + done.stderr)

    @staticmethod
    def is_shell(path):
        with open(os.path.join(tree.ROOT, path), "rb") as f:
            return re.match(rb"#!.*\b(ba)?sh\b", f.readline()) is not None

    def test_what_falsifies_a_promise_is_a_test(self):
        names = [os.path.basename(p) for p in tree.files("tests") if os.path.basename(p).startswith("test_")] + ["vectors"]
        rows = [row.split("|") for row in tree.text("doc/reliability.md").splitlines() if re.match(r"\| [PM]\d+ \|", row)]
        self.assertGreaterEqual(len(rows), 37)
        for row in rows:
            for named in re.findall(r"\w+", re.sub(r"\(.*?\)", "", row[4])):
                with self.subTest(row[1].strip(), named=named):
                    self.assertTrue(any(named in name for name in names))

    def test_manual_pages_have_no_warning(self):
        pages = [os.path.join(tree.ROOT, p) for p in tree.files("doc", "client", suffix=(".1", ".5", ".8", ".3"))]
        if not pages:
            return
        if shutil.which("mandoc"):
            done = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", *pages], capture_output=True, text=True)
            self.assertEqual((0, ""), (done.returncode, done.stdout + done.stderr))
        if shutil.which("groff"):
            for page in pages:
                done = subprocess.run(["groff", "-man" if ".TH" in tree.text(page) else "-mdoc", "-ww", "-Tutf8", "-z", page],
                                      capture_output=True, text=True)
                self.assertEqual("", done.stderr, page)
        if not shutil.which("mandoc") and not shutil.which("groff"):
            print("SKIP: neither mandoc nor groff is installed")


if __name__ == "__main__":
    unittest.main()
