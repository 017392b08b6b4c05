"""A card of both versions says one thing: what no signature covers cannot lead elsewhere."""

import pytest
from card_tools import FULL_1_0, changed, small

from quorate.cards.reading import read_card

BOTH = small(
    url="https://judge.example.com/a2a",
    preferredTransport="JSONRPC",
    protocolVersion="1.0",
    additionalInterfaces=[{"url": "https://judge.example.com/a2a", "transport": "JSONRPC"}],
    supportsAuthenticatedExtendedCard=False,
    security=[{"bearer": []}],
)
BOTH["skills"] = [{**BOTH["skills"][0], "security": [{"bearer": []}]}]
BOTH["skills"][0]["securityRequirements"] = [{"schemes": {"bearer": {}}}]
BOTH["securitySchemes"] = {
    "bearer": {"httpAuthSecurityScheme": {"scheme": "Bearer"}, "type": "http", "scheme": "Bearer"}
}


def test_members_that_say_the_same_may_stand_beside():
    read = read_card(BOTH)
    assert (read.version, read.problems) == ("1.0+0.3", ())


@pytest.mark.parametrize(
    ("path", "value", "at"),
    [
        ("url", "https://evil.example.com/", "$.url"),
        ("url", 5, "$.url"),
        ("url", ["https://judge.example.com/a2a"], "$.url"),
        ("preferredTransport", "GRPC", "$.url"),
        ("protocolVersion", "0.3.0", "$.protocolVersion"),
        ("additionalInterfaces.0.url", "https://evil.example.com/", "$.additionalInterfaces[0]"),
        ("additionalInterfaces.0.transport", "GRPC", "$.additionalInterfaces[0]"),
        ("additionalInterfaces", {}, "$.additionalInterfaces"),
        ("supportsAuthenticatedExtendedCard", True, "$.supportsAuthenticatedExtendedCard"),
        ("supportsAuthenticatedExtendedCard", 0, "$.supportsAuthenticatedExtendedCard"),
        ("security", [], "$.security"),
        ("security", {}, "$.security"),
        ("security.0", {}, "$.security"),
        ("security.0", {"bearer": ["all"]}, "$.security"),
        ("security.1", {}, "$.security"),
        ("security.1", {"bearer": []}, "$.security"),
        ("security.1", 5, "$.security"),
        ("securityRequirements.1", {"schemes": {}}, "$.security"),
        ("skills.0.security", [], "$.skills[0].security"),
        ("skills.0.security.1", {}, "$.skills[0].security"),
        ("securitySchemes.bearer.type", "apiKey", "$.securitySchemes.bearer.type"),
        ("securitySchemes.bearer.scheme", "Basic", "$.securitySchemes.bearer.scheme"),
        ("securitySchemes.bearer.flows", {}, "$.securitySchemes.bearer.flows"),
    ],
)
def test_members_that_say_otherwise_are_errors(path, value, at):
    found = {problem.path for problem in read_card(changed(BOTH, path, value)).errors}
    assert at in found


def test_a_capability_of_0_3_alone_is_a_doubt():
    read = read_card(changed(BOTH, "capabilities.stateTransitionHistory", True))
    assert read.valid
    assert [problem.path for problem in read.warnings] == ["$.capabilities.stateTransitionHistory"]


def test_a_card_of_1_0_alone_has_nothing_beside():
    assert read_card(FULL_1_0).version == "1.0"
