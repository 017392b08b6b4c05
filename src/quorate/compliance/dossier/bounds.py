"""Every size of a dossier has a bound with a name; beyond it, it is neither written nor read."""

from __future__ import annotations

from typing import Final

MAX_FILES: Final = 20_000
"""Most files of one dossier."""

MAX_FILE_BYTES: Final = 128 << 20
"""Largest file of a dossier, documents included, in bytes."""

MAX_TOTAL_BYTES: Final = 1 << 30
"""Largest dossier, in bytes of all its files."""

MAX_NAME: Final = 120
"""Longest name of a document, in characters."""

MOST_MEMBERS: Final = 200
"""Most members of one list or table of evidence that a page shows; all stand in the JSON."""

MOST_LEVELS: Final = 6
"""Deepest nesting of evidence that a page lays out; what lies deeper is shown as JSON."""
