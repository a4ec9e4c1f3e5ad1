# SPDX-License-Identifier: MIT
"""Clients that submit, add, cancel, hold, watch, die - and repeat what they were not answered, with the same key.

Each is a thread. What it does next comes from its own generator; what it was told stands in the witness.
"""
import json
import os
import random
import subprocess
import threading

import kit
import trees
import varlink

BROKEN = (OSError, EOFError)    # the connection has gone, and the answer with it
UNFINISHED_MAX = 4              # runs of a client: more would only make the drain long
NOT_STARTED = ["waiting", "ready", "held", "backoff"]
FINAL = {"ok", "warned", "failed", "skipped", "cancelled", "lost"}


class Client(threading.Thread):
    """One connection at a time. step() is repeated until it is told to finish, then settle()."""
    patience_s = kit.PATIENCE   # for an answer

    def __init__(self, world, name):
        super().__init__(name="client " + name)
        self.world, self.witness = world, world.witness
        self.rng = random.Random("%s/%s/acts" % (world.seed, name))
        self.conn = None
        self.closing = threading.Event()

    def finish(self):
        self.closing.set()

    def run(self):
        try:
            while not self.closing.is_set():
                self.attempt(self.step)
            while not self.attempt(self.settle):
                self.world.check_patience("%s cannot settle" % self.name)
        except BaseException as failure:        # of the test itself: told by the main thread
            self.world.failures.append((self.name, failure))
            self.world.failed.set()
        finally:
            self.hang_up()

    def attempt(self, what):
        """Whether it was done; not when jobd went away in between."""
        try:
            if self.conn is None:
                self.conn = self.world.connect(self.patience_s)
            if self.conn:
                what()
                return True
        except BROKEN:
            self.hang_up()
            self.world.await_serving()
        return False

    def hang_up(self):
        if self.conn:
            self.conn.close()
        self.conn = None

    def step(self):
        raise NotImplementedError

    def settle(self):
        pass


class Submitter(Client):
    """Submits trees in four ways, and does to them what people do."""

    def __init__(self, world, name):
        super().__init__(world, name)
        self.maker = trees.Maker(world.seed, name, world.folder, world.slots, world.lengths_ms)
        self.unanswered = []    # (way, run) to be repeated
        self.unfinished = []
        self.held = []          # (run, path): held, or perhaps held
        self.paused = []        # runs: paused, or perhaps paused
        self.ended = []         # runs that may be removed

    def step(self):
        if self.rng.random() < 0.5 and len(self.unfinished) < UNFINISHED_MAX:
            self.submit_next()
        elif self.unfinished and self.rng.random() < 0.15:
            self.rng.choices([self.cancel_job, self.cancel_run, self.hold_job, self.release_job, self.pause, self.resume_one, self.remove_one,
                              self.retry_one], [2, 0.3, 3, 6, 1, 3, 2, 2])[0]()
        else:
            self.wait(0.03)

    def settle(self):
        while self.unanswered:
            self.submit_next()
        while self.unfinished:
            self.world.check_patience("runs that do not end: %s" % [run.number for run in self.unfinished])
            for run in self.unfinished:
                self.release_all(run)
            for run in list(self.paused):
                self.resume(run)
            self.wait(0.25)

    # ---- submitting

    def submit_next(self):
        if self.unanswered and (self.closing.is_set() or self.rng.random() < 0.7):
            way, run = self.unanswered.pop()
        else:
            run = self.maker.make()
            way = self.rng.choices(["whole", "stream", "bulk", "jobctl", "dropped"], [5, 3, 2, 2, 2])[0]
        self.witness.invoke([dict(s, apart=True) for s in run.specs] if way == "stream" else run.specs)
        try:
            {"whole": self.submit_whole, "stream": self.submit_stream, "bulk": self.submit_bulk, "jobctl": self.submit_jobctl,
             "dropped": self.submit_and_drop}[way](run)
        except BROKEN:
            self.unknown("whole" if way == "dropped" else way, run)
            raise
        except varlink.Error as error:
            if not error.name.endswith((".Busy", ".DiskFull", ".Failed")):
                raise
            self.unknown(way, run)

    def unknown(self, way, run):
        self.witness.answer("info", "submit", run.keys.values())
        self.unanswered.append((way, run))

    def accepted(self, run, number):
        run.number = number
        self.world.know(run)
        self.unfinished.append(run)

    def submit_whole(self, run):
        number = self.conn.call("Submit", run=run.options, jobs=run.jobs)["run"]
        self.witness.answer("ok", "submit", run.keys.values(), run=number)
        self.accepted(run, number)

    def submit_and_drop(self, run):
        """The connection goes before the answer comes; the next time it is submitted as others are."""
        self.conn.send("org.jobd.Submit", {"run": run.options, "jobs": run.jobs})
        raise EOFError("dropped by us")

    def submit_bulk(self, run):
        number = self.conn.call("Open", run=run.options, mode="bulk")["run"]
        for part in self.parts(run.jobs):
            self.conn.call("Add", run=number, jobs=part)
        number = self.conn.call("Seal", run=number)["run"]
        self.witness.answer("ok", "submit", run.keys.values(), run=number)
        self.accepted(run, number)

    def submit_stream(self, run):
        """Jobs run while others are added. A part that was not answered may be there: then jobd says that it is."""
        repeated = run.number is not None or getattr(run, "opened", False)
        run.opened = True
        number = self.conn.call("Open", run=run.options, mode="stream")["run"]
        for part in self.parts(run.jobs):
            self.add_part(run, number, part, repeated)
        try:
            self.conn.call("Seal", run=number)
        except varlink.Error as error:
            if not error.name.endswith(".WrongState"):
                raise
        self.accepted(run, number)

    def add_part(self, run, number, part, repeated):
        keys = [run.keys[job["path"]] for job in part]
        try:
            self.conn.call("Add", run=number, jobs=part)
        except varlink.Error as error:
            if error.name.endswith((".Busy", ".DiskFull", ".Failed")):
                raise
            # below what has failed, or behind the seal; or, the second time, it is there
            self.witness.answer("info" if repeated else "fail", "submit", keys)
            return
        self.witness.answer("ok", "submit", keys, run=number)

    def parts(self, jobs):
        """In order, for a later one may only name what is there. The same for every repetition."""
        rng, at = random.Random(jobs[0]["labels"]["key"]), 0
        while at < len(jobs):
            n = rng.randint(1, 4)
            yield jobs[at:at + n]
            at += n

    def submit_jobctl(self, run):
        """A real jobctl, which is killed if it does not answer at once."""
        path = os.path.join(self.world.folder, run.name + ".ndjson")
        with open(path, "w", encoding="utf-8") as f:
            f.writelines(json.dumps(line) + "\n" for line in [dict(run.options, key=None)] + run.jobs)
        with subprocess.Popen([kit.JOBCTL, "--socket", self.world.daemon.socket, "submit", "--key", run.options["key"], path], text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=self.world.folder) as process:
            patience = kit.PATIENCE if self.closing.is_set() else self.rng.choice([0.001, 0.005, 0.01, 0.02, 1])
            try:
                out, said = process.communicate(timeout=patience)
            except subprocess.TimeoutExpired:
                process.kill()
                out, said = process.communicate()
        if process.returncode == 0:
            self.witness.answer("ok", "submit", run.keys.values(), run=int(out))
            self.accepted(run, int(out))
            return
        assert process.returncode != 6, "jobctl: refused: " + said
        self.unknown("jobctl", run)

    # ---- what people do to their runs

    def wait(self, seconds):
        run = self.rng.choice(self.unfinished) if self.unfinished else None
        if not run:
            self.closing.wait(seconds)
        elif self.conn.call("Wait", targets=[{"run": str(run.number)}], timeout_s=seconds)["done"]:
            self.unfinished.remove(run)
            self.ended.append(run)

    def cancel_job(self):
        run = self.rng.choice(self.unfinished)
        path = self.rng.choice(run.leaves())
        self.cancel(run, path, [run.keys[path]])

    def cancel_run(self):
        run = self.rng.choice(self.unfinished)
        self.cancel(run, None, list(run.keys.values()))

    def cancel(self, run, path, keys):
        """Of one job that nothing is below: it is the one that is cancelled, `sure`."""
        for key in keys:
            self.witness.answer("invoke", "cancel", [key])
        try:
            self.conn.call("Cancel", run=str(run.number), path=path)
            self.witness.answer("ok", "cancel", keys, sure=path is not None)
        except varlink.Error:
            self.witness.answer("fail", "cancel", keys)
        except BROKEN:
            self.witness.answer("info", "cancel", keys)
            raise

    def hold_job(self):
        run = self.rng.choice(self.unfinished)
        path = self.rng.choice(list(run.keys))
        if (run, path) in self.held:
            return
        self.held.append((run, path))
        try:
            self.conn.call("Hold", run=str(run.number), path=path)
            self.witness.tell("H", run.keys[path])
        except varlink.Error:
            self.held.remove((run, path))

    def release_job(self):
        if self.held:
            self.release(*self.held[0])

    def release(self, run, path):
        self.witness.tell("R", run.keys[path])
        try:
            self.conn.call("Release", run=str(run.number), path=path)
        except varlink.Error:
            pass                                # not held any more, or never
        if (run, path) in self.held:
            self.held.remove((run, path))

    def release_all(self, run):
        for path in [path for other, path in self.held if other is run]:
            self.release(run, path)
        for row in self.conn.call("List", run=str(run.number), states=["held"]).get("jobs") or []:
            self.release(run, row["path"])

    def pause(self):
        """None begins from now on but those that were started before; who is held up so is said as a hold."""
        run = self.rng.choice(self.unfinished)
        if run in self.paused:
            return
        self.paused.append(run)
        try:
            self.conn.call("Pause", run=str(run.number))
        except varlink.Error:
            self.paused.remove(run)
            return
        for row in self.conn.call("List", run=str(run.number), states=NOT_STARTED).get("jobs") or []:
            self.witness.tell("H", run.keys[row["path"]])

    def resume_one(self):
        if self.paused:
            self.resume(self.paused[0])

    def resume(self, run):
        for key in run.keys.values():
            self.witness.tell("R", key)
        try:
            self.conn.call("Resume", run=str(run.number))
        except varlink.Error:
            pass                                # it has ended, or was never paused
        self.paused.remove(run)

    def retry_one(self):
        """Of an ended run: what did not end well may begin again, as often as before, and what was told of it until now is over."""
        if not self.ended:
            return
        run = self.ended.pop(0)
        for row in self.conn.call("List", run=str(run.number), limit=1000)["jobs"]:
            if row["state"] != "ok":
                self.witness.tell("A", run.keys[row["path"]], "att=%d" % row["attempts"])
        self.unfinished.append(run)
        try:
            self.conn.call("Retry", run=str(run.number))
        except varlink.Error:
            pass                                # it ended well

    def remove_one(self):
        """Of an ended run nothing is left, and nothing of any other goes."""
        if not self.ended:
            return
        run = self.ended.pop(0)
        keys = list(run.keys.values())
        self.witness.answer("invoke", "remove", keys, run=run.number)
        try:
            self.conn.call("Remove", run=str(run.number))
            self.witness.answer("ok", "remove", keys, run=run.number)
        except varlink.Error:
            self.witness.answer("fail", "remove", keys, run=run.number)


class Watcher(Client):
    """Follows all events, through every restart, and writes down each and that an end was told."""
    patience_s = 0.25           # then it asks anew, from where it was

    def __init__(self, world, name="watcher"):
        super().__init__(world, name)
        self.last = 0

    def step(self):
        self.conn.send("org.jobd.Watch", {"since": self.last}, more=True)
        while not self.closing.is_set():
            self.note(self.conn.receive()["parameters"])

    def settle(self):
        self.hang_up()                          # what comes still on the old one is asked for again
        with self.world.connect(self.patience_s) as conn:
            while self.note(conn.call("Watch", since=self.last)):
                pass

    def note(self, page):
        for event in page["events"]:
            self.witness.saw(event)
            key = self.world.key_of(event["run"], event.get("path"))
            if key and event.get("state") in FINAL:
                self.witness.tell("T", key, "att=%d" % (event.get("attempt") or 0), "state=" + event["state"])
        if page["events"]:
            self.last = page["events"][-1]["seq"]
        return page["events"]
