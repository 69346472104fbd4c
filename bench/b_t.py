"""Accuracy of a trained zoo's networks, in the form of docs/measurements/b_t.csv.

    python bench/b_t.py docs/measurements/b_t.csv --zoo results/novelty/zoos/mnist.h5

Rows of the zoo's name are replaced, all others stay. In %, mean and standard deviation
(ddof 0, as published) over all networks and over those of the test split.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import tyro

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow" / "scripts"))

from hyperreps.files.storage import opened

SHORT = 7  # digits of a commit


def main(
    output: tyro.conf.Positional[Path],
    *,
    zoo: Path,
    epochs: tuple[int, ...] = (1, 25),
) -> None:
    """Replaces the rows of a zoo.

    Args:
        output: CSV file that has the rows of other zoos.
        zoo: zoos/{zoo}.h5.
        epochs: That are shown; the published ones are 1, 25 and 50.
    """
    with opened(zoo, kind="zoo") as file:
        name, commit = file.attrs["zoo"], file.attrs["git_commit"][:SHORT]
        accuracy, split = file["accuracy/test"][()], file["split"].asstr()[()]
    rows = []
    for part, chosen in (("all", split != ""), ("test", split == "test")):
        for epoch in epochs:
            values = 100 * accuracy[chosen, epoch].astype(np.float64)
            values = values[np.isfinite(values)]
            rows.append((name, part, epoch, len(values), values.mean(), values.std()))
    table = pd.DataFrame(rows, columns=["zoo", "networks", "epoch", "n", "mean", "std"])
    table = table.round(2).assign(commit=commit)
    old = pd.read_csv(output)
    pd.concat([old[old["zoo"] != name], table]).to_csv(output, index=False)
    print(table.to_string(index=False))


if __name__ == "__main__":
    tyro.cli(main)
