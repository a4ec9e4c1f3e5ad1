# SPDX-License-Identifier: MIT
"""Jobs that end when they are told, and a view of a run that waits for events instead of for time."""
import os
import socket

import kit
import varlink

PUPPET = os.path.join(kit.BUILD, "tests", "e2e", "puppet")


class Puppets:
    """name -> connection of a job that has started and has not been told to end. order: names as they came."""

    def __init__(self, folder):
        self.path = os.path.join(folder, "puppets")
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(self.path)
        self.listener.listen(4096)
        self.listener.settimeout(kit.PATIENCE)
        self.waiting = {}
        self.order = []

    def argv(self, name):
        return [PUPPET, self.path, name]

    def accept(self):
        """The next job to say its name."""
        conn, _ = self.listener.accept()
        conn.settimeout(kit.PATIENCE)
        name = conn.recv(8192).decode()
        if name in self.waiting:
            self.waiting[name].close()
        self.waiting[name] = conn
        self.order.append(name)
        return name

    def end(self, name, status=0):
        conn = self.waiting.pop(name)
        conn.send(bytes([status]))
        conn.close()

    def close(self):
        for conn in self.waiting.values():
            conn.close()
        self.listener.close()


class View:
    """The events of one run, as they become durable."""

    def __init__(self, daemon, run):
        self.control = varlink.Connection(daemon.socket, kit.PATIENCE)
        self.stream = varlink.Connection(daemon.socket, kit.PATIENCE)
        self.run = str(run)
        self.stream.send("org.jobd.Watch", {"run": self.run, "since": 0}, more=True)
        self.pending = []

    def event(self):
        while not self.pending:
            reply = self.stream.receive()
            self.pending = reply["parameters"]["events"]
            if not self.pending and not reply.get("continues"):
                raise EOFError("the run has ended")
        return self.pending.pop(0)

    def until(self, kind, path=None):
        while True:
            event = self.event()
            if event["kind"] == kind and path in (None, event.get("path")):
                return event

    def call(self, method, **parameters):
        return self.control.call(method, run=self.run, **parameters)

    def counts(self):
        return self.call("Get")["run"]["counts"]

    def close(self):
        self.control.close()
        self.stream.close()
