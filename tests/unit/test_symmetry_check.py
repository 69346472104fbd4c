"""What check_symmetry computes, against what architectures declare."""

from __future__ import annotations

import re
import sys
from dataclasses import replace

import pytest

import hyperreps as hr
from hyperreps.__main__ import main
from hyperreps.engines import symmetry_check
from hyperreps.engines.symmetry_check import refuted
from hyperreps.symmetry.permutations import sign_axes


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("name", hr.ARCHITECTURES)
def test_what_is_declared_holds(name, activation):
    network = hr.build(name, channels=1)
    checks = hr.check_symmetry(network, activation=activation)
    assert [check.axis for check in checks] == list(network.symmetric_axes)
    assert all(check.permutes for check in checks)
    declared = set(sign_axes(network, activation))
    flips = {check.axis for check in checks if check.flips}
    # declarations leave out the flips of sums, some of which hold
    assert flips == declared if name == "cnn" else flips >= declared
    assert flips if activation == "tanh" else not flips


def test_a_wrong_declaration_is_caught():
    network = hr.build("cnn", channels=1)
    first, second, *rest = network.weighted
    # as if the second layer's inputs stayed where they are
    wrong = (first, replace(second, inputs_axis=None), *rest)
    broken = hr.build("cnn", channels=1)
    broken.__dict__["weighted"] = wrong
    checks = hr.check_symmetry(broken, activation="tanh")
    found = {check.axis: check for check in checks}
    assert not found["conv1"].permutes
    assert found["conv2"].permutes
    (said,) = refuted(broken, checks, activation="tanh")
    assert said.startswith("cnn: another order of units of conv1 changes the class")


def command(monkeypatch, *words):
    """Runs the installed command; returns its exit code or last words."""
    monkeypatch.setattr(sys, "argv", ["hyperreps", "check-symmetry", *words])
    main()


def test_the_command_prints_each_axis(monkeypatch, capsys):
    command(monkeypatch, "cnn", "--activation", "tanh")
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == ["axis", "units", "permuted", "flipped", "in", "sign"]
    found = [re.sub(r" \(\S+\)", "", line).split() for line in lines]
    assert found == [
        ["conv1", "8", "unchanged", "changed"],
        ["conv2", "6", "unchanged", "changed"],
        ["conv3", "4", "unchanged", "unchanged"],
        ["linear1", "20", "unchanged", "unchanged"],
    ]


def test_the_command_ends_with_an_error_where_a_declaration_is_wrong(monkeypatch):
    true = symmetry_check.sign_axes
    wrong = {"conv1": 8}
    monkeypatch.setattr(symmetry_check, "sign_axes", lambda *x: true(*x) | wrong)
    with pytest.raises(SystemExit, match="error: cnn: another sign of units of conv1"):
        command(monkeypatch, "cnn")


PLAIN = """
from torch.nn import *

def network(channels):
    first = Sequential(Conv2d(channels, 4, 5), BatchNorm2d(4), Tanh(), MaxPool2d(2))
    last = [Flatten(), Linear(300, 6), LayerNorm(6), Tanh(), Linear(6, 7), Softmax(1)]
    return Sequential(first, Conv2d(4, 3, 3), Tanh(), *last, Linear(7, 10))

small = Sequential(Flatten(), Linear(784, 5), ReLU(), Linear(5, 10))
grouped = Sequential(Conv2d(1, 4, 5), Conv2d(4, 4, 3, groups=4), Flatten())
unequal = Sequential(Flatten(), Linear(784, 6), GLU(), Linear(3, 10))
wrong = Sequential(Linear(783, 6), Linear(6, 10))
"""


def test_a_plain_network_of_ones_own(monkeypatch, capsys, tmp_path):
    """Nothing is declared: what holds is what is computed."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets.py").write_text(PLAIN)
    command(monkeypatch, "nets.py:network", "--channels", "3")
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [re.sub(r" \(\S+\)", "", line).split() for line in lines] == [
        ["0.0", "4", "unchanged", "changed"],
        ["1", "3", "unchanged", "unchanged"],
        ["4", "6", "unchanged", "changed"],
        ["7", "7", "unchanged", "changed"],
    ]
    command(monkeypatch, "nets.py:small")
    (line,) = capsys.readouterr().out.splitlines()[1:]
    assert line.split()[:3] == ["1", "5", "unchanged"]
    for name, message in (
        ("grouped", "1: does not take the 4 units of 0 alone"),
        ("unequal", "3: does not take the 6 units of 1 alone"),
        ("wrong", r"cannot be computed on images \[1, 28, 28\] \(RuntimeError: mat"),
    ):
        with pytest.raises(SystemExit, match=f"error: .*{message}"):
            command(monkeypatch, f"nets.py:{name}")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["cnnn"], "error: unknown 'cnnn'; architectures.py has cnn, "),
        (["no.py:cnn"], "error: no.py:cnn: no file no.py in "),
        (["cnn", "--activation", "tan"], "error: --activation: unknown 'tan'; "),
    ],
)
def test_the_command_says_in_a_line_what_is_wrong(monkeypatch, words, message):
    with pytest.raises(SystemExit, match=message):
        command(monkeypatch, *words)
