"""Red team: attack a target with real probes, judge its replies, say what was shown.

>>> from quorate.redteam import scan
>>> scan("scripted-hardened", seed=7).resilience
1.0
>>> scan("scripted-naive", ["RT-CRESCENDO"], seed=7).risk_score
1.0
"""

from quorate.redteam.conversation import Message, Reply, Request, Target, ToolCall
from quorate.redteam.judges import judge, judge_names
from quorate.redteam.probes import Answer, Battery, Check, Draw, Probe, Scene, Step, Tool
from quorate.redteam.rendering import render_markdown, render_terminal
from quorate.redteam.report import ProbeResult, RedTeamReport, StrategyResult
from quorate.redteam.rules import WEIGHTS, Score
from quorate.redteam.scan import ascan, scan
from quorate.redteam.sealed import read_report, seal_report
from quorate.redteam.strategies import (
    ASI,
    ATTACK_CLASSES,
    CANONICAL,
    Facts,
    Strategy,
    find_strategy,
    register_strategy,
    strategies,
    strategy,
)
from quorate.redteam.targets import builtin, register_target, targets, unregister_target

__all__ = [
    "ASI",
    "ATTACK_CLASSES",
    "CANONICAL",
    "WEIGHTS",
    "Answer",
    "Battery",
    "Check",
    "Draw",
    "Facts",
    "Message",
    "Probe",
    "ProbeResult",
    "RedTeamReport",
    "Reply",
    "Request",
    "Scene",
    "Score",
    "Step",
    "Strategy",
    "StrategyResult",
    "Target",
    "Tool",
    "ToolCall",
    "ascan",
    "builtin",
    "find_strategy",
    "judge",
    "judge_names",
    "read_report",
    "register_strategy",
    "register_target",
    "render_markdown",
    "render_terminal",
    "scan",
    "seal_report",
    "strategies",
    "strategy",
    "targets",
    "unregister_target",
]
