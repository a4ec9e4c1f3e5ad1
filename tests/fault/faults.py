# SPDX-License-Identifier: MIT
"""Faults: ways in which the world goes wrong while clients and jobs go on. Those here strike processes.

A fault is made once a history. The campaign calls

    prepare(world)      before jobd's first start: the place of the state, the environment, the configuration
    strike(world, rng)  does the harm, True. False: there was nothing to strike at this moment; it is tried again, without mend
    mend(world, rng)    puts it right: afterwards a jobd serves, or will by itself
    undo(world)         after the history, also after a failed one: leaves nothing behind

What a fault excuses it says with a marker on the side log, before anything can follow from it (see check_history.py). Skip ends a test
that this machine cannot do.
"""
import signal

import world as worlds


class Skip(Exception):
    """The machine cannot do this; the text says why."""


class Fault:
    name = "nothing"

    def prepare(self, world):
        pass

    def strike(self, world, rng):
        return True

    def mend(self, world, rng):
        pass

    def undo(self, world):
        pass


class KillJobd(Fault):
    """kill -9 of jobd: excuses nothing, its jobs go on."""
    name = "kill jobd"

    def strike(self, world, rng):
        world.kill()
        world.mark("kill9")
        return True

    def mend(self, world, rng):
        world.start()


class KillRecovering(KillJobd):
    """And again within 50 ms of the start, one to three times."""
    name = "kill jobd while it recovers"

    def mend(self, world, rng):
        for _ in range(rng.randint(1, 3)):
            world.start_and_kill(rng.random() * 0.05)
            world.mark("kill9")
        world.start()


def kill_runners(world):
    """What they had running and what they had not told is excused, by the pid that stands in the jobs' own lines."""
    runners = world.runners()
    for pid in runners:
        world.mark("runnerkill", pid)
    for pid in runners:
        worlds.send(signal.SIGKILL, pid)
    return bool(runners)


class KillRunner(Fault):
    """kill -9 of jobd-runner while it has jobs: jobd starts another one, which first kills what the old one left."""
    name = "kill runner"

    def strike(self, world, rng):
        return bool(world.jobs()) and kill_runners(world)


class KillBoth(Fault):
    """Either first, at nearly the same time."""
    name = "kill runner and jobd"

    def strike(self, world, rng):
        if not world.jobs() or not world.runners():
            return False
        if rng.random() < 0.5:
            world.kill()
            kill_runners(world)
        else:
            kill_runners(world)
            world.kill()
        world.mark("kill9")
        return True

    def mend(self, world, rng):
        world.start()


class StopJobd(Fault):
    """SIGSTOP for a while: clients wait, jobs end meanwhile, nothing is excused."""
    name = "stop jobd"

    def strike(self, world, rng):
        world.daemon.process.send_signal(signal.SIGSTOP)
        world.work(rng.choice([0.01, 0.1, 0.5]) * rng.random())
        return True

    def mend(self, world, rng):
        world.daemon.process.send_signal(signal.SIGCONT)


class StopRunner(Fault):
    """SIGSTOP of the runner for a while, at times with a kill -9 of jobd: the next jobd must wait for this runner and start no other."""
    name = "stop runner"

    def __init__(self):
        self.stopped = []

    def strike(self, world, rng):
        self.stopped = world.runners()
        for pid in self.stopped:
            worlds.send(signal.SIGSTOP, pid)
        if self.stopped and rng.random() < 0.4:
            world.kill()
            world.mark("kill9")
            world.start()
        world.work(rng.choice([0.01, 0.1, 0.8]) * rng.random())
        return bool(self.stopped)

    def mend(self, world, rng):
        assert set(world.runners()) <= set(self.stopped), "another runner was started beside a stopped one: %s" % world.runners()
        self.undo(world)

    def undo(self, world):
        for pid in self.stopped:
            worlds.send(signal.SIGCONT, pid)
        self.stopped = []


class FreezeRunner(StopRunner):
    """For so long that jobd says what it lacks, and ever on until it has: `jobctl status` says degraded for want of the runner's answer."""
    name = "freeze the runner"
    patience_s = 10                             # of jobd, in which it looks several times
    frozen_s = 30

    def prepare(self, world):
        with open(world.daemon.config, "a", encoding="utf-8") as f:
            f.write("patience_s = %d\n" % self.patience_s)

    def strike(self, world, rng):
        if not world.jobs() or not world.runners():
            return False
        self.stopped = world.runners()
        for pid in self.stopped:
            worlds.send(signal.SIGSTOP, pid)
        world.work(self.frozen_s)
        said = world.daemon.jobctl("status", check=True).stdout
        assert "degraded" in said and "jobd-runner does not answer" in said, "the runner was silent for %d s: %s" % (self.frozen_s, said)
        return True


class FreezeRunnerBriefly(FreezeRunner):
    """The same with a jobd of little patience."""
    patience_s, frozen_s = 1, 4
