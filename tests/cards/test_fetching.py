"""Cards are fetched from the public internet alone, whole, and from where was looked."""

import asyncio
import gzip
import ipaddress
import os
import socket
import time

import pytest
from card_server import (
    JSON,
    certified,
    free_port,
    leading_to,
    only_here,
    redirects,
    sends,
    serving,
)

from quorate.cards import bounds
from quorate.cards.addresses import disguised, not_public
from quorate.cards.fetching import (
    WELL_KNOWN,
    FetchRefusedError,
    FetchRules,
    fetch_card,
)
from quorate.core.errors import TransportError, UsageError, UsageTypeError

pytest.importorskip("httpx2", reason="httpx2 is not installed; make test-adapters")

HERE = FetchRules(insecure_http=True, judge=only_here)


def here(**changes):
    return FetchRules(**{"insecure_http": True, "judge": only_here, **changes})


# --- addresses -----------------------------------------------------------------------------

NOT_PUBLIC = [
    "0.0.0.0",  # noqa: S104 - not bound to
    "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.8.8.8", "169.254.169.254",
    "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.2.1", "192.88.99.1", "192.168.0.1",
    "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1",
    "255.255.255.255",
    "::", "::1", "fe80::1", "fc00::1", "fd12::1", "fec0::1", "ff02::1", "2001:db8::1", "100::1",
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::7f00:1", "::10.0.0.1",
    "2002:7f00:1::", "2002:a00:1::1", "2002:c0a8:1::", "64:ff9b::7f00:1", "64:ff9b::a00:1",
    "64:ff9b:1::a00:1", "2001:0:4136:e378:8000:63bf:f5ff:fffe",
    "fe80::5efe:10.0.0.1", "2606:4700::5efe:10.0.0.1", "2002:808:808::5efe:10.0.0.1",
    "2001:0:a00:1::f7f7:f7f7", "168.63.129.16", "64:ff9b::a83f:8110", "3fff::1", "5f00::1",
    "192.0.0.192",
]  # fmt: skip
# Public by the IPv4 address inside, and not by the address itself.
PUBLIC_INSIDE = [
    "fd12::5efe:808:808", "fe80::5efe:808:808", "fec0::5efe:808:808", "ff02::5efe:808:808",
    "2001:db8::5efe:808:808", "3fff::200:5efe:808:808", "64:ff9b:1::808:808",
    "64:ff9b:1:7f00:0:100:808:808", "::8.8.8.8",
]  # fmt: skip
PUBLIC = ["1.1.1.1", "8.8.8.8", "93.184.216.34", "2606:4700:4700::1111", "2a00:1450:4001:82a::200e",
          "64:ff9b::808:808", "::ffff:8.8.8.8", "2002:808:808::1", "2606:4700::5efe:8.8.8.8",
          "2001:0:808:808::f7f7:f7f7"]  # fmt: skip


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_addresses_that_are_not_public(address):
    assert not_public(ipaddress.ip_address(address)) is not None


@pytest.mark.parametrize("address", PUBLIC_INSIDE)
def test_what_an_address_carries_does_not_make_it_public(address):
    assert not_public(ipaddress.ip_address(address)) is not None
    with pytest.raises(FetchRefusedError, match="public internet alone"):
        fetch_card(f"https://[{address}]/", FetchRules(resolve=never))


@pytest.mark.parametrize("address", PUBLIC)
def test_addresses_that_are_public(address):
    assert not_public(ipaddress.ip_address(address)) is None


@pytest.mark.parametrize(
    "host", ["2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "127.1", "1.2.3", "0", "1.0x1",
             "127.0.0.1.", "example.0x0"]
)  # fmt: skip
def test_numbers_in_place_of_names_are_refused(host):
    assert disguised(host)
    with pytest.raises(UsageError, match="a number in place of"):
        fetch_card(f"https://{host}/")


@pytest.mark.parametrize("host", ["127.0.0.1", "example.com", "1.example", "cafe.beef", "[::1]"])
def test_names_and_addresses_are_no_such_numbers(host):
    assert not disguised(host)


# --- forms of a url ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://example.com/", "over plain http"),
        ("ftp://example.com/", "give one such as https://host/path"),
        ("file:///etc/passwd", "give one such as https://host/path"),
        ("https:///x", "give one such as https://host/path"),
        ("https://a b/", "give one such as https://host/path"),
        ("https://exämple.com/", "give one such as https://host/path"),
        ("https://a\\@b/", "give one such as|holds a name"),
        ("https://me:secret@example.com/", "holds a name or password"),
        ("https://[::1/", "cannot be read"),
        ("https://example.com:0/", "port 0"),
        ("https://example.com:99999/", "cannot be read"),
        ("https://[fe80::1%25eth0]/", "cannot be read|a number in place of|give one such as"),
    ],
)
def test_urls_that_are_not_fetched(url, said):
    with pytest.raises(UsageError, match=said) as refused:
        fetch_card(url)
    assert "secret" not in str(refused.value)


def test_a_url_is_text():
    with pytest.raises(UsageTypeError, match="give text such as"):
        fetch_card(5)


# --- where it leads ------------------------------------------------------------------------


def never(host, port):
    raise AssertionError("it was resolved")


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "[2002:7f00:1::]", "[64:ff9b::a00:1]",
             "169.254.169.254", "100.64.1.1"]
)  # fmt: skip
def test_written_addresses_that_are_not_public_are_not_asked(host):
    with serving(sends()) as (port, seen):
        with pytest.raises(FetchRefusedError, match="public internet alone"):
            fetch_card(f"http://{host}:{port}/", FetchRules(insecure_http=True, resolve=never))
        assert seen == []


@pytest.mark.parametrize(
    "addresses", [["127.0.0.1"], ["::1"], ["::ffff:127.0.0.1"], ["8.8.8.8", "127.0.0.1"],
                  ["127.0.0.1", "8.8.8.8"]]
)  # fmt: skip
def test_names_that_lead_to_such_addresses_are_not_asked(addresses):
    with serving(sends()) as (port, seen):
        rules = FetchRules(insecure_http=True, resolve=leading_to(addresses))
        with pytest.raises(FetchRefusedError, match="leads to"):
            fetch_card(f"http://cards.example.com:{port}/", rules)
        assert seen == []


def test_localhost_is_resolved_and_refused():
    with serving(sends()) as (port, seen):
        with pytest.raises(FetchRefusedError, match="loopback"):
            fetch_card(f"http://localhost:{port}/", FetchRules(insecure_http=True))
        assert seen == []


def test_names_without_an_address_are_told():
    with pytest.raises(TransportError, match="has no address"):
        fetch_card("http://cards.example.com/", here(resolve=leading_to([])))
    with pytest.raises(TransportError, match="has no address"):
        fetch_card("http://cards.example.com/", here(resolve=leading_to(["nonsense"])))


def test_a_name_that_leads_elsewhere_when_asked_again_changes_nothing():
    """DNS rebinding: looked up once, and what was looked at is what is asked."""
    with (
        serving(sends(b'{"name": "good"}')) as (port, seen),
        serving(sends(b'{"name": "evil"}'), host="127.0.0.2") as (_, inside),
    ):
        resolve = leading_to(["127.0.0.1"], ["127.0.0.2"], ["127.0.0.2"])
        fetched = fetch_card(f"http://cards.example.com:{port}/c.json", here(resolve=resolve))
        assert fetched.content == b'{"name": "good"}'
        assert fetched.asked == ("127.0.0.1",)
        assert resolve.asked == [("cards.example.com", port)]
        assert seen[0][1]["host"] == f"cards.example.com:{port}"
        assert inside == []


def test_the_system_is_not_asked_for_the_name_once_more(monkeypatch):
    real = socket.getaddrinfo

    def numbers_alone(host, *rest, **more):
        name = host.decode() if isinstance(host, bytes) else host
        ipaddress.ip_address(name)
        return real(host, *rest, **more)

    with serving(sends()) as (port, _):
        monkeypatch.setattr(socket, "getaddrinfo", numbers_alone)
        resolve = leading_to(["127.0.0.1"])
        assert fetch_card(f"http://cards.example.com:{port}/", here(resolve=resolve)).content


def test_the_next_address_is_tried_where_one_does_not_answer():
    with serving(sends()) as (port, _):
        judge = lambda address: None  # noqa: E731
        resolve = leading_to(["127.0.0.3", "127.0.0.1"])
        fetched = fetch_card(f"http://a.example.com:{port}/", here(resolve=resolve, judge=judge))
        assert fetched.asked == ("127.0.0.3", "127.0.0.1")


# --- redirects -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "there",
    ["http://127.0.0.2:{port}/", "http://[::1]:{port}/", "http://inside.example.com:{port}/",
     "//127.0.0.2:{port}/", "http://[::ffff:127.0.0.2]:{port}/"],
)  # fmt: skip
def test_a_redirect_to_the_inside_is_not_followed(there):
    with serving(sends(b"{}"), host="127.0.0.2") as (inner, inside):
        with serving(redirects(there.format(port=inner))) as (port, seen):
            resolve = leading_to(["127.0.0.1"], ["127.0.0.2"])
            with pytest.raises(FetchRefusedError, match="public internet alone"):
                fetch_card(f"http://cards.example.com:{port}/", here(resolve=resolve))
            assert len(seen) == 1
        assert inside == []


@pytest.mark.parametrize(
    ("there", "said"),
    [
        ("file:///etc/passwd", "give one such as"),
        ("gopher://127.0.0.1/", "give one such as"),
        ("http://me:pw@example.com/", "holds a name or password"),
        ("http://2130706433/", "a number in place of"),
        ("http://a b/", "give one such as"),
    ],
)
def test_a_redirect_is_looked_at_like_the_first_url(there, said):
    with serving(redirects(there)) as (port, _), pytest.raises(FetchRefusedError, match=said):
        fetch_card(f"http://127.0.0.1:{port}/", HERE)


def test_three_redirects_are_followed_and_no_more():
    left = [3]

    def answer(handler):
        if left[0]:
            left[0] -= 1
            redirects(f"/next{left[0]}#fragment", 308)(handler)
        else:
            sends(b'{"ok": 1}')(handler)

    with serving(answer) as (port, seen):
        fetched = fetch_card(f"http://127.0.0.1:{port}/first", HERE)
        assert fetched.content == b'{"ok": 1}'
        assert [path for path, _ in seen] == ["/first", "/next2", "/next1", "/next0"]
        assert fetched.url == f"http://127.0.0.1:{port}/next0"
        left[0] = 4
        with pytest.raises(TransportError, match="more than 3 times"):
            fetch_card(f"http://127.0.0.1:{port}/first", HERE)


def test_a_redirect_to_plain_http_is_refused(tmp_path):
    server, client = certified("cards.example.com", tmp_path)
    with serving(sends()) as (plain, unseen):
        away = redirects(f"http://cards.example.com:{plain}/")
        with serving(away, tls=server) as (port, seen):
            rules = FetchRules(tls=client, judge=only_here, resolve=leading_to(["127.0.0.1"]))
            with pytest.raises(FetchRefusedError, match="over plain http"):
                fetch_card(f"https://cards.example.com:{port}/", rules)
            assert len(seen) == 1
        assert unseen == []


# --- TLS -----------------------------------------------------------------------------------


def test_tls_is_checked_against_the_name(tmp_path):
    server, client = certified("cards.example.com", tmp_path)
    with serving(sends(b'{"ok": 1}'), tls=server) as (port, seen):
        rules = FetchRules(tls=client, judge=only_here, resolve=leading_to(["127.0.0.1"]))
        fetched = fetch_card(f"https://cards.example.com:{port}/card", rules)
        assert fetched.content == b'{"ok": 1}'
        assert seen.names == ["cards.example.com"]
        assert seen[0][1]["host"] == f"cards.example.com:{port}"
        with pytest.raises(TransportError, match=r"(?i)certificate|verify"):
            fetch_card(f"https://other.example.com:{port}/card", rules)
        untrusting = FetchRules(judge=only_here, resolve=leading_to(["127.0.0.1"]))
        with pytest.raises(TransportError, match=r"(?i)certificate|verify"):
            fetch_card(f"https://cards.example.com:{port}/card", untrusting)
        assert len(seen) == 1


# --- what comes ----------------------------------------------------------------------------


def test_the_well_known_place_is_asked_where_no_path_is_given():
    with serving(sends()) as (port, seen):
        fetch_card(f"http://127.0.0.1:{port}", HERE)
        fetch_card(f"http://127.0.0.1:{port}/", HERE)
        fetch_card(f"http://127.0.0.1:{port}/x?y=1", HERE)
        assert [path for path, _ in seen] == [WELL_KNOWN, WELL_KNOWN, "/x?y=1"]


def test_a_huge_body_is_broken_off():
    sent = []

    def flood(handler):
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.end_headers()
        for _ in range(1000):
            handler.wfile.write(b"x" * (1 << 20))
            sent.append(1)

    huge = pytest.raises(TransportError, match="more than 1048576 bytes")
    with serving(flood) as (port, _), huge:
        fetch_card(f"http://127.0.0.1:{port}/", HERE)
    assert len(sent) < 1000


def test_the_bound_itself_is_allowed():
    body = b" " * (bounds.MAX_CARD_BYTES - 2) + b"{}"
    with serving(sends(body)) as (port, _):
        assert fetch_card(f"http://127.0.0.1:{port}/", HERE).content == body
    with serving(sends(body + b" ")) as (port, _), pytest.raises(TransportError, match="more than"):
        fetch_card(f"http://127.0.0.1:{port}/", HERE)


def test_a_gzip_bomb_is_not_unpacked():
    bomb = gzip.compress(b"\0" * (64 << 20))
    with serving(sends(bomb, headers={**JSON, "Content-Encoding": "gzip"})) as (port, seen):
        with pytest.raises(TransportError, match="compressed"):
            fetch_card(f"http://127.0.0.1:{port}/", HERE)
        assert seen[0][1]["accept-encoding"] == "identity"


def test_a_slow_body_has_an_end():
    def drip(handler):
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.end_headers()
        for _ in range(600):
            handler.wfile.write(b" ")
            handler.wfile.flush()
            time.sleep(0.1)

    with serving(drip) as (port, _), pytest.raises(TransportError, match=r"within 0\.5 s"):
        fetch_card(f"http://127.0.0.1:{port}/", here(seconds=0.5))


def test_a_slow_resolver_has_an_end():
    async def stuck(host, port):
        await asyncio.sleep(60)

    with pytest.raises(TransportError, match=r"within 0\.2 s"):
        fetch_card("http://cards.example.com/", here(resolve=stuck, seconds=0.2))


@pytest.mark.parametrize(
    ("kind", "fine"),
    [
        ("application/json", True),
        ("application/json; charset=utf-8", True),
        ("application/a2a+json", True),
        ("text/html", False),
        ("text/plain", False),
        ("", False),
    ],
)
def test_a_card_says_that_it_is_json(kind, fine):
    with serving(sends(headers={"Content-Type": kind} if kind else {})) as (port, _):
        if fine:
            assert fetch_card(f"http://127.0.0.1:{port}/", HERE).content == b"{}"
            return
        with pytest.raises(TransportError, match="a card is application/json"):
            fetch_card(f"http://127.0.0.1:{port}/", HERE)


@pytest.mark.parametrize("status", [204, 304, 401, 404, 500])
def test_other_answers_are_no_cards(status):
    told = pytest.raises(TransportError, match=f"answers {status}, not with a card")
    with serving(sends(b"", status)) as (port, _), told:
        fetch_card(f"http://127.0.0.1:{port}/", HERE)


def test_a_redirect_without_a_place_is_told():
    with serving(sends(b"", 302)) as (port, _), pytest.raises(TransportError, match="where to"):
        fetch_card(f"http://127.0.0.1:{port}/", HERE)


def test_nobody_there_is_told():
    with pytest.raises(TransportError, match=r"no connection to 127\.0\.0\.1"):
        fetch_card(f"http://127.0.0.1:{free_port()}/", HERE)


def test_what_is_no_http_is_told():
    listener = socket.create_server(("127.0.0.1", 0))
    with listener:
        import threading

        def babble():
            it, _ = listener.accept()
            with it:
                it.recv(1000)
                it.sendall(b"220 mail.example.com ESMTP\r\n")

        threading.Thread(target=babble, daemon=True).start()
        with pytest.raises(TransportError, match="broke off"):
            fetch_card(f"http://127.0.0.1:{listener.getsockname()[1]}/", HERE)


def test_neither_proxies_cookies_nor_credentials_are_used(monkeypatch, tmp_path):
    with serving(sends()) as (proxy, used):
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy}")
        (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password secret\n")
        (tmp_path / ".netrc").chmod(0o600)
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
        left = [1]

        def answer(handler):
            if left[0]:
                left[0] = 0
                sends(b"", 302, {"Location": "/again", "Set-Cookie": "a=b"})(handler)
            else:
                sends()(handler)

        with serving(answer) as (port, seen):
            fetch_card(f"http://127.0.0.1:{port}/x", HERE)
        assert used == []
        assert len(seen) == 2
        for _, headers in seen:
            names = {name.lower() for name in headers}
            assert not names & {"cookie", "authorization", "proxy-authorization"}
    assert "http_proxy" in os.environ
