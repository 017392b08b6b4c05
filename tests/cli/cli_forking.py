"""Commands in processes of their own, forked off one that has everything imported.

For tests about what commands do beside each other or when they are stopped: a fork takes
milliseconds, where starting Python and importing takes most of a second. What Python makes of
its surroundings while it starts is not tested by it.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading

# Of each command there are two: itself, and one that waits for it and tells how it ended.
SERVER = """
import gc, json, os, signal, socket, sys
import quorate.cli.council.commands, quorate.hub.deciding, quorate.hub.panel_record
import quorate.hub.run, quorate.hub.trace
from quorate.cli import app, main

app._commands()
control = socket.socket(fileno=int(sys.argv[1]))
gc.collect()
gc.freeze()
others = set()
while True:
    asked, descriptors = b"", []
    while not asked.endswith(b"\\n"):
        part, more, _, _ = socket.recv_fds(control, 65536, 4)
        if not part:
            sys.exit()
        asked, descriptors = asked + part, descriptors + more
    others = {other for other in others if os.waitpid(other, os.WNOHANG) == (0, 0)}
    other = os.fork()
    if not other:
        break
    others.add(other)
    for descriptor in descriptors:
        os.close(descriptor)
control.close()
told = socket.socket(fileno=descriptors.pop())
child = os.fork()
if child:
    for descriptor in descriptors:
        os.close(descriptor)
    told.send(b"%d\\n" % child)
    told.send(b"%d\\n" % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    os._exit(0)
told.close()
for number, descriptor in enumerate(descriptors):
    os.dup2(descriptor, number)
    os.close(descriptor)
sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w", buffering=1)
asked = json.loads(asked)
handlers = {"heed": signal.default_int_handler, "ignore": signal.SIG_IGN}
signal.signal(signal.SIGINT, handlers[asked["interrupts"]])
os.chdir(asked["folder"])
sys.argv[1:] = asked["arguments"]
main()
"""


class Forked:
    """A command that runs, with as much of ``subprocess.Popen`` as the tests use."""

    def __init__(self, pid, told, pipes):
        self.pid = pid
        self.returncode = None
        self.stdin, self.stdout, self.stderr = pipes
        self._told = told

    def send_signal(self, sign):
        # What has ended is waited for at once, and its number may be another's.
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, sign)

    def kill(self):
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout=60):
        if self.returncode is None:
            self._told.settimeout(timeout)
            self.returncode = int(self._told.recv(64))
        return self.returncode

    def poll(self):
        with contextlib.suppress(TimeoutError):
            self.wait(1e-6)
        return self.returncode

    def communicate(self, given=b"", timeout=60):
        found = {}

        def read(name, pipe):
            found[name] = pipe.read()

        pipes = [("out", self.stdout), ("err", self.stderr)]
        reading = [threading.Thread(target=read, args=item) for item in pipes if item[1]]
        for thread in reading:
            thread.start()
        if self.stdin is not None:
            with contextlib.suppress(BrokenPipeError, ValueError):
                self.stdin.write(given)
                self.stdin.close()
        try:
            self.wait(timeout)
        finally:
            for thread in reading:
                thread.join(timeout)
        return found.get("out", b""), found.get("err", b"")

    def close(self):
        self.kill()
        self.wait()
        for pipe in (self.stdin, self.stdout, self.stderr):
            with contextlib.suppress(BrokenPipeError):
                if pipe is not None:
                    pipe.close()
        self._told.close()


class Forking:
    """The process that others are forked off."""

    def __init__(self, environment):
        self._control, theirs = socket.socketpair()
        with theirs:
            self._server = subprocess.Popen(
                [sys.executable, "-c", SERVER, str(theirs.fileno())],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=environment,
                pass_fds=[theirs.fileno()],
            )  # fmt: skip

    def start(self, *arguments, cwd=None, interrupts="heed", **streams):
        """Start a command; a stream is a pipe, or the descriptor given for it."""
        asked = {
            "arguments": [str(argument) for argument in arguments],
            "folder": str(cwd or os.getcwd()),  # noqa: PTH109 - the tests change it
            "interrupts": interrupts,
        }
        ours, theirs = [], []
        for name, mode in (("stdin", "wb"), ("stdout", "rb"), ("stderr", "rb")):
            if name in streams:
                ours.append(None)
                theirs.append(os.dup(streams[name]))
                continue
            reading, writing = os.pipe()
            own, other = (writing, reading) if name == "stdin" else (reading, writing)
            ours.append(open(own, mode))  # noqa: PTH123, SIM115 - its user closes it
            theirs.append(other)
        told, telling = socket.socketpair()
        with telling:
            line = json.dumps(asked).encode() + b"\n"
            socket.send_fds(self._control, [line], [*theirs, telling.fileno()])
            for descriptor in theirs:
                os.close(descriptor)
        told.settimeout(60)
        pid = b""
        while not pid.endswith(b"\n"):
            part = told.recv(1)
            assert part, "no process was forked"
            pid += part
        return Forked(int(pid), told, ours)

    def close(self):
        self._control.close()
        self._server.wait(timeout=60)
