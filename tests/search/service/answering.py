"""Servers that answer badly: from a script, or not at all after the request has had its effect."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from dataclasses import field
from http.server import BaseHTTPRequestHandler
from http.server import ThreadingHTTPServer

import httpx


@dataclass
class Answer:
    """What is answered to one request."""

    status: int
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)


@contextmanager
def answering(*answers: Answer) -> Iterator[tuple[str, list[str]]]:
    """A server that gives these answers in turn, the last one for ever; its address, and what it was asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            answer = answers[min(len(asked), len(answers) - 1)]
            asked.append(f"{self.command} {self.path}")
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = answer.body.encode()
            self.send_response(answer.status)
            for name, value in {"Content-Length": str(len(body)), **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_DELETE = _answer

        def log_message(self, format: str, *arguments: object) -> None:
            return None

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def losing_answers(url: str, methods: Sequence[str]) -> Iterator[str]:
    """A way to a server on which the first answer to each of these methods is lost, after the request was served."""
    upstream = httpx.URL(url)
    lost: set[str] = set()
    listening = socket.create_server(("127.0.0.1", 0))

    def serve(connection: socket.socket) -> None:
        with connection, socket.create_connection((upstream.host, upstream.port or 80)) as server:
            request = connection.recv(65536)
            method = request.split(b" ", 1)[0].decode()
            # One request a connection, so that the answer's end is that of the connection.
            server.sendall(request.replace(b"\r\n", b"\r\nConnection: close\r\n", 1).replace(b"keep-alive", b"close"))
            head, _, body = request.partition(b"\r\n\r\n")
            lengths = [line for line in head.lower().splitlines() if line.startswith(b"content-length")]
            length = int(lengths[0].split(b":")[1]) if lengths else 0
            while len(body) < length:
                more = connection.recv(65536)
                server.sendall(more)
                body += more
            answer = b""
            while part := server.recv(65536):
                answer += part
            if method in methods and method not in lost:
                lost.add(method)
                return
            connection.sendall(answer)

    def accept() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        listening.close()
