"""Orders that are posted: what an answer says, and what is known without one."""

import json
import socket

import pytest
from council_executions import ODD, Server, approved, ran
from council_tools import KEY

from quorate.core.errors import OperationalError, UsageError
from quorate.council import Execution
from quorate.council.executors import Executors, WebhookExecutor
from quorate.council.notify import DELIVERED, Notifier, WebhookHook
from quorate.council.rules.values import token_digest
from quorate.ledger import Policy, Receipt


@pytest.fixture
def server():
    pytest.importorskip("httpx2", reason='httpx2 is not installed; pip install "quorate[http]"')
    opened = Server()
    yield opened
    opened.close()


def test_an_address_gets_the_order(ledger, server, monkeypatch):
    monkeypatch.setenv("COUNCIL_TOKEN", "t0ken")
    server.body = b'{"outcome": "executed", "detail": {"ticket": 9}}'
    c = approved(ledger, target=ODD)
    result = ran(c, WebhookExecutor(server.url, bearer_env="COUNCIL_TOKEN"))
    assert (result.execution, result.detail["detail"]) == (Execution.EXECUTED, {"ticket": 9})
    ((headers, order),) = server.seen
    assert order["target"] == ODD
    assert headers["idempotency-key"] == order["token"]
    assert token_digest(order["token"]) == c.get_proposal("p1").token
    assert headers["authorization"] == "Bearer t0ken"
    Receipt.from_dict(order["certificate"]).verify(Policy.of([KEY.verifier]))
    sealed = [receipt.payload for receipt in ledger]
    assert "t0ken" not in str(sealed)
    assert "key=inside" not in str(sealed)


@pytest.mark.parametrize(
    ("status", "body", "execution"),
    [
        (200, b'{"outcome": "failed"}', "failed"),
        (200, b'{"outcome": "unknown"}', "unknown"),
        (200, b'{"outcome": "maybe"}', "unknown"),
        (200, b"<html>log in first</html>", "unknown"),
        (200, b"\xff\xfe\x00", "unknown"),
        (202, b"", "unknown"),
        (200, b'{"outcome": "executed"}' + b" " * 70_000, "unknown"),
        (302, b'{"outcome": "executed"}', "unknown"),
        (200, b'{"outcome": "failed", "outcome": "executed"}', "unknown"),
        (400, b'{"outcome": "failed"}', "failed"),
        (404, b"<html>no such page</html>", "failed"),
        (422, b"", "failed"),
        (501, b"", "failed"),
        (400, b'{"outcome": "executed"}', "unknown"),
        (403, b'{"outcome": "unknown"}', "unknown"),
        (403, b'{"outcome": "done"}', "unknown"),
        (404, b'log\n{"outcome": "executed"}', "unknown"),
        (404, b'{"outcome": "executed"}' + b" " * 70_000, "unknown"),
        (500, b'{"outcome": "executed"}', "unknown"),
        (500, b'{"outcome": "failed"}', "unknown"),
        (502, b"", "unknown"),
        *((status, b"", "unknown") for status in (402, 408, 409, 423, 425, 429, 499, 503, 504)),
    ],
)  # fmt: skip
def test_what_an_address_answers(ledger, server, status, body, execution):
    server.status, server.body = status, body
    result = ran(approved(ledger), WebhookExecutor(server.url))
    assert result.execution == execution
    assert len(server.seen) == 1


def test_an_answer_that_holds_the_token_is_not_sealed(ledger, server, monkeypatch):
    monkeypatch.setenv("COUNCIL_TOKEN", "t0/ken")
    server.body = b'{"outcome": "executed", "detail": "got t0\\/ken"}'
    result = ran(approved(ledger), WebhookExecutor(server.url, bearer_env="COUNCIL_TOKEN"))
    assert result.execution is Execution.UNKNOWN
    assert 'ken"' not in json.dumps(result.detail)
    assert "holds the token" in result.detail["answer"]


def test_a_refusal_that_holds_the_token_may_have_said_otherwise(ledger, server, monkeypatch):
    monkeypatch.setenv("COUNCIL_TOKEN", "t0ken")
    server.status, server.body = 400, b'{"outcome": "executed", "detail": "t0ken"}'
    result = ran(approved(ledger), WebhookExecutor(server.url, bearer_env="COUNCIL_TOKEN"))
    assert result.execution is Execution.UNKNOWN
    assert "t0ken" not in json.dumps(result.detail)


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
def test_no_proxy_of_the_environment_gets_an_order_or_answers_it(
    ledger, server, monkeypatch, variable
):
    """A proxy would read order and token, and what it answers would be sealed."""
    proxy = Server()
    proxy.body = b'{"outcome": "executed", "detail": "by the proxy"}'
    server.body = b'{"outcome": "executed", "detail": "by the address"}'
    monkeypatch.setenv("COUNCIL_TOKEN", "t0ken")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, proxy.url.partition("/run")[0])
    try:
        c = approved(ledger)
        result = ran(c, WebhookExecutor(server.url, bearer_env="COUNCIL_TOKEN"))
        hook = WebhookHook("pager", server.url, bearer_env="COUNCIL_TOKEN")
        told = Notifier(c, [hook]).deliver(0)
    finally:
        proxy.close()
    assert proxy.seen == []
    assert result.detail["detail"] == "by the address"
    assert {notice.outcome for notice in told} == {DELIVERED}
    assert len(server.seen) == 1 + len(told)


def test_lost_after_it_was_sent_is_unknown_and_never_sent_again(ledger, server):
    server.drop = True
    result = ran(approved(ledger), WebhookExecutor(server.url))
    assert result.execution is Execution.UNKNOWN
    assert "broke off" in result.detail["why"]
    assert len(server.seen) == 1


def test_no_answer_in_time_is_unknown(ledger, server):
    server.hang = True
    c = approved(ledger)
    result = ran(c, WebhookExecutor(server.url, timeout=0.5))
    assert result.execution is Execution.UNKNOWN
    assert "no whole answer within 0.5 s" in result.detail["why"]
    assert ran(c, WebhookExecutor(server.url)).begun is False
    assert len(server.seen) == 1


def test_what_was_never_sent_has_failed(ledger):
    pytest.importorskip("httpx2", reason='httpx2 is not installed; pip install "quorate[http]"')
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/?key=inside"
        result = ran(approved(ledger), WebhookExecutor(url))
    assert result.execution is Execution.FAILED
    assert "no connection to 127.0.0.1" in result.detail["why"]
    assert "inside" not in str(result.detail)


def test_an_address_that_cannot_be_asked_begins_nothing(ledger, monkeypatch):
    c = approved(ledger)
    executors = Executors(c)
    executors.register(
        "quarantine", WebhookExecutor("https://127.0.0.1/", bearer_env="UNSET_TOKEN")
    )
    with pytest.raises(OperationalError, match=r"UNSET_TOKEN holds no token|quorate\[http\]"):
        executors.run("p1")
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(OperationalError, match=r'pip install "quorate\[http\]"$'):
        executors.run("p1")
    assert c.get_proposal("p1").execution is Execution.NONE
    for url, message in (
        ("http://example.org/", "plain http"),
        ("https://ann:pw@example.org/", "name or password"),
        ("ftp://example.org/", "give one such as"),
        ("http:///", "give one such as"),
        ("http://[::1", "cannot be read"),
        (7, "the url is 7"),
    ):
        with pytest.raises(UsageError, match=message):
            WebhookExecutor(url)
    WebhookExecutor("http://example.org/", insecure_http=True)
    with pytest.raises(UsageError, match="and not the token"):
        WebhookExecutor("https://example.org/", bearer_env="s3cret-value")
