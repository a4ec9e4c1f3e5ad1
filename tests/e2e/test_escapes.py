# SPDX-License-Identifier: MIT
"""What jobs, paths and other people's text may do to a terminal: nothing. Every verb for people, on a terminal, over fields full of sequences."""
import base64
import os
import pty
import re
import select
import subprocess
import unittest

import kit
from case import Case

EVERY_BYTE = bytes(range(1, 256))
SEQUENCES = "\x1b]0;title\x07 \x1b[2J\x1b[31;5m \x1bP1;1|17/ab\x1b\\ \x1b_apc\x1b\\ \x9b2J \x9d0;x\x9c \x07\x08\x0b\x0c\r\x0e\x0f\x7f \u202e\u2066\u200b\ufeff\u2028 \u061c"
TEXT = "".join(chr(c) for c in range(1, 256)) + SEQUENCES
PATH = "".join(c for c in dict.fromkeys(TEXT) if c >= " " and c not in "/~" and not 0x7f <= ord(c) < 0xa0)[:110] + "\u202e\u2066\u200b\ufeff\u2028\u061c"
OURS = re.compile("\x1b\\[[0-9;]*m|\r\x1b\\[K")                         # colours; the line that follow draws again


def is_harmless(c):
    n = ord(c)
    return c == "\n" or 0x20 <= n < 0x7f or (n >= 0xa0 and not (
        n == 0x61c or 0x200b <= n <= 0x200f or 0x2028 <= n <= 0x202e or 0x2060 <= n <= 0x206f or n == 0xfeff))


def on_a_terminal(words, env):
    """Everything that comes out of the other side of the terminal, and the exit status."""
    master, slave = pty.openpty()
    with subprocess.Popen(words, stdin=slave, stdout=slave, stderr=slave, env=env, start_new_session=True) as process:
        os.close(slave)
        said = b""
        while True:
            if not select.select([master], [], [], kit.PATIENCE)[0]:
                process.kill()
                raise AssertionError("%r does not end" % words)
            try:
                said += os.read(master, 65536)
            except OSError:         # EIO: the last one has closed it
                break
    os.close(master)
    return said.replace(b"\r\n", b"\n"), process.returncode


class Escapes(Case):
    config = "slots = 4\nlog_level = debug\n"

    def setUp(self):
        super().setUp()
        self.env = dict(os.environ, TERM="xterm-256color", LC_ALL="C.UTF-8")
        self.env.pop("NO_COLOR", None)

    def hostile_run(self):
        """Every field with as much as it takes: in names and paths all but controls, elsewhere all but NUL."""
        jobs = [
            {"path": PATH, "argv": ["/no/such/" + TEXT], "env": {"A": TEXT}, "labels": {"k": TEXT}, "retry": {"max": 1, "min_s": 0.01, "cap_s": 0.01}},
            {"path": "b", "argv": ["/bin/sh", "-c", "cat; printf '%s' \"$1\" >&2; exit 3", TEXT, SEQUENCES], "stdin": {"text": TEXT + SEQUENCES},
             "labels": {"l": SEQUENCES}},
            {"path": "b/" + PATH, "shell": "true " + SEQUENCES, "env": {"B": SEQUENCES}},
            {"path": "raw", "argv_b64": [base64.b64encode(b).decode() for b in (b"/bin/echo", EVERY_BYTE)]},
            {"path": "cwd", "shell": "true", "cwd": "/no/" + TEXT.replace("/", "")},
            {"path": "stdin", "shell": "true", "stdin": {"file": "/no/" + TEXT}},
        ]
        run = str(self.call("Submit", run={"name": "n" + PATH, "key": "k" + PATH, "labels": {"x": TEXT}, "env": {"C": TEXT}}, jobs=jobs)["run"])
        self.assertEqual(self.wait(run)["exit"], 1)
        return run, [j["path"] for j in jobs]

    def check(self, *words, raw=False):
        said, status = on_a_terminal([kit.JOBCTL, "--socket", self.d.socket, *words], self.env)
        text = said.decode("utf-8") if not raw else ""
        bad = sorted({hex(ord(c)) for c in OURS.sub("", text) if not is_harmless(c) and (c, words[0]) != ("\t", "logs")})
        self.assertEqual(bad, [], "jobctl %r" % (words,))
        return said, status

    def files(self):
        """Files whose text is shown in what is said against them."""
        for name, text in (("a.yaml", "jobs:\n  \"a\\e[2J\\u202e\": {shell: 1, \"x\\e[2J\": 2}\n"), ("b.yaml", "\x9b2J: \x85\n"), ("c.ndjson", '{"path":"a\\u001b[2J"}\n'),
                           ("d.lines", "a\x1b[2J < b\u202e: x\n"), ("e.json", '{"\\u009b": 1}'), ("f.conf", "slots\x1b[2J = \u202e\n")):
            path = os.path.join(self.d.folder, name)
            with open(path, "w", encoding="utf-8") as f:
                f.write(text)
            yield path

    def test_no_verb_lets_any_of_it_through(self):
        run, paths = self.hostile_run()
        shown = b""
        for words in (["ls"], ["ls", run], ["tree", run], ["show", run], ["why", run], ["events"], ["events", run], ["follow", run], ["status"],
                      ["stats"], ["ping"], ["show", "n" + PATH.replace("/", "")]):
            said, _ = self.check(*words)
            self.assertTrue(said, words)
            shown += said
        for path in paths:
            for verb in ("show", "why", "wait", "logs", "ls", "tree", "hold", "retry", "cancel", "release"):
                said, _ = self.check(verb, "%s/%s" % (run, path))
                shown += said
        self.assertIn(b"\\x1b[2J", shown)       # it was there, and it was escaped
        self.assertIn(b"\\u{202e}", shown)
        self.assertIn(b"\x1b[31mfailed", shown) # and ours is still colour

    def test_what_is_said_against_arguments_and_files_is_escaped(self):
        for verb in ("show", "why", "ls", "logs", "wait", "cancel", "pause", "rm", "seal", "follow", "events"):
            self.check(verb, SEQUENCES)
            self.check(verb, "1/" + SEQUENCES)
        for words in ([SEQUENCES], ["ls", "--" + SEQUENCES], ["ls", "--state", SEQUENCES], ["ls", "--limit", SEQUENCES], ["submit", SEQUENCES], ["wait", "--timeout", SEQUENCES, "1"],
                      ["run", "-d", "--name", SEQUENCES, "-c", "true"], ["run", "-d", "-e", SEQUENCES, "-c", "true"], ["run", "--cwd", SEQUENCES, "--", SEQUENCES],
                      ["completion", SEQUENCES], ["submit", "--format", SEQUENCES, "-"], ["config", "check", SEQUENCES], ["config", SEQUENCES]):
            said, status = self.check(*words)
            self.assertNotEqual(status, 0, words)
            self.assertTrue(said, words)
        for path in self.files():
            for verb in (["config", "check"] if path.endswith(".conf") else ["submit"], ["plan"]):
                said, status = self.check(*verb, path)
                self.assertNotEqual(status, 0, (verb, path, said))

    def test_logs_are_raw_only_where_that_is_asked_for(self):
        run, _ = self.hostile_run()
        whole = (TEXT + SEQUENCES).encode()
        said, _ = self.check("logs", "--out", run + "/b")
        self.assertNotIn(b"\x1b", said)
        said, _ = self.check("logs", "--out", "--raw", run + "/b", raw=True)
        self.assertEqual(said.replace(b"\r\n", b"\n"), whole.replace(b"\r\n", b"\n"))
        piped = subprocess.run([kit.JOBCTL, "--socket", self.d.socket, "logs", "--out", run + "/b"], capture_output=True, check=True)
        self.assertEqual(piped.stdout, whole)

    def test_json_holds_no_control_characters(self):
        run, _ = self.hostile_run()
        for words in (["ls"], ["ls", run], ["tree", run], ["show", run], ["show", run + "/b"], ["why", run + "/b"], ["events", run], ["wait", run]):
            said, _ = on_a_terminal([kit.JOBCTL, "--socket", self.d.socket, words[0], "--json", *words[1:]], self.env)
            self.assertEqual([c for c in said if c < 0x20 and c != 0x0a], [], words)

    def test_the_log_has_a_line_an_event(self):
        self.hostile_run()
        for text in (SEQUENCES, "\nforged: jobd: error: x", TEXT):
            self.conn.sock.sendall(b'{"method":"' + text.replace("\\", "").replace('"', "").encode() + b'"}\0')
            self.connect()
            self.conn.sock.sendall(text.encode() + b"\0")
            self.connect()
        self.call("Stats")
        with open(self.d.log, "rb") as f:
            log = f.read()
        self.assertEqual([c for c in log if (c < 0x20 and c != 0x0a) or c == 0x7f], [])
        for line in log.splitlines():
            self.assertRegex(line, rb"^jobd(-runner)?: (error|warn|info|debug): ")


if __name__ == "__main__":
    unittest.main()
