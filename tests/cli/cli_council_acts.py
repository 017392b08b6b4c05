"""Executors and hooks for a council on the command line, and a server on this machine."""

import contextlib
import http.server
import json
import threading
from pathlib import Path

from cli_council_tools import VOTERS, approve


def declare(*tables, file="council.toml"):
    """Add tables to the council file."""
    path = Path(file)
    path.write_text(path.read_text() + "\n" + "\n".join(tables))


def program(name, *lines):
    """Write a program of the shell into the working folder."""
    path = Path(name)
    path.write_text("#!/bin/sh\n" + "\n".join(lines) + "\n")
    path.chmod(0o755)


def approved(call, action="quarantine", target="agent-7", voters=VOTERS[:3]):
    """Propose, and approve it; its id."""
    known = len(json.loads(call("list", "--json")[1])["proposals"])
    assert call("propose", action, "--target", target, "--as", "anna")[0] == 0
    approve(call, f"p{known + 1}", voters)
    return f"p{known + 1}"


def events(call, name):
    """Details of the events of that name."""
    found = json.loads(call("history", "--json")[1])["events"]
    return [event["details"] for event in found if event["event"] == name]


@contextlib.contextmanager
def server(status=200, body=b"{}"):
    """An address on this machine; gives its url, and what it was sent."""
    seen = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            sent = self.rfile.read(int(self.headers["Content-Length"]))
            seen.append((dict(self.headers), json.loads(sent)))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=running.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{running.server_port}/act", seen
    finally:
        running.shutdown()
        thread.join()
        running.server_close()
