import copy
import json
import re
from itertools import chain
from pathlib import Path

import pytest
import yaml

from hyperreps.config.config_files import SHIPPED, merged, read_over_shipped
from hyperreps.config.configuration import Settings, load_settings
from hyperreps.settings.stages import HyperRep, SettingsError

ROOT = Path(__file__).parents[2]
PAPER = read_over_shipped(ROOT / "config")


def changed(path, value):
    overlay = value
    for key in reversed(path.split("/")):
        overlay = {key: overlay}
    return merged(copy.deepcopy(PAPER), overlay)


def test_the_papers_config_is_the_papers():
    settings = load_settings(PAPER)
    assert [settings.zoos[z].models for z in settings.in_distribution.zoos] == [
        1000
    ] * 4
    assert settings.in_distribution.epochs == (0, 1, 25, 50)
    normalized = settings.variant("normalized", zoo="mnist")
    baseline = settings.variant("baseline", zoo="mnist")
    assert normalized.loss_normalization == "layer"
    assert baseline == normalized.model_copy(update={"loss_normalization": "none"})
    rates = {name: zoo.recipe.learning_rate for name, zoo in settings.zoos.items()}
    assert rates == {"mnist": 3e-4, "svhn": 3e-3, "cifar10": 1e-4, "stl10": 1e-4}
    assert settings.zoos["svhn"].recipe.initialization == "uniform"


OVERLAYS = [
    ["demo"],
    ["smoke"],
    ["novelty"],
    ["novelty", "novelty_imported", "novelty_capacity"],
    ["novelty_imported", "beyond"],
    ["novelty_imported", "beyond", "jumps"],
    ["novelty_imported", "reference_mnist_300"],
    ["reference"],
    ["reference", "reference_cifar10"],
    ["reference", "reference_svhn_10k"],
    ["reference", "reference_audit"],
    ["reference", "reference_audit", "reference_audit_mnist"],
    ["ablation"],
    ["zoo_size"],
    ["starts"],
    ["overfit"],
    ["demo", "diagnose"],
    ["autoencoder_2021"],
    ["autoencoder_2021", "paper_size"],
]


def test_overlays_are_valid_and_have_their_own_results():
    experiments = []
    for overlays in OVERLAYS:
        files = [ROOT / f"config/{overlay}.yaml" for overlay in overlays]
        settings = load_settings(read_over_shipped(ROOT / "config", *files))
        experiments.append(settings.experiment)
    assert len({"paper", *experiments}) == len(experiments) + 1
    shipped = {path.stem for path in (ROOT / "config").glob("*.yaml")}
    known = {"config", "methods", "published", *chain(*OVERLAYS)}
    assert known == shipped


def test_the_autoencoder_of_2021_is_there_and_grows_to_the_papers_size():
    """The defaults of the model are those of 2021; its parts are tested with them."""
    names = ("autoencoder_2021", "paper_size")
    texts = [(ROOT / f"config/{name}.yaml").read_text() for name in names]
    first, second = map(yaml.safe_load, texts)
    theirs = load_settings(merged(PAPER, first)).hyper_rep
    ours = {"seeds": (1, 2, 3), "precision": "auto", "warm_up": 0.1}
    assert theirs == HyperRep().model_copy(update=ours)
    assert theirs.schedule == "plateau"  # warm_up means nothing to it
    large = load_settings(merged(merged(PAPER, first), second))
    assert large.experiment == "paper_size"
    wider = {"width": 2400, "feedforward": 2400}
    assert large.hyper_rep == theirs.model_copy(update=wider)


def test_every_key_is_explained_in_the_shipped_files():
    """Each key of the models stands in one of them, as a value or as a comment."""
    text = "".join((ROOT / "config" / name).read_text() for name in SHIPPED)
    schema = Settings.model_json_schema()
    for name, model in {**schema["$defs"], "Settings": schema}.items():
        for key in model["properties"]:
            if key == "pathvars":  # snakemake's own
                continue
            assert re.search(rf"^[\s#-]*{key}:", text, re.M), f"{name}.{key}"


def test_schema_file_is_in_sync():
    schema = json.loads((ROOT / "workflow/schemas/config.schema.json").read_text())
    assert schema == Settings.model_json_schema(), "run make format"


def test_every_field_is_described():
    schema = Settings.model_json_schema()
    for name, model in {**schema["$defs"], "Settings": schema}.items():
        for key, field in model["properties"].items():
            assert field.get("description"), f"{name}.{key}"


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (
            "zoos/mnist/modles",
            5,
            r"zoos\.mnist\.modles: unknown key; see config/config\.",
        ),
        ("zoos/mnist/models", 2, r"zoos\.mnist\.models: .*greater than or equal to 3"),
        ("zoos/mnist/models", "many", r"zoos\.mnist\.models: .*integer.*'many'"),
        ("zoos/mnist/recipe/learning_rate", -1, r"learning_rate: .*greater than 0.*-1"),
        ("zoos/mnist/recipe/optimizer", "adm", r"recipe\.optimizer: .*'adam'.*'adm'"),
        ("zoos/mnist/window", [21, 99], r"zoos\.mnist: window .* epoch 50.*21\.\.99"),
        (
            "zoos/mnist/split",
            [0.5, 0.4, 0.4],
            r"zoos\.mnist: split must sum to 1.*1\.3",
        ),
        ("zoos/mnist/dataset", "mnst", r"zoos\.mnist\.dataset: unknown 'mnst'.*svhn"),
        ("zoos/mnist/architecture", "rnn", r"architecture: unknown 'rnn'.*cnn"),
        ("datasets/mnist/source", "imagenet", r"source: unknown 'imagenet'.*digits"),
        ("datasets/mnist/std", [0.0], r"datasets\.mnist\.std\.0: .*greater than 0"),
        ("datasets/mnist/std", [], r"datasets\.mnist: mean and std"),
        ("hyper_rep/heads", 7, r"hyper_rep: heads \(7\) must divide width \(128\)"),
        ("hyper_rep/seeds", [], r"hyper_rep\.seeds: .*at least 1"),
        ("hyper_rep/seeds", [1, 1], r"hyper_rep: seeds must differ"),
        ("variants/baseline/latnt", 3, r"variants\.baseline\.latnt: unknown key"),
        (
            "variants/baseline/dropout",
            1.5,
            r"variants\.baseline\.dropout: .*less than 1",
        ),
        ("zoos/svhn/hyper_rep/hads", 2, r"zoos\.svhn\.hyper_rep\.hads: unknown key"),
        ("methods/S_KDE30/sampler", "kd", r"S_KDE30\.sampler: unknown 'kd'.*identity"),
        ("methods/S_KDE30/topp", 1, r"topp: unknown key; see config/methods\.yaml"),
        ("methods/S_KDE30/top", 1.5, r"methods\.S_KDE30\.top: .*less than or equal"),
        ("methods/S_KDE30/hyper_rep", "x", r"hyper_rep: unknown 'x'.*normalized"),
        ("methods/S_KDE30/bottom", 0.5, r"methods\.S_KDE30: top and bottom: leave one"),
        (
            "methods/S_GAN/hyper_rep",
            "",
            r"S_GAN\.hyper_rep: sampler gan needs a latent",
        ),
        ("methods/S_U/options", {"bounds": "box"}, r"S_U\.options: bounds: .*'unit'"),
        (
            "jumps/later",
            {"pretrained_on": "mnst"},
            r"later\.pretrained_on: unknown 'mnst'; zoos has",
        ),
        ("jumps/jump/pretrained_on", "svhn", r"jump begins with another jump itself"),
        (
            "jumps/later",
            {"pretrained_on": "svhn", "pretrained_as": "x"},
            r"jumps\.later\.pretrained_as: unknown 'x'; jumps has",
        ),
        (
            "jumps/later",
            {"pretrained_on": "svhn", "seeds": [1]},
            r"jumps\.later\.seeds: \[1\] are not those of jump, \[1, 2, 3\]",
        ),
        ("gan/averaging", 1, r"gan\.averaging: .*less than 1"),
        (
            "samplers/references",
            ["sup"],
            r"samplers\.references: unknown 'sup'.*soup16",
        ),
        ("samplers/epochs", [25], r"samplers: epochs must start at 0"),
        (
            "transfer/pairs",
            [["svhn", "mnst"]],
            r"transfer\.pairs: unknown 'mnst'; zoos has.*mnist",
        ),
        (
            "transfer/pairs",
            [["mnist", "mnist"]],
            r"transfer\.pairs: mnist -> mnist: is one zoo",
        ),
        (
            "transfer/pairs",
            [["svhn", "cifar10"]],
            r"svhn -> cifar10: networks of svhn take 1 channel.*of cifar10 have 3",
        ),
        ("in_distribution/zoos", ["mnst"], r"in_distribution\.zoos: unknown 'mnst'"),
        ("in_distribution/epochs", [1, 5], r"in_distribution: epochs must start at 0"),
        ("transfer/epochs", [0, 5, 5], r"transfer\.epochs: must increase, got \[0, 5,"),
        ("novelty/noise", [0.2, 0.1], r"novelty\.noise: must increase, got \[0\.2,"),
        ("ensembles/methods", ["S"], r"ensembles\.methods: unknown 'S'.*S_KDE30"),
        ("ensembles/sizes", [2, 1], r"ensembles\.sizes: must increase, got \[2, 1\]"),
        ("ensembles/epochs", [0, 21], r"ensembles\.epochs: \[21\] are not among"),
        ("zoos/mnist/keep", [0], r"zoo mnist does not keep the weights of \[1\]; add"),
        ("zoos/mnist/keep", [51], r"zoos\.mnist: keep: \[51\] come after epoch 50"),
        (
            "ensembles",
            {"zoos": ["mnist"], "methods": ["S_U"], "epochs": [1, 25]},
            r"ensembles\.methods: \['S_U'\] .* need epoch 0",
        ),
        ("reconstruction/variants", ["x"], r"reconstruction\.variants: unknown 'x'"),
        ("capacity/zoos", ["x"], r"capacity\.zoos: unknown 'x'; novelty\.zoos has"),
        ("judgement/noise", ["x"], r"judgement\.noise: unknown 'x'; methods has"),
        ("judgement/zoos", ["mnist"], r"judgement: noise: two methods at least"),
        ("novelty/methods", ["R_4conv"], r"novelty\.methods: R_4conv are networks"),
        (
            "judgement",
            {
                "zoos": ["mnist"],
                "noise": ["B_F30", "R_4conv"],
                "soup": ["B_F30", "B_F"],
            },
            r"judgement\.noise: R_4conv are networks of another architecture",
        ),
        ("methods/S_KDE30/best_of", 0, r"S_KDE30\.best_of: .*or equal to 1, got 0"),
        (
            "ablation",
            {"zoos": ["mnist"], "variants": ["x"]},
            r"ablation\.variants: .*'x'",
        ),
        ("ablation/samples", 1, r"ablation\.samples: .*or equal to 2, got 1"),
        ("properties/variants", [], r"properties: variants must name one at least"),
        ("statistics/confidence", 95, r"statistics\.confidence: .*less than 1.*95"),
        (
            "in_distribution/zoos",
            ["svhn", "mnist", "svhn"],
            r"in_distribution\.zoos: 'svhn' is given 2 times",
        ),
        ("zoos/mnist/recipe/learning_rate", "1e-4", r"learning_rate: .*as in 1\.0e-4"),
        ("zoos/mnist/first_seed", 2**31 - 9, r"zoos\.mnist: first_seed .*above"),
        ("zoos/mnist/split", [0, 0.5, 0.5], r"zoos\.mnist: split .* leaves none"),
        ("zoos/mnist/variations", {"momentum": []}, r"variations\.momentum: no value"),
        (
            "zoos/mnist/variations",
            {"momentum": [1.5]},
            r"zoos\.mnist: variations\.momentum: .*less than 1, got 1\.5",
        ),
        ("zoos/a.aligned", PAPER["zoos"]["mnist"], r"zoos\.a\.aligned: names in"),
        ("methods/B_T", {"sampler": "identity"}, r"methods\.B_T: .* choose another"),
        ("variants/statistics", {}, r"variants\.statistics: .* choose another"),
        ("methods/S_KDE30/options/bandwidth", "5", r"options: bandwidth: .*'5'"),
        ("methods/S_KDE30/options/bandwidth", -1, r"options: bandwidth: .*got -1"),
        ("pathvars/resutls", "x", r"pathvars\.resutls.*: .*'results', 'logs'"),
        ("experiment", "a/b", r"experiment: .*pattern.*'a/b'"),
        ("seed", -1, r"seed: .*greater than or equal to 0"),
    ],
)
def test_each_problem_is_one_line_that_names_the_key(path, value, message):
    with pytest.raises(SettingsError) as caught:
        load_settings(changed(path, value))
    lines = str(caught.value).splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("config: ")
    assert re.search(message, lines[0]), lines[0]


def test_changes_that_clash_only_together_are_named():
    config = changed("zoos/mnist/hyper_rep", {"heads": 8})
    config["variants"]["odd"] = {"width": 804}
    with pytest.raises(SettingsError) as caught:
        load_settings(config)
    (line,) = str(caught.value).splitlines()
    assert "zoos.mnist.hyper_rep" in line
    assert "variants.odd: heads (8) must divide width (804)" in line


def test_a_zoo_of_too_many_jobs_is_refused():
    config = changed("zoos/mnist/models", 10**6)
    config["compute"]["shard_size"] = 99
    with pytest.raises(SettingsError, match=r"zoos\.mnist\.models: .*10000 jobs"):
        load_settings(config)
    config["compute"]["shard_size"] = 100
    assert len(load_settings(config).zoos["mnist"].shards(100)) == 10**4


def test_a_zoo_changes_hyper_rep_and_a_variant_changes_both():
    config = changed(
        "zoos/svhn/hyper_rep", {"latent": 5, "loss_normalization": "layer"}
    )
    settings = load_settings(config)
    assert settings.variant("normalized", zoo="svhn").latent == 5
    assert settings.variant("normalized", zoo="mnist").latent == 1400
    assert settings.variant("baseline", zoo="svhn").loss_normalization == "none"


def test_several_problems_are_several_lines():
    config = changed("zoos/mnist/models", 0)
    config["in_distribution"]["epochs"] = []
    with pytest.raises(SettingsError) as caught:
        load_settings(config)
    assert len(str(caught.value).splitlines()) == 2


def test_missing_key_is_named():
    config = copy.deepcopy(PAPER)
    del config["zoos"]["stl10"]["recipe"]["learning_rate"]
    with pytest.raises(
        SettingsError, match=r"zoos\.stl10\.recipe\.learning_rate: miss"
    ):
        load_settings(config)


def test_a_transfer_has_the_targets_recipe_and_the_sources_activation():
    settings = load_settings(changed("transfer/epochs", [0, 7]))
    recipe, epochs = settings.finetuning("cifar10", "stl10", "S_KDE30")
    assert epochs == (0, 7)
    assert recipe.activation == "gelu"
    assert recipe.weight_decay == settings.zoos["stl10"].recipe.weight_decay
    own, epochs = settings.finetuning("stl10", "stl10", "S_KDE30")
    assert own == settings.zoos["stl10"].recipe
    assert epochs == settings.in_distribution.epochs


def test_an_empty_section_makes_no_table():
    config = changed("transfer/pairs", [])
    config["samplers"]["zoos"] = []
    config["architectures"]["zoos"] = []
    assert list(load_settings(config).comparisons) == ["in_distribution"]


def varied(**changes):
    config = changed("zoos/mnist/variations", {})
    config["in_distribution"]["zoos"] = ["svhn"]
    for section in ("samplers", "ensembles", "reconstruction", "novelty"):
        config[section]["zoos"] = []
    config["transfer"]["pairs"] = []
    config["zoos"]["mnist"] |= changes
    return load_settings(config).zoos["mnist"]


def test_variations_share_the_models_in_blocks():
    zoo = varied(
        models=7,
        variations={"learning_rate": [0.1, 0.2], "activation": ["tanh", "relu"]},
    )
    recipes = [zoo.recipe_of(seed) for seed in range(1, 8)]
    assert [(r.learning_rate, r.activation) for r in recipes] == [
        *[(0.1, "tanh")] * 2,
        *[(0.1, "relu")] * 2,
        *[(0.2, "tanh")] * 2,
        (0.2, "relu"),
    ]
    assert {r.batch_size for r in recipes} == {10}


@pytest.mark.parametrize("models", [4, 7, 50, 1000])
@pytest.mark.parametrize("size", [1, 3, 16, 2000])
def test_shards_cover_every_seed_once_and_have_one_recipe(models, size):
    zoo = varied(models=models, variations={"weight_decay": [0, 0.1, 0.2]})
    shards = [range(first, last + 1) for first, last in zoo.shards(size)]
    assert [seed for shard in shards for seed in shard] == list(range(1, models + 1))
    for shard in shards:
        assert 1 <= len(shard) <= size
        assert len({zoo.recipe_of(seed).weight_decay for seed in shard}) == 1


@pytest.mark.parametrize(
    ("variations", "message"),
    [
        ({"epochs": [1, 2]}, "zoos.mnist: variations: epochs is the same"),
        ({"evaluate_every": [1, 2]}, "variations: evaluate_every is the same"),
        ({"learning_rate": [0.1, -1]}, "learning_rate"),
        ({"speed": [1]}, "speed"),
        ({"learning_rate": [0.1] * 5}, "5 combinations, more than models"),
    ],
)
def test_impossible_variations_are_named(variations, message):
    with pytest.raises(SettingsError, match=message):
        varied(models=4, variations=variations)


def test_weight_space_has_the_threshold_of_the_zoo():
    config = changed("zoos/mnist/hyper_rep", {"weight_threshold": 7})
    settings = load_settings(config)
    assert settings.variant("", zoo="mnist").weight_threshold == 7
    others = {settings.variant("", zoo=z).weight_threshold for z in ("svhn", "cifar10")}
    assert others == {settings.hyper_rep.weight_threshold}


def test_samples_of_a_zoo_with_several_activations_are_refused():
    config = changed("zoos/mnist/variations", {"activation": ["tanh", "relu"]})
    config["novelty"] = {**config.get("novelty", {}), "zoos": ["mnist"]}
    with pytest.raises(SettingsError) as caught:
        load_settings(config)
    for section in ("in_distribution", "ensembles", "reconstruction", "novelty"):
        assert f"{section}: zoo mnist varies its activation" in str(caught.value)
