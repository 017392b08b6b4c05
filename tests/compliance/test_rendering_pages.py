"""Reports as pages: self-contained, closed to foreign markup, the same numbers as the report."""

import json
import re
import sys

import pytest
from evidence_tools import POLICY, SYSTEM, TODAY
from page_tools import Page, check
from report_tools import NASTY, reported, several_states

from quorate.compliance import DISCLAIMER, EvidenceSet, System, evaluate
from quorate.compliance.profiles import read_profile
from quorate.compliance.rendering import html as pages
from quorate.compliance.rendering import render_html, render_markdown
from quorate.compliance.rendering.charts import severity_chart
from quorate.compliance.rendering.view import view
from quorate.compliance.rendering.words import STATES
from quorate.core.errors import OperationalError

pytest.importorskip("jinja2", reason="needs quorate[reports]")


@pytest.fixture(scope="module")
def report():
    return reported(several_states()[0])


def contrast(one, other):
    """WCAG 2 contrast of two colours, #rrggbb."""

    def light(colour):
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((light(one), light(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("profile", ["core", "full", "experts"])
def test_a_page_is_self_contained_and_accessible(profile):
    page = check(render_html(reported(several_states()[0], profile)))
    assert page.words.count(DISCLAIMER) == 2


def test_foreign_text_makes_no_markup(report):
    text = render_html(report, notices=[NASTY])
    page = check(text)
    assert "<script>alert(1)</script>" in page.words
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "\\x1b[31m\\u202e" in page.words


def test_a_name_cannot_break_out_of_an_attribute():
    system = System(name='"><script>alert(1)</script>', version="' onload='x")
    check(render_html(evaluate({}, "core", TODAY, system=system)))


def test_names_of_ones_own_profile_make_no_markup_and_no_two_anchors():
    nasty = NASTY.replace("\x1b", "")
    checks = "".join(
        f"[[checks]]\nid = {json.dumps(f'C{n} {nasty}')}\ntitle = {json.dumps(nasty)}\n"
        f"article = {json.dumps(article)}\nseverity = 'major'\nadvice = {json.dumps(nasty)}\n"
        f"{what}\n"
        for n, (article, what) in enumerate(
            (
                ("a b", "field = 'eventLogging'"),
                ("a-b", "field = 'riskAssessment'"),
                (nasty, f"field = {json.dumps(nasty)}\nschema = 'contact'"),
                ("12", "field = 'eventLogging'\nobligations = ['art_12.par_1']"),
            )
        )
    )
    head = f"format = 'quorate/profile/1'\nname = {json.dumps(nasty)}\ntitle = 't'\n"
    profile = read_profile(f"{head}[groups]\n'a b' = {json.dumps(nasty)}\n{checks}", "own.toml")
    report = evaluate(several_states()[0], profile, TODAY, policy=POLICY)
    check(render_html(report))
    text = render_markdown(report)
    assert all(line.isprintable() for line in text.splitlines())
    assert not re.search(r"(?<!\\)<script", text)


def test_each_check_is_told_with_word_and_sign(report):
    text = render_html(report)
    for result in report.results:
        state = STATES[result.state]
        row = next(
            row
            for row in re.findall(r"<tr>.*?</tr>", text, re.DOTALL)
            if f'<span class="id">{result.id}</span>' in row
        )
        told = Page(row).words
        assert told.startswith(f"{state.sign} {state.word} {result.id}")
        assert f"{result.severity}, weight {result.weight}" in told
        for reason in result.reasons:
            assert reason in told or NASTY in reason
        assert result.advice in told


def test_the_map_and_the_chart_show_the_numbers_of_the_report(report):
    rows = re.findall(r'<tr><th scope="row">.*?</tr>', render_html(report), re.DOTALL)
    for row, of in zip(rows, report.articles, strict=False):
        cells = [Page(cell).words for cell in re.findall(r"<td.*?</td>", row, re.DOTALL)]
        results = [each for each in report.results if each.article == of.article]
        states = [sum(each.state == name for each in results) for name in STATES]
        assert cells == [str(number) if number else "·" for number in states]
    chart = severity_chart(view(report))
    assert [bar.name for bar in chart.bars] == ["blocker", "major", "minor"]
    for bar in chart.bars:
        results = [each for each in report.results if each.severity == bar.name]
        found = {piece.state.name: piece.number for piece in bar.pieces}
        assert found == {
            name: number
            for name in STATES
            if (number := sum(each.state == name for each in results))
        }
        ends = [piece.x + piece.width for piece in bar.pieces]
        assert [piece.x for piece in bar.pieces[1:]] == ends[:-1]
        assert max(ends) <= chart.width
        assert all(f"{n} {STATES[name].word}" in bar.told for name, n in found.items())


def test_bars_are_to_one_scale_and_what_does_not_apply_comes_last():
    report = evaluate(
        EvidenceSet(SYSTEM.model_copy(update={"conditions": {"trains_models": False}})),
        "full",
        TODAY,
    )
    bars = severity_chart(view(report)).bars
    units = {
        piece.width / piece.number for bar in bars for piece in bar.pieces if piece.number > 20
    }
    assert max(units) - min(units) < 0.1
    last = [bar.pieces[-1].state.name for bar in bars if len(bar.pieces) > 1]
    assert set(last) == {"not_applicable"}


def test_links_lead_to_the_bundles_at_hand(report):
    links = {seq: f"bundles/{seq:06d}.json" for seq in range(17)}
    page = check(render_html(report, bundles=links), links.values())
    found = {a["href"] for a in page.of("a") if not a["href"].startswith("#")}
    named = {item.receipt for each in report.results for item in each.items if item.receipt}
    named |= {ref.seq for each in report.results for item in each.items for ref in item.entries}
    assert found == {links[seq] for seq in named}
    check(render_html(report))


def test_colours_can_be_told_from_their_paper():
    style = pages.environment().get_template("style.css").render()
    for block in re.findall(r":root \{(.*?)\}", style, re.DOTALL):
        colours = dict(re.findall(r"--([a-z_-]+): (#[0-9a-f]{6});", block))
        paper = colours["paper"]
        for name in (*STATES, "ink", "soft", "link", "alarm"):
            least = 3 if name == "not_applicable" else 4.5
            assert contrast(colours[name], paper) >= least, (name, paper)
        for name in STATES:
            assert contrast(colours["on"], colours[name]) >= 3, name


def test_a_page_prints_on_a4_with_numbers():
    style = pages.environment().get_template("style.css").render()
    assert "size: A4" in style
    assert 'content: counter(page) " / " counter(pages)' in style
    assert re.search(r"@media print \{.*tr, \.item.*break-inside: avoid", style, re.DOTALL)


def test_the_same_report_makes_the_same_page(report):
    assert render_html(report) == render_html(type(report).from_dict(report.to_dict()))
    assert render_markdown(report) == render_markdown(type(report).from_dict(report.to_dict()))


def test_without_jinja_the_extra_is_named(report, monkeypatch):
    pages.environment.cache_clear()
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(OperationalError, match=r'pip install "quorate\[reports\]"'):
        render_html(report)
    assert render_markdown(report)
