"""A Hub on this machine with one release on it: for what is tested against a real server."""

import contextlib
import json
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"
NAME, GATED, REVISION = "owner/model", "owner/gated", "v1.0"


class Hub(ThreadingHTTPServer):
    """Serves `files` as owner/model at revisions main and v1.0; owner/gated is listed and not given."""

    daemon_threads = True

    def __init__(self, files: Mapping[str, bytes]):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.sent = files, []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_GET(self):
        parts = self.path.partition("?")[0].strip("/").split("/")
        if parts[:2] == ["api", "models"]:
            self._about("/".join(parts[2:4]), parts[4:])
        elif parts[2:3] == ["resolve"]:
            self._file("/".join(parts[:2]), "/".join(parts[4:]))
        else:  # what the client asks about itself
            self._send(404, b"")

    do_HEAD = do_GET

    def _about(self, name: str, place: list[str]) -> None:
        if name not in (NAME, GATED):
            self._send(401, b"", {"X-Error-Code": "RepoNotFound"})
        elif place[:1] == ["revision"] and place[1] not in ("main", REVISION):
            self._send(404, b"", {"X-Error-Code": "RevisionNotFound"})
        elif place[:1] == ["tree"]:
            listed = [dict(type="file", path=p, size=len(c), oid=f"{i:040}") for i, (p, c) in self._numbered()]
            self._send(200, json.dumps(listed).encode())
        else:
            about = dict(id=name, modelId=name, sha=COMMIT, siblings=[dict(rfilename=p) for p in self.server.files])
            self._send(200, json.dumps(about).encode())

    def _file(self, name: str, path: str) -> None:
        if name == GATED:
            self._send(403, b"", {"X-Error-Code": "GatedRepo"})
            return
        self.server.sent.append(path)
        numbers = {p: i for i, (p, _) in self._numbered()}
        self._send(200, self.server.files[path], {"ETag": f'"{numbers[path]:040}"', "X-Repo-Commit": COMMIT})

    def _numbered(self):
        return enumerate(self.server.files.items())

    def _send(self, status: int, content: bytes, headers: Mapping[str, str] = {}) -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(content))}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *arguments):
        pass


@contextlib.contextmanager
def serving(files: Mapping[str, bytes]) -> Iterator[Hub]:
    with Hub(files) as hub:
        threading.Thread(target=hub.serve_forever, daemon=True).start()
        yield hub
        hub.shutdown()
