# SPDX-License-Identifier: MIT
"""What jobd tells the service manager, so that a test can wait for a change of its health instead of asking again and again."""
import os
import socket

import kit


class Told:
    """env: for the daemon. until(): the next message with a line that begins so; what comes before is dropped."""

    def __init__(self, folder):
        self.path = os.path.join(folder, "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.settimeout(kit.PATIENCE)
        self.env = {"NOTIFY_SOCKET": self.path}

    def message(self):
        return self.socket.recv(65536).decode().splitlines()

    def until(self, begin):
        while True:
            for line in self.message():
                if line.startswith(begin):
                    return line

    def degraded(self, why=""):
        return self.until("STATUS=Degraded: " + why)

    def well(self):
        return self.until("STATUS=Serving")

    def now(self):
        """The lines that have come and were not read."""
        self.socket.setblocking(False)
        lines = []
        try:
            while True:
                lines += self.message()
        except BlockingIOError:
            return lines
        finally:
            self.socket.settimeout(kit.PATIENCE)

    def close(self):
        self.socket.close()
