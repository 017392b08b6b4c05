"""The form of a SARIF 2.1.0 log, as far as we write one: which members there are, and of what kind.

In our own words after the standard (OASIS, SARIF 2.1.0 with errata 01): objects are closed, as
in its schema, except for the bags named ``properties``. Members that we never write are left
out, so one that is new here has to be looked up there first.
"""

import re

URI = re.compile(r"(?:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*")
KINDS = {"text": str, "number": int, "bag": dict}

# Object -> member -> (kind, whether it is required). A kind is one of KINDS, an object here,
# a set of the values allowed, "uri", "from 1", "from -1", or [kind] for a list of them.
FORM = {
    "log": {"$schema": ("uri", False), "version": ({"2.1.0"}, True), "runs": (["run"], True)},
    "run": {
        "tool": ("tool", True),
        "results": (["result"], False),
        "columnKind": ({"utf16CodeUnits", "unicodeCodePoints"}, False),
        "properties": ("bag", False),
    },
    "tool": {"driver": ("component", True)},
    "component": {
        "name": ("text", True),
        "version": ("text", False),
        "rules": (["descriptor"], False),
    },
    "descriptor": {"id": ("text", True), "shortDescription": ("words", False)},
    "words": {"text": ("text", True)},
    "message": {"text": ("text", True), "id": ("text", False)},
    "result": {
        "ruleId": ("text", False),
        "ruleIndex": ("from -1", False),
        "level": ({"none", "note", "warning", "error"}, False),
        "message": ("message", True),
        "locations": (["location"], False),
    },
    "location": {
        "physicalLocation": ("physical", False),
        "logicalLocations": (["logical"], False),
    },
    # One of it and an address is required; we give no address.
    "physical": {"artifactLocation": ("artifact", True), "region": ("region", False)},
    "artifact": {"uri": ("uri", False)},
    "region": dict.fromkeys(
        ("startLine", "startColumn", "endLine", "endColumn"), ("from 1", False)
    ),
    "logical": {"fullyQualifiedName": ("text", False)},
}


def misfits(log):
    """What of a log has not the form."""
    found = list(_object(log, "log", "$"))
    for number, run in enumerate([] if found else log["runs"]):
        found += _references(run, f"$.runs[{number}]")
    return found


def _object(value, name, at):
    if not isinstance(value, dict):
        yield f"{at} is no object"
        return
    members = FORM[name]
    yield from (f"{at}.{one} is no member of a {name}" for one in value if one not in members)
    for member, (kind, required) in members.items():
        if member in value:
            yield from _value(value[member], kind, f"{at}.{member}")
        elif required:
            yield f"{at}.{member} is missing"


def _value(value, kind, at):
    if isinstance(kind, list):
        if not isinstance(value, list):
            yield f"{at} is no list"
            return
        for number, one in enumerate(value):
            yield from _value(one, kind[0], f"{at}[{number}]")
    elif isinstance(kind, str) and kind in FORM:
        yield from _object(value, kind, at)
    elif not _fits(value, kind):
        yield f"{at} is {value!r}"


def _fits(value, kind):
    if isinstance(kind, set):
        return value in kind
    if kind == "uri":
        return isinstance(value, str) and URI.fullmatch(value) is not None
    if kind.startswith("from "):
        return type(value) is int and value >= int(kind.removeprefix("from "))
    return type(value) is KINDS[kind]


def _references(run, at):
    """Each result names its rule twice, alike; rules have one id each."""
    ids = [rule["id"] for rule in run["tool"]["driver"].get("rules", [])]
    if len(set(ids)) != len(ids):
        yield f"{at}: a rule stands twice"
    for number, one in enumerate(run.get("results", [])):
        index = one.get("ruleIndex", -1)
        if index >= len(ids) or (index >= 0 and ids[index] != one.get("ruleId")):
            yield f"{at}.results[{number}].ruleIndex is of another rule"
