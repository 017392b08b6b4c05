"""The catalogue: what it holds, at which day, and how it answers a wrong id."""

import itertools
import re

import pytest
from evidence_tools import DATA, data_for, form_of

from quorate.compliance import UnknownObligation, law, load_catalogue, load_profile, schemas

CATALOGUE = load_catalogue()
ID = re.compile(
    r"art_[0-9]+a?\.par_[0-9]+(?:\.(?:[a-z]|s[0-9]|i{1,3}|iv|vi{0,2}|simplified))*"
    r"|annex_iv\.point_[1-9](?:\.[a-h])?"
)


def letters(prefix, last):
    return {f"{prefix}.{chr(each)}" for each in range(ord("a"), ord(last) + 1)}


def test_every_leaf_of_the_law_is_there():
    now = set(CATALOGUE.at("2026-11-21"))
    romans = ("i", "ii", "iii", "iv", "v", "vi", "vii")
    wanted = (
        letters("art_4a.par_1", "f")
        | {f"art_9.par_{each}" for each in range(1, 11)}
        | letters("art_9.par_2", "d")
        | letters("art_9.par_5", "c")
        | letters("art_10.par_2", "h")
        | {f"art_10.par_{each}" for each in (1, 3, 4, 6)}
        | {f"art_11.par_{each}" for each in (1, 2, 3)}
        | {"art_11.par_1.simplified", "art_12.par_1"}
        | letters("art_12.par_2", "c")
        | letters("art_12.par_3", "d")
        | {"art_13.par_1", "art_13.par_2", "art_13.par_3.a"}
        | {f"art_13.par_3.b.{each}" for each in romans}
        | {f"art_13.par_3.{each}" for each in "cdef"}
        | {"art_14.par_1", "art_14.par_2", "art_14.par_3.a", "art_14.par_3.b", "art_14.par_5"}
        | letters("art_14.par_4", "e")
        | {f"art_15.par_{each}" for each in (1, 2, 3)}
        | {f"art_15.par_4.s{each}" for each in (1, 2, 3)}
        | {f"art_15.par_5.s{each}" for each in (1, 2, 3)}
        | letters("annex_iv.point_1", "h")
        | letters("annex_iv.point_2", "h")
        | {f"annex_iv.point_{each}" for each in range(3, 10)}
        | letters("art_17.par_1", "m")
        | {"art_17.par_2", "art_19.par_1", "art_27.par_1"}
        | letters("art_18.par_1", "e")
        | {f"art_26.par_{each}" for each in (1, 2, 4, 5, 6)}
        | {f"art_49.par_{each}" for each in range(1, 6)}
        | {f"art_72.par_{each}" for each in range(1, 5)}
        | {f"art_73.par_{each}" for each in (2, 3, 4, 6)}
    )
    assert now == wanted


@pytest.mark.parametrize("each", CATALOGUE.obligations, ids=lambda each: f"{each.id}@{each.since}")
def test_each_obligation_is_well_formed(each):
    assert ID.fullmatch(each.id)
    assert each.article in CATALOGUE.articles
    assert 20 <= len(each.text) <= 160
    assert not each.text.endswith(".")
    assert each.schema in schemas.SCHEMAS
    assert each.severity in ("blocker", "major", "minor")
    assert each.role in ("provider", "deployer", "Commission")
    assert each.schedule in law.SCHEDULES
    assert each.act in {act.id for act in law.acts()}
    assert {name.removeprefix("not ") for name in each.when} <= set(CATALOGUE.conditions)
    for need in each.needs:
        schemas.check_need(schemas.schema(each.schema), need)
    # A text begins or ends on the day of a text of the law, and names the act that did it.
    days = {text.since for text in law.texts()}
    assert each.since in days
    assert (each.since == law.texts()[0].since) == (each.act == "2024/1689")


def test_wordings_of_one_id_follow_each_other_without_gap_or_overlap():
    for id_ in CATALOGUE:
        worded = [each for each in CATALOGUE.obligations if each.id == id_]
        for before, after in itertools.pairwise(worded):
            assert (after.since - before.until).days == 1


def test_the_day_chooses_the_text():
    before, after = CATALOGUE.at("2026-07-26"), CATALOGUE.at("2026-07-27")
    assert set(before) - set(after) == letters("art_10.par_5", "f")
    assert set(after) - set(before) == letters("art_4a.par_1", "f")
    changed = {id_ for id_ in set(before) & set(after) if before[id_] != after[id_]}
    assert changed == {
        "art_10.par_1", "art_10.par_6", "art_11.par_1.simplified", "art_17.par_2", "art_72.par_3",
    }  # fmt: skip
    for untouched in ("9", "12", "13", "14", "15", "18", "19", "26", "49", "73"):
        ids = [each.id for each in before.obligations if each.article == untouched]
        assert [before[id_] for id_ in ids] == [after[id_] for id_ in ids]


def test_data_on_special_categories_bind_from_the_day_their_article_came():
    assert CATALOGUE["art_4a.par_1.a"].applies_from("annex_i", "2026-11-21").isoformat() == (
        "2026-07-27"
    )


@pytest.mark.parametrize(
    ("id_", "message"),
    [
        ("art_12.par_2.z", "no obligation 'art_12.par_2.z'; did you mean 'art_12.par_2."),
        ("art12.par1", "did you mean 'art_12.par_1'"),
        ("nonsense", "no obligation 'nonsense'$"),
        (12, "no obligation 12"),
    ],
)
def test_an_unknown_id_is_refused_with_a_hint(id_, message):
    with pytest.raises(UnknownObligation, match=message) as caught:
        CATALOGUE[id_]
    assert isinstance(caught.value, KeyError)
    assert caught.value.id == id_
    assert id_ not in CATALOGUE


def test_an_id_of_another_day_is_told_as_such():
    with pytest.raises(UnknownObligation, match="it stood in the law until 2026-07-26"):
        CATALOGUE.at("2026-11-21")["art_10.par_5.a"]
    with pytest.raises(UnknownObligation, match="it stands in the law since 2026-07-27"):
        CATALOGUE.at("2026-07-26")["art_4a.par_1.a"]


def test_every_schema_is_used_and_every_condition_but_one():
    used = {each.schema for each in CATALOGUE.obligations}
    used |= {kind.NAME for kind in schemas.FIELD_SCHEMAS.values()}
    assert used == set(schemas.SCHEMAS)
    asked = {name.removeprefix("not ") for each in CATALOGUE.obligations for name in each.when}
    # Whether it reaches minors is told in the report; Article 9(9) asks in any case.
    assert set(CATALOGUE.conditions) - asked == {"serves_minors"}


def test_what_it_says_can_be_written():
    row = CATALOGUE["art_10.par_1"].to_dict()
    assert (row["since"], row["until"], row["when"]) == ("2026-07-27", None, ["trains_models"])


@pytest.mark.parametrize("field", [*CATALOGUE, *schemas.FIELD_SCHEMAS])
def test_data_that_fit_are_found_to_fit(field):
    name, needs = form_of(field)
    assert schemas.misfit(data_for(name, needs), schemas.schema(name), needs)[1] is None


@pytest.mark.parametrize("field", [*CATALOGUE, *schemas.FIELD_SCHEMAS])
def test_each_need_is_needed(field):
    name, needs = form_of(field)
    bare = schemas.schema(name).model_validate(data_for(name, needs)).model_dump(mode="json")
    for need in needs:
        assert schemas.unmet(without(bare, need), needs)


def without(data, need):
    """The same data with what one need asks for emptied."""
    step, _, rest = need.partition(".")
    name, _, mode = step.partition("=")[0].partition("[")
    if mode and rest:
        return data | {name: [without(each, rest) for each in data[name]]}
    if mode:
        return data | {name: data[name][:1]}
    return data | {name: without(data[name], rest) if rest else None}


def test_the_tools_know_every_schema():
    assert set(DATA) == set(schemas.SCHEMAS)
    assert load_profile("full").checks
