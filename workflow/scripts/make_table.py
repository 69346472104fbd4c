"""Makes a table of accuracies with uncertainty, ours beside the published ones.

Writes TABLE.csv (long form, accuracies in [0, 1]) and beside it TABLE.tex and
TABLE.html (in percent), and prints the table.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from hyperreps import tables
from hyperreps.commands import UNPREFIXED, run
from hyperreps.evaluations import Comparison, load_published
from hyperreps.settings import SettingsError
from hyperreps.statistics import summarise
from hyperreps.storage import replacing


def main(
    *,
    compared: Annotated[Comparison, UNPREFIXED],
    published: Path,
    output: Path,
    table: str = "in_distribution",
) -> None:
    """Makes a table of accuracies with uncertainty, ours beside the published ones.

    Args:
        compared: What is shown, and how.
        published: YAML file of the published numbers.
        output: CSV file to write; .tex and .html go beside it.
        table: Table of the YAML file to compare with.
    """
    if output.suffix != ".csv":
        raise SettingsError(f"--output: {output} must end in .csv")
    paper = load_published(published, table=table)
    statistics, seed = compared.statistics, compared.seed
    frame = compared.networks()
    summary = summarise(
        frame,
        epochs=compared.epochs,
        published=paper,
        statistics=statistics,
        seed=seed,
    )
    page = tables.html_page(
        summary,
        frame,
        methods=compared.methods(),
        statistics=statistics,
        seed=seed,
        title=f"Accuracy of sampled networks: {table.replace('_', ' ')}",
    )
    latex = tables.latex_table(summary, statistics=statistics)
    texts = {".html": page, ".tex": latex, ".csv": summary.to_csv(index=False)}
    for suffix, text in texts.items():
        with replacing(output.with_suffix(suffix)) as temporary:
            temporary.write_text(text, encoding="utf-8")
    print(tables.text_table(summary))


if __name__ == "__main__":
    run(main)
