# SPDX-License-Identifier: MIT
"""The mistakes that the campaign has to find, and for each the faults under which it shows soonest.

A mutant is at most five lines away from the product: grep MUTANT daemon/. What `before_commit` waits, a mutant that does not wait is ahead.
"""
import collections
import os
import select
import signal

import faults
import power
import trees
import world as worlds

SLOW_COMMIT = "before_commit:delay=15ms"
SLOW_HELLO = "before_take_over:delay=20ms"      # orders of the old connection and of the new one meet
FLOOD = 100                     # starts under way at once
FLOOD_MS = "300"                # a second instance finds the first one alive


class Reboot(faults.Fault):
    """Everything dies, and what stood in the runtime folder has gone; what was written is there, synced or not."""
    name = "reboot"

    def strike(self, world, rng):
        world.kill()
        for pid in world.runners():
            died = os.pidfd_open(pid)
            world.mark("runnerkill", pid)       # its jobs live on until the next one kills them
            worlds.send(signal.SIGKILL, pid)
            select.select([died], [], [])
            os.close(died)
        for name in os.listdir(world.daemon.state):
            if name.startswith("runner.sock"):
                os.unlink(os.path.join(world.daemon.state, name))
        world.mark("powerloss")
        return True

    def mend(self, world, rng):
        world.start()


class KillJobdInFlood(faults.StopRunner):
    """While many starts are on their way to a runner that does not read: it finds them beside the hello of the next jobd."""
    name = "kill jobd in a flood"

    def __init__(self):
        super().__init__()
        self.n = 0

    def prepare(self, world):
        world.slots = FLOOD
        with open(world.daemon.config, "w", encoding="utf-8") as f:
            f.write("slots = %d\nlog_level = warning\n" % FLOOD)

    def flood(self, world):
        self.n += 1
        name = "flood%d" % self.n
        jobs, specs = [], []
        for i in range(FLOOD):
            key = "%s.%d" % (name, i)
            jobs.append({"path": "j%d" % i, "labels": {"key": key},
                         "argv": [trees.SIDEJOB, world.witness.side.path, os.path.join(world.folder, "locks"), key, FLOOD_MS, "0"]})
            specs.append({"op": "submit", "key": key, "group": name})
        return trees.Run(name, {"name": name, "key": name, "workers": FLOOD}, jobs, specs)

    def strike(self, world, rng):
        self.stopped = world.runners()
        if not self.stopped:
            return False
        for pid in self.stopped:
            worlds.send(signal.SIGSTOP, pid)
        self.submit(world, self.flood(world))
        world.work(0.15)
        world.kill()
        world.mark("kill9")
        world.start()
        return True

    def submit(self, world, run):
        world.witness.invoke(run.specs)
        with world.connect(60) as conn:
            number = conn.call("Submit", run=run.options, jobs=run.jobs)["run"]
        world.witness.answer("ok", "submit", run.keys.values(), run=number)
        world.clients[0].accepted(run, number)


# rules: failpoints. seen: a violation that has to be among those found; "": any catch will do.
Case = collections.namedtuple("Case", "rules faults strikes seen", defaults=[""])

CASES = {
    "ack_before_commit": Case(SLOW_COMMIT, [faults.KillJobd], 20),
    "start_before_commit": Case(SLOW_COMMIT, [faults.KillJobd, faults.KillBoth], 30),
    "ack_end_before_commit": Case(SLOW_COMMIT, [faults.KillJobd], 30),
    "ignore_inventory": Case("", [faults.KillJobd], 30),
    "no_fence_no_dedup": Case(SLOW_HELLO, [KillJobdInFlood], 6, "CONCURRENT"),
    "no_kill_of_dead_runners_jobs": Case("", [faults.KillBoth], 20, "CONCURRENT"),
    "attempt_reused": Case("", [faults.KillBoth], 20),
    "barrier_apart": Case(SLOW_COMMIT, [faults.KillJobd, Reboot], 30),
    "synchronous_normal": Case("", [power.CutExt4], 20),
}

# The tests without random faults that fail with a mutant: each makes the one situation that its rule is for. All others pass
# (test_mutants_plain.py). An event that comes behind one with a greater number is told to nobody: who watches for a retry while another job starts
# waits for ever.
DIRECTED = {
    "barrier_apart": ["test_holds_pauses_and_retry_times_survive"],
    "ignore_inventory": ["test_each_job_runs_once_however_often_the_connection_breaks",
                         "test_an_end_that_a_dead_runner_had_seen_is_recorded_and_not_lost"],
    "no_kill_of_dead_runners_jobs": ["test_nothing_of_a_lost_attempt_runs_when_the_next_one_begins"],
    "attempt_reused": ["test_nothing_of_a_lost_attempt_runs_when_the_next_one_begins",
                       "test_a_lost_runner_makes_attempts_lost_and_they_are_tried_again"],
}


def under(fault, mutant, rules):
    """The fault, in a world whose jobd is the mutant (None: the product)."""
    class Mutated(fault):
        def prepare(self, world):
            super().prepare(world)
            world.daemon.env.update(JOBD_FP=rules, **({"JOBD_MUTANT": mutant} if mutant else {}))
    return Mutated
