"""A chat endpoint on this machine that answers as it is told: for what is tested against a real server."""

import contextlib
import functools
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

KEY = "sk-hush-hush"


class Server(ThreadingHTTPServer):
    """Answers each request by `answer(request, number of the request)`: (status, headers, content); None hangs."""

    daemon_threads = True
    request_queue_size = 64  # with the usual 5 a burst of connections may wait for a second

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests, self.headers, self.paths = [], [], []
        self.in_flight = self.most_in_flight = 0
        self.lock, self.released = threading.Lock(), threading.Event()
        self.answer = lambda request, number: said("hello")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def handle_error(self, request, client_address):
        pass  # a client that was cut short leaves in mid-sentence


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self):
        server = self.server
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with server.lock:
            server.requests.append(request)
            server.headers.append(self.headers)
            server.paths.append(self.path)
            number = len(server.requests)
            server.in_flight += 1
            server.most_in_flight = max(server.most_in_flight, server.in_flight)
        reply = server.answer(request, number)
        with server.lock:
            server.in_flight -= 1
        if reply is None:
            server.released.wait(10)
            return
        status, headers, content = reply
        with contextlib.suppress(OSError):  # who asked may have gone
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            for part in [content] if isinstance(content, bytes) else content:
                self.wfile.write(part)

    def log_message(self, format, *args):
        pass


def said(text, **more):
    """A reply in which the model says `text`."""
    return 200, {}, json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}], **more}).encode()


@contextlib.contextmanager
def serving():
    """A server, at work until the end of the block."""
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield server
        server.released.set()
        server.shutdown()
        thread.join()


@contextlib.contextmanager
def reachable():
    """Nothing in the environment stands between a test and its server, and JUDGE_KEY holds a key."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("http_proxy", "https_proxy", "no_proxy"):
            patch.delenv(name, raising=False)
            patch.delenv(name.upper(), raising=False)
        patch.setenv("JUDGE_KEY", KEY)
        patch.setattr(httpx, "create_ssl_context", _certificates)
        yield


_certificates = functools.cache(httpx.create_ssl_context)  # read once for all tests
