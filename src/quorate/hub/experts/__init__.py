"""What an expert is, what it answers with, and the adapters to experts elsewhere.

An adapter's module is imported by who uses it: some need packages of an extra.
"""

from quorate.hub.experts.adapter import Adapter
from quorate.hub.experts.answer import Answer, BareAnswer, answer_from_json, answer_to_json
from quorate.hub.experts.expert import Expert

__all__ = ["Adapter", "Answer", "BareAnswer", "Expert", "answer_from_json", "answer_to_json"]
