"""The estimate of what a configuration takes, and what the jobs of a run took.

    python bench/costs.py
    python bench/costs.py --config config/demo.yaml --logs logs/demo

One line per rule, zoo and method. Measured is the CPU time in the last line of each
job's log; jobs that have not all ended, or work on images of unknown number, are left
out.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import pandas as pd
import tyro

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow" / "scripts"))

from hyperreps.config.config_files import read_over_shipped
from hyperreps.config.configuration import Settings, load_settings
from hyperreps.config.costs import Jobs, Speeds, Work
from hyperreps.config.measured_costs import seconds_of_ended

ROOT = Path(__file__).parents[1]
MEASUREMENTS = ROOT / "docs" / "measurements"


def measured(logs: Path, jobs: Jobs) -> float:
    """Returns the CPU seconds of some jobs; NaN if not all have ended."""
    found = seconds_of_ended(logs, jobs)
    return sum(found) if len(found) == jobs.number else math.nan


def compared(settings: Settings, logs: Path | None) -> pd.DataFrame:
    """Returns a line for the jobs of each rule, zoo and method."""
    rows = []
    for jobs in Work(settings, Speeds(MEASUREMENTS)).jobs():
        *zoos, name = jobs.names if len(jobs.names) > 1 else (*jobs.names, "")
        row = {
            "rule": jobs.rule,
            "zoo": "-".join(zoos),
            "name": name,
            "jobs": jobs.number,
            "core_hours": jobs.seconds / 3600,
        }
        if logs:
            row["measured_core_hours"] = measured(logs, jobs) / 3600
        rows.append(row)
    return pd.DataFrame(rows)


def main(
    config: tuple[Path, ...] = (), logs: Path | None = None, output: Path | None = None
) -> None:
    """Prints the sums of each rule.

    Args:
        config: Overlays of config/config.yaml, in their order; none: the paper's run.
        logs: Folder of a finished run's logs, such as logs/demo; none: no comparison.
        output: CSV file to write, a line for each rule, zoo and method.
    """
    settings = load_settings(read_over_shipped(ROOT / "config", *config))
    table = compared(settings, logs).dropna()
    sums = table.groupby("rule", sort=False).sum(numeric_only=True)
    sums.loc["sum"] = sums.sum()
    if logs:
        sums["ratio"] = sums["core_hours"] / sums["measured_core_hours"]
    print(sums.to_string(float_format="{:.4g}".format))
    if output:
        output.parent.mkdir(parents=True, exist_ok=True)
        table.to_csv(output, index=False, float_format="%.6g")


if __name__ == "__main__":
    tyro.cli(main)
