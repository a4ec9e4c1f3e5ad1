# SPDX-License-Identifier: MIT
"""Delays and errors at random failpoints, in a jobd and at times a runner that are started with the rules and replaced after a moment.

A delay makes a short time between two steps a long one: batches are cut anywhere, messages cross. An error is one that the call can give.
"""
import time

import failpoints
import faults
import inject
import varlink

DELAYS = ["1ms", "5ms", "25ms", "60ms"]
CHANCES = [0.02, 0.1, 0.3, 1]
SHORTAGE = ["EAGAIN", "ENOMEM"]
PEER = ["EAGAIN", "EINTR", "ECONNRESET", "ENOBUFS"]
ERRORS = {"before_spawn": SHORTAGE, "before_watch": ["ENOMEM", "ENOSPC"], "before_spawn_runner": SHORTAGE + ["EMFILE"],
          "before_send_client": PEER, "before_receive_client": PEER, "before_send_runner": PEER, "before_receive_runner": PEER,
          "before_send_start": PEER, "before_send_jobd": PEER, "before_receive_jobd": PEER}
DISK = ["before_commit", "before_new_log"]      # jobd ends


class Rules(inject.Inject):
    name = "delay and fail at failpoints"

    def __init__(self):
        super().__init__()
        self.places = failpoints.listed(failpoints.JOBD) + failpoints.listed(failpoints.RUNNER)
        self.of_runner = False

    def prepare(self, world):
        pass

    def rule(self, rng):
        if rng.random() < 0.1:
            return "%s:error=EIO:n=%d" % (rng.choice(DISK), rng.randint(1, 40))
        if rng.random() < 0.3:
            place = rng.choice(sorted(ERRORS))
            return "%s:error=%s:%s" % (place, rng.choice(ERRORS[place]), rng.choice(CHANCES[:3]))
        return "%s:delay=%s:%s" % (rng.choice(self.places), rng.choice(DELAYS), rng.choice(CHANCES))

    def strike(self, world, rng):
        rules = ";".join(self.rule(rng) for _ in range(rng.randint(1, 5)))
        self.of_runner = rng.random() < 0.5
        self.said = "JOBD_FP=%s JOBD_FP_SEED=%d" % (rules, rng.randrange(1 << 32))
        self.note(world)
        world.kill()
        world.mark("kill9")
        if self.of_runner:
            faults.kill_runners(world)
        world.daemon.env.update(pair.split("=", 1) for pair in self.said.split())
        self.start(world)
        world.work(rng.choice([0.05, 0.2, 0.5]))
        self.check(world)
        return True

    def answers(self, world):
        """Not each call, for receiving and sending may be what fails."""
        give_up = time.monotonic() + inject.PATIENCE_S
        while world.daemon.process.poll() is None:
            try:
                with varlink.Connection(world.daemon.socket, timeout=inject.PATIENCE_S) as conn:
                    conn.call("Stats")
                    return
            except (OSError, EOFError):
                assert time.monotonic() < give_up, "jobd does not answer after %d s: %s" % (inject.PATIENCE_S, self.said)

    def mend(self, world, rng):
        """Who had the rules goes; the last one, too."""
        assert world.daemon.process.poll() is None or world.daemon.process.returncode >= 0, "jobd was ended by a signal: " + self.said
        world.kill()
        world.mark("kill9")
        if self.of_runner:
            faults.kill_runners(world)
        del world.daemon.env["JOBD_FP"]
        world.start()
