# SPDX-License-Identifier: MIT
"""A relay for a bench: what comes from either side goes on a while later, and so does a connection. What tc netem would do, on machines without it."""
import asyncio
import threading

AHEAD = 4 << 20         # more than a connection has under way, so that it is the delay that is felt and not a small window


class Side(asyncio.Protocol):
    """One end of a connection; what it gets is the other's to send. Who cannot send makes the other stop reading."""

    def __init__(self, seconds, other=None):
        self.seconds, self.other, self.transport, self.early = seconds, other, None, []

    def connection_made(self, transport):
        self.transport = transport
        transport.set_write_buffer_limits(AHEAD)
        for act in self.early:
            act()

    def act(self, what):
        if self.transport:
            what()
        else:
            self.early.append(what)

    def pass_on(self, what):
        asyncio.get_running_loop().call_later(self.seconds, self.other.act, what)

    def data_received(self, data):
        self.pass_on(lambda: self.other.send(data))

    def send(self, data):
        if not self.transport.is_closing():     # who went away gets nothing more
            self.transport.write(data)

    def connection_lost(self, exc):
        self.pass_on(lambda: self.other.transport.close())

    def pause_writing(self):
        self.other.transport.pause_reading()

    def resume_writing(self):
        self.other.transport.resume_reading()


class Client(Side):
    """The end that came to us: the way to the server begins when a handshake there and back would be over."""

    def __init__(self, seconds, port):
        super().__init__(seconds)
        self.other = Side(seconds, self)
        self.connecting = asyncio.get_running_loop().create_task(self.connect(port))

    async def connect(self, port):
        await asyncio.sleep(2 * self.seconds)
        await asyncio.get_running_loop().create_connection(lambda: self.other, "127.0.0.1", port)


class Delay:
    """Relays connections to `port` of this machine to to_port: `seconds` one way, and the same back."""

    def __init__(self, to_port, seconds):
        self.loop = asyncio.new_event_loop()
        self.server = self.loop.run_until_complete(self.loop.create_server(lambda: Client(seconds, to_port), "127.0.0.1", 0))
        self.port = self.server.sockets[0].getsockname()[1]
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()

    def stop(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.server.close()
        self.loop.close()
