"""Train, represent, sample and judge populations of small neural networks.

What other projects may rely on is listed in __init__.pyi. A name is imported when it is
first asked for, so `import hyperreps` alone takes no time. Four networks, a
hyper-representation of them, and the accuracy of three samples:

    from pathlib import Path
    import numpy as np
    import torch
    import hyperreps as hr

    images = hr.read_images(Path("digits.h5")).on(torch.device("cpu"))
    cnn, seeds = hr.build("cnn", channels=1), range(4)
    recipe = hr.Recipe(initialization="kaiming_uniform", activation="tanh",
                       learning_rate=0.001, batch_size=32, epochs=2)
    start = hr.initial_weights(cnn, initialization="kaiming_uniform", seeds=seeds)
    zoo = hr.PopulationTraining(start, cnn, images=images, seeds=seeds,
                                recipe=recipe, record=[2])
    zoo.run_epoch(), zoo.run_epoch()
    small = hr.HyperRep(width=16, heads=2, latent=8)
    learning = hr.Pretraining(zoo.weights, zoo.weights, cnn, settings=small, seed=1)
    learning.run_epoch()
    latents = learning.model.map("encode", zoo.weights).numpy()
    drawn = hr.draw("kde", latents, count=3, rng=np.random.default_rng(1),
                    options={"bandwidth": 0.1})
    samples = learning.model.map("decode", torch.from_numpy(drawn.points))
    loss, accuracy = hr.evaluate(cnn, samples, images["test"], activation="tanh")

A zoo of the workflow, or small_zoo(), is audited by auditor_for(zoo, images),
which takes Candidates; docs/library.md has an example that does.
"""

from __future__ import annotations

from typing import Any

__version__ = "0.2.0"


def __getattr__(name: str) -> Any:
    """Imports a name of the public interface."""
    from importlib import import_module

    public = _public()
    if name == "__all__":
        return sorted(public)
    if name not in public:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, original = public[name]
    value = getattr(import_module(module, __name__), original)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_public()})


def _public() -> dict[str, tuple[str, str]]:
    """Returns the module and the name there of each name in __init__.pyi."""
    import ast
    from pathlib import Path

    stub = Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8")
    return {
        alias.asname or alias.name: ("." * node.level + (node.module or ""), alias.name)
        for node in ast.parse(stub).body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
