"""What a configuration takes on CPUs, from counted work and measured speeds.

The speeds are the tables that the benchmarks wrote to docs/measurements. No torch in
here: the Snakefile prints the estimate.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..data.sources import find_source
from ..networks.architectures import Architecture, build
from ..settings.stages import HyperRep, Jump, Recipe, Zoo, split_sizes
from . import needs
from .configuration import ZOO_POPULATIONS, Settings

STEPS_PER_EPOCH = 100  # of gan_training.py and jump_training.py, which import torch
REFERENCE_POPULATIONS = 7  # of an audit, beside one per standard deviation of noise
ABLATED_POPULATIONS = 4  # two of reconstructions, two of samples
COMPONENTS = 30  # operations of a start from components, times parameters cubed
STATISTICS = 14  # numbers per layer that probes read (docs/method.md)
NEARLY = 1.25  # ratio of steps of an autoencoder that count as equally large
NEAREST = 16  # networks that an audit matches once more (docs/novelty.md)
# rules whose jobs start an engine
TRAINING = ("train_zoo", "finetune")
# logs of the jobs of a rule, below logs/<experiment>, by the names they are about
LOGS = {
    "prepare_dataset": "datasets/{}.log",
    "import_zoo": "zoos/{}.log",
    "train_zoo": "zoos/{}/seeds_*.log",
    "merge_zoo": "zoos/{}.log",
    "align_zoo": "zoos/{}.aligned.log",
    "pretrain": "hyper_reps/{}/{}_seed*.log",
    "train_gan": "generators/{}/{}_seed*.log",
    "train_jump": "jumps/{}/{}_seed*.log",
    "sample": "samples/{}/{}.log",
    "finetune": "finetuned/{}-{}/{}.log",
    "ensemble": "ensembles/{}/{}.log",
    "reconstruct": "reconstructions/{}/{}.log",
    "ablate": "ablations/{}/{}.log",
    "probe": "properties/{}/{}.log",
    "audit_references": "novelty/{}{}.log",
    "audit": "novelty/{}/{}.log",
    "tables and figures": "[tf]*es/*.log",
}


# counts may be mean ones, and are NaN where only a file tells them
Number = int | float


class Jobs(NamedTuple):
    """Jobs of one rule that are alike.

    Attributes:
        rule: Of the workflow.
        names: Zoos, then method, variant or population: what they are about.
        number: How many there are.
        seconds: Of CPU time, of all of them; NaN where only a file tells its images.
    """

    rule: str
    names: tuple[str, ...]
    number: int
    seconds: Number

    @property
    def logs(self) -> str:
        """Pattern of their logs, below logs/<experiment>."""
        return LOGS[self.rule].format(*self.names)


class Cost(NamedTuple):
    """What one stage takes.

    Attributes:
        stage: Rule of the workflow.
        core_hours: On a CPU like the one that was measured.
        complete: Whether all image sets are of known size; others are left out.
    """

    stage: str
    core_hours: float
    complete: bool


class Speeds:
    """Measured speeds of one core."""

    def __init__(self, folder: Path) -> None:
        """Reads the tables of the benchmarks in a folder."""
        self.folder = folder
        self._tables: dict[str, list[dict[str, str]]] = {}

    @cached_property
    def architectures(self) -> set[str]:
        """Those whose own speeds were measured, beside the cnn."""
        rows = self._rows("architectures", "fused")
        return {row["architecture"] for row in rows} - {"cnn"}

    def samples_per_second(self, table: str, *, case: str, **about: str) -> float:
        """Returns the speed of the last line of a case with one thread.

        Args:
            table: Name of the file.
            case: What was measured.
            about: Further columns and what they say.
        """
        rows = self._rows(table, case)
        found = [row for row in rows if about.items() <= row.items()]
        return float(found[-1]["samples_per_s"])

    def step_seconds(self, flop: Number, *, precision: str, dropout: bool) -> float:
        """Returns what a training step of an autoencoder takes.

        Steps of several sizes were measured; between them time is interpolated, both
        in logarithms. Steps of nearly equal size, which differ in their batch and so in
        what their weights cost, count as one of their mean. A smaller step takes as
        long as the smallest, whose operations only wait for their start; a larger one
        runs at the speed of the largest.

        Args:
            flop: Operations of the step, forward and backward, all views.
            precision: As in the settings; auto is taken for bfloat16.
            dropout: Whether there is any: attention then takes a slower path.
        """
        plain = "ours" if dropout else "ours, no dropout"
        case = plain if precision == "float32" else f"{plain}, bfloat16"
        # where half precision was not measured, it is taken for no faster
        rows = self._rows("autoencoder", case) or self._rows("autoencoder", plain)
        # models are the networks of a step
        seconds = [float(row["models"]) / float(row["samples_per_s"]) for row in rows]
        sizes = [
            1e9 * float(row["gflop_per_s"]) * time
            for row, time in zip(rows, seconds, strict=True)
        ]
        points = np.log(sorted(zip(sizes, seconds, strict=True)))
        apart = np.flatnonzero(np.diff(points[:, 0]) > math.log(NEARLY)) + 1
        x, y = np.transpose([part.mean(axis=0) for part in np.split(points, apart)])
        known = float(np.exp(np.interp(math.log(flop), x, y)))
        return known * max(1, flop / math.exp(x[-1]))

    def _rows(self, table: str, case: str) -> list[dict[str, str]]:
        if table not in self._tables:
            path = self.folder / f"{table}.csv"
            with open(path, newline="", encoding="utf-8") as file:
                self._tables[table] = list(csv.DictReader(file))
        rows = self._tables[table]
        return [r for r in rows if (r["case"], r["threads"]) == (case, "1")]


def autoencoder_multiplications(architecture: Architecture, settings: HyperRep) -> int:
    """Counts fused multiply-adds of encoding and decoding one network once.

    As if every block computed all tokens, though the encoder's last one computes only
    the compression token where there is one.
    """
    tokens = sum(item.units for item in architecture.weighted)
    width, latent = settings.width, settings.latent
    token_maps = sum(
        item.units * (item.fan_in + item.layer.bias) * width
        for item in architecture.weighted
    )
    total = 2 * token_maps + latent * tokens * width
    by_token = settings.compression == "token"
    total += latent * width * (1 if by_token else tokens)
    for length in (tokens + by_token, tokens):
        per_token = 4 * width**2 + 2 * width * settings.feedforward
        attention = 2 * length**2 * width
        total += settings.blocks * (length * per_token + attention)
    return total


def jump_multiplications(architecture: Architecture, settings: Jump) -> int:
    """Counts fused multiply-adds of a jump's velocity for one network."""
    items, width, size = architecture.weighted, settings.width, settings.connection
    tokens = sum(item.units for item in items)
    connections = sum(item.units * item.inputs for item in items)
    # of every weight, three numbers are read and one written
    maps = 4 * size * sum(item.units * item.fan_in for item in items)
    hearing = connections * (size**2 + 2 * tokens * size) + 2 * tokens * width * size
    telling = connections * (size**2 + 2 * tokens * size) + 2 * tokens * width * size
    per_token = 4 * width**2 + 2 * width * settings.feedforward
    attention = 2 * tokens**2 * width
    block = hearing + telling + tokens * per_token + attention
    return maps + settings.blocks * block + hearing


def probe_products(networks: Number, inputs: int) -> Number:
    """Counts what a ridge regression multiplies, up to a constant.

    Args:
        networks: That it is fitted on.
        inputs: Of each.
    """
    return networks * inputs * min(networks, inputs)


def estimate(settings: Settings, speeds: Speeds) -> list[Cost]:
    """Sums the work of a configuration by rule, whatever is done already."""
    seconds: dict[str, list[float]] = {}
    for jobs in Work(settings, speeds).jobs():
        seconds.setdefault(jobs.rule, []).append(jobs.seconds)
    return [
        Cost(
            rule,
            sum(part for part in parts if not math.isnan(part)) / 3600,
            not any(map(math.isnan, parts)),
        )
        for rule, parts in seconds.items()
    ]


class Work:
    """The work of a configuration, counted and timed.

    Args:
        settings: The configuration.
        speeds: Of one core.
    """

    def __init__(self, settings: Settings, speeds: Speeds) -> None:
        self.settings = settings
        self.speeds = speeds

    def jobs(self) -> Iterator[Jobs]:
        """Yields all jobs, whatever is done already."""
        plain, training = (
            1 / self.speeds.samples_per_second("stages", case=case)
            for case in ("start of a job", "start of training")
        )
        for stage in (
            self._zoos,
            self._pretrainings,
            self._samples,
            self._finetunings,
            self._ensembles,
            self._reconstructions,
            self._ablations,
            self._probes,
            self._audits,
        ):
            for jobs in stage():
                start = training if jobs.rule in TRAINING else plain
                yield jobs._replace(seconds=jobs.seconds + jobs.number * start)
        yield self._results()

    def _zoos(self) -> Iterator[Jobs]:
        names = needs.zoos(self.settings)
        for dataset in dict.fromkeys(self.settings.zoos[zoo].dataset for zoo in names):
            yield Jobs("prepare_dataset", (dataset,), 1, 0)
        for name in names:
            zoo = self.settings.zoos[name]
            if zoo.weights:
                # its file may have more epochs than the window
                networks = zoo.models * window(zoo)
                seconds = self._evaluation(name, networks, "train", "val", "test")
                yield Jobs("import_zoo", (name,), 1, seconds)
                continue
            shards = len(zoo.shards(self.settings.compute.shard_size))
            test = splits(zoo)[2]
            seconds = sum(
                count
                * self._training(
                    name,
                    _until(recipe, epochs),
                    zoo.architecture,
                    kept=zoo.kept_epochs,
                )
                for recipe in zoo.recipes
                for count, epochs in (
                    (zoo.models - test, zoo.last_epoch),
                    (test, recipe.epochs),
                )
            ) / len(zoo.recipes)
            yield Jobs("train_zoo", (name,), shards, seconds)
            yield Jobs("merge_zoo", (name,), 1, 0)
        for name in needs.aligned_zoos(self.settings):
            seconds = self._at("alignment", self.settings.zoos[name].models)
            yield Jobs("align_zoo", (name,), 1, seconds)

    def _pretrainings(self) -> Iterator[Jobs]:
        for name, variant in needs.hyper_reps(self.settings):
            zoo, model = self.settings.zoos[name], self._variant(name, variant)
            train, _, test = (size * window(zoo) for size in splits(zoo))
            views = 2 if model.contrast_weight else 1
            batch = min(model.batch_size, train)
            # the backward pass is twice the forward pass
            flop = 3 * views * batch * self._flop(name, variant)
            step = self.speeds.step_seconds(
                flop, precision=model.precision, dropout=model.dropout > 0
            )
            evaluations = -(-model.epochs // model.evaluate_every) * (train + test)
            seconds = step * (
                model.epochs * max(1, train // batch)
                + evaluations / (3 * views * batch)
            )
            if model.initialization == "components":
                start = COMPONENTS * self.network(name).parameters ** 3
                seconds += self.speeds.step_seconds(
                    start, precision="float32", dropout=False
                )
            count = len(model.seeds)
            yield Jobs("pretrain", (name, variant), count, seconds * count)
        steps = STEPS_PER_EPOCH * self.settings.gan.epochs
        for name, method in needs.generators(self.settings):
            count = self._seeds(name, method)
            seconds = self._at("step of a GAN", count * steps)
            yield Jobs("train_gan", (name, method), count, seconds)
        for name, jump in needs.jumps(self.settings):
            wanted = self.settings.jump_of(jump)
            flop = 3 * 2 * jump_multiplications(self.network(name), wanted)
            step = self.speeds.step_seconds(
                flop * wanted.batch_size, precision=wanted.precision, dropout=False
            )
            steps = STEPS_PER_EPOCH * wanted.epochs
            count = len(wanted.seeds)
            yield Jobs("train_jump", (name, jump), count, count * steps * step)

    def _samples(self) -> Iterator[Jobs]:
        for name, method in needs.samples(self.settings):
            shape = self._shape(name, method)
            networks = self.networks(name, method)
            seconds = self._evaluation(
                name, networks, "val", "test", architecture=shape
            )
            if self.settings.methods[method].best_of > 1:
                drawn = self._drawn(name, method)
                seconds += self._evaluation(name, drawn, "val", architecture=shape)
            if self.settings.methods[method].sampler == "neighbours":
                seconds += self._at("start of UMAP", 1)
                seconds += self._at("UMAP", self._seeds(name, method))
            yield Jobs("sample", (name, method), 1, seconds)

    def _finetunings(self) -> Iterator[Jobs]:
        for source, target, method in needs.finetuned_networks(self.settings):
            recipe, epochs = self.settings.finetuning(source, target, method)
            recipe = _until(recipe, max(epochs, default=0))
            shape = self._shape(source, method)
            one = self._training(target, recipe, shape, kept=epochs)
            seconds = one * self.networks(source, method)
            yield Jobs("finetune", (source, target, method), 1, seconds)

    def _ensembles(self) -> Iterator[Jobs]:
        wanted = self.settings.ensembles
        for name, population in needs.ensembles(self.settings):
            zoo = self.settings.zoos[name]
            trained = population in ZOO_POPULATIONS or (
                population in self.settings.in_distribution.methods
            )
            if population in ZOO_POPULATIONS:
                train, _, test = splits(zoo)
                networks = test if population == "B_T" else math.ceil(0.3 * train)
            else:
                networks = self.networks(name, population)
            epochs = len(wanted.epochs) if trained else 1
            sizes = sum(size <= networks for size in wanted.sizes)
            drawn = networks * math.ceil(wanted.subsets / networks)
            votes = epochs * drawn * sizes * self.image_count(name, "test")
            seconds = self._at("image of an ensemble", votes)
            seconds += self._evaluation(name, epochs * networks, "test")
            yield Jobs("ensemble", (name, population), 1, seconds)

    def _reconstructions(self) -> Iterator[Jobs]:
        for name, variant in needs.reconstructions(self.settings):
            count = len(self._variant(name, variant).seeds)
            networks = self.settings.zoos[name].models * count
            seconds = self._evaluation(name, networks, "test")
            seconds += networks * self._coding(name, variant)
            yield Jobs("reconstruct", (name, variant), 1, seconds)

    def _ablations(self) -> Iterator[Jobs]:
        for name, variant in needs.ablations(self.settings):
            wanted = self.settings.ablation.samples
            count = len(self._variant(name, variant).seeds)
            networks = wanted * count * ABLATED_POPULATIONS
            seconds = self._evaluation(name, networks, "test")
            seconds += networks * self._coding(name, variant)
            # all but the independent samples, and pairs of held-out networks
            held_out = min(wanted, splits(self.settings.zoos[name])[2])
            matches = networks * 3 / 4 + held_out**2 / 2
            seconds += self._at("match of an audit", matches)
            yield Jobs("ablate", (name, variant), 1, seconds)

    def _probes(self) -> Iterator[Jobs]:
        for name, features in needs.probes(self.settings):
            zoo, seconds = self.settings.zoos[name], 0.0
            networks = zoo.models * window(zoo)
            inputs, count = self.network(name).parameters, 1
            if features == "statistics":
                inputs = STATISTICS * len(self.network(name).weighted)
            if features in self.settings.variants:
                model = self._variant(name, features)
                inputs, count = model.latent, len(model.seeds)
                seconds += networks * count * self._coding(name, features) / 2
            products = probe_products(splits(zoo)[0] * window(zoo), inputs)
            properties = 3 + len(zoo.variations)
            seconds += self._at("product of a probe", properties * count * products)
            yield Jobs("probe", (name, features), 1, seconds)

    def _audits(self) -> Iterator[Jobs]:
        for name, coordinates in needs.audit_references(self.settings):
            zoo = self.settings.zoos[name]
            corpus = splits(zoo)[0] * window(zoo)
            seconds = sum(self._audit(name, count) for count in self.referenced(name))
            seconds += self._answers(name, corpus)
            suffix = "" if coordinates == "none" else ".aligned"
            yield Jobs("audit_references", (name, suffix), 1, seconds)
        for name, method in self.settings.audited:
            seconds = self._audit(name, self.networks(name, method))
            yield Jobs("audit", (name, method), 1, seconds)

    def _results(self) -> Jobs:
        # and their numbers for LaTeX
        number = len(needs.results(self.settings)) + 1
        # they import no torch
        return Jobs(
            "tables and figures", (), number, self._at("table or figure", number)
        )

    def _audit(self, zoo: str, networks: Number) -> float:
        """Returns seconds that the audit of one population takes."""
        training, unseen, _ = splits(self.settings.zoos[zoo])
        runs = training + unseen + 2 * NEAREST
        matches = networks * (runs + networks / 2)
        return self._at("match of an audit", matches) + self._answers(zoo, networks)

    def _answers(self, zoo: str, networks: Number) -> float:
        """Returns seconds that the answers an audit compares take."""
        known = self.image_count(zoo, "test")
        share = min(1, self.settings.novelty.images / known)
        return self._evaluation(zoo, networks * share, "test")

    def _training(
        self, zoo: str, recipe: Recipe, architecture: str, *, kept: Sequence[int]
    ) -> float:
        """Returns seconds that one network takes, with its evaluations."""
        engine = "fused" if recipe.optimizer == "adam" else "grouped"
        speed = self._speed("training", zoo, architecture, engine)
        trained = recipe.epochs * recipe.passes * self.image_count(zoo, "train")
        early = (epoch for epoch in kept if epoch <= recipe.epochs)
        return trained / speed + self._evaluation(
            zoo,
            len({*recipe.evaluated_epochs, *early}),
            "val",
            "test",
            architecture=architecture,
            engine=engine,
        )

    def _evaluation(
        self,
        zoo: str,
        networks: Number,
        *parts: str,
        architecture: str = "",
        engine: str = "fused",
    ) -> float:
        """Returns seconds that some networks take on parts of a zoo's images."""
        shape = architecture or self.settings.zoos[zoo].architecture
        count = sum(self.image_count(zoo, part) for part in parts)
        return networks * count / self._speed("evaluation", zoo, shape, engine)

    def _speed(self, work: str, zoo: str, architecture: str, engine: str) -> float:
        channels = "3" if self.channels(zoo) == 3 else "1"
        # one's own architectures, which nobody has timed, count as the cnn
        if architecture not in self.speeds.architectures:
            table = "zoo" if work == "training" else work
            return self.speeds.samples_per_second(f"{table}_{channels}", case=engine)
        return self.speeds.samples_per_second(
            "architectures",
            case=engine,
            architecture=architecture,
            channels=channels,
            work=work,
        )

    def _at(self, case: str, count: Number) -> float:
        return count / self.speeds.samples_per_second("stages", case=case)

    def image_count(self, zoo: str, split: str) -> Number:
        """Returns the number of images of a split; NaN if only a file tells."""
        dataset = self.settings.datasets[self.settings.zoos[zoo].dataset]
        source = find_source(dataset.source)
        if not source.channels:
            return math.nan
        train, test = source.counts
        sizes = {"train": train - dataset.validation, "val": dataset.validation}
        return sizes.get(split, test)

    def channels(self, zoo: str) -> int:
        """Returns the channels of a zoo's images; 1 if only a file tells."""
        dataset = self.settings.datasets[self.settings.zoos[zoo].dataset]
        return 1 if dataset.grayscale else find_source(dataset.source).channels or 1

    def network(self, zoo: str) -> Architecture:
        """Returns the architecture of a zoo."""
        architecture = self.settings.zoos[zoo].architecture
        return build(architecture, channels=self.channels(zoo))

    def _variant(self, zoo: str, variant: str) -> HyperRep:
        return self.settings.variant(variant, zoo=zoo)

    def _flop(self, zoo: str, variant: str) -> int:
        """Returns operations of encoding and decoding one network once."""
        model = self._variant(zoo, variant)
        return 2 * autoencoder_multiplications(self.network(zoo), model)

    def _coding(self, zoo: str, variant: str) -> float:
        """Returns seconds of encoding and decoding one network in a full batch."""
        model, flop = self._variant(zoo, variant), self._flop(zoo, variant)
        step = 3 * flop * model.batch_size
        seconds = self.speeds.step_seconds(step, precision="float32", dropout=False)
        return seconds * flop / step

    def _seeds(self, zoo: str, method: str) -> int:
        known = self.settings.methods[method]
        if known.jump:
            return len(self.settings.jump_of(known.jump).seeds)
        variant = known.hyper_rep
        return len(self._variant(zoo, variant).seeds) if variant else 1

    def referenced(self, zoo: str) -> list[int]:
        """Returns how many networks each reference of an audit has, held-out first."""
        wanted, known = self.settings.novelty, self.settings.zoos[zoo]
        populations = REFERENCE_POPULATIONS + len(wanted.noise)
        networks = [min(wanted.networks, known.models * window(known))] * populations
        return [splits(known)[2], *networks[1:]]

    def networks(self, zoo: str, method: str) -> int:
        """Returns how many networks a method keeps of those that it draws."""
        count, best_of = self._seeds(zoo, method), self.settings.methods[method].best_of
        return count * max(1, self._drawn(zoo, method) // count // best_of)

    def _drawn(self, zoo: str, method: str) -> int:
        """Returns how many networks a method draws.

        A mean is a single one, and what is not drawn anew is at most the pool.
        """
        known, count = self.settings.methods[method], self._seeds(zoo, method)
        if known.sampler == "mean":
            return count
        wanted = known.samples * known.best_of
        if known.sampler != "identity":
            return wanted * count
        settings = self.settings.zoos[zoo]
        split = dict(zip(("train", "val", "test"), splits(settings), strict=True))
        epochs = window(settings) if known.epochs == "window" else 1
        pool = math.ceil(split[known.split] * epochs * min(known.top, known.bottom))
        return min(wanted, pool) * count

    def _shape(self, zoo: str, method: str) -> str:
        known = self.settings.methods[method]
        return known.architecture or self.settings.zoos[zoo].architecture


def _until(recipe: Recipe, epochs: int) -> Recipe:
    return recipe.model_copy(update={"epochs": epochs})


def splits(zoo: Zoo) -> tuple[int, int, int]:
    """Returns how many models of a zoo train, val and test have."""
    return split_sizes(zoo.models, zoo.split)


def window(zoo: Zoo) -> int:
    """Returns the number of epochs in the window of a zoo."""
    first, last = zoo.window
    return last - first + 1
