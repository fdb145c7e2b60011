"""The bare path of a submission, second half: grpc.aio → one writer thread → SQLite, run and event in one transaction.

`python -m benchmarks.references.bare_registry FILE PORT`. All waiting requests share one commit. No catalogue, no keys,
no datasets: what is left when everything that Lepton promises is left out.
"""

import asyncio
import queue
import sqlite3
import sys
import threading
import time
import uuid

import grpc
import uvloop

METHOD = "/bare.Registry/Submit"


class Writer(threading.Thread):
    def __init__(self, file: str) -> None:
        super().__init__(daemon=True)
        self._file = file
        self.waiting: queue.SimpleQueue[tuple[bytes, asyncio.AbstractEventLoop, asyncio.Future[bytes]]]
        self.waiting = queue.SimpleQueue()

    def run(self) -> None:
        base = sqlite3.connect(self._file, isolation_level=None)
        base.execute("PRAGMA journal_mode=WAL")
        base.execute("PRAGMA synchronous=FULL")
        base.execute("CREATE TABLE run(id TEXT PRIMARY KEY, key TEXT UNIQUE, spec TEXT, state TEXT, at INTEGER)")
        base.execute("CREATE TABLE outbox(id INTEGER PRIMARY KEY, run TEXT, kind TEXT, at INTEGER)")
        while True:
            batch = [self.waiting.get()]
            while not self.waiting.empty():
                batch.append(self.waiting.get())
            base.execute("BEGIN IMMEDIATE")
            ids = []
            for spec, _, _ in batch:
                run_id, now = uuid.uuid4().hex, time.time_ns() // 1000
                base.execute("INSERT INTO run VALUES(?,?,?,'queued',?)", (run_id, uuid.uuid4().hex, spec.decode(), now))
                base.execute("INSERT INTO outbox(run, kind, at) VALUES(?, 'run.queued', ?)", (run_id, now))
                ids.append(run_id.encode())
            base.execute("COMMIT")
            for (_, loop, done), answer in zip(batch, ids, strict=True):
                loop.call_soon_threadsafe(done.set_result, answer)


async def main(file: str, port: int) -> None:
    writer = Writer(file)
    writer.start()
    loop = asyncio.get_running_loop()

    async def submit(request: bytes, context: grpc.aio.ServicerContext) -> bytes:  # type: ignore[type-arg]  # noqa: ARG001
        done: asyncio.Future[bytes] = loop.create_future()
        writer.waiting.put((request, loop, done))
        return await done

    server = grpc.aio.server()
    handler = grpc.unary_unary_rpc_method_handler(submit)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bare.Registry", {"Submit": handler}),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2])))
