"""A small population, trained in a moment."""

from hyperreps.networks.architectures import build
from hyperreps.networks.initialisation import initial_weights
from hyperreps.settings.stages import Recipe
from hyperreps.zoo.population import PopulationTraining

from .conftest import make_images, on_cpu

RECIPE = Recipe(
    initialization="uniform",
    activation="tanh",
    learning_rate=3e-3,
    batch_size=7,
    epochs=2,
)


ENGINES = ("loop", "grouped", "fused")


def train(
    seeds,
    *,
    recipe=RECIPE,
    channels=1,
    counts=(60, 30, 30),
    engine="grouped",
    last_epochs=None,
    until=None,
    record=None,
):
    network = build("cnn", channels=channels)
    start = initial_weights(network, initialization=recipe.initialization, seeds=seeds)
    training = PopulationTraining(
        start,
        network,
        images=on_cpu(make_images(channels, counts), channels),
        seeds=seeds,
        recipe=recipe,
        record=range(recipe.epochs + 1) if record is None else record,
        last_epochs=last_epochs,
        engine=engine,
    )
    while training.epoch < (recipe.epochs if until is None else until):
        training.run_epoch()
    return training
