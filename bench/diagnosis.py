"""The figures of docs/diagnose.md: what a setting does to R2 and to accuracy.

    python bench/diagnosis.py

draws docs/measurements/diagnose_*.png from ablation.csv and diagnose.csv there, tables
ablation of config/ablation.yaml and config/diagnose.yaml; with --check it says which
are not of the numbers that the tables have now. A variant that is added to a table is
in the figures of what it changes.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import matplotlib.style
import pandas as pd
import tyro
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow" / "scripts"))

from hyperreps.config.config_files import read_over_shipped
from hyperreps.config.configuration import load_settings
from hyperreps.files.storage import replacing
from hyperreps.results.drawing import percent, style
from hyperreps.results.figures.ablation import LINES
from hyperreps.settings.sections import Figures
from hyperreps.settings.stages import HyperRep

ROOT = Path(__file__).parents[1]
MEASURED = ROOT / "docs" / "measurements"
NAME, ACCURACY = "diagnose_{}.png", "accuracy"
LOOK = Figures()
HEIGHT = 2.5  # inches


class Study(NamedTuple):
    """A table of variants.

    Attributes:
        file: Of the table.
        configs: What it was made by, below config/.
    """

    file: str
    configs: tuple[str, ...]


MNIST = Study("ablation.csv", ("ablation.yaml",))
DIGITS = Study("diagnose.csv", ("demo.yaml", "diagnose.yaml"))


class Curve(NamedTuple):
    """What a setting does.

    Attributes:
        study: Where it was varied.
        keys: Settings that may differ from the first variant's.
        shown: The one that is on the axis.
        label: Of the axis.
    """

    study: Study
    keys: frozenset[str]
    shown: str
    label: str


PERMUTED = frozenset({"permutation", "permutations"})
CURVES = {
    "permutations": Curve(MNIST, PERMUTED, "permutations", "permutations shown"),
    "alignment": Curve(
        MNIST, frozenset({"alignment", "permutation"}), "alignment", "networks"
    ),
    "latent": Curve(MNIST, frozenset({"latent"}), "latent", "size of the latent"),
    "steps": Curve(MNIST, frozenset({"epochs"}), "epochs", "epochs"),
    "learning_rate": Curve(
        DIGITS, frozenset({"learning_rate"}), "learning_rate", "largest step size"
    ),
    "width": Curve(
        DIGITS, frozenset({"width", "feedforward"}), "width", "width of a token"
    ),
}
# what networks are shown in, from left to right
COORDINATES = ("permuted", "as trained", "aligned")
SHOWN = "r2_shown"  # differs from r2_training where permutations are fixed


def measured(study: Study) -> pd.DataFrame:
    """Returns a table: a row per variant, quantities as columns, and what differs."""
    table = pd.read_csv(MEASURED / study.file, keep_default_na=False)
    table["mean"] = pd.to_numeric(table["mean"], errors="coerce")
    means = table.pivot_table(index="variant", columns="quantity", values="mean")
    changed = table.drop_duplicates("variant").set_index("variant")["changed"]
    return means.join(changed).loc[changed.index]


def settings_of(study: Study) -> dict[str, HyperRep]:
    """Returns the settings of each variant of a study."""
    files = [ROOT / "config" / name for name in study.configs]
    settings = load_settings(read_over_shipped(ROOT / "config", *files))
    (zoo,) = settings.ablation.zoos
    names = settings.ablation.variants
    return {name: settings.variant(name, zoo=zoo) for name in names}


def value(settings: HyperRep, key: str) -> float | str:
    """Returns the place of a variant on the axis of a setting."""
    if key == "permutations":
        return str(settings.permutations) if settings.permutation else "none"
    if key == "alignment":
        aligned = settings.alignment != "none"
        return COORDINATES[2 if aligned else not settings.permutation]
    return float(getattr(settings, key))


def rank(place: float | str) -> float:
    """Returns where on an axis a place is: none first, all last."""
    if place in COORDINATES:
        return COORDINATES.index(str(place))
    return float({"none": 0, "all": "inf"}.get(str(place), place))


def points(curve: Curve) -> pd.DataFrame:
    """Returns what was measured along a setting, by its values, in their order."""
    table, known = measured(curve.study), settings_of(curve.study)
    table = table[[not set(keys.split()) - curve.keys for keys in table["changed"]]]
    table.index = [value(known[name], curve.shown) for name in table.index]
    return table.loc[sorted(table.index, key=rank)]


def draw_curve(curve: Curve) -> Figure:
    """Draws R2 and accuracy along a setting; values are spaced evenly."""
    data = points(curve)
    figure = Figure(figsize=(LOOK.text_width, HEIGHT))
    places = [p if isinstance(p, str) else _short(p) for p in data.index]
    look = "" if curve.shown == "alignment" else "-"
    for axes, (measure, lines) in zip(
        figure.subplots(1, 2), LINES.items(), strict=True
    ):
        for quantity, (label, colour) in lines.items():
            if quantity == SHOWN and curve.shown != "permutations":
                continue
            axes.plot(
                places, data[quantity], marker=".", ls=look, c=colour, label=label
            )
        axes.set_xlabel(curve.label)
        axes.margins(x=0.1)
        finish(axes, measure)
    explain(figure)
    return figure


def draw_accuracy() -> Figure:
    """Draws accuracy over R2 of all variants: reconstructions, and samples."""
    figure = Figure(figsize=(LOOK.text_width, HEIGHT))
    studies = {"MNIST": MNIST, "digits": DIGITS}
    for axes, (zoo, study) in zip(figure.subplots(1, 2), studies.items(), strict=True):
        data = measured(study)
        for quantity, (label, colour) in LINES["test accuracy"].items():
            r_squared = "r2_training" if "training" in quantity else "r2_held_out"
            axes.scatter(data[r_squared], data[quantity], s=9, c=colour, label=label)
        axes.set_title(zoo, loc="left")
        axes.set_xlabel("R² of training, else of held-out networks")
        axes.set_xlim(lowest(axes.get_xlim()[0]), 1)
        finish(axes, "test accuracy")
    explain(figure)
    return figure


def finish(axes: Axes, measure: str) -> None:
    """Sets the limits of accuracies and of R2."""
    axes.set_ylabel(measure)
    axes.set_ylim(lowest(axes.get_ylim()[0]), 1)
    if measure == "test accuracy":
        percent(axes.yaxis)


def _short(number: float) -> str:
    return f"{number:g}" if number >= 0.001 else f"{number:.0e}".replace("e-0", "e-")


def lowest(value: float) -> float:
    """Returns where an axis begins; an R2 far below 0 would hide all others."""
    return min(0, max(value, -0.2))


def explain(figure: Figure) -> None:
    """Puts one legend below all panels."""
    found = [axes.get_legend_handles_labels() for axes in figure.axes]
    names = {
        name: handle
        for handles, labels in found
        for handle, name in zip(handles, labels, strict=True)
    }
    columns = 4 if len(names) == 4 else 3
    figure.legend(
        names.values(), names.keys(), loc="outside lower center", ncols=columns
    )


def figures() -> Iterator[tuple[str, Figure]]:
    """Yields the name of each figure and the figure."""
    yield ACCURACY, draw_accuracy()
    for name, curve in CURVES.items():
        yield name, draw_curve(curve)


def digest() -> str:
    """Returns what stands in each figure for the numbers that it was drawn from."""
    contents = [(MEASURED / study.file).read_bytes() for study in (MNIST, DIGITS)]
    return hashlib.sha256(b"".join(contents)).hexdigest()


def main(*, check: bool = False) -> None:
    """Draws them, or compares.

    Args:
        check: Only fail if a figure is not of the numbers that there are.
    """
    if check:
        paths = [MEASURED / NAME.format(name) for name in (ACCURACY, *CURVES)]
        stale = [path.name for path in paths if drawn_from(path) != digest()]
        if stale:
            sys.exit(f"error: {', '.join(stale)}: not of their CSV; run make numbers")
        return
    with matplotlib.style.context(style(LOOK)):
        for name, figure in figures():
            with replacing(MEASURED / NAME.format(name)) as temporary:
                about = {"Software": None, "Source": digest()}
                figure.savefig(temporary, format="png", metadata=about)


def drawn_from(path: Path) -> str | None:
    """Returns the digest in a figure; None without one."""
    if not path.exists():
        return None
    with Image.open(path) as image:
        return image.info.get("Source")


if __name__ == "__main__":
    tyro.cli(main)
