import numpy as np
import pytest
import torch

from hyperreps.files.storage import DataFileError
from hyperreps.networks.architectures import build
from hyperreps.networks.initialisation import initial_weights
from hyperreps.sampling.jump import load, neuron_indices, save
from hyperreps.sampling.jump_training import JumpTraining, accuracy_ranks
from hyperreps.settings.stages import Jump, SettingsError
from hyperreps.symmetry.permutations import permutation_index

NETWORK = build("cnn", channels=1)
SMALL = Jump(
    stations=(0, 2),
    width=16,
    heads=2,
    blocks=1,
    feedforward=16,
    batch_size=8,
    epochs=2,
    evaluate_every=1,
    precision="float32",
)


def zoo(count: int, *, move: float = 1.0, seed: int = 0) -> torch.Tensor:
    """Networks that all training moved by the same number, and by a little noise."""
    rng = torch.Generator().manual_seed(seed)
    start = initial_weights(
        NETWORK, initialization="uniform", seeds=range(seed, seed + count)
    )
    end = start + move + 0.01 * torch.randn(start.shape, generator=rng)
    return torch.stack([start, end], 1)


def training(
    weights: torch.Tensor, *, settings: Jump = SMALL, seed: int = 1
) -> JumpTraining:
    accuracy = torch.linspace(0, 1, len(weights))[:, None].repeat(1, weights.shape[1])
    held_out = zoo(4, seed=1000)
    return JumpTraining(
        weights,
        accuracy,
        held_out,
        torch.full(held_out.shape[:2], 0.5),
        NETWORK,
        settings=settings,
        initialization="uniform",
        zoo="toy",
        seed=seed,
    )


def trained(**changes) -> JumpTraining:
    found = training(zoo(16), **changes)
    while found.epoch < found.settings.epochs:
        found.run_epoch()
    return found


def drawn(found: JumpTraining, **options) -> np.ndarray:
    given = {"rank": 0.9, "spread": 1.0, "steps": 3} | options
    return found.result.points(6, rng=np.random.default_rng(3), **given)


@pytest.fixture(scope="module")
def finished() -> JumpTraining:
    return trained()


def test_samples_are_fresh_initialisations_that_moved_as_training_moves(finished):
    seed = int(np.random.default_rng(3).integers(2**62))
    start = finished.result.fresh(6, seeds=("toy", seed)).numpy()
    moved = drawn(finished) - start
    np.testing.assert_allclose(moved.mean(), 1, atol=0.01)
    assert np.abs(start - zoo(16)[:, 0].numpy()[:6]).mean() > 0.2


def test_the_loss_is_the_error_of_the_velocity_computed_by_hand(finished):
    model = finished.model
    start, end = finished.weights[:3, 0], finished.weights[:3, 1]
    time, rank = torch.tensor([0.2, 0.5, 0.9]), torch.tensor([0.1, 0.5, 1.0])
    noise, leg = torch.randn(start.shape), torch.zeros(3, dtype=torch.long)
    found = finished._loss(
        start,
        end,
        leg,
        rank=rank,
        time=time,
        noise=noise,
        weights=finished.masters,
    )
    move = (end - start - model.move_mean[0]) / model.move_std[0]
    state = torch.stack(
        [(1 - t) * n + t * m for t, n, m in zip(time, noise, move, strict=True)]
    )
    reached = start + state * model.move_std[0] + model.move_mean[0]
    views = torch.stack(
        [
            state,
            (start - model.start_mean[0]) / model.start_std[0],
            (reached - model.end_mean[0]) / model.end_std[0],
        ],
        1,
    )
    errors = model.velocity(views, time, rank, leg) - (move - noise)
    torch.testing.assert_close(found, errors.square().mean())


def test_every_weight_concerns_the_neurons_at_both_its_ends():
    seen = np.concatenate([index.numpy().ravel() for index in neuron_indices(NETWORK)])
    times = np.bincount(seen, minlength=NETWORK.parameters)
    for item in NETWORK.weighted:
        # the first layer's inputs are no neurons
        assert (times[item.weight] == (2 if item.inputs_axis else 1)).all()
        assert (times[item.bias] == 1).all()


def test_a_neurons_entries_move_with_it():
    axes = {a: torch.arange(n)[None] for a, n in NETWORK.symmetric_axes.items()}
    axis, order = next(iter(axes.items()))
    swapped = order.clone()
    swapped[0, [0, 1]] = order[0, [1, 0]]
    index = permutation_index(NETWORK, {**axes, axis: swapped})[0]
    entries = neuron_indices(NETWORK)[0]
    assert set(index[entries[0]].tolist()) == set(entries[1].tolist())


def test_a_resumed_training_is_the_uninterrupted_one(finished):
    first = training(zoo(16))
    first.run_epoch()
    second = training(zoo(16))
    second.load_state_dict(first.state_dict())
    second.run_epoch()
    assert (drawn(second) == drawn(finished)).all()
    assert (drawn(trained(seed=2)) != drawn(finished)).any()


def test_a_sample_does_not_depend_on_what_is_drawn_beside_it(finished):
    model = finished.result
    start = model.fresh(5, seeds=("here",))
    options = {"rank": 0.5, "spread": 1.0, "steps": 2}
    one, other = (
        model.jump(start, rng=torch.Generator().manual_seed(1), batch=b, **options)
        for b in (5, 2)
    )
    torch.testing.assert_close(one, other)
    assert (model.fresh(2, seeds=("here",)) == start[:2]).all()


def test_several_jumps_in_a_row_reach_the_last_station():
    weights = zoo(16)
    later = weights[:, 1:] + 2.0
    three = torch.cat([weights, later], 1)
    settings = SMALL.model_copy(update={"stations": (0, 1, 2), "epochs": 2})
    held_out = torch.cat([zoo(4, seed=1000), zoo(4, seed=1000)[:, 1:] + 2.0], 1)
    found = JumpTraining(
        three,
        torch.rand(16, 3),
        held_out,
        torch.rand(4, 3),
        NETWORK,
        settings=settings,
        initialization="uniform",
        zoo="toy",
        seed=1,
    )
    found.run_epoch()
    start = found.result.fresh(4, seeds=("x",))
    end = found.result.jump(
        start, rank=0.5, spread=0.5, steps=2, rng=torch.Generator().manual_seed(0)
    )
    np.testing.assert_allclose((end - start).mean(), 3, atol=0.05)
    alone = found.result.jump(
        start[:1], rank=0.5, spread=0.5, steps=2, rng=torch.Generator().manual_seed(0)
    )
    torch.testing.assert_close(alone, end[:1])


def test_the_average_with_the_smallest_held_out_loss_is_kept():
    found = training(zoo(16))
    found.run_epoch()
    kept = [value.clone() for value in found.best]
    found.least = -1.0  # nothing is better any more
    found.run_epoch()
    for one, other in zip(kept, found.best, strict=True):
        assert (one == other).all()


def test_ranks_are_shares_of_less_accurate_networks():
    among = torch.tensor([[0.1], [0.2], [0.3], [0.4]])
    found = accuracy_ranks(torch.tensor([[0.0], [0.25], [0.4], [0.9]]), among=among)
    assert found[:, 0].tolist() == [0, 0.5, 0.75, 1]


def test_a_file_gives_the_same_jump_back(finished, tmp_path):
    path = tmp_path / "jump.safetensors"
    save(finished.result, path)
    found = load(path, device=torch.device("cpu"))
    assert (found.seed, found.zoo, found.initialization) == (1, "toy", "uniform")
    again = found.points(6, rng=np.random.default_rng(3), rank=0.9, spread=1.0, steps=3)
    assert (again == drawn(finished)).all()
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(DataFileError, match=r"jump\.safetensors: damaged"):
        load(path, device=torch.device("cpu"))


def test_halves_are_disjoint_parts_of_the_train_split():
    train = list(range(10))
    first, last = (
        train[Jump(networks=5, part=part).learned] for part in ("first", "last")
    )
    assert (first, last, train[Jump().learned]) == (train[:5], train[5:], train)


@pytest.mark.parametrize("stations", [(0,), (1, 2), (0, 2, 1), (0, 0)])
def test_stations_begin_at_0_and_rise(stations):
    with pytest.raises(ValueError, match="stations: must be 0 and later epochs"):
        Jump(stations=stations)


def test_too_few_networks_are_refused():
    with pytest.raises(SettingsError, match=r"jump: need at least 2 .* got 1 and 4"):
        training(zoo(1))
