"""Executors: who carries out what a council has approved, at most once."""

from __future__ import annotations

from quorate.council.executors.check import check_order
from quorate.council.executors.declared import DeclaredExecutor, declaration_digest
from quorate.council.executors.order import Executor, NotExecutedError, Order, Report
from quorate.council.executors.process import CommandExecutor
from quorate.council.executors.python import PythonExecutor
from quorate.council.executors.run import Executors, Result
from quorate.council.executors.tool import MCPExecutor
from quorate.council.executors.web import WebhookExecutor

__all__ = [
    "CommandExecutor",
    "DeclaredExecutor",
    "Executor",
    "Executors",
    "MCPExecutor",
    "NotExecutedError",
    "Order",
    "PythonExecutor",
    "Report",
    "Result",
    "WebhookExecutor",
    "check_order",
    "declaration_digest",
]
