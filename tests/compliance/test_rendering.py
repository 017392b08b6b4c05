"""Reports on a terminal and as Markdown: all of it told, in words and signs, and nothing more."""

import html
import re
from importlib.util import find_spec

import pytest
from evidence_tools import SYSTEM, TODAY, core_items, evidence, item
from report_tools import NASTY, made, reported, several_states
from rich.cells import cell_len

from quorate.compliance import DISCLAIMER, EvidenceSet, System, evaluate
from quorate.compliance.coverage import Coverage, Lacking
from quorate.compliance.rendering import render_html, render_markdown, render_terminal
from quorate.compliance.rendering.markdown import plain
from quorate.compliance.rendering.terminal import LEAST_WIDTH, MOST_WIDTH
from quorate.compliance.rendering.words import (
    STATES,
    article,
    percent,
    reference,
    references,
    spans,
)
from quorate.compliance.rules import WORST_FIRST
from quorate.core.errors import UsageError


@pytest.fixture(scope="module")
def report():
    return reported(several_states()[0])


def flat(text):
    return " ".join(text.split())


def section(text, check):
    """The lines about one check, in its article."""
    body = text[text.index("\nArticle 9 ") :]
    start = body.index(f" {check} ")
    after = re.search(
        r"^ +\S+ [a-z ]+ {2,}EUAIACT|^\S", body[start:].partition("\n")[2], re.MULTILINE
    )
    return flat(body[start:][: after.end() + body[start:].index("\n") if after else None])


def test_every_state_has_a_word_and_a_sign_of_its_own():
    assert list(STATES) == [*WORST_FIRST, "not_applicable"]
    for part in ("word", "sign", "plain", "meaning"):
        assert len({getattr(state, part) for state in STATES.values()}) == len(STATES)
    assert all(state.plain.isascii() for state in STATES.values())


def test_the_terminal_tells_each_check_with_its_state(report):
    text = render_terminal(report)
    for result in report.results:
        state = STATES[result.state]
        assert re.search(
            rf"^ +{re.escape(state.sign)} {state.word} +{result.id} ", text, re.MULTILINE
        ), result.id
        told = section(text, result.id)
        for reason in result.reasons:
            if NASTY not in reason:
                assert flat(reason) in flat(text)
        assert f"{result.severity} {result.weight}" in told


def test_what_matters_stands_first_and_last(report):
    text = render_terminal(report)
    score = f"{report.weight_shown}/{report.weight_total} by weight"
    words = (
        'Evidence for the EU AI Act: "triage", version "2.1.0"', TODAY,
        "Regulation (EU) 2026/1744", score,
        "Blocking: ", "Article 9 ", "Article 15 ", "A person has to judge", "Not declared",
    )  # fmt: skip
    where = [text.index(each) for each in words]
    assert where == sorted(where)
    assert flat(text).endswith(DISCLAIMER)
    blocking = text[text.index("Blocking: ") : text.index("Article 9 ")]
    assert all(each in blocking for each in report.blocking)
    # The worst first: failed before not sealed before stale.
    assert re.findall(r"EUAIACT-\S+", blocking) == [
        "EUAIACT-ART14-002", "EUAIACT-ART14-001", "EUAIACT-ART10-002", "EUAIACT-ART13-001",
    ]  # fmt: skip


def test_receipts_days_and_the_rest_are_told(report):
    text = flat(render_terminal(report))
    assert "sealed in entry 5; made from 0-2" in text
    assert "evidence in entries 12, 15" in text
    assert "applies: Annex III from 2027-12-02 (not yet applicable)" in text
    assert "Annex I from" not in text
    for each in (*report.to_judge, *report.undeclared):
        assert each in text
    before = evaluate(EvidenceSet(SYSTEM), "core", "2028-01-01")
    assert "Annex III from 2027-12-02 (applicable)" in flat(render_terminal(before))


def test_days_of_both_categories_are_told_where_none_is_declared():
    report = evaluate({}, "core", TODAY, system=System(name="triage", version="2.1.0"))
    text = flat(render_terminal(report))
    assert "category not declared" in text
    assert "Annex III from 2027-12-02 (not yet applicable); Annex I from 2028-08-02" in text
    assert "no system declared" in render_terminal(evaluate({}, "core", TODAY))


@pytest.mark.parametrize("width", [LEAST_WIDTH, 500])
@pytest.mark.parametrize("profile", ["core", "full", "experts"])
def test_no_line_is_wider_than_asked(width, profile):
    text = render_terminal(reported(several_states()[0], profile), width=width)
    assert max(cell_len(line) for line in text.splitlines()) <= min(width, MOST_WIDTH)
    assert not any(line != line.rstrip() for line in text.splitlines())


def test_a_width_too_small_is_refused(report):
    with pytest.raises(UsageError, match=f"{LEAST_WIDTH} columns"):
        render_terminal(report, width=LEAST_WIDTH - 1)


def test_colour_adds_nothing_but_colour(report):
    coloured = render_terminal(report, colour=True)
    assert "\x1b[" in coloured
    bare = re.sub(r"\x1b\[[0-9;]*m", "", coloured)
    assert [line.rstrip() for line in bare.splitlines()] == render_terminal(report).splitlines()


def test_without_unicode_all_signs_are_ascii():
    told = several_states()[0]
    kept = EvidenceSet(
        told.system, tuple(i for i in told.items if i.source != NASTY), told.receipts
    )
    text = render_terminal(reported(kept), plain=True)
    assert text.isascii()


def test_foreign_text_cannot_write_on_the_screen(report):
    for text in (render_terminal(report), render_markdown(report)):
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert "\\x1b" in text
        assert all(line.isprintable() for line in text.splitlines())


def test_nor_can_the_name_of_a_system_or_what_is_noticed():
    system = System(name="tri\x1b[31mage", version="2\u202e.1")
    report = evaluate({}, "core", TODAY, system=system)
    for text in (
        render_terminal(report, notices=["no\x9bte"]),
        render_markdown(report, notices=["no\x9bte"]),
    ):
        assert all(line.isprintable() for line in text.splitlines())
        assert "x9b" in text
        assert "u202e" in text


def test_a_full_bar_means_all_of_it():
    whole = reported(evidence(*core_items()))
    assert whole.score == "1"
    assert "[████████████████████] 67/67 by weight, 100.0 %" in render_terminal(whole)
    assert "Blocking: nothing" in render_terminal(whole)
    rest = [each for each in core_items() if each.field != "automationBiasMitigation"]
    almost = reported(evidence(*rest))
    assert (almost.weight_shown, almost.weight_total) == (66, 67)
    assert "[████████████████████] 6" not in render_terminal(almost).split("Blocking")[0]
    assert percent(1999, 2000) == "99.9 %"
    assert percent(0, 0) == "none applies"


def test_what_does_not_apply_says_why():
    system = SYSTEM.model_copy(update={"role": "deployer"})
    report = evaluate(EvidenceSet(system), "core", TODAY)
    assert report.score is None
    text = flat(render_terminal(report))
    assert "none applies; 0 of 0 checks" in text
    assert "the role declared is deployer" in text
    assert "nothing of it applies to this system" in text
    assert "| none applies" not in render_markdown(report)


def test_notices_come_first(report):
    notice = "the ledger does not verify: entry 3 [chain]"
    assert render_terminal(report, notices=[notice]).startswith("!! the ledger does not verify")
    markdown = render_markdown(report, notices=[notice]).splitlines()
    assert markdown[2] == r"> **the ledger does not verify: entry 3 \[chain\]**"


def test_markdown_holds_every_check_once_as_a_row(report):
    text = render_markdown(report)
    rows = re.findall(r"^\| (\S) ([a-z ]+) \| \*\*(EUAIACT\\?-\S+)\*\* ", text, re.MULTILINE)
    assert [(STATES[r.state].sign, STATES[r.state].word, r.id) for r in report.results] == [
        (sign, word, id_.replace("\\", "")) for sign, word, id_ in rows
    ]
    table = [line for line in text.splitlines() if line.startswith("|") and "EUAIACT" in line]
    columns = {len(re.findall(r"(?<!\\)\|", line)) for line in table}
    assert columns == {6}
    assert text.count(plain(DISCLAIMER)) == 2


def test_markdown_makes_nothing_of_foreign_markup(report):
    text = render_markdown(report)
    assert not re.search(r"(?<!\\)<script", text)
    assert "](http://evil.example)" not in text
    assert r"\<script\>" in text
    assert plain("1. one\n- two") == r"1\. one\\n- two"
    assert plain("# head") == r"\# head"
    assert plain("- item") == r"\- item"


def test_bundles_are_linked_only_where_they_are(report):
    links = {5: "bundles/000005.json", 0: "bundles/000000.json"}
    text = render_markdown(report, bundles=links)
    assert "[5](bundles/000005.json)" in text
    assert "[0](bundles/000000.json), 1, 2" in text
    assert "](bundles" not in render_markdown(report)


@pytest.mark.parametrize(
    ("id_", "told"),
    [
        ("art_12.par_2.b", "Article 12(2)(b)"),
        ("art_13.par_3.b.ii", "Article 13(3)(b)(ii)"),
        ("art_4a.par_1.f", "Article 4a(1)(f)"),
        ("annex_iv.point_2.g", "Annex IV(2)(g)"),
        ("art_15.par_4.s2", "Article 15(4) sentence 2"),
        ("MY-CHECK", "MY-CHECK"),
        ("a\x1bb", "a\\x1bb"),
    ],
)
def test_references_to_the_law(id_, told):
    assert reference(id_) == told


def test_lists_in_short():
    assert references(["art_9.par_1", "art_9.par_2", "art_10.par_1"]) == (
        "Article 9(1), (2), Article 10(1)"
    )
    assert (
        references([f"art_9.par_{n}" for n in range(1, 11)], most=2)
        == "Article 9(1), (2) and 8 more"
    )
    assert spans([9, 5, 6, 7, 3, 3, 12, 13]) == "3, 5-7, 9, 12, 13"
    assert spans([]) == ""
    assert [article(name) for name in ("9", "4a", "Annex IV", "security")] == [
        "Article 9", "Article 4a", "Annex IV", "security",
    ]  # fmt: skip


def test_conditions_declared_false_stand_in_every_form():
    conditions = {"trains_models": False, "product_law": False}
    members = {"name": "triage", "version": "2.1.0", "conditions": conditions}
    report = evaluate({}, "core", TODAY, system=System.read(members))
    for text in (flat(render_terminal(report)), render_markdown(report)):
        assert "declared not to hold: " in text
        told = text.partition("declared not to hold: ")[2]
        assert "product" in told.partition("Day")[0]
        assert "trains" in told.partition("Day")[0]
    assert report.to_dict()["system"]["conditions"] == conditions
    bare = evaluate({}, "core", TODAY, system=System(name="triage", version="2.1.0"))
    assert "no condition is declared not to hold" in flat(render_terminal(bare))


@pytest.mark.parametrize("profile", ["core", "full"])
def test_a_drill_by_a_script_says_so_where_it_is_shown(profile):
    def texts(source):
        drills = [
            item(f"art_14.par_4.{part}", source=f"quorate.collect.{source}_{kind}_drill")
            for part, kind in (("d", "override"), ("e", "halt"))
        ]
        report = reported(made(drills)[0], profile)
        assert any("14" in each.article and each.state == "shown" for each in report.results)
        return flat(render_terminal(report)), render_markdown(report)

    for scripted, own in zip(texts("scripted"), texts("own"), strict=True):
        assert "scripted experts" in scripted
        assert "scripted experts" not in own


# -- what blocks, where nothing could, and what the ledger lacks


def forms(report, **more):
    """The report in every form that is at hand, as one line each."""
    yield flat(render_terminal(report, **more))
    yield flat(re.sub(r"\\", "", render_markdown(report, **more)))
    if find_spec("jinja2"):
        yield flat(html.unescape(re.sub("<[^>]+>", " ", render_html(report, **more))))


def test_a_profile_without_blockers_is_not_said_to_have_them_shown():
    for text in forms(reported(EvidenceSet(SYSTEM), "experts")):
        assert "no check of this profile is a blocker" in text
        assert "every blocker" not in text
    for text in forms(reported(evidence(*core_items()))):
        assert "every blocker that applies is shown" in text
        assert "no check of this profile" not in text


def test_what_a_collector_lacks_is_the_next_step_of_its_checks():
    why = "nobody declared how long a silence is normal; declare it: --silence SECONDS"
    found = (
        Lacking("gapless_logging", ("art_12.par_1",), why),
        Lacking("scripted_halt_drill", ("art_14.par_4.e",), "a script's"),
    )
    coverage = Coverage("log", 3, lacking=found)
    bare = reported(EvidenceSet(SYSTEM), "full")
    for text in forms(bare, coverage=coverage):
        assert text.lower().count(f"next: art_12.par_1: {why}".lower()) == 2
        assert "next: art_14.par_4.e: a script's" not in text.lower()
    for text in forms(reported(evidence(item("art_12.par_1")), "full"), coverage=coverage):
        assert f"next: art_12.par_1: {why}".lower() not in text.lower()
