# SPDX-License-Identifier: MIT
"""A varlink client of a page, for tests that must say exactly what goes over the socket."""
import json
import socket


class Error(Exception):
    def __init__(self, name, parameters):
        super().__init__("%s: %s" % (name, parameters.get("message", parameters)))
        self.name = name
        self.parameters = parameters


class Connection:
    def __init__(self, path, timeout=60):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(timeout)
        try:
            self.sock.connect(path)
        except OSError:
            self.sock.close()
            raise
        self.buffer = b""

    def send(self, method, parameters=None, **flags):
        self.sock.sendall(json.dumps(dict(method=method, parameters=parameters or {}, **flags)).encode() + b"\0")

    def receive(self):
        while b"\0" not in self.buffer:
            data = self.sock.recv(1 << 16)
            if not data:
                raise EOFError("jobd closed the connection")
            self.buffer += data
        frame, self.buffer = self.buffer.split(b"\0", 1)
        reply = json.loads(frame)
        if "error" in reply:
            raise Error(reply["error"], reply.get("parameters") or {})
        return reply

    def call(self, method, **parameters):
        self.send("org.jobd." + method, parameters)
        return self.receive()["parameters"]

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
