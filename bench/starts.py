r"""Accuracy from scratch by the start: docs/measurements/mnist_starts.csv.

    snakemake zoos --configfile config/starts.yaml
    python bench/starts.py results/starts/zoos/*.h5 \
        --output docs/measurements/mnist_starts.csv

Mean test accuracy of all networks of a zoo that start alike, with the interval from how
networks differ, and the median.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import tyro

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow" / "scripts"))

from hyperreps.files.storage import opened
from hyperreps.numbers.statistics import grouped_mean, mean_interval

SHORT = 7  # digits of a commit


def main(
    zoos: tyro.conf.Positional[tuple[Path, ...]],
    *,
    output: Path,
    epochs: tuple[int, ...] = (1, 5, 25),
) -> None:
    """Writes the table.

    Args:
        zoos: Files zoos/{zoo}.h5 whose networks are trained for all epochs.
        output: CSV file.
        epochs: That are shown.
    """
    rows = []
    for path in zoos:
        with opened(path, kind="zoo") as file:
            accuracy = file["accuracy/test"][()].astype(np.float64)
            about = {
                "zoo": file.attrs["zoo"],
                "architecture": file.attrs["architecture"],
            }
            commit = file.attrs["git_commit"][:SHORT]
            recipe = json.loads(file.attrs["settings"])["recipe"]
            varied = file.get("recipe/initialization")
            starts = (
                np.full(len(accuracy), recipe["initialization"])
                if varied is None
                else varied.asstr()[()]
            )
        for start in dict.fromkeys(starts):
            for epoch in epochs:
                values = accuracy[starts == start, epoch]
                mean = grouped_mean(values, np.arange(len(values)))
                low, high = mean_interval(mean, confidence=0.95)
                rows.append(
                    about
                    | {"initialization": start, "epoch": epoch, "n": len(values)}
                    | {"mean": mean.value, "ci_low": low, "ci_high": high}
                    | {"median": np.median(values), "commit": commit}
                )
    table = pd.DataFrame(rows).round(4)
    table.to_csv(output, index=False)
    print(table.to_string(index=False))


if __name__ == "__main__":
    tyro.cli(main)
