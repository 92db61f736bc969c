"""A server on loopback for pages that lie ready as files: nginx, or a small one of the standard library without it."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import create_server
from urllib.parse import parse_qs, urlsplit

from benchmarks.child import ROOT, environment

START_SECONDS = 10.0
STANDARD_LIBRARY = "Python's own server, as nginx is not installed"

# One process, and no place outside the folder: neither the log, nor the pid, nor what is held back of a request.
NGINX = """
daemon off;
master_process off;
error_log stderr;
pid {work}/pid;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {work}/body;
    proxy_temp_path {work}/proxy;
    fastcgi_temp_path {work}/fastcgi;
    uwsgi_temp_path {work}/uwsgi;
    scgi_temp_path {work}/scgi;
    default_type application/json;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 100000;
    open_file_cache max=1000;
    map $arg_page $page {{
        "~^[0-9]+$" $arg_page;
        default none;
    }}
    server {{
        listen 127.0.0.1:{port};
        root {root};
        location / {{
            try_files $uri/$page =404;
        }}
    }}
}}
"""


@dataclass(frozen=True, slots=True)
class PageServer:
    """A running server.

    Attributes:
        name: What it is, for the output.
        url: Of the folder; the page `n` of `total` is at `{url}/{total}?page={n}`.
    """

    name: str
    url: str


@contextmanager
def serve(root: Path, work: Path, *, nginx: str | None = None) -> Iterator[PageServer]:
    """Serve the pages below `root` in a process of its own until the block ends.

    Args:
        root: A folder with a folder for each total, as `pages_folder` makes it.
        work: An empty folder for what the server writes.
        nginx: The program; None looks for it and takes the standard library's server if there is none.
    """
    program = find_nginx() if nginx is None else nginx
    port = _free_port()
    if program:
        config = work / "nginx.conf"
        config.write_text(NGINX.format(work=work, root=root, port=port))
        name = "nginx"
        # Its own default log is outside the folder; `-e` replaces it before the configuration is read.
        command = [program, "-p", str(work), "-e", "stderr", "-c", str(config)]
    else:
        name = STANDARD_LIBRARY
        command = [sys.executable, "-m", "benchmarks.rest_server", str(root), str(port)]
    with subprocess.Popen(command, cwd=ROOT, env=environment(), stdin=subprocess.DEVNULL) as process:
        try:
            _wait_for(port, process)
            yield PageServer(name, f"http://127.0.0.1:{port}")
        finally:
            process.terminate()


def find_nginx() -> str | None:
    """Where nginx is; it is often not on the path of a user."""
    return shutil.which("nginx", path=os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"]))


def _free_port() -> int:
    with create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        connection = HTTPConnection("127.0.0.1", port, timeout=START_SECONDS)
        try:
            connection.request("GET", "/")
            connection.getresponse()
        except OSError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the pages' server did not start; exit code {process.returncode}") from error
            time.sleep(0.01)
        else:
            return
        finally:
            connection.close()


class _Pages(BaseHTTPRequestHandler):
    """Answers `/{total}?page={n}` with the file `{total}/{n}`."""

    protocol_version = "HTTP/1.1"
    root: Path

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        page = parse_qs(address.query).get("page", [""])[-1]
        name = f"{address.path.strip('/')}/{page}"
        file = self.root / name
        if not re.fullmatch(r"[0-9]+/[0-9]+", name) or not file.is_file():
            self.send_error(404)
            return
        with file.open("rb") as body:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(os.fstat(body.fileno()).st_size))
            self.end_headers()
            self.wfile.flush()
            self.connection.sendfile(body)

    def log_message(self, *arguments: object) -> None:
        pass


def _main(root: str, port: str) -> None:
    _Pages.root = Path(root)
    with ThreadingHTTPServer(("127.0.0.1", int(port)), _Pages) as server:
        server.daemon_threads = True
        server.serve_forever()


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2])
