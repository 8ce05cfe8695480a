#!/usr/bin/env python3
"""A TCP proxy that makes each way as long as a distant one, and counts HTTP requests.

    delaying_proxy.py LISTEN-PORT TARGET-PORT DELAY-MS      until it is killed; prints nothing

As a module: `with DelayingProxy(target_port, delay_s) as proxy: … proxy.port, proxy.requests`.
Bytes are held back, not throttled: what was sent together arrives together.
"""
import asyncio
import re
import sys
import threading

CHUNK = 1 << 20
REQUEST = re.compile(rb"(GET|HEAD|PUT|POST|DELETE) /\S* HTTP/1\.1\r\n")


class DelayingProxy:
    """Runs in a thread of its own until the scope ends."""

    def __init__(self, target_port, delay_s, listen_port=0):
        self.target_port, self.delay_s, self.port = target_port, delay_s, listen_port
        self.requests = []  # "GET", "HEAD", …
        self.loop = asyncio.new_event_loop()
        self.ready = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self.thread.start()
        self.ready.wait(10)
        return self

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)

    def _run(self):
        asyncio.set_event_loop(self.loop)
        server = self.loop.run_until_complete(
            asyncio.start_server(self._serve, "127.0.0.1", self.port))
        self.port = server.sockets[0].getsockname()[1]
        self.ready.set()
        self.loop.run_forever()

    async def _serve(self, reader, writer):
        # The handshake is a round trip, too.
        await asyncio.sleep(2 * self.delay_s)
        there, back = await asyncio.open_connection("127.0.0.1", self.target_port)
        await asyncio.gather(self._carry(reader, back, self._count),
                             self._carry(there, writer, lambda _: None), return_exceptions=True)

    def _count(self, data):
        self.requests += [found.decode() for found in REQUEST.findall(data)]

    async def _carry(self, reader, writer, look):
        """Reads at once and writes each piece when its time has come."""
        queue = asyncio.Queue()

        async def deliver():
            while True:
                due, data = await queue.get()
                await asyncio.sleep(max(0, due - self.loop.time()))
                if not data:
                    writer.close()
                    return
                writer.write(data)
                await writer.drain()

        delivery = asyncio.ensure_future(deliver())
        data = b"start"
        while data:
            try:
                data = await reader.read(CHUNK)
            except OSError:
                data = b""
            look(data)
            queue.put_nowait((self.loop.time() + self.delay_s, data))
        await delivery


if __name__ == "__main__":
    LISTEN, TARGET, DELAY_MS = map(int, sys.argv[1:])
    with DelayingProxy(TARGET, DELAY_MS / 1000, LISTEN) as running:
        running.thread.join()
