# SPDX-License-Identifier: MIT
"""A client of the method Map, for tests: it puts, hears what has ended, and delivers when it is told to.

    with MapClient(socket, ["echo", "{}"], slots=2) as m:
        m.put(b"a", b"b")
        assert m.next_ended()["out"] == b"a\\n"
"""
import base64
import collections
import hashlib

import kit
import varlink


def b64(data):
    return base64.b64encode(data).decode()


def key_of(data, n=0):
    return hashlib.md5(data + b"/%d" % n).hexdigest()


class MapClient:
    """resume, rerun_failed, attach, from_tag: of the method. wire: a connection that there is. options: of MapOptions, beside command, slots and window."""

    def __init__(self, socket, words=("true",), slots=2, window=8, shell=False, stdin=False, threads=None, attach=None, from_tag=None,
                 resume=False, rerun_failed=False, wire=None, hears=True, **options):
        self.wire = wire or varlink.Connection(socket, kit.PATIENCE)
        self.ended, self.data, self.said = collections.deque(), collections.deque(), []
        self.named = "name" in options
        self.done = False
        command = dict(words_b64=[b64(w if isinstance(w, bytes) else w.encode()) for w in words], shell=shell, stdin=stdin)
        if threads:
            command["threads"] = threads
        if attach:
            wish = dict(attach=attach, **({"from_tag": from_tag} if from_tag else {}))
        else:
            wish = dict(options=dict(options, slots=slots, window=window, command=command))
        if resume:
            wish.update(resume=True, rerun_failed=rerun_failed)
        self.wire.send("org.jobd.Map", wish, more=True)
        if hears:
            self.greeted(self.wire.receive()["parameters"])

    def greeted(self, hello):
        """By the reply that says that the map has begun; hears=False: who made this hears it."""
        self.hello = hello
        self.run, self.tag = hello["run"], hello["next_tag"]

    def tell(self, method, **parameters):
        self.wire.send("org.jobd.Map" + method, dict(run=self.run, **parameters), oneway=True)

    def item(self, parts, key=None):
        parts = parts if isinstance(parts, (list, tuple)) else [parts]
        item = dict(tag=self.tag, seq=self.tag, items_b64=[b64(p) for p in parts])
        if key or self.named:
            item["key"] = key or key_of(b"\0".join(parts))
        self.tag += 1
        return item

    def put(self, *items, keys=None):
        """The tags of what is put."""
        items = [self.item(p, keys[i] if keys else None) for i, p in enumerate(items)]
        self.tell("Put", items=items)
        return [i["tag"] for i in items]

    def put_input(self, data, key=None, part=510 << 10):
        """An item on standard input, told part by part; its tag."""
        tag = self.tag
        for at in range(0, len(data), part):
            self.tell("Input", tag=tag, offset=at, data_b64=b64(data[at:at + part]))
        item = self.item(b"", key or (key_of(data) if self.named else None))
        del item["items_b64"]
        self.tell("Put", items=[dict(item, input_bytes=len(data))])
        return tag

    def delivered(self, *tags):
        self.tell("Delivered", tags=list(tags))

    def read(self, tag, stream="out", offset=0, size=1 << 20):
        self.tell("Read", tag=tag, stream=stream, offset=offset, max=size)

    def hear(self):
        """One reply, put where it belongs."""
        reply = self.wire.receive()
        p = reply["parameters"]
        self.said.append(p)
        self.ended.extend(p.get("ended", ()))
        if "data" in p:
            p["data"]["data"] = base64.b64decode(p["data"].pop("data_b64"))
            self.data.append(p["data"])
        self.done = self.done or not reply.get("continues")
        return p

    def next_ended(self):
        while not self.ended:
            self.hear()
        e = self.ended.popleft()
        for stream in ("out", "err"):
            e[stream] = base64.b64decode(e.pop(stream + "_b64")) if stream + "_b64" in e else b"" if not e[stream + "_bytes"] else None
        return e

    def all_ended(self, n):
        """By tag."""
        return {e["tag"]: e for e in (self.next_ended() for _ in range(n))}

    def next_data(self):
        while not self.data:
            self.hear()
        return self.data.popleft()

    def read_all(self, tag, stream="out", size=1 << 20, offset=0):
        data = b""
        while True:
            self.read(tag, stream, offset + len(data), size)
            got = 0
            while got < size:
                piece = self.next_data()
                assert (piece["tag"], piece["stream"], piece["offset"]) == (tag, stream, offset + len(data)), piece
                data += piece["data"]
                got += len(piece["data"])
                if piece["eof"]:
                    return data

    def end(self, failed=False):
        self.tell("End", failed=failed)
        while not self.done:
            self.hear()
        self.wire.close()

    def close(self):
        self.wire.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
