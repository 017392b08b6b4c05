"""Starting `quorate serve`, calling it, and reading what it answers."""

import json
import signal
import subprocess
import sys
from contextlib import asynccontextmanager, contextmanager

COMMAND = [sys.executable, "-c", "from quorate.cli import main; main()"]


class Served:
    """A server over HTTP in a process of its own."""

    def __init__(self, process, url, folder, tokens):
        self.process = process
        self.url = url
        self.folder = folder
        self.tokens = tokens

    def headers(self, name="all"):
        return {"Authorization": f"Bearer {self.tokens[name]}"}

    @asynccontextmanager
    async def client(self, name="all", mode="auto"):
        import httpx2
        from mcp import Client
        from mcp.client.streamable_http import streamable_http_client

        limits = httpx2.Limits(max_connections=400)
        async with (
            httpx2.AsyncClient(headers=self.headers(name), timeout=120, limits=limits) as http,
            Client(streamable_http_client(self.url, http_client=http), mode=mode) as client,
        ):
            yield client


def given(desk):
    return [
        "--ledger", str(desk / "ledger.db"), "--signer", str(desk / "ledger.key"),
        "--council", str(desk / "council.toml"), "--target", "parrot=targets.py:parrot",
    ]  # fmt: skip


@contextmanager
def process(arguments, folder, log=None):
    """Start `quorate serve`; gives the process and what it printed once it listens."""
    with (log or folder / "other.log").open("w") as errors:
        started = subprocess.Popen(
            [*COMMAND, "serve", "--port", "0", "--json", *arguments],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            cwd=folder,
        )
    with started:
        try:
            said = ""
            for line in started.stdout:
                said += line
                if line.startswith("}"):
                    break
            yield started, json.loads(said)
        finally:
            if started.poll() is None:
                started.send_signal(signal.SIGTERM)
                started.wait(60)


def answer(result):
    """The structured answer of a call that went well."""
    assert not result.is_error, result.content
    return result.structured_content


def refusal(result):
    """The words of a call that was refused."""
    assert result.is_error, result.structured_content
    return result.content[0].text
