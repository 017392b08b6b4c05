"""Cards are read whole: their version, and all that is wrong with them, each with its path."""

import json

import pytest
from card_tools import FLOW, FULL_0_3, FULL_1_0, changed, small, text_of

from quorate.cards import bounds
from quorate.cards.problems import where
from quorate.cards.reading import detect, path_of, read_card
from quorate.core.errors import UsageTypeError


@pytest.mark.parametrize(
    ("card", "version"), [(FULL_1_0, "1.0"), (FULL_0_3, "0.3"), (small(), "1.0")]
)
def test_cards_with_every_member_are_valid(card, version):
    read = read_card(text_of(card))
    assert (read.version, read.problems, read.valid) == (version, (), True)
    assert read.content == card
    assert read_card(card).digest == read.digest


SKILL = {"id": "b", "name": "B", "description": "Does.", "tags": ["x"]}
INTERFACES = '[{"url": "https://agents.example.com/a2a", "protocolBinding": "JSONRPC", '

# path of the change, value (... takes it out), path of the error, rule, message
MUTATED = [
    ("name", ..., "$.name", "required",
     'is missing; give the agent\'s name for people, such as "Route planner"'),
    ("name", "", "$.name", "required",
     'is empty; give the agent\'s name for people, such as "Route planner"'),
    ("name", " \t", "$.name", "required",
     'is blank; give the agent\'s name for people, such as "Route planner"'),
    ("name", 5, "$.name", "type",
     'is the number 5; give the agent\'s name for people, such as "Route planner"'),
    ("name", None, "$.name", "type",
     'is null; give the agent\'s name for people, such as "Route planner"'),
    ("name", "x" * (bounds.MAX_TEXT_LENGTH + 1), "$.name", "size",
     "has 16385 characters; at most 16384 are read"),
    ("description", ..., "$.description", "required",
     "is missing; give what the agent does, in a sentence or two"),
    ("version", True, "$.version", "type",
     'is true; give the agent\'s own version, such as "1.0.0"'),
    ("supportedInterfaces", [], "$.supportedInterfaces", "required",
     f'is empty; give a list such as {INTERFACES}"protocolVersion": "1.0"}}]'),
    ("supportedInterfaces", {}, "$.supportedInterfaces", "type",
     f'is an object; give a list such as {INTERFACES}"protocolVersion": "1.0"}}]'),
    ("supportedInterfaces.0", "x", "$.supportedInterfaces[0]", "type", "is a text; give an object"),
    ("supportedInterfaces.0.url", ..., "$.supportedInterfaces[0].url", "required",
     'is missing; give an address such as "https://agents.example.com/a2a"'),
    ("supportedInterfaces.0.url", "/a2a", "$.supportedInterfaces[0].url", "url",
     "is no absolute address; give one such as https://host/path"),
    ("supportedInterfaces.0.url", "http://a.example.com", "$.supportedInterfaces[0].url", "https",
     "is plain http, for all on the way to read and to change; use https"),
    ("supportedInterfaces.0.url", "https://me:pw@a.example.com", "$.supportedInterfaces[0].url",
     "url-credentials",
     ("holds a name or password, for every reader of the card; take it out and declare a security "
     "scheme")),
    ("supportedInterfaces.0.url", "https://a.example.com/?api_key=1",
     "$.supportedInterfaces[0].url", "url-credentials",
     ("holds the parameter 'api_key', a credential for every reader of the card; take it out and "
     "declare a security scheme")),
    ("supportedInterfaces.0.url", "https://a.exämple.com", "$.supportedInterfaces[0].url", "url",
     "holds characters that no address has; percent-encode them, and write the host in punycode"),
    ("supportedInterfaces.0.url", "https://[::1", "$.supportedInterfaces[0].url", "url",
     "cannot be read as an address: Invalid IPv6 URL"),
    ("supportedInterfaces.0.url", "https://0x7f.1/", "$.supportedInterfaces[0].url", "url",
     "has the host 0x7f.1, a number in place of an address"),
    ("supportedInterfaces.0.protocolBinding", "jsonrpc",
     "$.supportedInterfaces[0].protocolBinding", "transport",
     ("is 'jsonrpc'; give one of \"GRPC\", \"HTTP+JSON\", \"JSONRPC\", or the URI of another; did "
     'you mean "JSONRPC"?')),
    ("supportedInterfaces.0.protocolVersion", "one",
     "$.supportedInterfaces[0].protocolVersion", "version",
     "is 'one'; give a version such as \"1.0\""),
    ("supportedInterfaces.0.protocolVersion", "0.2.5",
     "$.supportedInterfaces[0].protocolVersion", "version",
     "is '0.2.5', older than 0.3, the oldest that is read"),
    ("supportedInterfaces.0.protocol_version", "1.0",
     "$.supportedInterfaces[0].protocol_version", "unknown",
     "is no member here; members are written in camelCase: protocolVersion"),
    ("supportedInterfaces.0.transport", "JSONRPC", "$.supportedInterfaces[0].transport", "unknown",
     "is no member here; in 1.0 it is protocolBinding"),
    ("skils", [], "$.skils", "unknown", 'is no member here; did you mean "skills"?'),
    ("metadata", {}, "$.metadata", "unknown",
     ("is no member here; cards have no metadata of their own; evidence stands under "
     'capabilities.extensions[] with the uri "urn:quorate:a2a:evidence:1", in params.metadata')),
    ("capabilities", ..., "$.capabilities", "required",
     'is missing; give an object such as {"streaming": false}'),
    ("capabilities", [], "$.capabilities", "type",
     'is a list; give an object such as {"streaming": false}'),
    ("capabilities.streaming", "yes", "$.capabilities.streaming", "type",
     "is a text; give true or false"),
    ("capabilities.stateTransitionHistory", True, "$.capabilities.stateTransitionHistory",
     "unknown", "is no member here; 1.0 has no such capability; leave it out"),
    ("capabilities.extensions.0.uri", ..., "$.capabilities.extensions[0].uri", "required",
     "is missing; give the URI that names the extension"),
    ("capabilities.extensions.0.uri", "units", "$.capabilities.extensions[0].uri", "uri",
     'is no absolute URI; give one such as "https://example.com/ext/v1"'),
    ("capabilities.extensions.0.params", [1], "$.capabilities.extensions[0].params", "type",
     "is a list; give an object, whose members the extension defines"),
    ("provider.url", ..., "$.provider.url", "required",
     'is missing; give the provider\'s web site, such as "https://example.com"'),
    ("provider.link", "x", "$.provider.link", "unknown",
     "is no member here; there are organization, url"),
    ("defaultInputModes", [], "$.defaultInputModes", "required",
     'is empty; give a list of media types, such as ["text/plain"]'),
    ("defaultInputModes", "text/plain", "$.defaultInputModes", "type",
     'is a text; give a list of media types, such as ["text/plain"]'),
    ("defaultOutputModes.0", "json please", "$.defaultOutputModes[0]", "media-type",
     "is 'json please'; give a media type such as \"text/plain\""),
    ("defaultOutputModes.0", 7, "$.defaultOutputModes[0]", "type",
     "is the number 7; give a text"),
    ("skills", [], "$.skills", "required",
     "is empty; give a list of objects with id, name, description and tags"),
    ("skills.0.id", ..., "$.skills[0].id", "required",
     'is missing; give an id of its own in this card, such as "plan-route"'),
    ("skills.1.id", "route-optimizer-traffic", "$.skills[1].id", "unique",
     "is 'route-optimizer-traffic', the id of $.skills[0] too; give each skill an id of its own"),
    ("skills.0.description", "", "$.skills[0].description", "required",
     "is empty; give what the skill does, in a sentence or two"),
    ("skills.0.tags", [], "$.skills[0].tags", "required",
     'is empty; give a list of keywords, such as ["maps", "routing"]'),
    ("skills.0.tags.1", "", "$.skills[0].tags[1]", "required", "is empty; give a text"),
    ("skills.0.inputMode", [], "$.skills[0].inputMode", "unknown",
     'is no member here; did you mean "inputModes"?'),
    ("skills.0.security", [], "$.skills[0].security", "unknown",
     "is no member here; in 1.0 it is securityRequirements"),
    ("securitySchemes.key", {}, "$.securitySchemes.key", "choice",
     ("has nothing of apiKeySecurityScheme, httpAuthSecurityScheme, oauth2SecurityScheme, "
     "openIdConnectSecurityScheme, mtlsSecurityScheme; give exactly one of these")),
    ("securitySchemes.key.mtlsSecurityScheme", {}, "$.securitySchemes.key", "choice",
     ("has apiKeySecurityScheme and mtlsSecurityScheme, 2 of apiKeySecurityScheme, "
     "httpAuthSecurityScheme, oauth2SecurityScheme, openIdConnectSecurityScheme, "
     "mtlsSecurityScheme; give exactly one of these")),
    ("securitySchemes.key.apiKeySecurityScheme.location", "body",
     "$.securitySchemes.key.apiKeySecurityScheme.location", "security-scheme",
     "is 'body'; give \"header\", \"query\" or \"cookie\""),
    ("securitySchemes.devices.oauth2SecurityScheme.flows.deviceCode.scopes", {},
     "$.securitySchemes.devices.oauth2SecurityScheme.flows.deviceCode.scopes", "required",
     'is empty; give an object of scopes and what each allows, such as {"read": "look things up"}'),
    ("securitySchemes.machines.oauth2SecurityScheme.flows.password", FLOW,
     "$.securitySchemes.machines.oauth2SecurityScheme.flows", "choice",
     ("has clientCredentials and password, 2 of authorizationCode, clientCredentials, implicit, "
     "password, deviceCode; give exactly one of these")),
    ("securityRequirements.2.schemes", {"baerer": {}}, "$.securityRequirements[2].schemes.baerer",
     "security-scheme",
     ("names no scheme of securitySchemes; there are bearer, devices, google, key, machines; did "
     'you mean "bearer"?')),
    ("skills.0.securityRequirements.0.schemes.machines.list", ["rule"],
     "$.skills[0].securityRequirements[0].schemes.machines", "security-scheme",
     "asks for the scope 'rule', which no flow of that scheme offers"),
    ("description", "Route\u202eplanner", "$.description", "characters",
     ("holds characters that are not seen, or turn the direction of what is: it can read otherwise "
     "than it is written")),
    ("description", "a\x1b[2J", "$.description", "characters",
     "holds control characters, which no reader should be shown"),
    ("skills.0.examples.0", "use sk-" + "a" * 24, "$.skills[0].examples[0]", "secret",
     "holds what looks like an API key; take it out and revoke it"),
    ("signatures", [{"protected": "e30"}], "$.signatures[0].signature", "required",
     "is missing; give the JWS signature in base64url"),
    ("preferredTransport", "JSONRPC", "$.preferredTransport", "beside",
     ("is none of supportedInterfaces; a signature does not cover it, so it has to say the same as "
     "one of them")),
]  # fmt: skip

MUTATED_0_3 = [
    ("url", ..., "$.url", "required",
     'is missing; give the address of the agent, such as "https://agents.example.com/a2a"'),
    ("protocolVersion", "0.2.5", "$.protocolVersion", "version",
     ("is '0.2.5'; a card with a protocolVersion of its own is of 0.3, such as \"0.3.0\"; one of "
     "1.0 gives it in supportedInterfaces[]")),
    ("preferredTransport", "HTTP", "$.preferredTransport", "transport",
     ("is 'HTTP'; give one of \"GRPC\", \"HTTP+JSON\", \"JSONRPC\", or the URI of another; did you "
     'mean "HTTP+JSON"?')),
    ("additionalInterfaces.0.protocolBinding", "GRPC",
     "$.additionalInterfaces[0].protocolBinding", "unknown",
     "is no member here; in 0.3 it is transport"),
    ("securitySchemes.key.type", ..., "$.securitySchemes.key.type", "security-scheme",
     'is missing; give one of "apiKey", "http", "mutualTLS", "oauth2", "openIdConnect"'),
    ("securitySchemes.key.type", "apikey", "$.securitySchemes.key.type", "security-scheme",
     ("is 'apikey'; give one of \"apiKey\", \"http\", \"mutualTLS\", \"oauth2\", "
     '"openIdConnect"; did you mean "apiKey"?')),
    ("securitySchemes.key.location", "header", "$.securitySchemes.key.location", "unknown",
     "is no member here; in 0.3 it is in"),
    ("security.0", {"gogle": []}, "$.security[0].gogle", "security-scheme",
     ("names no scheme of securitySchemes; there are bearer, google, key, machines, mtls; did you "
     'mean "google"?')),
    ("security.0.google", "openid", "$.security[0].google", "type",
     "is a text; give a list of texts"),
    ("capabilities.extensions.0.uri", ..., "$.capabilities.extensions[0].uri", "required",
     "is missing; give the URI that names the extension"),
    ("securityRequirements", [], "$.securityRequirements", "unknown",
     "is no member here; in 0.3 it is security"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("base", "path", "value", "at", "rule", "message"),
    [(FULL_1_0, *row) for row in MUTATED] + [(FULL_0_3, *row) for row in MUTATED_0_3],
)
def test_one_change_gives_one_exact_error(base, path, value, at, rule, message):
    read = read_card(text_of(changed(base, path, value)))
    assert [(p.path, p.rule, p.message) for p in read.errors] == [(at, rule, message)]
    assert not read.valid


def test_the_table_has_fifty_mutated_cards():
    assert len(MUTATED) + len(MUTATED_0_3) >= 50


def test_all_errors_come_at_once():
    card = changed(FULL_1_0, "name")
    card = changed(card, "skills.0.id")
    card = changed(card, "supportedInterfaces.0.url", "ftp://x")
    card = changed(card, "skilz", 1)
    assert {problem.path for problem in read_card(card).errors} == {
        "$.name", "$.skilz", "$.skills[0].id", "$.supportedInterfaces[0].url",
    }  # fmt: skip


WARNED = [
    (small(documentationUrl=None), "$.documentationUrl", "null"),
    (small(iconUrl="http://example.com/i.png"), "$.iconUrl", "https"),
    (changed(small(), "supportedInterfaces.0.url", "http://127.0.0.1:9/"),
     "$.supportedInterfaces[0].url", "https"),
    (changed(small(), "supportedInterfaces.0.url", "https://10.1.2.3/"),
     "$.supportedInterfaces[0].url", "url-local"),
    (changed(small(), "supportedInterfaces.0.url", "https://[::ffff:10.1.2.3]/"),
     "$.supportedInterfaces[0].url", "url-local"),
    (changed(small(), "defaultInputModes.0", "text"), "$.defaultInputModes[0]", "media-type"),
    (changed(small(), "skills.0.id", "a b"), "$.skills[0].id", "id"),
    (changed(small(), "skills.0.tags.1", "law"), "$.skills[0].tags", "unique"),
    (changed(small(), "supportedInterfaces.1", small()["supportedInterfaces"][0]),
     "$.supportedInterfaces[1]", "interfaces"),
    (changed(small(), "supportedInterfaces.0.protocolBinding", "https://example.com/bus"),
     "$.supportedInterfaces[0].protocolBinding", "transport"),
    (changed(small(), "supportedInterfaces.0.protocolVersion", "2.0"),
     "$.supportedInterfaces[0].protocolVersion", "version"),
    (changed(small(), "securityRequirements", []), "$.securitySchemes.bearer", "security"),
    (small(securitySchemes={}, securityRequirements=[]), "$", "security"),
    (changed(small(), "securityRequirements.1", {}), "$.securityRequirements[1]", "security"),
    (changed(FULL_0_3, "security.4", {}), "$.security[4]", "security"),
    (changed(small(), "securitySchemes.bearer.httpAuthSecurityScheme.scheme", "basic"),
     "$.securitySchemes.bearer.httpAuthSecurityScheme.scheme", "security-scheme"),
    (changed(FULL_0_3, "securitySchemes.key.in", "query"), "$.securitySchemes.key.in",
     "security-scheme"),
    (changed(FULL_0_3, "securitySchemes.machines.flows.password", FLOW),
     "$.securitySchemes.machines.flows.password", "security-scheme"),
    (small(capabilities={"extendedAgentCard": True}, securitySchemes={}, securityRequirements=[]),
     "$.capabilities.extendedAgentCard", "security"),
    (changed(small(), "supportedInterfaces.0.url", "https://judge.example.com/#x"),
     "$.supportedInterfaces[0].url", "url"),
    (small(capabilities={"extensions": [{"uri": "urn:a:b"}, {"uri": "urn:a:b"}]}),
     "$.capabilities.extensions[1].uri", "unique"),
    (changed(FULL_0_3, "additionalInterfaces.0"), "$.additionalInterfaces", "interfaces"),
    (changed(FULL_0_3, "skills", []), "$.skills", "required"),
]  # fmt: skip


@pytest.mark.parametrize(("card", "at", "rule"), WARNED)
def test_doubts_leave_a_card_valid(card, at, rule):
    read = read_card(card)
    assert (at, rule) in [(problem.path, problem.rule) for problem in read.warnings]
    assert read.valid


@pytest.mark.parametrize(
    ("text", "at", "rule", "said"),
    [
        ("", "$", "json", "line 1, column 1"),
        ("{", "$", "json", "line 1, column 2"),
        ("[1, 2", "$", "json", "is not JSON"),
        ("[]", "$", "type", "is a list; an agent card is a JSON object"),
        ("5", "$", "type", "is no object; an agent card is a JSON object"),
        ('{"a": NaN}', "$", "json", "NaN is not JSON"),
        ('{"a": 1e999}', "$.a", "json", "inf is not a JSON number"),
        ('{"a": 9007199254740993}', "$.a", "json", "an integer beyond"),
        ('{"a": ' + "9" * 5000 + "}", "$", "json", "is not JSON that can be read"),
        ('{"a": "\\ud800"}', "$.a", "json", "a lone surrogate"),
        (b'{"a": "\xff"}', "$", "json", "is no UTF-8 text at byte 7"),
        ("[" * 100_000 + "]" * 100_000, "$", "size", "nested deeper than 32"),
        ('{"a": ' + "[" * 32 + "]" * 32 + "}", "$", "size", "nested deeper than 32"),
        (" " * (bounds.MAX_CARD_BYTES + 1), "$", "size", "is larger than 1048576 bytes"),
        ('{"name": "a", "name": "b"}', "$.name", "duplicate-key", "stands twice in its object"),
        ('{"skills": [{"id": "a", "id": "a"}]}', "$.skills[0].id", "duplicate-key", "stands twice"),
        ('{"a": 1, "\\u0061": 2}', "$.a", "duplicate-key", "stands twice"),
    ],
)
def test_what_is_no_card_at_all_is_told_so(text, at, rule, said):
    read = read_card(text)
    first = read.errors[0]
    assert (first.path, first.rule) == (at, rule)
    assert said in first.message
    assert (read.content, read.version, read.valid) == (None, None, False)


def test_depth_is_bounded_at_its_bound():
    deep = {"x": 1}
    for _ in range(bounds.MAX_CARD_DEPTH - 5):
        deep = {"x": deep}
    params = [{"uri": "urn:x:y", "params": deep}]
    card = small(capabilities={"extensions": params})
    assert read_card(text_of(card)).valid
    card = small(capabilities={"extensions": [{"uri": "urn:x:y", "params": {"x": deep}}]})
    assert [problem.rule for problem in read_card(text_of(card)).errors] == ["size"]
    assert [problem.rule for problem in read_card(card).errors] == ["size"]


@pytest.mark.parametrize(
    ("name", "most", "item"),
    [
        ("skills", bounds.MAX_SKILLS, lambda n: {**SKILL, "id": f"s{n}"}),
        ("supportedInterfaces", bounds.MAX_INTERFACES,
         lambda n: {**small()["supportedInterfaces"][0], "tenant": f"t{n}"}),
        ("signatures", bounds.MAX_SIGNATURES, lambda n: {"protected": "a", "signature": "b"}),
        ("defaultInputModes", bounds.MAX_MEMBERS, lambda n: f"text/x{n}"),
    ],
)  # fmt: skip
def test_lists_are_bounded_at_their_bounds(name, most, item):
    assert read_card(small(**{name: [item(n) for n in range(most)]})).valid
    over = read_card(small(**{name: [item(n) for n in range(most + 1)]}))
    assert [(p.path, p.rule) for p in over.errors] == [(f"$.{name}", "size")]
    assert over.errors[0].message == f"has {most + 1} items; at most {most} are read"


def test_too_many_problems_are_counted():
    modes = [f"bad {n}" for n in range(200)]
    read = read_card(small(defaultInputModes=modes, defaultOutputModes=modes))
    assert len(read.problems) == bounds.MAX_PROBLEMS
    assert read.left_out == 200
    assert not read.valid


@pytest.mark.parametrize(
    ("card", "version", "because"),
    [
        ({"supportedInterfaces": []}, "1.0", "it has supportedInterfaces"),
        ({"supportedInterfaces": [], "url": ""}, "1.0+0.3",
         "it has supportedInterfaces, and url of 0.3 beside"),
        ({"protocolVersion": "0.3.0"}, "0.3", "its protocolVersion is '0.3.0'"),
        ({"url": "x"}, "0.3", "it has url, and no supportedInterfaces"),
        ({"protocolVersion": "1.0", "url": "x"}, "1.0", "it has protocolVersion '1.0'"),
        ({}, "1.0", "it has neither supportedInterfaces nor url"),
    ],
)  # fmt: skip
def test_the_version_is_told_and_why(card, version, because):
    assert detect(card)[:2] == (version, because)


def test_places_in_the_text_are_right():
    text = text_of(changed(FULL_1_0, "skills.1.id", 7))
    read = read_card(text)
    (problem,) = read.errors
    region = read.located.region(path_of(problem.path))
    line = text.splitlines()[region.line - 1]
    assert line[region.column - 1 : region.end_column - 1] == "7"
    assert text.splitlines()[region.line].strip() == '"name": "Map maker",'


@pytest.mark.parametrize("path", [("a", 0, "b"), ("odd key", "it's", 3), ("a.b", "[0]"), ()])
def test_paths_are_read_back(path):
    assert path_of(where(path)) == path


def test_a_byte_order_mark_is_passed_over():
    assert read_card(b"\xef\xbb\xbf" + json.dumps(small()).encode()).valid


@pytest.mark.parametrize("given", [None, 5, ["x"]])
def test_other_things_than_cards_are_the_callers_mistake(given):
    with pytest.raises(UsageTypeError, match="give its JSON text, or the object"):
        read_card(given)


def test_objects_that_are_no_json_are_told_so():
    assert read_card({"name": b"x"}).errors[0].path == "$.name"
    assert read_card({1: 2}).errors[0].rule == "json"
