"""Reports for people: on a terminal, as a page to read and print, as Markdown.

None of them says more than the report does, and each ends with what it is not.
"""

from __future__ import annotations

from quorate.compliance.rendering.html import render_html
from quorate.compliance.rendering.markdown import render_markdown
from quorate.compliance.rendering.terminal import render_terminal

__all__ = ["render_html", "render_markdown", "render_terminal"]
