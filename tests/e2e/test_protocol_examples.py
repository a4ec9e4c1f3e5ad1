#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every example of doc/protocol.md, in its order, on one connection to a fresh jobd; and nothing of the interface is left out there."""
import json
import os
import re
import socket
import unittest

import kit


def read(*path):
    with open(os.path.join(kit.SOURCE, *path), encoding="utf-8") as f:
        return f.read()


def examples(text):
    """(line number, call, [reply, ...]) of each call in the ```varlink blocks."""
    found, inside = [], False
    for n, line in enumerate(text.split("\n"), 1):
        if line.startswith("```"):
            inside = line == "```varlink"
        elif inside and line.startswith("> "):
            found.append((n, json.loads(line[2:]), []))
        elif inside and line.startswith("< "):
            found[-1][2].append(json.loads(line[2:]))
        elif inside:
            raise AssertionError("doc/protocol.md:%d: neither > nor <" % n)
    return found


def without_nulls(value):
    if isinstance(value, dict):
        return {k: without_nulls(v) for k, v in value.items() if v is not None}
    return [without_nulls(v) for v in value] if isinstance(value, list) else value


def differences(due, got, where="reply"):
    """What is wrong with got; "*" stands for anything, absent included."""
    if due == "*":
        return []
    if isinstance(due, dict) and isinstance(got, dict):
        return [d for k in sorted(due.keys() | got.keys())
                for d in (differences(due[k], got.get(k), where + "." + k) if k in due else ["%s.%s is not in the example: %r" % (where, k, got[k])])]
    if isinstance(due, list) and isinstance(got, list) and len(due) == len(got):
        return [d for i, (a, b) in enumerate(zip(due, got)) for d in differences(a, b, "%s[%d]" % (where, i))]
    same = due == got and isinstance(due, bool) == isinstance(got, bool)
    return [] if same else ["%s is %s, the example says %s" % (where, json.dumps(got), json.dumps(due))]


def translate(value, numbers, key=None):
    """The page counts its runs from 1; jobd also gives numbers to submissions that it refuses."""
    if isinstance(value, dict):
        return {k: translate(v, numbers, k) for k, v in value.items()}
    if isinstance(value, list):
        return [translate(v, numbers, key) for v in value]
    if key == "run" and value in numbers:
        return numbers[value]
    return value


def learn(due, got, numbers):
    """The numbers of a run that has just been made, as an integer and as an address."""
    page, real = due.get("parameters", {}).get("run"), got.get("parameters", {}).get("run")
    if isinstance(page, int) and isinstance(real, int):
        numbers.setdefault(page, real)
        numbers.setdefault(str(page), str(real))


class Connection:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(kit.PATIENCE)
        self.socket.connect(path)
        self.rest = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, message):
        self.socket.sendall(json.dumps(message).encode() + b"\0")

    def receive(self):
        while b"\0" not in self.rest:
            data = self.socket.recv(65536)
            if not data:
                raise EOFError("jobd closed the connection")
            self.rest += data
        message, self.rest = self.rest.split(b"\0", 1)
        return json.loads(message)


class Protocol(unittest.TestCase):
    def test_examples_work(self):
        found, numbers = examples(read("doc", "protocol.md")), {}
        with kit.Daemon() as daemon, Connection(daemon.socket) as connection:
            for line, call, replies in found:
                connection.send(translate(call, numbers))
                for due in replies:
                    got = without_nulls(connection.receive())
                    if call["method"] in ("org.jobd.Submit", "org.jobd.Open", "org.jobd.Map"):
                        learn(due, got, numbers)
                    with self.subTest("doc/protocol.md:%d" % line, call=call):
                        self.assertEqual([], differences(translate(due, numbers), got), json.dumps(got))
            self.assertEqual(0, daemon.process.wait(kit.PATIENCE))

    def test_every_method_has_an_example(self):
        called = {call["method"] for _, call, _ in examples(read("doc", "protocol.md"))}
        for method in re.findall(r"^method (\w+)", read("doc", "org.jobd.varlink"), re.M):
            with self.subTest(method):
                self.assertIn("org.jobd." + method, called)

    def test_every_error_is_explained(self):
        page = read("doc", "protocol.md")
        for error in re.findall(r"^error (\w+)", read("doc", "org.jobd.varlink"), re.M):
            with self.subTest(error):
                self.assertRegex(page, r"(?m)^\|.*\b%s\b.*\|.*\|.*\|$" % error)


if __name__ == "__main__":
    unittest.main()
