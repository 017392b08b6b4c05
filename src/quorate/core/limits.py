"""Every size has a bound with a name. Beyond it the input is refused, never cut.

Sizes are bytes of canonical JSON unless the name says otherwise.
"""

from __future__ import annotations

from typing import Final

MAX_SAFE_INTEGER: Final = 2**53 - 1
"""Largest magnitude of an integer in canonical JSON (RFC 8785 over I-JSON)."""

MAX_DEPTH: Final = 64
"""Deepest nesting of arrays and objects in canonical JSON."""

MAX_NUMBER_DIGITS: Final = 400
"""Most decimal digits in numerator or denominator of an exact number; covers every double."""

MAX_REPLICAS: Final = 1024
"""Most replicas, voters or experts in one roster."""

MAX_ID_LENGTH: Final = 256
"""Longest id of a replica, expert, session, task or trace, in characters."""

MAX_PAYLOAD_BYTES: Final = 1 << 20
"""Largest payload of one proposal."""

MAX_PAYLOAD_DEPTH: Final = MAX_DEPTH - 8
"""Deepest nesting of a payload: a record that holds it must itself stay within bounds."""

MAX_ODD_DENOMINATOR: Final = 1000
"""Largest denominator of an expert's number that is no finite decimal, such as 1/3.

Experts that choose large coprime denominators could otherwise make the exact sums of a
fold grow without bound; k of n samples stays possible up to n = 1000.
"""

MAX_SCALE_DIGITS: Final = 2000
"""Most digits of the common denominator of all votes."""

MAX_DETAIL_LENGTH: Final = 500
"""Longest detail of an absence, in characters; longer error texts are shortened to it."""

MAX_BODY_BYTES: Final = 16 << 20
"""Largest body of one ledger entry."""

MAX_BATCH: Final = 10_000
"""Most entries sealed by one ``append_many``."""

MAX_TASK_BYTES: Final = 4 << 20
"""Longest line of a task file, in bytes as read."""

MAX_PANEL_BYTES: Final = 1 << 20
"""Largest panel file, in bytes as read."""

MAX_NOTE_BYTES: Final = 64 << 10
"""Largest checkpoint note, in bytes as read."""

MAX_POLICY_BYTES: Final = 64 << 10
"""Largest policy file, in bytes as read."""

MAX_KEY_FILE_BYTES: Final = 16 << 10
"""Largest key file, in bytes as read."""

MAX_KEYS: Final = 16
"""Most keys that sign one ledger or stand in one policy."""

MAX_CALLS_PER_REPLICA: Final = 64
"""Most calls of one callable that may still be running in threads that cannot be stopped."""

MAX_CONCURRENCY: Final = 256
"""Most tasks of one run decided side by side."""

MAX_TIMEOUT_SECONDS: Final = 86_400
"""Longest deadline of one call."""

KEEP_ROUNDS: Final = 1024
"""Concluded routing rounds kept in memory, of all sessions together, unless told otherwise."""

KEEP_SESSIONS: Final = 16_384
"""Routing sessions whose counter is kept though no round of theirs is, likewise."""

MAX_OPEN_ROUNDS: Final = 4096
"""Most routing rounds open at once, likewise."""

MAX_CAPABILITIES: Final = 256
"""Most capabilities of one expert."""

MAX_VECTOR_LENGTH: Final = 16_384
"""Most numbers in the vector of one expert."""

MAX_DOMAIN_ATTRIBUTES: Final = 32
"""Most attributes in the failure domain of one expert."""

MAX_ANSWER_BYTES: Final = 4 << 20
"""Longest answer of an expert in another process or on another machine, in bytes as read."""

MAX_ERROR_TAIL_BYTES: Final = 4 << 10
"""How much is kept of what a child process or a server says about its failure, in bytes."""

MAX_CHILD_PROCESSES: Final = 64
"""Most child processes of one expert."""

MAX_COMMAND_ARGUMENTS: Final = 1024
"""Most words in the command of a child process."""

MAX_RETRIES: Final = 10
"""Most repetitions of one request to another machine."""

MAX_SAMPLES: Final = 128
"""Most samples that one chat model is asked for at once."""

MAX_CHOICES: Final = 256
"""Most answers that can be declared for a chat model to choose from."""

MAX_OUTPUT_TOKENS: Final = 1 << 20
"""Most tokens that a chat model can be let write."""

MAX_PROMPT_CHARACTERS: Final = 1 << 20
"""Longest system text or template for a chat model, in characters."""

MAX_SPANS: Final = 8192
"""Most spans of one trace."""

MAX_TRACE_SECONDS: Final = 400 * 86_400
"""Latest end of a span, in seconds after its trace began."""

MAX_REGISTERED: Final = 16_384
"""Most experts in one registry."""

MAX_TAGS: Final = 256
"""Most tags of one task."""

MAX_TUNING_ROWS: Final = 1024
"""Most quorums in the table of one tuning."""

MAX_BALLOTS: Final = 10_000_000
"""Most ranked ballots counted in one runoff."""

MAX_OPTIONS: Final = 1024
"""Most options of one runoff."""

MAX_NUMERAL_LENGTH: Final = 1000
"""Longest text read as one number by a normaliser, in characters."""

MAX_CHOICE_LENGTH: Final = 1000
"""Longest text read as one option letter by a normaliser, in characters."""

MAX_PYTHON_LENGTH: Final = 32 << 10
"""Longest source read as Python by a normaliser, in characters."""

MAX_PYTHON_DEPTH: Final = 100
"""Deepest syntax tree of Python source read by a normaliser."""

MAX_HEADERS: Final = 64
"""Most headers declared for one expert."""

MAX_HEADER_LENGTH: Final = 4096
"""Longest value of a declared header, in characters."""

MAX_CANDIDATES: Final = 64
"""Most answers of a weak verdict that those consulted are shown whole."""

MAX_FENCES: Final = 8
"""Most code fences around one another that a normaliser takes off."""

MAX_RANKING: Final = 64
"""Most places in one proposal's ranking, in a ranked runoff."""

MAX_VERDICT_NESTING: Final = 3
"""How deep weaker verdicts may lie in a sealed one: a parent is 1 deeper, a consultation 2.

With a payload of ``MAX_PAYLOAD_DEPTH`` the whole then stays within ``MAX_DEPTH``.
"""

MAX_ANSWER_DIGITS: Final = 40
"""Most digits in the numerator of a confidence or cost that an expert gives."""

MAX_ANSWER_PLACES: Final = 330
"""Most digits in the denominator of such a number; covers every double from 0 to 2^53."""

MAX_ROUND_TALLIES: Final = 2048
"""Most votes of single options that the trace of one runoff tells, its last rounds first.

All rounds of a runoff between up to 63 options are told whole.
"""

MAX_PYTHON_BRACKETS: Final = 64
"""Deepest brackets in Python source read by a normaliser."""

MAX_PYTHON_INDENTS: Final = 64
"""Deepest indentation in Python source read by a normaliser, in levels."""

MAX_PYTHON_DIGITS: Final = 640
"""Most digits and underscores in a row in Python source that is read; no Python has a lower one."""
