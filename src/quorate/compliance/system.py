"""The AI system that evidence speaks of: what it is, who answers for it, what applies to it."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)

from quorate.compliance import bounds
from quorate.compliance.wording import names_something, told
from quorate.core import limits
from quorate.core.errors import UsageError

Role = Literal["provider", "deployer", "both"]
Category = Literal["annex_iii", "annex_i", "both", "undeclared"]

Name = Annotated[
    str,
    StringConstraints(min_length=1, max_length=limits.MAX_ID_LENGTH, pattern=r"[^\s]"),
    AfterValidator(names_something),
]


class System(BaseModel):
    """One version of an AI system.

    Attributes:
        name: of the system; the scope of evidence has to name the same.
        version: likewise.
        role: whose obligations are asked about: the provider's, the deployer's, or both.
        category: how it is high-risk: by Annex III, by product law of Annex I, both, or not
            said.
        conditions: what is declared of it, such as ``{"trains_models": False}``. What is not
            declared is taken to hold, so that nothing is left out by silence.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    name: Name
    version: Name
    role: Role = "provider"
    category: Category = "undeclared"
    conditions: dict[Name, bool] = Field(default_factory=dict, max_length=bounds.MAX_CONDITIONS)

    @classmethod
    def read(cls, members: Any) -> System:
        """Read a system from JSON.

        Raises:
            UsageError: another shape; the message says what is wrong.
        """
        if isinstance(members, cls):
            return members
        try:
            return cls.model_validate(members)
        except ValidationError as error:
            raise UsageError(
                f"the system: {told(error)}; a system is written "
                '{"name": "triage", "version": "2.1.0", "role": "provider", '
                '"category": "annex_iii", "conditions": {"trains_models": false}}'
            ) from error

    def to_dict(self) -> dict[str, Any]:
        """As JSON; :meth:`read` reads it back."""
        return self.model_dump(mode="json")


UNDECLARED: Final = System(name="undeclared", version="undeclared")
"""Stands where nobody said which system is evaluated; no evidence is of its scope."""
