"""Writes the JSON schema of config.yaml, for editors, from the settings models."""

import json
import sys
from pathlib import Path

import tyro

from hyperreps.config.configuration import Settings

SCHEMA = Path(__file__).parents[1] / "schemas" / "config.schema.json"


def main(*, check: bool = False) -> None:
    """Writes workflow/schemas/config.schema.json.

    Args:
        check: Only fail if the file is not up to date.
    """
    text = json.dumps(Settings.model_json_schema(), indent=2) + "\n"
    if not check:
        SCHEMA.write_text(text, encoding="utf-8")
    elif not SCHEMA.exists() or SCHEMA.read_text(encoding="utf-8") != text:
        sys.exit(f"{SCHEMA} is not up to date; run make format")


if __name__ == "__main__":
    tyro.cli(main)
