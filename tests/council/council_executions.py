"""An approval to be executed, and a server on this machine to be told of it."""

import contextlib
import http.server
import json
import socket
import threading

from council_tools import council, passed

from quorate.council.executors import Executors

ODD = "agent; touch pwned $(touch pwned) `touch pwned` '\"\n-rf"


def approved(ledger, action="quarantine", target="agent-7", evidence=None):
    """A council with p1 approved."""
    c = council(ledger=ledger)
    passed(c, c.propose("a", action, target, evidence), "abcd")
    return c


def ran(council_, executor, action="quarantine"):
    executors = Executors(council_)
    executors.register(action, executor)
    return executors.run("p1")


class Server:
    """Answers what it is told to, and keeps what it was sent."""

    def __init__(self):
        self.status, self.body, self.seen, self.hold = 200, b"", [], threading.Event()
        self.hang = self.drop = False
        told = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                told.seen.append((dict(self.headers), json.loads(body)))
                if told.drop:
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                if told.hang:
                    told.hold.wait(30)
                    return
                self.send_response(told.status)
                self.send_header("Location", "http://127.0.0.1:9/")
                self.end_headers()
                with contextlib.suppress(OSError):
                    self.wfile.write(told.body)

            def log_message(self, *_):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/run?key=inside"
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.02,))
        self.thread.start()

    def close(self):
        self.hold.set()
        self.http.shutdown()
        self.thread.join()
        self.http.server_close()
