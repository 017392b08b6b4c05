"""The panel file: what is read, and how every mistake in it is named."""

import sys
from fractions import Fraction

import pytest

from quorate.core import limits
from quorate.core.errors import OperationalError
from quorate.hub import Panel
from quorate.hub.panel import PanelError

GOOD = """\
[ledger]
url = "sqlite:///ledger.db"
signer = "ledger.key"

[arbiter]
protocol = "weighted-quorum"
quorum = 0.66

[run]
concurrency = 4

[[experts]]
id = "a"
kind = "python"
call = "experts:yes"
weight = 0.1
timeout = 2.5
max_cost = 7
confidence = 0.9

[[experts]]
id = "b"
kind = "python"
call = "experts:no"
"""


@pytest.fixture
def write(panel_folder):
    def write(*replaced, text=GOOD):
        for old, new in replaced:
            assert old in text
            text = text.replace(old, new, 1)
        panel_folder.path.write_text(text)
        return panel_folder.path

    return write


def problems(path):
    with pytest.raises(PanelError) as caught:
        Panel.load(path)
    assert str(caught.value) == "\n".join(caught.value.problems)
    return [problem.removeprefix(f"{path}") for problem in caught.value.problems]


def test_a_panel_is_read_exactly(write):
    path = write()
    panel = Panel.load(path)
    assert panel.table.arbiter.quorum == Fraction(33, 50)
    assert panel.arbiter.parameters == {"quorum": "33/50"}
    assert panel.table.run.concurrency == 4
    a, b = panel.experts
    assert (a.id, a.weight, a.timeout, a.max_cost, a.confidence) == (
        "a",
        Fraction(1, 10),
        2.5,
        7,
        Fraction(9, 10),
    )
    assert (b.id, b.weight, b.timeout, b.max_cost, b.confidence) == ("b", 1, 30, None, None)
    assert a.callee.function("task") == "yes"
    assert panel.ledger_url == f"sqlite:///{path.parent / 'ledger.db'}"
    assert panel.signer_path == path.parent / "ledger.key"


def test_numbers_are_read_as_written_not_as_nearest_doubles(write):
    path = write(("weight = 0.1", "weight = 0.10000000000000000001"), ("0.66", "0.1e-20"))
    table = Panel.load(path).table
    assert table.experts[0].weight == Fraction(10**19 + 1, 10**20)
    assert table.arbiter.quorum == Fraction(1, 10**21)


def test_concurrency_and_the_quorum_may_be_left_out(write):
    panel = Panel.load(write(("[run]\nconcurrency = 4\n", ""), ("quorum = 0.66\n", "")))
    assert panel.table.run.concurrency == 8
    assert panel.table.arbiter.quorum == Fraction(66, 100)


def test_a_panel_can_be_read_without_importing_its_experts(write):
    path = write(("experts:yes", "no_such_module:yes"))
    panel = Panel.declared(path)
    assert panel.experts == ()
    assert panel.table.experts[0].call == "no_such_module:yes"


MISTAKES = [
    ("weight = 0.1", "weigth = 0.1", ":16: experts[0].weigth: unknown key; did you mean 'weight'?"),
    ("weight = 0.1", "xyzzy = 1", ":16: experts[0].xyzzy: unknown key"),
    ("signer =", "singer =", ":3: ledger.singer: unknown key; did you mean 'signer'?"),
    ("quorum =", "qourum =", ":7: arbiter.qourum: unknown key; did you mean 'quorum'?"),
    ("concurrency", "concurency", ":10: run.concurency: unknown key; did you mean 'concurrency'?"),
    ("[run]", "[runs]", ":9: runs: unknown key; did you mean 'run'?"),
    ("weight = 0.1", "weight = true", ":16: experts[0].weight: is True: "),
    ("weight = 0.1", 'weight = "1"', ":16: experts[0].weight: is '1': "),
    ("weight = 0.1", "weight = -0.5", ":16: experts[0].weight: is -0.5: "),
    ("weight = 0.1", "weight = nan", ":16: experts[0].weight: is NaN: "),
    ("weight = 0.1", "weight = inf", ":16: experts[0].weight: is Infinity: "),
    ("weight = 0.1", "weight = 1e300", ":16: experts[0].weight: is 1e+300: "),
    ("weight = 0.1", "weight = 1e999999999", ":16: experts[0].weight: is 1E+999999999: "),
    ("weight = 0.1", "weight = 2020-01-01", ":16: experts[0].weight: is datetime.date("),
    ("weight = 0.1", "weight = [1]", ":16: experts[0].weight: is [1]: "),
    ("weight = 0.1", "weight = 1e350", ":16: experts[0].weight: is 1.00000e+350: "),
    ("weight = 0.1", 'weight = "1"', ":16: experts[0].weight: is '1': a number; write it without"),
    ("quorum = 0.66", 'quorum = "0.66"', ":7: arbiter.quorum: is '0.66': a number; write it wit"),
    ("concurrency = 4", 'concurrency = "4"', ":10: run.concurrency: is '4': a number; write it"),
    ("timeout = 2.5", "timeout = 1e-399", ":17: experts[0].timeout: is 1E-399: too short"),
    ("timeout = 2.5", "timeout = 0", ":17: experts[0].timeout: is 0: "),
    ("timeout = 2.5", "timeout = 86400.5", ":17: experts[0].timeout: is 86400.5: "),
    ("max_cost = 7", "max_cost = -1", ":18: experts[0].max_cost: is -1: "),
    ("confidence = 0.9", "confidence = 50", ":19: experts[0].confidence: is 50: "),
    ('id = "b"', 'id = ""', ":22: experts[1].id: is '': "),
    ('id = "b"', "id = 7", ":22: experts[1].id: is 7: "),
    ('id = "b"', f'id = "{"x" * 257}"', ":22: experts[1].id: is 'xxx"),
    ('id = "b"', 'id = "a"', ":22: experts[1].id: 'a' is the id of another expert too"),
    ('id = "b"\n', "", ":21: experts[1].id: is missing"),
    ('call = "experts:no"\n', "", ":21: experts[1].call: is missing"),
    ('kind = "python"', 'kind = "phyton"', ":14: experts[0].kind: is 'phyton': "),
    ('"experts:no"', '"experts"', ":24: experts[1].call: is 'experts'; give module:function"),
    ('"experts:no"', '"experts:no()"', ":24: experts[1].call: is 'experts:no()'; give module"),
    ("quorum = 0.66", "quorum = 0", ":7: arbiter.quorum: is 0: a quorum is more than 0"),
    ("quorum = 0.66", "quorum = 1.5", ":7: arbiter.quorum: is 1.5: a quorum is more than 0"),
    ("quorum = 0.66", "quorum = true", ":7: arbiter.quorum: is True: "),
    ("weighted-quorum", "wieghted-quorum", ":6: arbiter.protocol: is 'wieghted-quorum': "),
    ('protocol = "weighted-quorum"\n', "", ":5: arbiter.protocol: is missing"),
    ("concurrency = 4", "concurrency = 0", ":10: run.concurrency: is 0: "),
    ("concurrency = 4", "concurrency = 257", ":10: run.concurrency: is 257: "),
    ("concurrency = 4", "concurrency = true", ":10: run.concurrency: is True: "),
    ("concurrency = 4", "concurrency = 4.5", ":10: run.concurrency: is 4.5: "),
    ('"sqlite:///ledger.db"', '"memory:"', ":2: ledger.url: is 'memory:': memory: would be gone"),
    ('"sqlite:///ledger.db"', '"mysql://x"', ":2: ledger.url: is 'mysql://x': "),
    (
        '"sqlite:///ledger.db"',
        '"my.db"',
        ":2: ledger.url: is 'my.db': no ledger url; give sqlite:///my.db",
    ),
    (
        '"sqlite:///ledger.db"',
        '"sqlite:///a\\u0000b"',
        ":2: ledger.url: is 'sqlite:///a\\x00b': no ",
    ),
    ('"ledger.key"', '"a\\u0000b"', ":3: ledger.signer: is 'a\\x00b': no file name has a NUL"),
    ("[run]", "[[run]]", ":9: run: is a list of tables; write [run], in single brackets"),
    ('"ledger.key"', '""', ":3: ledger.signer: is '': "),
    ('"ledger.key"', '"k"\norigin = "a b"', ":4: ledger.origin: is 'a b': "),
    ("[ledger]", "[legder]", ":1: legder: unknown key; did you mean 'ledger'?"),
    ('"experts:no"', '"experts:On"', ":24: experts[1].call: 'experts' has no 'On'"),
    ('"experts:yes"', '"experts:yess"', ":15: experts[0].call: 'experts' has no 'yess'; did you"),
    ('"experts:no"', '"expertz:no"', ":24: experts[1].call: 'expertz' cannot be imported: Module"),
    ('"experts:no"', '"experts:N"', ":24: experts[1].call: experts:N is int, which cannot be"),
    ('"experts:no"', '"broken:no"', ":24: experts[1].call: 'broken' cannot be imported: ZeroDiv"),
    ('"experts:no"', '"leaving:no"', ":24: experts[1].call: 'leaving' cannot be imported: System"),
    ('"experts:no"', '"untidy:no"', ":24: experts[1].call: 'untidy' cannot be imported: Syntax"),
]


@pytest.mark.parametrize(("old", "new", "told"), MISTAKES, ids=[m[1][:30] for m in MISTAKES])
def test_a_mistake_is_named_with_its_line_and_key(panel_folder, write, old, new, told):
    folder = panel_folder.folder
    (folder / "experts.py").write_text("def yes(t): pass\ndef no(t): pass\nN = 3\n")
    (folder / "broken.py").write_text("1 / 0\n")
    (folder / "untidy.py").write_text("def (\n")
    (folder / "leaving.py").write_text("raise SystemExit\n")
    found = problems(write((old, new)))
    assert any(problem.startswith(told) for problem in found), found


def test_single_brackets_around_experts_are_told(write):
    text = GOOD[: GOOD.rindex("[[experts]]")].replace("[[experts]]", "[experts]")
    assert problems(write(text=text)) == [
        ":12: experts: is one table; write [[experts]], in double brackets, above each"
    ]


def test_no_message_offers_a_panel_what_it_cannot_use(write):
    for url in ("ledger.db", "mysql://x", "sqlite:///", ""):
        (found,) = problems(write(("sqlite:///ledger.db", url)))
        assert "memory:" not in found
        assert "give sqlite:///ledger.db" in found


def test_a_byte_order_mark_is_read_over(panel_folder):
    panel_folder.path.write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert len(Panel.load(panel_folder.path).experts) == 2


def test_all_mistakes_are_told_at_once_in_order_of_lines(write):
    found = problems(
        write(('id = "b"', 'id = ""'), ("0.66", "2"), ("weight = 0.1", "weigth = 1"), ("4", "-4"))
    )
    assert [problem.split(":")[1] for problem in found] == ["7", "10", "16", "22"]


def test_both_experts_without_code_are_told_at_once(write):
    found = problems(write(("experts:yes", "nowhere:yes"), ("experts:no", "experts:nothing")))
    assert [problem.split(":")[1] for problem in found] == ["15", "24"]


def test_nobody_with_weight_is_refused(write):
    found = problems(
        write(("weight = 0.1", "weight = 0"), ('"experts:no"', '"experts:no"\nweight = 0'))
    )
    assert found == [":16: experts[0].weight: all weights are 0; nobody could ever decide"]


def test_no_experts_are_refused(write):
    assert problems(write(text=GOOD[: GOOD.index("[[experts]]")])) == [":1: experts: is missing"]
    assert problems(write(text="experts = []\n" + GOOD[: GOOD.index("[[experts]]")]))[0].startswith(
        ":1: experts: is []: "
    )


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"[ledger\n", "not TOML: "),
        (b'a = "x\n', "(at line 1, column 7)"),
        (b"a = 1\na = 2\n", "not TOML: "),
        (b"[ledger]\na = " + b"1" * 5000, ":2: not TOML that can be read: a number has too many"),
        (b"a = 1e99999999999999999999", "not TOML that can be read: a number has too many"),
        (b"[ledger]\n\nurl = \n", ":3: not TOML: invalid value (at line 3, column 7)"),
        (b"[ledger]\na = [\n\n", ":3: not TOML: "),
        (b"a = " + b"[" * 5000, "nested too deep"),
        (b"a = 1\n# \xff", "no UTF-8 text at byte 8"),
        (b"#" * (limits.MAX_PANEL_BYTES + 1), f"larger than {limits.MAX_PANEL_BYTES} bytes"),
        (b"", "ledger: is missing"),
    ],
)
def test_what_is_no_panel_file_at_all_is_refused(panel_folder, data, told):
    panel_folder.path.write_bytes(data)
    found = problems(panel_folder.path)
    assert any(told in problem for problem in found), found


def test_a_panel_of_the_largest_size_is_read(panel_folder):
    data = GOOD.encode()
    panel_folder.path.write_bytes(data + b"#" * (limits.MAX_PANEL_BYTES - len(data)))
    assert len(Panel.load(panel_folder.path).experts) == 2


def test_a_panel_that_is_not_there_is_the_environments_fault(tmp_path):
    with pytest.raises(OperationalError, match=r"No such file.*quorate init"):
        Panel.load(tmp_path / "none.toml")
    with pytest.raises(OperationalError, match="directory"):
        Panel.load(tmp_path)


def test_modules_beside_the_panel_win_over_loaded_ones(make_panel_folder):
    """Two panels of one process may both have an experts.py, or one called as a known module."""
    before = sys.modules["colorsys"] = __import__("colorsys")
    for name in ("one", "two"):
        made = make_panel_folder(name)
        code = f'def yes(task):\n    return "{name}"\n'
        calls = {"a": 'call = "experts:yes"', "b": 'call = "colorsys:yes"'}
        made.declare(code, calls)
        (made.folder / "colorsys.py").write_text(code)
        panel = Panel.load(made.path)
        assert [e.callee.function(None) for e in panel.experts] == [name, name]
        # Both functions of one module share its state.
        assert Panel.load(made.path).experts[0].callee.function(None) == name
    assert sys.modules["colorsys"] is before
    assert str(made.folder) not in sys.path


LAZY = """
def yes(task):
    import helper
    return helper.NAME

def no(task):
    import colorsys
    return colorsys.__file__
"""


def test_modules_beside_the_panel_are_found_inside_calls_too(make_panel_folder):
    """Each of two panels gets its own helper, however often; the standard library its own too."""
    panels = {}
    loaded = set(sys.modules)
    for name in ("one", "two"):
        made = make_panel_folder(name)
        made.declare(LAZY, {"a": 'call = "experts:yes"', "b": 'call = "experts:no"'})
        (made.folder / "helper.py").write_text(f'NAME = "{name}"\n')
        (made.folder / "colorsys.py").write_text("1 / 0\n")
        panels[name] = Panel.load(made.path)
    for name in ("one", "two", "one", "two"):
        panel = panels[name]
        with panel.importing():
            assert panel.experts[0].callee.function(None) == name
            assert not panel.experts[1].callee.function(None).startswith(str(panel.path.parent))
        assert not {"helper", "experts"} & (sys.modules.keys() - loaded)
        assert str(panel.path.parent) not in sys.path
    with pytest.raises(ModuleNotFoundError):
        panels["one"].experts[0].callee.function(None)


def test_a_module_is_loaded_once_however_often_its_panel_is_used(make_panel_folder):
    made = make_panel_folder("one")
    made.declare(LAZY, {"a": 'call = "experts:yes"'})
    (made.folder / "helper.py").write_text("NAME = object()\n")
    panel = Panel.load(made.path)
    names = set()
    for _ in range(3):
        with panel.importing(), panel.importing():
            names.add(panel.experts[0].callee.function(None))
    assert len(names) == 1


def test_packages_beside_the_panel_and_installed_ones_are_told_apart(make_panel_folder):
    """What lies further down, such as an environment, is not the panel's to take out."""
    made = make_panel_folder("one")
    made.declare("from pack.inner import yes\nimport far\n", {"a": 'call = "experts:yes"'})
    (made.folder / "pack").mkdir()
    (made.folder / "pack" / "__init__.py").write_text("")
    (made.folder / "pack" / "inner.py").write_text("def yes(task):\n    return 1\n")
    packages = made.folder / ".venv" / "packages"
    packages.mkdir(parents=True)
    (packages / "far.py").write_text("")
    (made.folder / "rich").mkdir()
    sys.path.insert(0, str(packages))
    try:
        assert Panel.load(made.path).experts[0].callee.function(None) == 1
        assert "pack" not in sys.modules
        assert "pack.inner" not in sys.modules
        assert sys.modules.pop("far").__file__ == str(packages / "far.py")
    finally:
        sys.path.remove(str(packages))


def test_heavy_experts_and_low_quorums_are_remarked_upon(write):
    notes = Panel.load(write(("quorum = 0.66", "quorum = 0.5"))).notes()
    assert len(notes) == 2
    assert notes[0].startswith("b holds 91% of the weight")
    assert "0.5" in notes[1]


def test_even_experts_are_not_remarked_upon(panel_folder):
    experts = dict.fromkeys("abcd", 'call = "experts:yes"')
    assert Panel.load(panel_folder.declare(experts=experts).path).notes() == []
