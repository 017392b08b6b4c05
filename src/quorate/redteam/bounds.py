"""Bounds of a red-team scan. Beyond them input is refused; a target beyond them is at fault."""

from __future__ import annotations

from typing import Final

MAX_SEED: Final = 2**53 - 1
"""Largest seed: it stands in canonical JSON."""

MAX_STRATEGIES: Final = 256
"""Most strategies registered, and most in one scan."""

MAX_PROBES: Final = 64
"""Most probes of one strategy."""

MAX_STEPS: Final = 16
"""Most turns that the attacker takes in one probe."""

MAX_TOOL_ROUNDS: Final = 4
"""How often in one turn a target is given the results of its tool calls and asked again."""

MAX_TOOL_CALLS: Final = 16
"""Most tool calls in one reply."""

MAX_ARGUMENT_DEPTH: Final = 16
"""Deepest nesting in the arguments of a tool call."""

MAX_REPLY_BYTES: Final = 32 << 10
"""Largest single reply of a target, as canonical JSON."""

MAX_REPLIES_BYTES: Final = 128 << 10
"""Largest sum of a target's replies in one probe, as canonical JSON."""

MAX_PROBE_BYTES: Final = 64 << 10
"""Largest declaration of one probe, as canonical JSON."""

MAX_CHECKS: Final = 16
"""Most checks of one probe."""

MAX_TEXT_LENGTH: Final = 16 << 10
"""Longest text in a declaration, in characters."""

MAX_CANARIES: Final = 16
"""Most canaries of the caller's own in one scan."""

MIN_CANARY_LENGTH: Final = 12
"""Fewest letters and digits in a canary: a shorter one may turn up by chance."""

MAX_CANARY_LENGTH: Final = 256
"""Longest canary, in characters."""

MAX_TARGETS: Final = 256
"""Most targets registered beside the built-in ones."""

MAX_REPORT_BYTES: Final = 15 << 20
"""Largest report that can be sealed, as canonical JSON."""

DEFAULT_TIMEOUT_SECONDS: Final = 30.0
"""Deadline of one reply, unless told otherwise."""
