"""Secrets: found in every spelling that JSON has, kept from children, and out of records."""

import asyncio
import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from quorate.core.errors import MisbehaviourError, TransportError
from quorate.hub.experts.secret import Secret, hidden
from quorate.hub.experts.subprocess import SubprocessExpert

TOKEN = "abc/DEF+secret/xyz=="
SPELLINGS = [
    TOKEN,
    TOKEN.replace("/", r"\/"),
    TOKEN.replace("+", r"\u002B"),
    TOKEN.replace("+", r"\u002b").replace("a", r"\u0061"),
    "".join(f"\\u{ord(char):04x}" for char in TOKEN),
    json.dumps(TOKEN.replace("/", r"\/"))[1:-1],
    json.dumps(json.dumps(TOKEN.replace("+", r"\u002B")))[1:-1],
    TOKEN.replace("+", r"\u005cu002B"),
]


@pytest.fixture
def secret(monkeypatch):
    monkeypatch.setenv("QUORATE_TEST_SECRET", TOKEN)
    found = Secret("QUORATE_TEST_SECRET")
    found.read()
    return found


@pytest.mark.parametrize("spelled", SPELLINGS)
def test_every_spelling_is_refused_and_hidden(secret, spelled):
    for body in (f'{{"payload":"{spelled}"}}', f'{{"{spelled}":1}}', f"x{spelled}"):
        for form in (body, body.encode()):
            with pytest.raises(MisbehaviourError, match="holds the secret"):
                secret.refuse_in(form)
        for told in (secret.hidden(body), hidden(body, [os.environ])):
            assert "***" in told
            assert "DEF" not in told
            assert "secret" not in told
    secret.refuse_in(r'{"payload":"abc\/DEF-"}')
    assert secret.hidden(r"abc\/DEF-") == r"abc\/DEF-"


@pytest.mark.parametrize("spelled", SPELLINGS[1:3])
@pytest.mark.parametrize("status", [200, 500])
def test_a_server_that_echoes_it_escaped_puts_nothing_on_record(secret, spelled, status):
    pytest.importorskip("httpx2", reason='httpx2 is not installed; pip install "quorate[http]"')
    from quorate.hub.experts.http import HTTPExpert

    class Echo(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["content-length"]))
            body = f'{{"payload":"Bearer {spelled}","confidence":1}}'.encode()
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            expert = HTTPExpert(
                f"http://127.0.0.1:{server.server_port}/", bearer_env=secret.variable, retries=0
            )
            with pytest.raises((MisbehaviourError, TransportError)) as error:
                asyncio.run(expert(1))
        finally:
            server.shutdown()
            thread.join()
    assert "DEF" not in str(error.value)
    assert isinstance(error.value, MisbehaviourError) == (status == 200)


def dying(expert):
    async def go():
        try:
            await expert(1)
        finally:
            await expert.aclose()

    with pytest.raises(TransportError) as error:
        asyncio.run(go())
    return str(error.value)


def test_a_child_is_not_given_the_secrets_of_others(secret, monkeypatch):
    monkeypatch.setenv("QUORATE_TEST_PLAIN", "plain")
    program = (
        "import os,sys; input(); "
        f"sys.exit(str([os.environ.get(n) for n in ({secret.variable!r}, 'QUORATE_TEST_PLAIN')]))"
    )
    command = [sys.executable, "-c", program]
    assert "[None, 'plain']" in dying(SubprocessExpert(command))
    # Given it by name, it has it, and what it says of it is not put on record.
    said = dying(SubprocessExpert(command, env={secret.variable: "an/other+one"}))
    assert "['***', 'plain']" in said
    said = dying(SubprocessExpert([sys.executable, "-c", f"input(); raise SystemExit({TOKEN!r})"]))
    assert "***" in said
    assert "DEF" not in said
