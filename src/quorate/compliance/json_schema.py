"""JSON Schema of evidence files and of reports; the files in ``data/`` are written from here.

``python -m quorate.compliance.json_schema`` writes them again.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from pydantic.json_schema import models_json_schema

from quorate.compliance.catalogue import load_catalogue
from quorate.compliance.evidence import FORMAT, Evidence
from quorate.compliance.report import ComplianceReport
from quorate.compliance.schemas import FIELD_SCHEMAS, SCHEMAS
from quorate.compliance.system import System

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def evidence_schema() -> dict[str, Any]:
    """Schema of an evidence file: the data of each passed item by its field's own schema."""
    models = [(model, "validation") for model in (System, Evidence, *SCHEMAS.values())]
    refs, together = models_json_schema(models)  # type: ignore[arg-type] # the mode is a literal
    item = dict(refs[(Evidence, "validation")])
    by_schema = {name: _fields_of(name) for name in SCHEMAS}
    typed = [
        {
            "if": {"properties": {"field": {"enum": fields}, "status": {"const": "passed"}}},
            "then": {
                "properties": {
                    "data": refs[(SCHEMAS[name], "validation")],
                    **({"digest": {"type": "string"}} if SCHEMAS[name].DIGEST else {}),
                },
                "required": ["data", *(["digest"] if SCHEMAS[name].DIGEST else [])],
            },
        }
        for name, fields in sorted(by_schema.items())
        if fields
    ]
    return {
        "$schema": DIALECT,
        "title": "Evidence",
        "type": "object",
        "required": ["format", "items"],
        "additionalProperties": False,
        "properties": {
            "format": {"const": FORMAT},
            "system": refs[(System, "validation")],
            "items": {"type": "array", "items": {"allOf": [item, *typed]}},
            "receipts": {"type": "array", "items": {"type": "object"}},
        },
        "$defs": together["$defs"],
    }


def report_schema() -> dict[str, Any]:
    """Schema of a report."""
    return {"$schema": DIALECT, **ComplianceReport.model_json_schema(mode="serialization")}


def _fields_of(schema: str) -> list[str]:
    """Fields and obligations whose evidence has that schema."""
    fields = [name for name, kind in FIELD_SCHEMAS.items() if schema == kind.NAME]
    return fields + [each.id for each in load_catalogue().values() if each.schema == schema]


def written(schema: dict[str, Any]) -> str:
    """A schema as the text of its file."""
    return json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


FILES: Final = {"evidence.schema.json": evidence_schema, "report.schema.json": report_schema}
"""Name of the file in ``data/`` -> what is in it."""


def main() -> None:
    """Write the files of ``data/``."""
    folder = Path(__file__).parent / "data"
    for name, schema in FILES.items():
        (folder / name).write_text(written(schema()), "utf-8")


if __name__ == "__main__":
    main()
