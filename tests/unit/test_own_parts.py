"""Parts from a user's file: docs/extending.md as it stands there, and every mistake."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from hyperreps.config.config_files import merged, read_over_shipped
from hyperreps.config.configuration import (
    check_own_networks,
    custom_rules,
    load_settings,
)
from hyperreps.config.needs import results
from hyperreps.data.datasets import load_images
from hyperreps.engines import symmetry_check
from hyperreps.files import provenance
from hyperreps.files.fingerprint import _contents, code_fingerprint
from hyperreps.files.own_parts import own_file
from hyperreps.files.storage import DataFileError, read_arrays, write_arrays
from hyperreps.networks.architectures import (
    ARCHITECTURES,
    build,
    layer_data,
    layer_from,
)
from hyperreps.networks.initialisation import initial_weights
from hyperreps.representation.autoencoder import HyperRepresentation, load, save
from hyperreps.results.result import find
from hyperreps.sampling.samplers import draw, needs_generator
from hyperreps.settings.stages import Dataset, SettingsError

from ..processes import python
from .small_autoencoder import build_model

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
_, SECTION, _ = re.split(r"^## (?:In a file of your own|A sampler)\n", PAGE, flags=re.M)
PARTS, RESULTS, RULES = re.findall(r"```python\n(.*?)```", SECTION, re.S)
WORDS, CONFIG = re.findall(r"```yaml\n(.*?)```", SECTION, re.S)
POINTS = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A working directory with the files of the page."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.setattr(provenance, "OWN_FILES", {})
    texts = {"parts.py": PARTS, "results.py": RESULTS, "best.yaml": WORDS}
    for name, text in {**texts, "mine.smk": RULES}.items():
        Path(name).write_text(text, encoding="utf-8")
    images = np.random.default_rng(0).integers(0, 255, (60, 30, 30), dtype=np.uint8)
    np.savez("scans.npz", scans=images, digits=np.arange(60) % 10)
    yield tmp_path
    for name, module in [*sys.modules.items()]:
        if str(getattr(module, "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def settings(**changes):
    base = merged(read_over_shipped(ROOT / "config"), yaml.safe_load(CONFIG))
    return load_settings(merged(base, changes))


def drawn(name):
    rng = np.random.default_rng(0)
    return draw(name, POINTS, count=20000, rng=rng, options={"shrink": 1})


def loaded(name, path="scans.npz"):
    return load_images(Dataset(source=name, path=path, validation=10), data_dir=Path())


def test_the_page_is_a_configuration():
    found = settings()
    check_own_networks(found)
    assert custom_rules(found) == [str(Path("mine.smk").absolute())]
    own = {r.name: r for r in results(found) if ":" in r.made_by}
    assert {name: r.kind for name, r in own.items()} == {
        "best": "table",
        "spread": "figure",
    }


def test_the_sampler_samples():
    points, rows = drawn("parts.py:normal")
    np.testing.assert_allclose(np.cov(points.T), np.cov(POINTS.T), atol=0.06)
    assert set(rows) == {-1}
    assert not needs_generator("parts.py:normal")


def test_the_loader_loads_the_file_that_path_names():
    raw, sha256 = loaded("parts.py:scans")
    assert raw.x_train.shape == (40, 30, 30, 1)
    assert [*raw.y_test] == [*range(10)] * 2
    assert sha256.keys() == {"scans.npz"}


def test_the_network_has_the_name_by_which_it_is_found_again():
    network = build("parts.py:perceptron", channels=3)
    assert network.name == "parts.py:perceptron"
    assert network.parameters == 6 * (3 * 28 * 28 + 1) + 10 * (6 + 1)
    assert build(network.name, channels=3) == network


def test_the_initialisation_draws_from_each_network_s_own_seed():
    network = build("parts.py:perceptron", channels=1)
    start = partial(initial_weights, network, initialization="parts.py:narrow")
    weights = start(seeds=range(40))
    first, second = network.weighted
    for item in (first, second):
        spread = weights[:, item.weight].std()
        assert spread == pytest.approx((2 * item.fan_in) ** -0.5, rel=0.05)
        assert (weights[:, item.bias] == 0.01).all()
    assert torch.equal(start(seeds=[7])[0], weights[7])
    with pytest.raises(SettingsError, match=r"^unknown 'narrow'; settings/stages.py"):
        initial_weights(network, initialization="narrow", seeds=[1])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "torch.empty(shape)",
            "torch.empty(3)",
            r"must return a tensor \[6, 784\], not",
        ),
        ("return torch.empty", "0 * torch.empty", r"\[6, 784\], not NoneType"),
        ("normal_(0", "fill_(float('nan')).mul_(0", r"fails \(TypeError"),
        ("** -0.5", "* float('inf')", r"must return finite weights"),
        ("2 * fan_in", "1 / 0", r"fails \(ZeroDivisionError: division by zero\)"),
    ],
)
def test_what_an_initialisation_draws_is_checked(folder, old, new, message):
    assert old in PARTS
    (folder / "parts.py").write_text(PARTS.replace(old, new))
    network = build("parts.py:perceptron", channels=1)
    with pytest.raises(SettingsError, match=f"^parts.py:narrow: .*{message}"):
        initial_weights(network, initialization="parts.py:narrow", seeds=[1])


def test_initialisations_that_are_varied_are_found_too(folder):
    zoo = {"variations": {"initialization": ["normal", "parts.py:scans"]}}
    with pytest.raises(SettingsError, match=r"scans: is no initialisation: it"):
        settings(zoos={"scans": zoo})


def test_a_module_is_its_file_in_the_working_directory(folder):
    (folder / "a").mkdir()
    (folder / "a" / "parts.py").write_text(PARTS.replace("Linear(6)", "Linear(7)"))
    small, large = (build(f"{n}:perceptron", channels=1) for n in ("parts", "a.parts"))
    assert large.parameters - small.parameters == 28 * 28 + 1 + 10


def test_an_edited_file_is_read_anew(folder):
    before = build("parts.py:perceptron", channels=1).parameters
    (folder / "parts.py").write_text(PARTS.replace("Linear(6)", "Linear(7)"))
    assert build("parts.py:perceptron", channels=1).parameters > before


def test_files_name_what_made_them(folder):
    write_arrays(folder / "x.h5", {}, attributes={"kind": "x"})
    _, about = read_arrays(folder / "x.h5", kind="x")
    assert "own_parts" not in about
    build("parts.py:perceptron", channels=1)
    write_arrays(folder / "x.h5", {}, attributes={"kind": "x"})
    _, about = read_arrays(folder / "x.h5", kind="x")
    digest = provenance.hashlib.sha256(PARTS.encode()).hexdigest()
    assert json.loads(about["own_parts"]) == {"parts.py": digest}


def fingerprint(part):
    """Reads the files as they are now, and not as they were."""
    _contents.cache_clear()
    return code_fingerprint(ROOT / "workflow/scripts/sample.py", own_file(part))


def test_logic_of_the_file_and_of_those_beside_it_counts(folder):
    helper, parts = folder / "helper.py", folder / "parts.py"
    helper.write_text("SHRINK = 1.0\n")
    parts.write_text(f"from helper import SHRINK\n{PARTS}")
    before = fingerprint("parts:normal")
    parts.write_text(f"# a comment\nfrom helper import SHRINK\n\n{PARTS}")
    assert fingerprint("parts:normal") == before
    for path, old, new in (
        (helper, "1.0", "2.0"),
        (parts, "points.mean(0)", "points[0]"),
    ):
        path.write_text(path.read_text().replace(old, new))
        after, before = before, fingerprint("parts:normal")
        assert after != before


def test_it_counts_the_same_wherever_it_lies(folder):
    (folder / "b").mkdir()
    (folder / "b" / "parts.py").write_text(PARTS)
    assert fingerprint("parts.py:normal") == fingerprint("b/parts.py:normal")


def test_a_model_of_networks_of_ones_own_needs_no_file(folder):
    """From a folder for the Hub; from a file of a run it says which file it needs."""
    network = build("parts.py:perceptron", channels=3)
    model = build_model(network)
    model.to_folder(folder / "model")
    save(model, folder / "model.safetensors")
    digest = hashlib.sha256(PARTS.encode()).hexdigest()
    config = json.loads((folder / "model" / "config.json").read_text())
    assert config["own_parts"] == {"parts.py": digest}
    (folder / "parts.py").unlink()
    again = HyperRepresentation.from_folder(folder / "model")
    assert again.architecture == network
    weights = initial_weights(network, initialization="uniform", seeds=[1, 2])
    assert torch.equal(again.map("encode", weights), model.eval().encode(weights))
    with pytest.raises(SettingsError, match=r"^parts.py:perceptron: no file parts.py"):
        load(folder / "model.safetensors", device=torch.device("cpu"))
    for old, new in (('"Linear"', '"Conv9"'), ('"features": 6', '"width": 6')):
        text = json.dumps(config).replace(old, new)
        (folder / "model" / "config.json").write_text(text)
        with pytest.raises(DataFileError, match=r"config.json does not describe"):
            HyperRepresentation.from_folder(folder / "model")


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_declaration_goes_through_json(name):
    layers = build(name, channels=1).layers
    text = json.dumps([layer_data(layer) for layer in layers])
    assert tuple(map(layer_from, json.loads(text))) == layers


MISTAKES = {
    "no file": ("", "part.py:normal", "no file part.py in "),
    "no module": ("", "a.b:normal", "no file a/b.py in "),
    "no such name": ("def f(): pass", "parts:g", "parts.py has no g; it has f"),
    "what it imports": ("from math import pi", "parts:f", "it has nothing of its own"),
    "no Python": ("x = 1\ny = (", "parts:f", "line 2: '(' was never closed"),
    "fails": ("\nimport nowhere", "parts:f", "line 2: cannot be imported (Module"),
    "a variable": ("", "$NOWHERE/parts.py:f", "$NOWHERE of '$NOWHERE/parts.py' is not"),
}


@pytest.mark.parametrize(("text", "name", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_name_that_leads_nowhere_is_refused(folder, text, name, message):
    (folder / "parts.py").write_text(text)
    changes = {
        "zoos.scans.architecture": {"zoos": {"scans": {"architecture": name}}},
        "zoos.scans.recipe.initialization": {
            "zoos": {"scans": {"recipe": {"initialization": name}}}
        },
        "methods.S_normal30.sampler": {"methods": {"S_normal30": {"sampler": name}}},
        "datasets.scans.source": {"datasets": {"scans": {"source": name}}},
        "own_results.best.made_by": {"own_results": {"best": {"made_by": name}}},
    }
    for key, change in changes.items():
        with pytest.raises(SettingsError) as caught:
            settings(**change)
        (line,) = [
            x
            for x in str(caught.value).splitlines()
            if x.startswith(f"config: {key}: ")
        ]
        assert f"{name}: " in line
        assert message in line


WRONG = {
    "no sampler": (
        "def normal(points): pass",
        "sampler: it must be a function (points",
    ),
    "no function": ("normal = 3\nnormal", "sampler: it must be a function (points"),
    "option": (
        PARTS.replace("shrink: float", "width: float"),
        "keyword argument 'shrink'",
    ),
    "value": (PARTS.replace("shrink: float", "shrink: int"), "options: shrink: Input"),
    "type": (
        PARTS.replace("shrink: float", "shrink: 'Nothing'"),
        "the types of its options cannot be read (NameError: name 'Nothing'",
    ),
    "no initialisation": (
        PARTS.replace("narrow(shape, *, fan_in", "narrow(shape, *, fan"),
        "narrow: is no initialisation: it must be a function (shape, *, fan_in, rng)",
    ),
    "no loader": (
        PARTS.replace("scans(file)", "scans(file, b)"),
        "scans: is no loader",
    ),
    "no network": (
        PARTS.replace("return Architecture(", "return dict("),
        "perceptron: function(channels=1) fails (TypeError",
    ),
    "no architecture": (
        PARTS.replace("return Architecture(", "return tuple, ("),
        "perceptron: is no architecture: function(channels) must return an Archi",
    ),
    "colour": (
        PARTS.replace('tron", channels', 'tron", 1'),
        "declares 1 channel(s) wh",
    ),
    "classes": (PARTS.replace("CLASSES)", "9)"), "its last layer must be Linear(10)"),
    "last": (
        PARTS.replace("CLASSES))", "CLASSES), Activation())"),
        "its last layer must",
    ),
    "empty": (
        PARTS.replace("(Linear(6), A", "(MaxPool(29), A").replace(
            "import CLASSES", "import MaxPool, CLASSES"
        ),
        "MaxPool(size=29, stride=None) leaves nothing of its input",
    ),
}


@pytest.mark.parametrize(("text", "message"), WRONG.values(), ids=WRONG)
def test_a_part_of_the_wrong_kind_is_refused(folder, text, message):
    (folder / "parts.py").write_text(text)
    with pytest.raises(SettingsError, match=re.escape(message)) as caught:
        settings()
    said = [line for line in str(caught.value).splitlines() if message in line]
    assert len(said) == 1


def test_a_layer_that_is_none_is_refused(folder):
    """In a process of its own: here declarations have their types checked."""
    (folder / "parts.py").write_text(PARTS.replace("Activation()", "print"))
    (folder / "mine.yaml").write_text(CONFIG)
    script = ROOT / "workflow" / "scripts" / "check_config.py"
    done = python([str(script), "mine.yaml"])
    assert done.stderr.splitlines()[-1] == (
        "error: config: zoos.scans.architecture: parts.py:perceptron:"
        " <built-in function print> is none of the layers of architectures.py"
    )


RESULT = {
    "no class": ("made_by", "results.py:pd", "pd: is no table: it must be a class"),
    "other kind": ("made_by", "results.py:Spread", "Spread: is no table: it must be"),
    "unfinished": (
        "made_by",
        "results.py:Table",
        "Table: is an unfinished table: it la",
    ),
    "our name": (
        "made_by",
        "best.Best",
        "own_results.best.made_by: String should match",
    ),
    "caption": ("caption", "x", "own_results.best: caption: of a table it stands in"),
    "section": (
        "section",
        "sampler",
        "best.section: 'sampler' makes nothing here; in_",
    ),
}


@pytest.mark.parametrize(("key", "value", "message"), RESULT.values(), ids=RESULT)
def test_a_result_that_cannot_be_made_is_refused(key, value, message):
    with pytest.raises(SettingsError, match=re.escape(message)):
        settings(own_results={"best": {key: value}})


def test_a_result_does_not_take_the_place_of_ours():
    own = {"kind": "table", "made_by": "results.py:Best", "section": "samplers"}
    with pytest.raises(
        SettingsError, match=r"own_results\.novelty: is a table of ours"
    ):
        settings(own_results={"novelty": own})


def test_a_table_needs_its_words(folder):
    (folder / "best.yaml").unlink()
    with pytest.raises(SettingsError, match=r"lacks the file best.yaml beside it"):
        find("table", "results.py:Best")


def test_rules_that_are_not_there_are_refused(folder):
    (folder / "mine.smk").unlink()
    with pytest.raises(
        SettingsError, match=r"custom_rules.0: .*mine.smk: no such file"
    ):
        custom_rules(settings())


RETURNED = {
    "kind": ("points, None", "must return Drawn(points, rows), not tuple"),
    "size": (
        "Drawn(points[:, 1:], [0] * 50)",
        "must be float32 [samples, 4], are float",
    ),
    "type": ("Drawn(points + 0.5j, [0] * 50)", "are complex64 [50, 4]"),
    "numbers": ("Drawn(points / 0, [0] * 50)", "points must be finite"),
    "rows": ("Drawn(points, [50] * 50)", "rows must be integers -1 to 49 (the pool)"),
    "row": ("Drawn(points, [0])", "for 50 samples, are int64 [1]"),
}


@pytest.mark.filterwarnings("ignore:divide by zero")
@pytest.mark.parametrize(("value", "message"), RETURNED.values(), ids=RETURNED)
def test_what_a_sampler_returns_is_checked(folder, value, message):
    text = PARTS.replace("Drawn(drawn.astype(points.dtype), np.full(count, -1))", value)
    assert text != PARTS
    (folder / "parts.py").write_text(text)
    with pytest.raises(SettingsError, match=re.escape("parts.py:normal: ")) as caught:
        drawn("parts.py:normal")
    assert message in str(caught.value)


def test_what_a_loader_returns_is_checked_as_an_npz_file(folder):
    for old, new, message in (
        (
            "RawImages(images[:40]",
            "tuple([images[:40]",
            "must return arrays x_train, y",
        ),
        ('held["digits"]', 'held["digits"] + 1', "labels in y_train are 1..10; they"),
        ('held["scans"]', 'held["scans"] / 255', "x_train is float64; images must be"),
    ):
        text = PARTS.replace(old, new)
        if "tuple([" in new:
            text = text.replace("labels[40:])", "])")
        (folder / "parts.py").write_text(text)
        with pytest.raises(DataFileError, match=re.escape(message)):
            loaded("parts.py:scans")


def test_a_loader_of_no_file_takes_no_path(folder):
    text = PARTS.replace("scans(file)", "scans()").replace("(file)", "('scans.npz')")
    (folder / "parts.py").write_text(text)
    assert loaded("parts.py:scans", path="")[1] == {}
    with pytest.raises(
        SettingsError, match=r"path: wrong for source 'parts\.py:scans'"
    ):
        loaded("parts.py:scans")


def test_a_network_that_is_not_what_it_declares_is_refused(monkeypatch):
    """As it would be with a layer whose symmetries are declared wrongly."""
    swapped = symmetry_check.permutation_index

    def wrong(architecture, orders):
        return swapped(architecture, orders).roll(1, dims=1)

    check_own_networks(settings())
    monkeypatch.setattr(symmetry_check, "permutation_index", wrong)
    with pytest.raises(
        SettingsError,
        match=r"parts.py:perceptron: another order of units of linear1",
    ):
        check_own_networks(settings())
