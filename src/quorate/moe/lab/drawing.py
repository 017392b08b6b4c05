"""How the lab's pictures are drawn, by matplotlib; as SVG and PNG.

Colours are those of Okabe and Ito (told apart by colour-blind readers too). The same numbers
give the same files with the same matplotlib.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from quorate.core.errors import OperationalError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILLION, PURPLE, GREY = "#0072B2", "#D55E00", "#CC79A7", "#8a8a8a"
_STYLE: Final[dict[str, Any]] = {
    "font.family": ["DejaVu Sans", "sans-serif"],
    "font.size": 10.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 13,
    "axes.titleweight": "bold",
    "svg.hashsalt": "quorate",
    "svg.fonttype": "none",
    "figure.dpi": 110,
}
_IDS: Final = re.compile(r"\b[a-z][0-9a-f]{10}\b")


@contextmanager
def drawing() -> Iterator[Any]:
    """Matplotlib, with this module's style for this block alone.

    Raises:
        OperationalError: matplotlib is not installed.
    """
    try:
        matplotlib = import_module("matplotlib")
        import_module("matplotlib.figure")
    except ModuleNotFoundError as error:
        if error.name != "matplotlib":
            raise
        raise OperationalError(
            'pictures need matplotlib, which is not installed; run: pip install "quorate[plots]"'
        ) from error
    with matplotlib.rc_context(_STYLE):
        yield matplotlib


def files(figure: Figure, name: str) -> dict[str, bytes]:
    """The picture as ``name.svg`` and ``name.png``, without the time of day in either."""
    made = {}
    for ending, metadata in (("svg", {"Date": None}), ("png", {"Software": None})):
        held = io.BytesIO()
        figure.savefig(held, format=ending, metadata=metadata, facecolor="white", dpi=110)
        made[f"{name}.{ending}"] = held.getvalue()
    made[f"{name}.svg"] = _renamed(made[f"{name}.svg"].decode(), name).encode()
    return made


def _renamed(svg: str, name: str) -> str:
    """Number the picture's ids: matplotlib's hang on the last bits of a layout.

    They carry the picture's name, since several may stand in one page.
    """
    numbers: dict[str, str] = {}
    return _IDS.sub(
        lambda found: numbers.setdefault(found[0], f"{name}-{len(numbers)}"),
        svg,
    )


def headed(figure: Figure, finding: str) -> None:
    """Put the finding on top; axes say what it is drawn from."""
    figure.suptitle(finding, x=0.01, ha="left", fontweight="bold", fontsize=12.5)
