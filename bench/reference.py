"""The table in_distribution of a reference run, again from its networks' accuracies.

    python bench/reference.py docs/measurements/reference

FOLDER/accuracies.csv has a row per network: zoo, method, group (of networks that share
their luck, as results/accuracies.py has it) and the test accuracy after some epochs, in
columns epoch_E; empty where a network was not trained so long. Written is
FOLDER/in_distribution.csv, as the workflow writes that table.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import tyro

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow" / "scripts"))

from hyperreps.config.config_files import read_over_shipped
from hyperreps.config.configuration import load_settings
from hyperreps.numbers.statistics import summarise
from hyperreps.results.accuracies import BASELINE
from hyperreps.results.published import load_published
from hyperreps.results.tables.accuracies import text_table

CONFIG = Path(__file__).parents[1] / "config"
EPOCH = "epoch_"


def networks(path: Path) -> pd.DataFrame:
    """Returns the accuracy of every network, in the form of collect()."""
    methods = load_settings(read_over_shipped(CONFIG)).methods
    known = {name: method.published or name for name, method in methods.items()}
    trivial = {name: not method.hyper_rep for name, method in methods.items()}
    wide = pd.read_csv(path)
    columns = [name for name in wide if name.startswith(EPOCH)]
    table = wide.melt(
        ["zoo", "method", "group"], columns, "epoch", "accuracy", ignore_index=False
    ).dropna(subset="accuracy")
    return table.assign(
        source=table["zoo"],
        target=table["zoo"],
        sample=table.index,
        epoch=table["epoch"].str.removeprefix(EPOCH).astype(int),
        published=table["method"].map(known | {BASELINE: BASELINE}),
        trivial=table["method"].map(trivial | {BASELINE: False}),
        reference=False,
    )


def main(folder: tyro.conf.Positional[Path]) -> None:
    """Writes and prints the table.

    Args:
        folder: Of the reference run.
    """
    found = networks(folder / "accuracies.csv")
    table = summarise(
        found,
        epochs=sorted(set(found["epoch"])),
        published=load_published(CONFIG / "published.yaml"),
        statistics=load_settings(read_over_shipped(CONFIG)).statistics,
    )
    table.to_csv(folder / "in_distribution.csv", index=False)
    print(text_table(table))


if __name__ == "__main__":
    tyro.cli(main)
