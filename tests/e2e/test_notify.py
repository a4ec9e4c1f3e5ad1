#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What systemd sees of jobd: READY, STATUS, RELOADING and STOPPING on the notification socket, and that a passed listening socket is served."""
import json
import os
import signal
import socket
import subprocess
import tempfile
import unittest

import kit


class Service:
    """The service manager's side: a notification socket, a listening socket on descriptor 3, and the process."""

    def __init__(self, folder, passed=True, config=""):
        self.folder = folder
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(os.path.join(folder, "notify"))
        self.notify.settimeout(kit.PATIENCE)
        self.socket = os.path.join(folder, "socket")
        self.config = os.path.join(folder, "jobd.conf")
        with open(self.config, "w", encoding="utf-8") as f:
            f.write(config)
        self.listener = None
        if passed:
            self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.listener.bind(self.socket)
            self.listener.listen(16)
        self.log = open(os.path.join(folder, "log"), "w+", encoding="utf-8")

    def start(self):
        env = dict(os.environ, NOTIFY_SOCKET=os.path.join(self.folder, "notify"), JOBD_RUNNER=kit.RUNNER)
        command = [kit.JOBD, "--state", os.path.join(self.folder, "state"), "--socket", self.socket, "--config", self.config]
        if self.listener:
            # LISTEN_PID has to be jobd's own: the shell becomes it.
            command = ["/bin/sh", "-c", 'exec env LISTEN_PID=$$ LISTEN_FDS=1 "$0" "$@" 3<&%d' % self.listener.fileno(), *command]
            self.process = subprocess.Popen(command, env=env, stderr=self.log, stdin=subprocess.DEVNULL, pass_fds=[self.listener.fileno()])
        else:
            self.process = subprocess.Popen(command, env=env, stderr=self.log, stdin=subprocess.DEVNULL)
        return self

    def told(self):
        """The next message, as a dictionary."""
        return dict(line.split("=", 1) for line in self.notify.recv(65536).decode().splitlines())

    def until(self, key):
        """All that is told until a message has the key: one dictionary, later values win."""
        seen = {}
        while key not in seen:
            seen.update(self.told())
        if "READY" in seen and kit.THREADS_SANITIZED:
            self.call("org.jobd.Stats")
        return seen

    def call(self, method):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(kit.PATIENCE)
            client.connect(self.socket)
            client.sendall(json.dumps({"method": method}).encode() + b"\0")
            reply = b""
            while not reply.endswith(b"\0"):
                reply += client.recv(65536)
        return json.loads(reply[:-1])

    def reload(self, config):
        """HUP with another file; what RELOADING was told as, when it is over."""
        with open(self.config, "w", encoding="utf-8") as f:
            f.write(config)
        self.process.send_signal(signal.SIGHUP)
        told = self.until("RELOADING")
        if "READY" not in told:
            self.until("READY")
        return told["RELOADING"]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(kit.PATIENCE)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        if self.process.poll() is None:
            subprocess.run([kit.JOBCTL, "--socket", self.socket, "shutdown", "--kill"], capture_output=True, timeout=kit.PATIENCE)
            self.process.kill()
            self.process.wait()
        self.log.close()
        self.notify.close()
        if self.listener:
            self.listener.close()


class Notify(unittest.TestCase):
    def setUp(self):
        self.folder = self.enterContext(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))   # the runner leaves in its own time

    def test_ready_comes_when_clients_are_served(self):
        with Service(self.folder, passed=False) as service:
            told = service.until("READY")
            self.assertEqual("1", told["READY"])
            self.assertIn("pid", service.call("org.jobd.Stats")["parameters"])

    def test_status_is_for_people(self):
        with Service(self.folder) as service:
            self.assertRegex(service.until("STATUS")["STATUS"], r"\w")

    def test_passed_socket_is_served_and_stays(self):
        with Service(self.folder) as service:
            before = os.stat(service.socket).st_ino
            # Connections made before it was up are served too: that is what sockets are passed for.
            self.assertIn("pid", service.call("org.jobd.Stats")["parameters"])
            service.until("READY")
            self.assertEqual(0, service.stop())
            self.assertEqual(before, os.stat(service.socket).st_ino)

    def test_own_socket_goes_at_the_end(self):
        with Service(self.folder, passed=False) as service:
            service.until("READY")
            self.assertEqual(0, service.stop())
            self.assertFalse(os.path.exists(service.socket))

    def test_hup_reloads_and_says_so(self):
        with Service(self.folder, config="slots = 1\n") as service:
            service.until("READY")
            self.assertEqual("1", service.reload("slots = 7\n"))
            self.assertEqual(7, service.call("org.jobd.Stats")["parameters"]["totals"]["slots"])

    def test_a_broken_file_is_refused_and_the_old_settings_stay(self):
        with Service(self.folder, config="slots = 3\n") as service:
            service.until("READY")
            service.reload("slots = many\n")
            self.assertEqual(3, service.call("org.jobd.Stats")["parameters"]["totals"]["slots"])

    def test_stopping_is_told_before_the_end(self):
        with Service(self.folder) as service:
            service.until("READY")
            status = service.stop()
            self.assertEqual("1", service.until("STOPPING")["STOPPING"])
            self.assertEqual(0, status)

    def test_jobs_do_not_inherit_the_sockets(self):
        with Service(self.folder) as service:
            service.until("READY")
            done = subprocess.run([kit.JOBCTL, "--socket", service.socket, "run", "-n", "look", "-c", "ls -l /proc/self/fd; env"],
                                  capture_output=True, text=True, timeout=kit.PATIENCE)
            said = subprocess.run([kit.JOBCTL, "--socket", service.socket, "logs", "look/look"], capture_output=True, text=True, timeout=kit.PATIENCE)
            self.assertEqual(0, done.returncode, done.stderr)
            self.assertNotIn("socket:", said.stdout)
            self.assertNotIn("NOTIFY_SOCKET", said.stdout)
            self.assertNotIn("LISTEN_FDS", said.stdout)

    def test_the_runner_does_not_speak_for_jobd(self):
        """It is there before jobd serves anybody, and would say so first; it has said what it says when a job of it has ended."""
        with Service(self.folder, passed=False) as service:
            self.assertEqual("Serving " + service.socket, service.until("READY")["STATUS"])
            done = subprocess.run([kit.JOBCTL, "--socket", service.socket, "run", "-n", "a", "true"], capture_output=True, text=True,
                                  timeout=kit.PATIENCE)
            self.assertEqual(0, done.returncode, done.stderr)
            self.assertEqual(0, service.stop())
            self.assertNotIn("READY", service.until("STOPPING"))


if __name__ == "__main__":
    unittest.main()
