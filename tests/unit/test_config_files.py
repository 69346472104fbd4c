import json
from pathlib import Path

import pytest
import yaml
from snakemake.utils import update_config

from hyperreps.config.config_files import (
    SHIPPED,
    check_options,
    config_text,
    merged,
    nested_arguments,
    read_config,
    read_over_shipped,
)
from hyperreps.config.configuration import load_settings
from hyperreps.files.places import content_digest, data_folder, expanded
from hyperreps.settings.stages import SettingsError

CONFIG = Path(__file__).parents[2] / "config"


def refusal(function, *args, **kwargs):
    with pytest.raises(SettingsError) as caught:
        function(*args, **kwargs)
    (line,) = str(caught.value).splitlines()
    return line


@pytest.mark.parametrize(
    ("text", "line", "parts"),
    [
        pytest.param(
            "zoos:\n  a: {models: 5}\nseed: 1\nzoos:\n  b: {models: 4}\n",
            *(4, ("'zoos'", "line 1", "lost")),
            id="a section twice",
        ),
        pytest.param(
            "zoos:\n  a:\n    models: 5\n    models: 6\n",
            *(4, ("'models'", "line 3")),
            id="a key twice",
        ),
        pytest.param("a: {b: 1, 'b': 2}\n", 1, ("'b'",), id="in braces, quoted"),
        pytest.param('{\n\t"a": 1,\n\t"a": 2\n}\n', 3, ("'a'",), id="JSON"),
        pytest.param(
            "zoos:\n  a:\n    recipe:\n      <<: *uniform\n",
            *(4, ("*uniform", "other files", "copy")),
            id="an anchor of another file",
        ),
        pytest.param("a:\n\tb: 1\n", 2, ("'\\t'",), id="a tab"),
        pytest.param("a: [1, 2\nb: 3\n", 2, (), id="a bracket that is open"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_by_line(tmp_path, text, line, parts):
    path = tmp_path / "my.yaml"
    path.write_text(text, encoding="utf-8")
    message = refusal(read_config, path)
    assert message.startswith(f"config: {path}, line {line}: ")
    assert all(part in message for part in parts), message


def test_what_is_no_mapping_or_cannot_be_read(tmp_path):
    path = tmp_path / "my.yaml"
    assert "cannot be read (No such file" in refusal(read_config, path)
    for content, part in (
        (b"\xff\xfe", "no UTF-8"),
        (b"- 1\n", "must have keys"),
        (b"", "must have keys"),
        (b"a: 2020-02-30\n", "no YAML (day is out of range"),
    ):
        path.write_bytes(content)
        assert part in refusal(read_config, path)


def test_what_is_merged_in_a_file_may_be_given_again(tmp_path):
    path = tmp_path / "my.yaml"
    path.write_text("a: &a {b: 1}\nc:\n  <<: *a\n  b: 2\nd: {<<: *a, b: 3}\n")
    assert read_config(path) == {"a": {"b": 1}, "c": {"b": 2}, "d": {"b": 3}}


@pytest.mark.parametrize("path", sorted(CONFIG.glob("*.yaml")), ids=lambda p: p.stem)
def test_shipped_files_are_read_as_yaml_reads_them(path):
    assert read_config(path) == yaml.safe_load(path.read_text(encoding="utf-8"))


def test_overlays_are_merged_as_snakemake_merges_them():
    names = (*SHIPPED, "demo.yaml", "smoke.yaml", "novelty.yaml")
    files = [read_config(CONFIG / name) for name in names]
    expected: dict = {}
    for file in files:
        update_config(expected, json.loads(json.dumps(file)))
    assert merged(*files) == expected
    overlays = [CONFIG / name for name in names[len(SHIPPED) :]]
    assert read_over_shipped(CONFIG, *overlays) == expected


@pytest.mark.parametrize("name", SHIPPED)
def test_what_is_wrong_with_a_shipped_file_is_said_by_line(tmp_path, name):
    for shipped in SHIPPED:
        (tmp_path / shipped).write_bytes((CONFIG / shipped).read_bytes())
    path = tmp_path / name
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([*lines, "}", ""]), encoding="utf-8")
    message = refusal(read_over_shipped, tmp_path)
    assert message.startswith(f"config: {path}, line {len(lines) + 1}")
    path.unlink()
    assert str(path) in refusal(read_over_shipped, tmp_path)


def test_a_configuration_in_one_file_goes_before_the_catalogue(tmp_path):
    """As it was before methods had a file of their own: its keys win."""
    (tmp_path / "methods.yaml").write_bytes((CONFIG / "methods.yaml").read_bytes())
    whole = read_over_shipped(CONFIG)
    whole["methods"]["S_KDE30"] |= {"samples": 7}
    whole["methods"]["mine"] = {"sampler": "identity"}
    text = yaml.safe_dump(whole)
    (tmp_path / "config.yaml").write_text(text, encoding="utf-8")
    assert read_over_shipped(tmp_path) == whole


@pytest.mark.parametrize("overlay", ["config", "demo", "smoke", "novelty"])
def test_the_written_configuration_is_the_same_as_the_given(tmp_path, overlay):
    settings = load_settings(read_over_shipped(CONFIG, CONFIG / f"{overlay}.yaml"))
    path = tmp_path / "config.yaml"
    path.write_text(config_text(settings), encoding="utf-8")
    again = load_settings(read_over_shipped(CONFIG, path))
    assert again == settings
    assert config_text(again) == config_text(settings)


def test_nested_arguments_are_read_as_yaml():
    arguments = ["compute={shard_size: 2}", "seed=5", "gan={'width': 8, a: [0.5, x]}"]
    assert nested_arguments([*arguments, "a='[1, true]'", "data_dir={"[:-1]]) == {
        "compute": {"shard_size": 2},
        "gan": {"width": 8, "a": [0.5, "x"]},
        "a": [1, True],
    }
    message = refusal(nested_arguments, ["zoos={a: 1, a: 2}"])
    assert message.startswith("config: --config zoos, line 1: key 'a'")


@pytest.mark.parametrize(
    ("arguments", "right"),
    [
        (
            ["zoos", "--configfile", "a.yaml", "-n", "--configfiles=b.yaml", "c.yaml"],
            "--configfile a.yaml b.yaml c.yaml",
        ),
        (["--config", "seed=1", "-C", "experiment=x"], "--config seed=1 experiment=x"),
    ],
)
def test_an_option_that_is_given_twice_is_refused(arguments, right):
    message = refusal(check_options, arguments)
    assert message.endswith(f"give it once: {right}")
    check_options(right.split())
    check_options(["--config", "seed=1", "--configfile", "a.yaml", "b.yaml"])


def test_home_folders_and_variables_are_replaced(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("SCRATCH", "/scratch")
    for text, path in (
        ("~/images", "/home/me/images"),
        ("$SCRATCH/images", "/scratch/images"),
        ("${SCRATCH}_2", "/scratch_2"),
        ("$5 ~x", "$5 ~x"),
        ("", ""),
    ):
        assert expanded(text, key="data_dir") == path
    monkeypatch.setenv("HYPERREPS_DATA", "~/more")
    assert data_folder("$NOT_SET") == Path("/home/me/more")


def test_what_cannot_be_replaced_is_refused(monkeypatch):
    monkeypatch.delenv("NOT_SET", raising=False)
    for text in ("$NOT_SET/images", "a/${NOT_SET}"):
        message = refusal(expanded, text, key="data_dir")
        assert message.startswith(f"data_dir: $NOT_SET of '{text}' is not set")
    assert "nobody's home" in refusal(expanded, "~no_such_user/x", key="data_dir")
    monkeypatch.setenv("HYPERREPS_DATA", "$NOT_SET")
    assert refusal(data_folder, "data").startswith("HYPERREPS_DATA: $NOT_SET")


def test_all_paths_of_a_configuration_are_checked(monkeypatch):
    monkeypatch.delenv("HYPERREPS_DATA", raising=False)
    wrong = "$NOT_SET/x.npz"
    overlay = {
        "data_dir": wrong,
        "datasets": {"mnist": {"source": "npz", "path": wrong}},
        "zoos": {"mnist": {"weights": wrong}},
        "pathvars": {"results": wrong},
    }
    config = merged(read_over_shipped(CONFIG), overlay)
    with pytest.raises(SettingsError) as caught:
        load_settings(config)
    keys = ("data_dir", "datasets.mnist.path", "zoos.mnist.weights", "pathvars.results")
    assert [line.split(": $")[0] for line in str(caught.value).splitlines()] == [
        f"config: {key}" for key in keys
    ]


def test_a_digest_is_of_the_content(tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    assert content_digest(first) == ""
    first.write_bytes(b"x")
    second.write_bytes(b"x")
    assert content_digest(first) == content_digest(second) != ""
    second.write_bytes(b"y")
    assert content_digest(first) != content_digest(second)
