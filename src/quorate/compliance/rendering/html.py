"""A report as one page of HTML: to read, to print, to hand over.

The page is self-contained: no script, and nothing that a reader's browser would fetch, which
its content security policy holds besides. Templates are filled by Jinja2 with everything
escaped; without it (``pip install "quorate[reports]"``) there is the Markdown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from quorate.compliance.coverage import HEADING, Coverage
from quorate.compliance.rendering.charts import severity_chart
from quorate.compliance.rendering.view import view
from quorate.compliance.rendering.words import STATES
from quorate.compliance.report import ComplianceReport
from quorate.core.errors import OperationalError

if TYPE_CHECKING:
    from jinja2 import Environment

_MISSING: Final = (
    "pages are made with Jinja2, which is not installed; run: "
    'pip install "quorate[reports]", or have the report as Markdown'
)


def render_html(
    report: ComplianceReport,
    *,
    bundles: Mapping[int, str] | None = None,
    notices: Sequence[str] = (),
    coverage: Coverage | None = None,
) -> str:
    """The report as a self-contained page.

    Args:
        report: to be shown.
        bundles: entry -> where its bundle lies, relative to the page; without one, entries are
            told by their numbers.
        notices: what a reader has to know first.
        coverage: what is known of the ledger behind it.

    Raises:
        OperationalError: Jinja2 is not installed.
    """
    shown = view(report, bundles=bundles, notices=notices, coverage=coverage)
    return fill("report.html", view=shown, chart=severity_chart(shown))


def fill(template: str, **values: Any) -> str:
    """Fill one of the templates.

    Raises:
        OperationalError: Jinja2 is not installed.
    """
    return environment().get_template(template).render(states=STATES, heading=HEADING, **values)


@cache
def environment() -> Environment:
    """Jinja2 over the templates of this package, with everything escaped.

    Raises:
        OperationalError: Jinja2 is not installed.
    """
    try:
        import jinja2  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise OperationalError(_MISSING) from error
    return jinja2.Environment(
        loader=jinja2.PackageLoader("quorate.compliance.rendering", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
    )
