# SPDX-License-Identifier: MIT
"""A world whose jobd and runner die at places with a name.

jobd kills itself there. The runner stops there, so that the witness is told before it is killed (see check_history.py, M runnerkill).
"""
import collections
import contextlib
import os
import signal
import threading
import time

import campaign
import failpoints
import kit
import world as worlds

AT_START = {"before_recover", "after_recover_runs", "after_recover_jobs", "before_recover_inventory", "after_recover_missing",
            "after_recover_inventory", "before_new_log", "after_new_log", "before_spawn_runner", "after_spawn_runner",
            "before_recover_cages", "after_recover_cages", "after_recover_ends", "before_take_over"}
OF_NO_RUNNER = {"before_spawn_runner", "after_spawn_runner"}
OF_DEAD_RUNNER = {"before_drop_runner", "before_reap_runner", "after_reap_runner"}
PATIENCE_S = 0.6                # while it serves, until another attempt is made to reach a place
LENGTHS_MS = (0, 0, 0, 5, 30, 100, 300)         # of jobs: some outlive several restarts
RUNNER_LIFE_S = 0.03            # where the runner has to die for jobd to come to the place


class World(worlds.World):
    """tally: place -> how often a process died there."""

    def __init__(self, seed, **options):
        super().__init__(seed, **options)
        self.tally, self.killed = collections.Counter(), set()
        self.of_runner = set(failpoints.listed(failpoints.RUNNER))
        self.passes = failpoints.Passes(self.folder)
        self.daemon.env["JOBD_FP_LOG"] = self.passes.path

    def rule(self, place):
        n = 1 if place in AT_START | OF_DEAD_RUNNER else self.rng.choice([1, 1, 1, 2, 2, 3, 5, 8])
        return "%s:%s:n=%d" % (place, "stop" if place in self.of_runner else "kill", n)

    def strike(self, place):
        """One life of jobd with a rule for this place. Whether somebody died there."""
        before = self.tally[place]
        self.end_jobd()
        if place in self.of_runner or place in OF_NO_RUNNER or place in OF_DEAD_RUNNER:
            self.kill_runners()                         # the next one has the rule
        self.daemon.env["JOBD_FP"] = self.rule(place)
        self.daemon.spawn()
        give_up = time.monotonic() + kit.PATIENCE
        while self.tally[place] == before and time.monotonic() < give_up:
            starting = not self.serving.is_set()
            self.live(place)
            if starting and self.serving.is_set():
                give_up = time.monotonic() + PATIENCE_S
        if place in self.of_runner:
            self.work(self.rng.choice([0, 0, 0.02, 0.06]))      # jobd sees it
        return self.tally[place] > before

    def live(self, place):
        """Until something is told, or jobd is ready, or for a moment."""
        others = [] if self.serving.is_set() or not self.daemon.process else [self.daemon.process.stdout]
        passes, ready = self.passes.read(RUNNER_LIFE_S, *others)
        for p in passes:
            self.died_at(p)
        if ready and self.daemon.process and self.daemon.process.stdout.readline() == "ready\n":
            self.serving.set()
        if place in OF_DEAD_RUNNER and not passes and not ready:
            self.kill_runners()
        self.work(0)

    def died_at(self, p):
        if p.action == "stop":
            if p.pid not in self.killed:
                self.tally[p.place] += 1
                self.kill_runner(p.pid)
        elif self.daemon.process and p.pid == self.daemon.process.pid:
            self.tally[p.place] += 1
            self.serving.clear()
            self.daemon.gone()
            self.mark("kill9")

    def kill_runner(self, pid):
        """Marked once: the marker stands before anything can follow from the death."""
        if pid not in self.killed:
            self.killed.add(pid)
            self.mark("runnerkill", pid)
        worlds.send(signal.SIGKILL, pid)

    def kill_runners(self):
        for pid in self.runners():
            self.kill_runner(pid)

    def end_jobd(self):
        if self.daemon.process:
            self.kill()
            self.mark("kill9")

    def disarm(self):
        """From now on nobody dies."""
        self.end_jobd()
        self.kill_runners()
        del self.daemon.env["JOBD_FP"]
        self.start()

    def drain(self):
        """A runner that jobd was about to start when it was killed has the rule yet: it stops where it was to die."""
        with self.attended():
            return super().drain()

    @contextlib.contextmanager
    def attended(self):
        ended, end = os.pipe()

        def attend():
            over = False
            while not over:
                passes, over = self.passes.read(None, ended)
                for p in passes:
                    self.died_at(p)

        attendant = threading.Thread(target=attend)
        attendant.start()
        try:
            yield
        finally:
            os.close(end)
            attendant.join()
            os.close(ended)

    def remove(self):
        self.passes.close()
        super().remove()


def history(seed, places):
    """Kills once at each of the places, drains, judges. Returns (place -> deaths there, the checker's figures)."""
    world = World(seed, lengths_ms=LENGTHS_MS)

    def live():
        world.begin()
        for place in places:
            world.strike(place)
        world.disarm()

    return world.tally, campaign.judged(world, live)
