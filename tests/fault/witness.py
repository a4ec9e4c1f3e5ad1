# SPDX-License-Identifier: MIT
"""The witnesses of a campaign: files that only grow, a write a line, in the formats of check_history.py."""
import json
import os
import threading


class Log:
    """Lines that several threads append; a line is there before append() returns."""

    def __init__(self, path):
        self.path = path
        self.file = open(path, "ab", buffering=0)
        self.lock = threading.Lock()

    def append(self, *lines):
        with self.lock:
            self.file.write("".join(line + "\n" for line in lines).encode())

    def close(self):
        self.file.close()


class Witness:
    def __init__(self, folder):
        self.folder = folder
        os.mkdir(os.path.join(folder, "locks"))
        self.side = Log(os.path.join(folder, "side"))
        self.acks = Log(os.path.join(folder, "acks"))
        self.events = Log(os.path.join(folder, "events"))

    def mark(self, *words):
        """A marker between the lines of the jobs; which there are stands in check_history.py."""
        self.side.append("M " + " ".join(map(str, words)))

    def tell(self, letter, key, *fields):
        """What a client was told about a job, in order with what the jobs do."""
        self.side.append(" ".join([letter, key, *fields]))

    def invoke(self, specs):
        self.acks.append(*(json.dumps(dict(s, ev="invoke")) for s in specs))

    def answer(self, ev, op, keys, **more):
        """ok, fail (refused for certain) or info (nobody knows)."""
        self.acks.append(*(json.dumps(dict(more, ev=ev, op=op, key=k)) for k in keys))

    def saw(self, event):
        self.events.append(json.dumps(event))

    def close(self):
        for log in (self.side, self.acks, self.events):
            log.close()
