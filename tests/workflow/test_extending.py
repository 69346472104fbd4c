"""docs/extending.md: a dataset and an architecture, without touching a rule."""

from __future__ import annotations

import numpy as np

from .project import RESULTS, Project, arrays

NEW_ARCHITECTURE = '''

def perceptron(channels: int) -> Architecture:
    """One hidden layer."""
    layers = (Linear(6), Activation(), Linear(CLASSES))
    return Architecture("perceptron", channels, layers)


ARCHITECTURES["perceptron"] = perceptron
'''
PARAMETERS = 6 * (3 * 28 * 28 + 1) + 10 * (6 + 1)


def test_a_dataset_and_an_architecture_need_no_rule(sources: Project) -> None:
    """Networks of a new kind on new images, from their training to the table."""
    rng = np.random.default_rng(0)
    folder = sources.root / "data"
    folder.mkdir()
    np.savez(
        folder / "stripes.npz",
        x_train=rng.integers(0, 255, (40, 30, 30, 3), dtype=np.uint8),
        y_train=rng.integers(0, 10, 40, dtype=np.uint8),
        x_test=rng.integers(0, 255, (20, 30, 30, 3), dtype=np.uint8),
        y_test=rng.integers(0, 10, 20, dtype=np.uint8),
    )
    path = sources.module("networks/architectures")
    text = path.read_text(encoding="utf-8")
    path.write_text(text + NEW_ARCHITECTURE, encoding="utf-8")
    overlay = {
        "datasets": {
            "stripes": {"source": "npz", "path": "stripes.npz", "validation": 10}
        },
        "zoos": {
            "stripes": {
                "dataset": "stripes",
                "architecture": "perceptron",
                "models": 6,
                "window": [1, 2],
                "recipe": {
                    "initialization": "kaiming_uniform",
                    "activation": "relu",
                    "learning_rate": 0.01,
                    "batch_size": 8,
                    "epochs": 2,
                },
            }
        },
        "in_distribution": {
            "zoos": ["stripes"],
            "methods": ["S_KDE30"],
            "references": ["mean_top30"],
        },
        **{name: {"zoos": []} for name in ("samplers", "architectures", "novelty")},
        "transfer": {"pairs": []},
    }
    done = sources.smoke("table_in_distribution", "--cores", "all", overlay=overlay)
    assert done.code == 0, done.output
    zoo, about = arrays(sources.root / RESULTS / "zoos" / "stripes.h5")
    assert zoo["weights"].shape == (6, 3, PARAMETERS)
    assert (about["architecture"], about["channels"]) == ("perceptron", 3)
    table = sources.root / RESULTS / "tables" / "in_distribution.csv"
    methods = [row.split(",")[2] for row in table.read_text("utf-8").splitlines()[1:]]
    assert set(methods) == {"B_T", "S_KDE30", "mean_top30"}
