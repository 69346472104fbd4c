"""Makes a table of accuracies with uncertainty, ours beside the published ones.

Writes TABLE.csv (long form, accuracies in [0, 1]) and beside it TABLE.tex and
TABLE.html (in percent), and prints the table.
"""

from __future__ import annotations

from pathlib import Path

from hyperreps import commands, evaluations, tables
from hyperreps.settings import SettingsError, Statistics
from hyperreps.statistics import summarise
from hyperreps.storage import replacing


def main(
    *,
    zoos: tuple[Path, ...],
    published: Path,
    output: Path,
    statistics: Statistics,
    finetuned: tuple[Path, ...] = (),
    samples: tuple[Path, ...] = (),
    references: tuple[Path, ...] = (),
    epochs: tuple[int, ...] = (0, 1, 25, 50),
    seed: int = 0,
    table: str = "in_distribution",
) -> None:
    """Makes a table of accuracies with uncertainty, ours beside the published ones.

    Args:
        zoos: HDF5 files of the zoos.
        published: YAML file of the published numbers.
        output: CSV file to write; .tex and .html go beside it.
        statistics: Of the confidence intervals.
        finetuned: HDF5 files of the finetuned methods, in the order of the config.
        samples: HDF5 files of samples that are compared at epoch 0 only.
        references: HDF5 files of samples that are shown apart, at epoch 0.
        epochs: Finetuning epochs in the table.
        seed: Base seed of the bootstrap.
        table: Table of the YAML file to compare with.
    """
    if output.suffix != ".csv":
        raise SettingsError(f"--output: {output} must end in .csv")
    paper = evaluations.load_published(published, table=table)
    frame = evaluations.collect(zoos, finetuned, samples=samples, references=references)
    summary = summarise(
        frame, epochs=epochs, published=paper, statistics=statistics, seed=seed
    )
    methods = evaluations.read_methods(finetuned, kind="finetuned")
    methods |= evaluations.read_methods([*samples, *references], kind="samples")
    page = tables.html_page(
        summary,
        frame,
        methods=methods,
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
    commands.run(main)
