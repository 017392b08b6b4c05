"""An expert as an HTTP service, in a process of its own; after some answers it is killed."""

import json
import os
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer


class Judge(BaseHTTPRequestHandler):
    left = int(sys.argv[1]) if len(sys.argv) > 1 else -1

    def do_POST(self):
        task = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["input"]
        if self.headers["Authorization"] != f"Bearer {os.environ['EXPERT_TOKEN']}":
            self.send_error(401)
            return
        body = json.dumps({"payload": "yes" if task["n"] >= 0 else "no", "confidence": 0.9})
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())
        self.wfile.flush()
        Judge.left -= 1
        if not Judge.left:
            os.kill(os.getpid(), signal.SIGKILL)

    def log_message(self, *_):
        pass


def end_with_its_input():
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    server = HTTPServer(("127.0.0.1", 0), Judge)
    print(server.server_port, flush=True)
    threading.Thread(target=end_with_its_input, daemon=True).start()
    server.serve_forever()
