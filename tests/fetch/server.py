# SPDX-License-Identifier: MIT
"""An HTTP/1.1 server that misbehaves as it is told.

A path is served by a function that is given a Request and answers it with Request.send (or not at all). `Thing` is an object that is served as it
should be; its subclasses and the functions of tests are served as they should not. Every request is noted in Server.requests, in order.
"""
import email.utils
import random
import select
import socket
import socketserver
import struct
import threading
import time

DROP = object()         # end the connection in order, without an answer
RESET = object()        # end it by a reset


def noise(size, seed=1):
    return random.Random(seed).randbytes(size)


class Request:
    """number: of those for its path; nth: of those on its connection, from 1."""

    def __init__(self, server, sock, method, target, headers, number, nth):
        self.server, self.sock, self.method, self.target, self.headers, self.number, self.nth = server, sock, method, target, headers, number, nth
        self.path, _, self.query = target.partition("?")
        self.range = None                # (first, last or None)
        if self.headers.get("range", "").startswith("bytes="):
            first, _, last = self.headers["range"][6:].partition("-")
            self.range = (int(first), int(last) if last else None)
        self.keep = True
        self.sent = 0                    # bytes of bodies

    def head(self, status, headers):
        lines = ["HTTP/1.1 %d Whatever" % status] + ["%s: %s" % (k, v) for k, v in headers]
        self.sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))

    def body(self, data, cut=None, rate=None, reset=False):
        """data, or its first `cut` bytes and then the end of the connection; at most `rate` bytes a second."""
        part = data if cut is None else data[:cut]
        block = 1 << 16 if rate is None else max(1, rate // 50)
        for at in range(0, len(part), block):
            piece = part[at:at + block]
            self.sock.sendall(piece)
            self.sent += len(piece)
            self.server.count(len(piece))
            if rate is not None:
                self.server.over.wait(len(piece) / rate)
        if cut is not None:
            self.end(reset)

    def end(self, reset=False):
        self.keep = False
        if reset:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def send(self, status, headers, data=b"", length=True, **how):
        headers = list(headers)
        if length:
            headers.append(("Content-Length", len(data)))
        self.head(status, headers)
        self.body(data, **how)

    def stall(self):
        """Says nothing more until the other side goes away, or the server is stopped."""
        while not self.server.over.is_set():
            ready, _, _ = select.select([self.sock], [], [], 0.05)
            if ready and not self.sock.recv(1, socket.MSG_PEEK):
                break
        self.end()


class Thing:
    """Bytes with a validator, served in ranges and under conditions as the RFC says. date: the object's, seconds before now."""

    def __init__(self, data, etag='"v1"', age=None, extra=(), **how):
        self.data, self.etag, self.age, self.extra, self.how = data, etag, age, list(extra), how
        self.born = time.time()

    def modified(self):
        return None if self.age is None else email.utils.formatdate(self.born - self.age, usegmt=True)

    def headers(self):
        found = [("Date", email.utils.formatdate(time.time(), usegmt=True)), ("Accept-Ranges", "bytes")]
        if self.etag:
            found.append(("ETag", self.etag))
        if self.age is not None:
            found.append(("Last-Modified", self.modified()))
        return found + self.extra

    def holds(self, request):
        condition = request.headers.get("if-range")
        return condition is None or condition in (self.etag, self.modified())

    def whole(self, request, **how):
        request.send(200, self.headers(), self.data, **{**self.how, **how})

    def unsatisfied(self, request):
        request.send(416, [("Content-Range", "bytes */%d" % len(self.data))])

    def bounds(self, request):
        first, last = request.range
        return first, len(self.data) - 1 if last is None else min(last, len(self.data) - 1)

    def part(self, request, **how):
        first, last = self.bounds(request)
        headers = self.headers() + [("Content-Range", "bytes %d-%d/%d" % (first, last, len(self.data)))]
        request.send(206, headers, self.data[first:last + 1], **{**self.how, **how})

    def __call__(self, request):
        if request.headers.get("if-none-match") == self.etag and self.etag:
            request.send(304, self.headers(), length=False)
        elif not request.range or not self.holds(request):
            self.whole(request)
        elif request.range[0] >= len(self.data):
            self.unsatisfied(request)
        else:
            self.part(request)


def after_the_first(good, bad):
    """The first request is answered by `good`, all others by `bad`, and not before the first answer has come: who asks again on its connection has it."""
    come = threading.Event()

    def answer(request):
        if request.number == 1:
            return good(request)
        if request.nth > 1:
            come.set()
        come.wait()
        return bad(request)
    return answer


class Server:
    def __init__(self, sndbuf=None):
        self.paths, self.requests, self.lock, self.over = {}, [], threading.Lock(), threading.Event()
        self.counts, self.served, self.idle = {}, 0, threading.Condition(self.lock)
        self.passed, self.mark, self.reached = 0, None, threading.Event()
        outer = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if sndbuf:
                    self.request.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, sndbuf)
                try:
                    outer.serve(self.request)
                except (ConnectionError, TimeoutError, ValueError):
                    pass

            def finish(self):
                outer.count_served(-1)

        class Threads(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True
            request_queue_size = 128

            def process_request(self, request, client_address):
                outer.count_served(1)
                super().process_request(request, client_address)

            def handle_error(self, request, client_address):
                outer.broken = True
                super().handle_error(request, client_address)

        self.broken = False
        self.tcp = Threads(("127.0.0.1", 0), Handler)
        self.port = self.tcp.server_address[1]
        self.thread = threading.Thread(target=self.tcp.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()

    def url(self, path, host="127.0.0.1"):
        return "http://%s:%d%s" % (host, self.port, path)

    def add(self, path, answer):
        self.paths[path] = answer
        return self.url(path)

    def serve(self, sock):
        file, nth = sock.makefile("rb"), 0
        while not self.over.is_set():
            line = file.readline(65536).decode("latin-1").split()
            if len(line) != 3:
                return
            headers = {}
            while (field := file.readline(65536).decode("latin-1").strip()):
                name, _, value = field.partition(":")
                headers[name.strip().lower()] = value.strip()
            path = line[1].partition("?")[0]
            with self.lock:
                number, nth = self.counts.get(path, 0) + 1, nth + 1
                self.counts[path] = number
                request = Request(self, sock, line[0], line[1], headers, number, nth)
                self.requests.append(request)
            answer = self.paths.get(path)
            done = request.send(404, []) if answer is None else answer(request)
            if done in (DROP, RESET):
                request.end(done is RESET)
            if not request.keep:
                return

    def count(self, n):
        with self.lock:
            self.passed += n
            if self.mark is not None and self.passed >= self.mark:
                self.reached.set()

    def alarm(self, after):
        """The event that is set when so many bytes more of bodies were sent."""
        with self.lock:
            self.reached = threading.Event()
            self.mark = self.passed + after
        return self.reached

    def sent(self):
        return sum(r.sent for r in self.requests)

    def count_served(self, n):
        with self.idle:
            self.served += n
            self.idle.notify_all()

    def forget(self):
        """
        No client may be connected any more. What one has asked for and nobody has read yet is waited for: connections are accepted in
        their order, and one more comes behind them all.
        """
        with socket.create_connection(("127.0.0.1", self.port)) as last:
            last.shutdown(socket.SHUT_WR)
            last.recv(1)
        with self.idle:
            assert self.idle.wait_for(lambda: self.served == 0, 20), "%d connections are still served" % self.served
            self.requests.clear()
            self.counts.clear()

    def stop(self):
        self.over.set()
        self.tcp.shutdown()
        self.tcp.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
