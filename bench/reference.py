"""Tables of a reference run, again from the accuracy of each of its networks.

    python bench/reference.py docs/measurements/reference

FOLDER/accuracies.csv has a row per network: zoo, method, split (of a zoo's own
networks), group (networks that share a hyper-representation or a source have the same)
and the test accuracy after some epochs. Written is FOLDER/in_distribution.csv: mean,
standard deviation and confidence interval beside the published numbers, all in %.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import tyro

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow" / "scripts"))


from hyperreps.numbers.statistics import grouped_mean, mean_interval
from hyperreps.results.published import load_published

PUBLISHED = Path(__file__).parents[1] / "config" / "published.yaml"
CONFIDENCE = 0.95
EPOCH = "epoch_"


def in_distribution(networks: pd.DataFrame, published: pd.DataFrame) -> pd.DataFrame:
    """Returns a row per zoo, method and epoch."""
    own = networks["method"] == "B_T"
    used = networks[~own | (networks["split"] == "test")]
    columns = [c for c in networks if c.startswith(EPOCH)]
    rows = []
    for (zoo, method), rows_of in used.groupby(["zoo", "method"]):
        for column in columns:
            known = rows_of.dropna(subset=[column])
            if known.empty:
                continue
            values = known[column].to_numpy(np.float64)
            mean = grouped_mean(values, known["group"].to_numpy())
            low, high = mean_interval(mean, confidence=CONFIDENCE)
            rows.append(
                {
                    "zoo": zoo,
                    "method": method,
                    # the released form is what the published numbers are of
                    "published": method.removesuffix("_released"),
                    "epoch": int(column.removeprefix(EPOCH)),
                    "n": len(values),
                    "mean": 100 * mean.value,
                    "std": 100 * values.std(ddof=1),
                    "ci_low": 100 * low,
                    "ci_high": 100 * high,
                }
            )
    names = {"target": "zoo", "method": "published"}
    theirs = {"value": "published_mean", "std": "published_std"}
    table = pd.DataFrame(rows).merge(
        published.rename(columns=names | theirs)[
            [*names.values(), "epoch", *theirs.values()]
        ],
        how="left",
    )
    table[[*theirs.values()]] *= 100
    inside = table["published_mean"].between(table["ci_low"], table["ci_high"])
    table["published_inside"] = inside.where(table["published_mean"].notna())
    return table.drop(columns="published").round(2)


def main(folder: tyro.conf.Positional[Path]) -> None:
    """Writes and prints the table.

    Args:
        folder: Of the reference run.
    """
    networks = pd.read_csv(folder / "accuracies.csv")
    published = load_published(PUBLISHED)
    table = in_distribution(networks, published)
    table.to_csv(folder / "in_distribution.csv", index=False)
    print(table.to_string(index=False))


if __name__ == "__main__":
    tyro.cli(main)
