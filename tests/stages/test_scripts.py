"""Every stage as a stranger would call it: help, bad input, a chain of calls."""

import re
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from ..processes import python

SCRIPTS = Path(__file__).parents[2] / "workflow" / "scripts"
STAGES = sorted(path.name for path in SCRIPTS.glob("*.py"))
RECIPE = (
    "--recipe.initialization uniform --recipe.activation tanh"
    " --recipe.learning-rate 0.01 --recipe.batch-size 20 --recipe.epochs 2"
)


def call(script: str, flags: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return python([str(SCRIPTS / script), *flags.split()], cwd=cwd)


@pytest.mark.parametrize("script", STAGES)
def test_help(script, tmp_path):
    # the one time without libraries that are loaded
    words = [sys.executable, str(SCRIPTS / script), "--help"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0
    assert "usage:" in done.stdout
    assert "--" in done.stdout


def test_the_stages_run_without_snakemake(images, tmp_path):
    """Zoo in shards, merged, aligned, represented; samples, finetuned; GAN, jump."""
    zoo = RECIPE.replace("--recipe", "--settings.recipe")
    rep = "--settings.width 8 --settings.heads 2 --settings.blocks 1"
    rep += " --settings.feedforward 8 --settings.latent 3 --settings.epochs 2"
    rep += " --settings.projection-layers 1 --settings.batch-size 4"
    method = "--method.sampler kde --method.hyper-rep normalized --method.top 0.5"
    method += " --method.samples 3 --method.options bandwidth 0.002"
    gan = "--method.sampler gan --method.hyper-rep normalized --method.samples 4"
    jump = "--settings.width 8 --settings.heads 2 --settings.blocks 1"
    jump += " --settings.feedforward 8 --settings.batch-size 4 --settings.epochs 1"
    cpu = "--device cpu"
    train = f"train_zoo.py --dataset toy.h5 --architecture cnn {RECIPE} {cpu}"
    chain = [
        f"{train} --first-seed 1 --models 4 --output a.h5",
        f"{train} --first-seed 5 --models 2 --output b.h5",
        "merge_zoo.py --shards a.h5 b.h5 --name toy --settings.dataset toy"
        f" --settings.models 6 --settings.window 1 2 {zoo} --output zoo.h5",
        "align_zoo.py --zoo zoo.h5 --output aligned.h5",
        f"pretrain.py --zoo aligned.h5 {rep} --seed 1 --output ae.safetensors {cpu}",
        "sample.py --zoo aligned.h5 --dataset toy.h5 --hyper-reps ae.safetensors"
        f" {method} --name S --output s.h5 {cpu}",
        f"train_gan.py --zoo aligned.h5 --hyper-rep ae.safetensors {gan} --name G"
        f" --settings.epochs 1 --settings.width 4 --output gan.safetensors {cpu}",
        "sample.py --zoo aligned.h5 --dataset toy.h5 --hyper-reps ae.safetensors"
        f" --generators gan.safetensors {gan} --name G --output g.h5 {cpu}",
        f"train_jump.py --zoo zoo.h5 {jump} --seed 3 --output j.safetensors {cpu}",
        f"train_jump.py --zoo zoo.h5 {jump} --seed 4 --pretrained j.safetensors"
        f" --output k.safetensors {cpu}",
        "sample.py --zoo zoo.h5 --dataset toy.h5"
        " --generators j.safetensors k.safetensors --curves j.csv k.csv --name J"
        f" --method.sampler jump --method.jump jump --output j.h5 {cpu}",
        f"finetune.py --samples s.h5 --dataset toy.h5 --target toy {RECIPE}"
        f" --epochs 0 1 --output f.h5 {cpu}",
    ]
    for command in chain:
        script, flags = command.split(maxsplit=1)
        done = call(script, flags, tmp_path)
        assert done.returncode == 0, done.stderr
        if "--output j.h5" in flags:
            jumped = done.stderr
    with h5py.File(tmp_path / "zoo.h5") as file:
        assert file["weights"].shape == (6, 3, 2464)
        assert file["seed"][()].tolist() == [1, 2, 3, 4, 5, 6]
        assert np.isfinite(file["weights"][()]).all()
    with h5py.File(tmp_path / "s.h5") as file:
        sampled = file["weights"][()]
        assert sampled.shape == (3, 2464)
        assert file["source_model"].shape == (3, 3)
    with h5py.File(tmp_path / "g.h5") as file:
        assert file["weights"].shape == (4, 2464)
        assert file["latents"].shape == (4, 3)
        assert file["source_model"][()].tolist() == [-1] * 4
    with h5py.File(tmp_path / "j.h5") as file:
        assert file["weights"].shape == (100, 2464)
        assert set(file["hyper_rep_seed"]) == {3, 4}
    without = chain[-5].replace("--generators gan.safetensors", "")
    done = call("sample.py", without.removeprefix("sample.py"), tmp_path)
    assert done.returncode == 1
    assert "error: --generators: sampler gan needs 1, got 0" in done.stderr
    unkept = chain[-4].replace("--seed 3", "--seed 3 --settings.stations 0 7")
    done = call("train_jump.py", unkept.removeprefix("train_jump.py"), tmp_path)
    assert done.returncode == 1
    assert "error: zoo.h5: no epoch 7; wanted are 0, 7, there are 0..2; add them" in (
        done.stderr
    )
    (told,) = re.findall(r"a network: drawing (.*), learning (.*)", jumped)
    assert min(map(float, told)) > 0
    assert "training one for 2 epochs: " in jumped
    with h5py.File(tmp_path / "f.h5") as file:
        np.testing.assert_array_equal(file["weights"][:, 0], sampled)
        assert (file["weights"][:, 1] != sampled).any()
        assert file["accuracy/test"].shape == (3, 2)
    assert not list(tmp_path.glob("*.state"))
    assert not list(tmp_path.glob(".*.tmp"))


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (
            f"train_zoo.py --dataset none.h5 --architecture cnn {RECIPE}"
            " --first-seed 1 --models 2 --output x.h5",
            "error: none.h5: no such file",
        ),
        (
            f"train_zoo.py --dataset toy.h5 --architecture rnn {RECIPE}"
            " --first-seed 1 --models 2 --output x.h5",
            "error: unknown 'rnn'; architectures.py has",
        ),
        (
            f"train_zoo.py --dataset toy.h5 --architecture cnn {RECIPE}"
            " --first-seed 1 --models 2 --output x.h5 --device cuda",
            "error: device cuda: torch finds no GPU",
        ),
        ("align_zoo.py --zoo toy.h5 --output x.h5", "toy.h5: holds 'dataset', but"),
        (
            "pretrain.py --zoo none.h5 --settings.width 7 --settings.heads 2 --seed 1"
            " --output x.safetensors",
            "heads (2) must divide width (7)",
        ),
    ],
)
def test_bad_input_is_one_line(command, message, images, tmp_path):
    import torch

    if "cuda" in command and torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    script, flags = command.split(maxsplit=1)
    done = call(script, flags, tmp_path)
    assert done.returncode != 0
    assert message in done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "x.h5").exists()
