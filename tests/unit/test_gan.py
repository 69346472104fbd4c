import io

import numpy as np
import pytest
import torch

from hyperreps.files.storage import DataFileError
from hyperreps.sampling.gan import load, save
from hyperreps.sampling.gan_training import STEPS_PER_EPOCH, GanTraining
from hyperreps.settings.stages import Gan, SettingsError

SMALL = Gan(noise=4, width=16, batch_size=16, epochs=2)
CENTRES = np.array([[2.0, 0.0], [-1.0, 2.0], [-1.0, -2.0]])


def mixture(count: int, seed: int = 0) -> torch.Tensor:
    """Three Gaussians of equal weight in the plane, far from the origin."""
    rng = np.random.default_rng(seed)
    points = CENTRES[rng.integers(3, size=count)] + 0.3 * rng.normal(size=(count, 2))
    return torch.from_numpy((10 + points).astype(np.float32))


def trained(points: torch.Tensor, settings: Gan, *, seed: int = 1) -> GanTraining:
    training = GanTraining(points, settings=settings, seed=seed)
    for _ in range(settings.epochs):
        training.run_epoch()
    return training


def generated(training: GanTraining, count: int) -> np.ndarray:
    noise = np.random.default_rng(9).standard_normal((count, training.settings.noise))
    return training.result.points(noise.astype(np.float32))


def same(one: GanTraining, other: GanTraining) -> bool:
    return bool((generated(one, 20) == generated(other, 20)).all())


def test_it_learns_a_mixture_in_the_plane():
    points = mixture(1000)
    drawn = generated(
        trained(points, Gan(noise=8, width=64, learning_rate=1e-3, epochs=15)), 4000
    )
    np.testing.assert_allclose(drawn.mean(0), points.mean(0), atol=0.25)
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(points.T), atol=0.5)
    distance = np.linalg.norm(drawn[:, None] - 10 - CENTRES[None], axis=2)
    # all three modes, with about a third each, and little in between
    shares = np.bincount(distance.argmin(1), minlength=3) / len(drawn)
    np.testing.assert_allclose(shares, 1 / 3, atol=0.1)
    assert np.median(distance.min(1)) < 0.6


def test_result_is_a_function_of_the_seed():
    points = mixture(50)
    one, again, other = (trained(points, SMALL, seed=s) for s in (1, 1, 2))
    assert same(one, again)
    assert not same(one, other)


def test_the_curve_has_every_epoch_also_of_a_resumed_training():
    points = mixture(50)
    whole = trained(points, SMALL)
    first, second = (GanTraining(points, settings=SMALL, seed=1) for _ in range(2))
    first.run_epoch()
    second.load_state_dict(first.state_dict())
    second.run_epoch()
    for curve in (whole.curve, second.curve):
        assert all(row.pop("core_seconds") > 0 for row in curve)
    assert [row["epoch"] for row in whole.curve] == [1, 2]
    assert second.curve == whole.curve


def test_the_average_is_kept_and_not_the_last_generator():
    training = trained(mixture(50), SMALL)
    last = [p.detach().clone() for p in training.generator.parameters()]
    kept = list(training.result.parameters())
    assert any((a != b).any() for a, b in zip(last, kept, strict=True))
    unaveraged = trained(mixture(50), SMALL.model_copy(update={"averaging": 0.0}))
    for a, b in zip(
        unaveraged.generator.parameters(), unaveraged.result.parameters(), strict=True
    ):
        torch.testing.assert_close(a, b)


def test_a_resumed_training_is_the_same():
    points = mixture(50)
    through = trained(points, SMALL)
    first = GanTraining(points, settings=SMALL, seed=1)
    first.run_epoch()
    buffer = io.BytesIO()
    torch.save(first.state_dict(), buffer)
    buffer.seek(0)
    second = GanTraining(points, settings=SMALL, seed=1)
    second.load_state_dict(torch.load(buffer, weights_only=True))
    second.run_epoch()
    assert same(through, second)


def test_a_constant_dimension_and_few_points_do_no_harm():
    points = mixture(3)
    points[:, 1] = 7
    drawn = generated(trained(points, SMALL), 20)
    np.testing.assert_allclose(drawn[:, 1], 7, atol=1e-5)


def test_gradient_penalty_by_hand():
    """One step with a linear critic, whose slope is its weight."""
    training = GanTraining(mixture(50), settings=SMALL, seed=1)
    weight = torch.tensor([[3.0, -4.0]])
    training.critic = torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(training.critic.parameters(), lr=1.0)
    still = torch.optim.SGD(training.generator.parameters(), lr=0.0)
    training.optimizers = [optimizer, still]
    slopes = []
    for penalty in (0.0, 1.0):
        training.critic.weight.data[:] = weight
        training.critic.bias.data.zero_()
        training.settings = SMALL.model_copy(update={"penalty": penalty})
        training._step(torch.Generator().manual_seed(0))
        slopes.append(weight - training.critic.weight.data)
    # the gradient of gamma / 2 |w|^2 is gamma w
    torch.testing.assert_close(slopes[1] - slopes[0], weight)


def test_divergence_is_named():
    training = GanTraining(mixture(50), settings=SMALL, seed=1)
    with torch.no_grad():
        next(training.critic.parameters()).fill_(float("nan"))
    with pytest.raises(
        SettingsError, match=r"GAN, epoch 1: .* finite; lower gan\.learning_rate"
    ):
        training.run_epoch()


def test_file_round_trip(tmp_path):
    training = trained(mixture(50), SMALL)
    path = tmp_path / "gan.safetensors"
    save(training.result, path, about={"zoo": "toy"})
    loaded = load(path, device=torch.device("cpu"))
    noise = np.ones((3, 4), np.float32)
    np.testing.assert_array_equal(loaded.points(noise), training.result.points(noise))
    assert loaded.settings == SMALL


def test_bad_files_are_named(tmp_path):
    path = tmp_path / "gan.safetensors"
    with pytest.raises(DataFileError, match=r"gan\.safetensors: no such file"):
        load(path, device=torch.device("cpu"))
    path.write_bytes(b"nonsense")
    with pytest.raises(DataFileError, match=r"gan\.safetensors: damaged"):
        load(path, device=torch.device("cpu"))


def test_an_epoch_does_not_depend_on_the_pool():
    assert STEPS_PER_EPOCH == 100
    training = GanTraining(mixture(3), settings=SMALL, seed=1)
    training.run_epoch()
    assert int(training.average.n_averaged) == 100
