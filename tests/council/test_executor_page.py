"""What the page about the council says of executors and hooks is what there is."""

import json
import re
from pathlib import Path

from council_executions import approved, ran

from quorate.cli.council import tables
from quorate.council.executors import order
from quorate.council.notify import EVENTS, FORM, NOTICE_KIND, Notifier

TEXT = (Path(__file__).parents[2] / "docs" / "council.md").read_text("utf-8")


def shown(form):
    blocks = re.findall(r"^```json\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
    (found,) = [block for block in map(json.loads, blocks) if block["form"] == form]
    return found


def section(name, end):
    begin = TEXT.index(name)
    return TEXT[begin : TEXT.index(f"\n{end}", begin)]


def rows(text):
    return [line.split("|")[1:-1] for line in text.splitlines() if line.startswith("| ")]


def test_the_order_of_the_page_has_the_members_of_an_order(ledger):
    seen = []
    ran(approved(ledger), lambda given: seen.append(given.to_dict()))
    example = shown(order.ORDER)
    assert list(example) == list(seen[0])
    assert {type(value) for value in example.values()} == {str, bool, dict, int}


def test_the_notice_of_the_page_has_the_members_of_a_notice(ledger):
    class Ear:
        name, events, heard = "ear", frozenset(EVENTS), []

        def deliver(self, message, id_):
            self.heard.append(json.loads(message))

    c = approved(ledger)
    c.execute("p1")
    c.propose("a", "restrict", "x")
    Notifier(c, [Ear()]).deliver(0)
    by_event = {notice["event"]: notice for notice in Ear.heard}
    example = shown(FORM)
    assert set(example) == set(by_event["decided"])
    common = set(example) - {"decision", "by"}
    assert set(by_event["proposed"]) == common | {"expires_at"}
    assert set(by_event["executed"]) == common | {"outcome", "by_hand"}
    told = section(
        "**Every notice comes at least once.** What became of it is sealed as", "## Comm"
    )
    sealed = next(iter(ledger.find(kind=NOTICE_KIND))).payload
    assert set(sealed) <= set(re.findall(r"`([a-z]+)`", told)), sealed


def test_the_tables_name_every_kind_and_key():
    kinds = rows(section("`[executors.ACTION]` is of one of four kinds", "**Secrets**"))
    named = {row[0].strip(" `"): set(re.findall(r"`([a-z_]+)`", row[1])) for row in kinds[1:]}
    own = set(tables.ExecutorTable.model_fields) | {"kind"}
    assert named == {
        kind: set(table.model_fields) - own for kind, table in tables.KINDS["executors"].items()
    }
    hooks = section("A `[[hooks]]` table has", "| `on`")
    known = set().union(*(table.model_fields for table in tables.KINDS["hooks"].values()))
    likewise = set().union(*(named[kind] for kind in tables.KINDS["hooks"]))
    assert known <= set(re.findall(r"`([a-z_]+)`", hooks)) | likewise
    told = rows(section("| `on` | is told of", '```json\n{\n  "form": "quorate/notice'))
    assert [row[0].strip(" `") for row in told[1:]] == list(EVENTS)


def test_the_defaults_of_the_page_are_those_of_the_tables():
    assert f"`timeout` in seconds ({tables.ExecutorTable.model_fields['timeout'].default})" in TEXT
    assert f"`timeout` ({tables.HookTable.model_fields['timeout'].default})" in TEXT


def test_the_outcomes_of_the_page_are_those_there_are():
    head, *outcomes = rows(section("| | executed | failed", "Where it cannot begin"))
    assert [cell.split(":")[0].strip() for cell in head[1:]] == [str(one) for one in order.OUTCOMES]
    assert {row[0].strip(" `") for row in outcomes[1:-2]} - {"all kinds"} == set(
        tables.KINDS["executors"]
    )
