"""Panels in temporary folders."""

from pathlib import Path

import pytest

from quorate.core.identity import Ed25519Signer
from quorate.hub import Panel, Run
from quorate.ledger import Ledger, read_signer, write_key

CODE = """
def yes(task):
    return "yes"

def no(task):
    return "no"

def echo(task):
    return task
"""
EXPERTS = dict.fromkeys(("a", "b", "c"), 'call = "experts:echo"\nconfidence = 0.9')


class PanelFolder:
    """A folder with a panel, its experts' code, and a key."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "quorate.toml"
        self.tasks_path = folder / "tasks.jsonl"
        self.out_path = folder / "out.jsonl"
        self.ledger_path = folder / "ledger.db"
        folder.mkdir(exist_ok=True)
        write_key(folder / "ledger.key", Ed25519Signer.generate())

    def declare(self, code=CODE, experts=EXPERTS, *, quorum="0.66", concurrency="4"):
        (self.folder / "experts.py").write_text(code)
        blocks = [
            '[ledger]\nurl = "sqlite:///ledger.db"\nsigner = "ledger.key"',
            f'[arbiter]\nprotocol = "weighted-quorum"\nquorum = {quorum}',
            f"[run]\nconcurrency = {concurrency}",
            *(f'[[experts]]\nid = "{i}"\nkind = "python"\n{rest}' for i, rest in experts.items()),
        ]
        self.path.write_text("\n\n".join(blocks) + "\n")
        return self

    def tasks(self, *lines):
        self.tasks_path.write_text("".join(f"{line}\n" for line in lines))
        return self

    def open_ledger(self):
        signer = read_signer(self.folder / "ledger.key")
        return Ledger.open(f"sqlite:///{self.ledger_path}", signer=signer)

    def run(self, tasks=None, out=None):
        """Run the panel; return the summary."""
        panel = Panel.load(self.path)
        with self.open_ledger() as ledger:
            return Run(
                panel, ledger, tasks or str(self.tasks_path), out or str(self.out_path)
            ).execute()


@pytest.fixture
def panel_folder(tmp_path):
    return PanelFolder(tmp_path / "panel").declare()


@pytest.fixture
def make_panel_folder(tmp_path):
    def make(name):
        return PanelFolder(tmp_path / name).declare()

    return make
