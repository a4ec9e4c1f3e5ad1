#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Maps through the daemon whose client, whose jobd, or both are killed at any instant: what all clients print together is what the input says.

    JOBD_SEED=N            the same histories with the same kinds of kills (not the same instants)
    JOBD_HISTORY=N         only the N-th of that seed
    JOBD_STRIKES=N         so many kills instead of 40, or of 600 with JOBD_SOAK=1

A client that is killed is followed by one with --resume. What one prints begins where the one before stopped: the item that was cut off is printed
again whole, and one that was printed and whose delivery was not told yet may be. Where jobd was killed, too, what it was told and had not recorded
is at most a window. No item is lost, none comes twice otherwise, and the daemon has one result for each.
"""
import contextlib
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "e2e"))
import kit

STRIKES = kit.size("JOBD_STRIKES", 40, 600)
A_HISTORY = 5
ITEMS = 100
WINDOW = 8
LARGE = 6000                            # beyond what comes with the end of an item
COMMAND = 'echo $1 >>ran; test $(($1 %% 7)) != 0 || head -c %d /dev/zero | tr "\\0" x; echo "got $1 $JOBD_SEQ"' % LARGE
ENV = {k: v for k, v in os.environ.items() if not k.startswith("JOBD_")}


def record(seq, item):
    """What the command prints for it."""
    return (b"x" * LARGE if item % 7 == 0 else b"") + b"got %d %d\n" % (item, seq)


class Broken(Exception):
    pass


class Reader:
    """Reads what the clients have printed, one after the other, against what they have to print."""

    def __init__(self, items):
        self.expected = [record(seq, item) for seq, item in enumerate(items, 1)]
        self.at = 0                     # the next item that nobody has printed whole
        self.told = 0                   # and the next one of which the daemon may not know that it was

    def check(self, printed, slack):
        """One client's output. When it had begun, the deliveries of the last `slack` items may not have been known."""
        self.told = max(self.told - slack, 0)
        for first in range(self.at, self.told - 1, -1):
            behind = self.behind(printed, first)
            if behind is not None:
                self.at = max(self.at, behind)
                self.told = behind if printed else self.told
                return
        raise Broken("a client printed %r... of %d bytes, which begins with none of the items from %d to %d" % (printed[:60], len(printed), self.told, self.at))

    def behind(self, printed, first):
        """The item behind the last whole one. None: it is not what follows from `first` on, but for a cut at its end."""
        pos = 0
        for n in range(first, len(self.expected)):
            if printed[pos:pos + len(self.expected[n])] != self.expected[n]:
                return n if self.expected[n].startswith(printed[pos:]) else None
            pos += len(self.expected[n])
        return len(self.expected) if pos == len(printed) else None


class History:
    def __init__(self, seed, named):
        self.rng = random.Random(seed)
        self.named = named
        self.folder = tempfile.mkdtemp(prefix="map-")
        self.items = [self.rng.randrange(1, 40) for _ in range(ITEMS)]          # with repetitions
        self.reader = Reader(self.items)
        self.daemon = kit.Daemon(config="log_level = error\n").start()
        self.n_clients = 0
        self.was_killed = False         # jobd, during the client that runs or ran last
        self.slack = 0                  # so many items may be printed again by the client that runs

    def start_client(self):
        name = ["--name", "m", "--resume"] if self.named else []
        path = os.path.join(self.folder, "out%d" % self.n_clients)
        self.slack = 0 if self.n_clients == 0 else WINDOW if self.was_killed else 1
        self.n_clients += 1
        self.was_killed = False
        with open(path, "wb") as out, open(os.path.join(self.folder, "in"), "rb") as items, open(os.path.join(self.folder, "err"), "ab") as err:
            return path, subprocess.Popen([kit.JOBCTL, "map", *name, "-j3", "-w%d" % WINDOW, "--shell", COMMAND], stdin=items, stdout=out, stderr=err,
                                          cwd=self.folder, env=dict(ENV, JOBD_SOCKET=self.daemon.socket))

    def kill(self, kind, client):
        if kind in ("client", "both"):
            client.kill()
            client.wait()
        if kind in ("jobd", "both"):
            self.was_killed = True
            self.daemon.kill()
            self.daemon.start()

    def said(self, path):
        with open(path, "rb") as f:
            return f.read()

    def ended(self, path):
        self.reader.check(self.said(path), self.slack)

    def run(self, strikes):
        with open(os.path.join(self.folder, "in"), "w", encoding="ascii") as f:
            f.writelines("%d\n" % i for i in self.items)
        path, client = self.start_client()
        for kind in strikes:
            try:
                client.wait(self.rng.uniform(0, 0.15))
            except subprocess.TimeoutExpired:
                self.kill(kind, client)
            if client.returncode == 0:
                break
            if client.returncode is not None:
                path, client = self.next_client(path, client)
        while client.wait(kit.PATIENCE) != 0:
            path, client = self.next_client(path, client)
        self.ended(path)
        self.check_end()

    def next_client(self, path, client):
        """After one that was killed; or that found no daemon, as it had just been killed, or the end of the map under way that one before it had told."""
        refused = client.returncode == 6 and b"is being stopped" in self.said(os.path.join(self.folder, "err"))
        if client.returncode != -signal.SIGKILL and not refused and not (client.returncode == 4 and self.was_killed):
            raise Broken("a client ends with %d: %s" % (client.returncode, self.said(os.path.join(self.folder, "err")).decode()[-500:]))
        self.ended(path)
        return self.start_client()

    def check_end(self):
        if self.reader.at != ITEMS:
            raise Broken("of %d items %d were printed" % (ITEMS, self.reader.at))
        ran = [int(line) for line in self.said(os.path.join(self.folder, "ran")).split()]
        lacking = sorted(set(self.items) - set(ran)) or len(ran) < ITEMS
        if lacking:
            raise Broken("not run, though printed: %s" % lacking)
        copy = os.path.join(self.folder, "copy.db")
        self.daemon.jobctl("backup", copy, check=True)
        with contextlib.closing(sqlite3.connect(copy)) as db:
            rows = db.execute("SELECT count(*), count(DISTINCT key), sum(delivered) FROM items").fetchone()
        if rows != ((ITEMS, ITEMS, ITEMS) if self.named else (0, 0, None)):
            raise Broken("items, keys and deliveries on record: %s" % (rows,))
        return len(ran) - ITEMS

    def close(self):
        said = self.daemon.said()
        self.daemon.__exit__(None)
        shutil.rmtree(self.folder, ignore_errors=True)
        return said


class MapKills(unittest.TestCase):
    def history(self, seed, strikes):
        h = History(seed, "client" in strikes or "both" in strikes)
        try:
            h.run(strikes)
        except Broken:
            if os.environ.get("JOBD_KEEP"):
                shutil.copytree(h.folder, os.path.join(os.environ["JOBD_KEEP"], "history"), dirs_exist_ok=True)
            raise
        finally:
            said = h.close()
            if sys.exc_info()[0]:
                print(said)
        return h.n_clients

    def test_all_that_clients_print_together_is_what_the_input_says(self):
        seed = os.environ.get("JOBD_SEED") or str(random.SystemRandom().randrange(1 << 32))
        only, clients = os.environ.get("JOBD_HISTORY"), 0
        print("JOBD_SEED=%s, strikes: %d" % (seed, STRIKES), flush=True)
        for n in range(-(-STRIKES // A_HISTORY)):
            kinds = random.Random("%s.%d.kinds" % (seed, n))
            strikes = [kinds.choice(("client", "jobd", "both")) if n % 4 else "jobd" for _ in range(A_HISTORY)]     # each fourth: without a name
            if only in (None, str(n)):
                with self.subTest("JOBD_SEED=%s JOBD_HISTORY=%d" % (seed, n), strikes=strikes):
                    clients += self.history("%s.%d" % (seed, n), strikes)
        print("clients: %d" % clients)


if __name__ == "__main__":
    unittest.main()
