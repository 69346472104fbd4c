"""All runs that are kept, beside each other: history.csv, and README.md as a page."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import pandas as pd

from ..representation.curves import R2_HELD_OUT
from .accuracies import BASELINE, display_name
from .kept import Kept
from .layout import PAGES

# the methods shown, as the release draws their samples
NORMALISED, PLAIN = "S_KDE30_released", "B_KDE30_released"
# and the variant whose R2 is
VARIANT = "normalized"
# columns that are read of each CSV
READ = {
    "tables/in_distribution": ["target", "method", "epoch", "mean"],
    "tables/published": ["target", "outside"],
    "autoencoders": ["zoo", "variant", "seed", R2_HELD_OUT],
}
COLUMNS = [
    *("run", "date", "commit", "core_hours", "zoo", "r2", "b_t", "s", "s_last", "b"),
    *("b_last", "epochs", "inside", "compared"),
]


def texts(runs: Sequence[Kept]) -> dict[str, str]:
    """Returns the files beside the runs by their names."""
    found = history(runs)
    notes = [(run.folder.name, run.about["note"]) for run in runs]
    rows = [row._replace(zoo=display_name(row.zoo)) for row in found.itertuples()]
    page = PAGES.get_template("history.md").render(rows=rows, notes=notes)
    return {"history.csv": found.to_csv(index=False), "README.md": page.rstrip() + "\n"}


def history(runs: Sequence[Kept]) -> pd.DataFrame:
    """Returns the key numbers of every run.

    Returns:
        One row per run and zoo: run, date (of its last job), commit, core_hours (CPU
        time of the whole run), zoo; r2 of held-out networks by variant "normalized",
        in units of the layers, after its last epoch, mean over seeds;
        mean accuracies in [0, 1]: b_t of B_T after all epochs, s of S_KDE30_released
        and b of B_KDE30_released as sampled, s_last and b_last finetuned for `epochs`,
        NaN where that is 0;
        of all comparisons with published numbers of this zoo, in how many our interval
        holds the number (inside), and how many there are (compared).
    """
    rows = [row for run in runs for row in _rows(run)]
    return pd.DataFrame(rows, columns=COLUMNS)


def _rows(run: Kept) -> Iterator[tuple[Any, ...]]:
    """Yields a row per zoo of a run."""
    about = (
        *(run.folder.name, run.about["last_job_done"].partition(" ")[0]),
        *(run.about["commit"][:7], run.about["core_hours"]),
    )
    accuracies = _table(run, "tables/in_distribution")
    said = _table(run, "tables/published")
    for zoo, part in accuracies.groupby("target", sort=False):
        means = part.set_index(["method", "epoch"])["mean"]
        last = part.groupby("method")["epoch"].max()
        shared = last[last.index.isin([NORMALISED, PLAIN])]
        epochs = int(min(shared, default=0))
        # before a first epoch nothing is finetuned or trained
        tuned = means[means.index.get_level_values("epoch") > 0]
        shown = [
            known.get((method, epoch), math.nan)
            for method in (NORMALISED, PLAIN)
            for known, epoch in ((means, 0), (tuned, epochs))
        ]
        trained = tuned.get((BASELINE, last.get(BASELINE)), math.nan)
        outside = said.loc[said["target"] == zoo, "outside"]
        counts = int((outside == 0).sum()), len(outside)
        yield *about, zoo, _held_out(run, zoo), trained, *shown, epochs, *counts


def _held_out(run: Kept, zoo: Hashable) -> float:
    """Returns the last R2 of held-out networks, NaN if there is no autoencoder."""
    found = _table(run, "autoencoders")
    found = found[(found["zoo"] == zoo) & (found["variant"] == VARIANT)]
    return found.groupby("seed")[R2_HELD_OUT].last().mean()


def _table(run: Kept, name: str) -> pd.DataFrame:
    """Returns a CSV of a run, without rows if the run has none."""
    path = run.folder / f"{name}.csv"
    return pd.read_csv(path) if path.exists() else pd.DataFrame(columns=READ[name])
