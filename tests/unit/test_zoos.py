from dataclasses import replace

import numpy as np
import pytest

from hyperreps.files.storage import DataFileError, write_arrays
from hyperreps.representation.latents import pool_points
from hyperreps.representation.probes import targets
from hyperreps.sampling.networks import draw_networks, in_architecture
from hyperreps.settings.stages import Method, Recipe, Zoo
from hyperreps.zoo.zoos import (
    DIVERGED,
    ZooData,
    assign_splits,
    complete_seeds,
    epoch_columns,
    read_zoo,
    select,
    select_for,
)

RECIPE = Recipe(
    initialization="uniform",
    activation="tanh",
    learning_rate=0.1,
    batch_size=1,
    epochs=5,
)


@pytest.fixture
def zoo(cnn) -> ZooData:
    """20 models at epochs 3..5; the weights say which model and epoch they are."""
    weights = np.zeros((20, 3, cnn.parameters), np.float32)
    weights += (np.arange(20)[:, None, None] + 1) / 100 + np.arange(3)[:, None] / 1000
    rng = np.random.default_rng(0)
    return ZooData(
        name="toy",
        weights=weights,
        epochs=np.array([3, 4, 5]),
        accuracy={
            split: rng.permutation(60).reshape(20, 3) / 60
            for split in ("train", "val", "test")
        },
        seed=np.arange(20),
        split=assign_splits(range(20), fractions=(0.7, 0.15, 0.15)),
        architecture=cnn,
        settings=Zoo(dataset="d", models=20, window=(3, 5), recipe=RECIPE),
    )


def test_splits_follow_the_seed_and_not_the_order():
    names = assign_splits(range(1, 101), fractions=(0.7, 0.15, 0.15))
    counts = {part: int((names == part).sum()) for part in ("train", "val", "test")}
    assert counts == {"train": 70, "val": 15, "test": 15}
    backwards = assign_splits(range(100, 0, -1), fractions=(0.7, 0.15, 0.15))
    assert (backwards[::-1] == names).all()


def test_only_the_test_split_is_trained_beyond_the_window():
    recipe = RECIPE.model_copy(update={"epochs": 9})
    settings = Zoo(
        dataset="d", models=20, first_seed=7, window=(3, 5), keep=(0, 4), recipe=recipe
    )
    split = assign_splits(range(7, 27), fractions=settings.split)
    test = [7 + int(row) for row in np.flatnonzero(split == "test")]
    assert complete_seeds(settings, first=7, last=26) == test
    assert complete_seeds(settings, first=test[1], last=test[-2]) == test[1:-1]
    assert settings.last_epoch == 5
    assert settings.kept_epochs == (0, 3, 4, 5)
    whole = settings.model_copy(update={"complete": True})
    assert (complete_seeds(whole, first=7, last=26), whole.last_epoch) == ([], 9)


def test_each_split_has_a_model():
    assert set(assign_splits([1, 2, 3], fractions=(1.0, 0.0, 0.0))) == {
        "train",
        "val",
        "test",
    }


@pytest.mark.parametrize("on", ["val", "test"])
def test_top_fraction_is_the_best_by_the_chosen_accuracy(zoo, on):
    pool = select(zoo, split="train", top=0.3, select_on=on)
    train = np.flatnonzero(zoo.split == "train")
    accuracy = zoo.accuracy[on]
    chosen = accuracy[pool.model, pool.epoch - 3]
    assert len(pool.weights) == pytest.approx(0.3 * 3 * len(train), abs=1)
    everything = np.sort(accuracy[train].ravel())
    np.testing.assert_array_equal(np.sort(chosen), everything[-len(chosen) :])
    np.testing.assert_allclose(
        pool.weights[:, 0], (pool.model + 1) / 100 + (pool.epoch - 3) / 1000, rtol=1e-5
    )


def test_bottom_fraction_is_the_worst(zoo):
    pool = select(zoo, split="train", bottom=0.3)
    train = np.flatnonzero(zoo.split == "train")
    chosen = zoo.accuracy["val"][pool.model, pool.epoch - 3]
    assert len(chosen) == pytest.approx(0.3 * 3 * len(train), abs=1)
    everything = np.sort(zoo.accuracy["val"][train].ravel())
    np.testing.assert_array_equal(np.sort(chosen), everything[: len(chosen)])
    method = Method(sampler="kde", bottom=0.3)
    same = select_for(zoo, method, weight_threshold=np.inf)
    np.testing.assert_array_equal(same.weights, pool.weights)


def test_a_pool_of_last_epochs_holds_no_other(zoo):
    pool = select(zoo, split="test", epochs="last")
    assert set(pool.epoch) == {5}
    assert set(pool.model) == set(np.flatnonzero(zoo.split == "test"))


def test_large_and_broken_networks_are_left_out(zoo):
    train = np.flatnonzero(zoo.split == "train")
    zoo.weights[train[0], 1, 7] = np.nan
    zoo.weights[train[1], :, 3] = -9
    pool = select(zoo, split="train", weight_threshold=5.0)
    assert len(pool.weights) == 3 * len(train) - 4
    assert train[1] not in pool.model
    with pytest.raises(ValueError, match=r"no network of split 'train'.*1e-09"):
        select(zoo, split="train", weight_threshold=1e-9)


def test_what_a_zoo_varies_is_probed(zoo):
    """Categories by their name, numbers as numbers, in the order of the pool."""
    variations = {"activation": ("tanh", "relu"), "learning_rate": (0.1, 0.2)}
    varied = replace(
        zoo,
        seed=np.arange(1, 21),
        settings=zoo.settings.model_copy(update={"variations": variations}),
    )
    pool = select(varied, split="test")
    found = targets(varied, pool)
    assert list(found) == ["accuracy", "epoch", "gap", "activation", "learning_rate"]
    assert (found["activation"].kind, found["learning_rate"].kind) == (
        "category",
        "number",
    )
    # four blocks of five models
    block = pool.model // 5
    assert found["activation"].values.tolist() == [
        ("tanh", "relu")[b // 2] for b in block
    ]
    assert found["learning_rate"].values.tolist() == [(0.1, 0.2)[b % 2] for b in block]
    assert list(targets(zoo, pool)) == ["accuracy", "epoch", "gap"]


@pytest.mark.parametrize(
    ("wanted", "columns"), [([21, 25], [0, 2]), ([25, 21, 25], [2, 0, 2]), ([], [])]
)
def test_an_epoch_is_not_its_column(wanted, columns):
    assert epoch_columns("zoo", [21, 24, 25], wanted=wanted) == columns


def test_missing_epochs_are_named_with_the_file():
    message = "a.h5: no epoch 0, 23; wanted are 0, 21, 23, there are 21, 22, 24..26"
    with pytest.raises(DataFileError, match=f"^{message}$"):
        epoch_columns("a.h5", [21, 22, 24, 25, 26], wanted=[0, 21, 23])


@pytest.mark.parametrize("recorded", [[0, 1, 2, 3], [3, 5, 6, 7], [4, 5, 6, 7]])
def test_a_window_that_the_file_does_not_hold_is_an_error(zoo, recorded, tmp_path):
    """Where an epoch is missing, others were taken for the window's."""
    path = tmp_path / "zoo.h5"
    weights = np.repeat(zoo.weights, 2, axis=1)[:, :4]
    accuracy = {f"accuracy/{part}": np.zeros((20, 4)) for part in zoo.accuracy}
    write_arrays(
        path,
        {
            "weights": weights,
            "epochs": recorded,
            "seed": zoo.seed,
            "split": zoo.split,
            **accuracy,
        },
        attributes={
            "kind": "zoo",
            "zoo": zoo.name,
            "settings": zoo.settings.model_dump(),
            "architecture": "cnn",
            "channels": 1,
        },
    )
    with pytest.raises(DataFileError, match=r"zoo\.h5: no epoch .*wanted are 3\.\.5"):
        read_zoo(path)


def test_weight_space_draws_from_the_pool_of_latent_space(zoo):
    """Networks above the threshold are in neither."""
    train = np.flatnonzero(zoo.split == "train")
    zoo.weights[train[1], :, 3] = -9
    method = Method(sampler="kde")
    pool, points = pool_points(zoo, method, None, weight_threshold=5.0)
    assert train[1] not in pool.model
    assert len(pool.model) == 3 * (len(train) - 1)
    np.testing.assert_array_equal(points, pool.weights)


def test_diverged_models_are_in_no_pool(zoo):
    split = zoo.split.copy()
    lost = int(np.flatnonzero(split == "train")[0])
    split[lost] = DIVERGED
    pool = select(replace(zoo, split=split.astype(str)), split="train")
    assert lost not in pool.model
    assert len(pool.model) == 3 * ((zoo.split == "train").sum() - 1)


@pytest.fixture
def untouched(zoo) -> Method:
    """The zoo's own networks, as a method."""
    return Method(sampler="identity", epochs="last", samples=4)


def test_networks_drawn_in_weight_space_say_where_they_are_from(zoo, untouched):
    drawn = draw_networks(zoo, untouched, [], seeds=(0, "toy", "B_F"))
    np.testing.assert_array_equal(
        drawn["weights"], zoo.weights[drawn["source_model"], -1]
    )
    assert set(drawn["source_epoch"]) == {5}
    assert set(drawn["hyper_rep_seed"]) == {-1}
    again = draw_networks(zoo, untouched, [], seeds=(1, "toy", "B_F"))
    assert not np.array_equal(drawn["source_model"], again["source_model"])


def test_random_layers_depend_on_the_samples_number_only(zoo, untouched):
    weights = zoo.weights[:4, -1]
    assert in_architecture(weights, zoo, untouched) == (zoo.architecture, weights)
    other = untouched.model_copy(
        update={"architecture": "cnn_4conv", "transplant": "none"}
    )
    network, moved = in_architecture(weights, zoo, other)
    assert network.name == "cnn_4conv"
    assert len(np.unique(moved, axis=0)) == len(moved) == 4
    _, fewer = in_architecture(weights[1:3], zoo, other)
    np.testing.assert_array_equal(fewer, moved[:2])
