import numpy as np
import pytest
import torch

from hyperreps.files.resuming import Pace, run_to_end
from hyperreps.files.storage import DataFileError
from hyperreps.networks.architectures import Architecture, build
from hyperreps.networks.initialisation import initial_weights
from hyperreps.sampling.jump import Jumper, _Ends, leg_statistics, load, save
from hyperreps.sampling.jump_training import JumpTraining, accuracy_ranks
from hyperreps.settings.stages import Jump, SettingsError
from hyperreps.symmetry.permutations import permutation_index, random_permutations

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
    weights: torch.Tensor,
    *,
    settings: Jump = SMALL,
    seed: int = 1,
    held_out: torch.Tensor | None = None,
    pretrained: Jumper | None = None,
) -> JumpTraining:
    accuracy = torch.linspace(0, 1, len(weights))[:, None].repeat(1, weights.shape[1])
    held_out = zoo(4, seed=1000) if held_out is None else held_out
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
        pretrained=pretrained,
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
        velocity=finished.model.velocity,
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


def untrained(network: Architecture, *, legs: int = 1, **changes) -> Jumper:
    """A jump of random networks, as initialised."""
    settings = SMALL.model_copy(update={"stations": tuple(range(legs + 1)), **changes})
    weights = torch.randn(8, legs + 1, network.parameters)
    model = Jumper(
        network,
        settings,
        leg_statistics(weights, network),
        initialization="uniform",
        zoo="toy",
        seed=1,
    )
    return model.eval()


@pytest.mark.parametrize("name", ["cnn", "cnn_res_skip", "cnn_4conv_id_skip"])
def test_what_permutes_the_neurons_goes_through_a_jump(name):
    network = build(name, channels=3)
    model = untrained(network, legs=2, blocks=2).double()
    rng = torch.Generator().manual_seed(0)
    start, noise = torch.randn(4, network.parameters), torch.randn(4, 2, 1)
    start, noise = start.double(), noise.expand(-1, -1, network.parameters).double()
    noise = noise + start[:, None].flip(2)
    order = permutation_index(network, random_permutations(network, 4, rng=rng))
    moved = start.gather(1, order), noise.gather(2, order[:, None].expand_as(noise))
    options = {"rank": 0.5, "spread": 1.0, "steps": 3}
    end, moved_end = (model._jump(*x, **options) for x in ((start, noise), moved))
    assert (moved_end - end).abs().max() > 0.1
    torch.testing.assert_close(moved_end, end.gather(1, order), rtol=0, atol=1e-10)


def test_classes_and_channels_of_images_keep_their_places():
    position = _Ends(NETWORK).position
    hidden = sum(NETWORK.symmetric_axes.values())
    # one for each hidden layer, each class, and the channel of the images
    assert len(position.unique()) == len(NETWORK.symmetric_axes) + 10 + 1
    assert len(position) == hidden + 10 + 1


def known_moves(count: int, seed: int) -> torch.Tensor:
    """Networks that moved by ten times their biases, which start at .1 or -.1."""
    start = zoo(count, seed=seed)[:, 0].clone()
    rng = torch.Generator().manual_seed(seed)
    sign = torch.randint(0, 2, (count, 1), generator=rng) * 2.0 - 1
    for item in NETWORK.weighted:
        start[:, item.bias] = 0.1 * sign
    return torch.stack([start, start + sign], 1)


@pytest.mark.parametrize("known", [True, False])
def test_a_move_that_the_initialisation_tells_is_found(known):
    weights, others = known_moves(64, seed=0), known_moves(64, seed=500)
    if not known:
        # every network gets the move of another
        move = weights[:, 1] - weights[:, 0]
        weights[:, 1] = weights[:, 0] + move.roll(1, 0)
    settings = SMALL.model_copy(
        update={"learning_rate": 0.02, "averaging": 0.9, "evaluate_every": 2}
    )
    found = training(weights, settings=settings, held_out=others)
    while found.epoch < settings.epochs:
        found.run_epoch()
    start = others[:, 0]
    end = found.result.jump(
        start, rank=0.5, spread=1.0, steps=5, rng=torch.Generator().manual_seed(0)
    )
    wanted = others[:, 1] - start
    missed = (end - start - wanted).square().mean() / wanted.var()
    assert missed < 0.15 if known else missed > 1


def test_a_resumed_training_is_the_uninterrupted_one(finished):
    assert (drawn(resumed(SMALL)) == drawn(finished)).all()
    assert (drawn(trained(seed=2)) != drawn(finished)).any()


def resumed(settings: Jump) -> JumpTraining:
    first = training(zoo(16), settings=settings)
    first.run_epoch()
    second = training(zoo(16), settings=settings)
    second.load_state_dict(first.state_dict())
    torch.rand(1)  # other work of a process takes nothing from dropout
    second.run_epoch()
    return second


def test_muon_steps_the_matrices_inside_and_goes_on_where_it_was():
    settings = SMALL.model_copy(update={"optimizer": "muon"})
    found = training(zoo(16), settings=settings)
    adamw, muon = (
        {id(p) for group in each.param_groups for p in group["params"]}
        for each in found.optimizers
    )
    assert adamw.isdisjoint(muon)
    assert adamw | muon == {id(master) for master in found.masters}
    inside = {n for n, p in found.model.velocity.named_parameters() if id(p) in muon}
    assert {name.split(".")[0] for name in inside} == {
        *("messages", "blocks", "into", "writing")
    }
    assert "writing.hearing.ends.weight" in inside
    assert not any(name.startswith("writing.weights") for name in inside)
    begin = [master.clone() for master in found.masters]
    while found.epoch < settings.epochs:
        found.run_epoch()
    assert all((a != b).any() for a, b in zip(begin, found.masters, strict=True))
    assert (drawn(resumed(settings)) == drawn(found)).all()


def test_dropout_depends_on_the_seed_and_stops_where_the_loss_is_measured():
    settings = SMALL.model_copy(update={"dropout": 0.3})
    one, other = resumed(settings), resumed(settings)
    assert (drawn(one) == drawn(other)).all()
    assert (drawn(one) != drawn(resumed(SMALL))).any()
    assert one.held_out_loss() == one.held_out_loss()


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


def test_nor_where_a_network_has_an_odd_number_of_weights():
    network = build("cnn_res_skip", channels=1)
    assert network.parameters % 16
    model = untrained(network, legs=3)
    start = torch.randn(3, network.parameters)
    options = {"rank": 0.5, "spread": 1.0, "steps": 1}
    all_three, alone = (
        model.jump(rows, rng=torch.Generator().manual_seed(1), **options)
        for rows in (start, start[:1])
    )
    torch.testing.assert_close(alone, all_three[:1])


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


def test_it_ends_when_the_held_out_loss_has_not_fallen_for_so_many_looks(tmp_path):
    settings = SMALL.model_copy(update={"epochs": 9, "patience": 2, "batch_size": 2})
    found = training(zoo(16), settings=settings)
    losses = iter([3.0, 2.0, 2.0, 2.5, 1.0, 0.5])
    found.held_out_loss = lambda: next(losses)
    kept = []
    step = found.run_epoch

    def run_epoch():
        shown = step()
        kept.append([value.clone() for value in found.average])
        return shown

    found.run_epoch = run_epoch
    run_to_end(
        found,
        epochs=settings.epochs,
        state=tmp_path / "x.state",
        pace=Pace(),
        ended=lambda: found.ended,
    )
    assert [entry["epoch"] for entry in found.curve] == [1, 2, 3, 4]
    assert all((a == b).all() for a, b in zip(found.best, kept[1], strict=True))
    found.settings = settings.model_copy(update={"patience": 0})
    assert not found.ended


def test_a_jump_begins_with_the_velocity_of_the_one_before(finished):
    others = zoo(16, move=1.2, seed=50)
    alone, after = training(others), training(others, pretrained=finished.result)
    for own, known in zip(after.masters, finished.best, strict=True):
        assert (own == known).all()
    # statistics, which say what its numbers mean, are of its own networks
    assert (after.model.move_mean == alone.model.move_mean).all()
    assert (after.model.move_mean != finished.model.move_mean).any()
    assert after.held_out_loss() < alone.held_out_loss()
    # a state of one is not taken up by the other
    (_, known), (_, plain) = after.inputs(), alone.inputs()
    assert len(known) > len(plain)
    kept = [value.clone() for value in finished.best]
    after.run_epoch()
    assert all((a == b).all() for a, b in zip(kept, finished.best, strict=True))


@pytest.mark.parametrize(
    "other", [untrained(NETWORK, width=8), untrained(build("cnn", channels=3))]
)
def test_a_jump_of_another_shape_is_no_beginning(other):
    with pytest.raises(SettingsError, match="zoo toy, which it starts from, is of an"):
        training(zoo(4), pretrained=other)


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
