"""The planted defects, read from the TOML files beside this one.

Each is a table of the array ``mutant``::

    [[mutant]]
    id = "quorum-above"                        # unique
    why = "a share of exactly the quorum is refused"
    file = "arbitration/rules/reasons.py"      # below src/quorate
    old = '''return part * quorum.denominator >='''
    new = '''return part * quorum.denominator >'''
    tests = ["arbitration/test_arbitration_rules.py::test_thresholds_are_met_exactly"]

``old`` stands exactly once in the file, so a catalogue that the code has left behind fails
at once. ``tests`` stand below tests/; each run of them has to fail once ``new`` is there.
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
_KEYS = {"id", "why", "file", "old", "new", "tests"}


class CatalogueError(Exception):
    """The catalogue does not fit the code."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One planted defect.

    Attributes:
        id: its name.
        why: what is wrong with it, in a few words.
        file: where it is planted, relative to the root.
        old: what stands there, once.
        new: what is put in its place.
        tests: pytest node ids, relative to the root, that have to fail.
    """

    id: str
    why: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def planted(self, text):
        """The text of the file with the defect in it.

        Raises:
            CatalogueError: ``old`` does not stand there exactly once.
        """
        found = text.count(self.old)
        if found != 1:
            raise CatalogueError(
                f"{self.id}: in {self.file} stands {found} times, and should once: {self.old!r}"
            )
        return text.replace(self.old, self.new)


def read(folder=HERE):
    """All mutants, in the order of the files' names and then as they stand there.

    Raises:
        CatalogueError: a table is malformed, or an id stands twice.
    """
    mutants = {}
    for path in sorted(folder.glob("*.toml")):
        for table in tomllib.loads(path.read_text(encoding="utf-8"))["mutant"]:
            if table.keys() != _KEYS:
                name = table.get("id", "a table")
                raise CatalogueError(f"{path.name}: {name} should have {sorted(_KEYS)}")
            made = Mutant(
                id=table["id"],
                why=table["why"],
                file=f"src/quorate/{table['file']}",
                old=table["old"],
                new=table["new"],
                tests=tuple(f"tests/{node}" for node in table["tests"]),
            )
            if made.id in mutants:
                raise CatalogueError(f"the id {made.id} stands twice")
            if not made.tests or made.old == made.new:
                raise CatalogueError(f"{made.id} names no tests, or changes nothing")
            mutants[made.id] = made
    return list(mutants.values())


def check(mutants, root=ROOT):
    """See to it that every mutant can be planted and every test named is there.

    Raises:
        CatalogueError: one cannot, with all that are wrong.
    """
    wrong = []
    for mutant in mutants:
        try:
            mutant.planted((root / mutant.file).read_text(encoding="utf-8"))
        except (CatalogueError, OSError) as error:
            wrong.append(str(error))
        for node in mutant.tests:
            path, _, name = node.partition("::")
            name = name.partition("[")[0].rpartition("::")[2]
            there = (root / path).is_file() and f"def {name}" in (root / path).read_text("utf-8")
            if not there:
                wrong.append(f"{mutant.id}: there is no test {node}")
    if wrong:
        raise CatalogueError("\n".join(wrong))
