"""A whole configuration: all settings of a run, and what must hold between them.

The Snakefile validates the merged config with load_settings(), and
workflow/schemas/config.schema.json is generated from Settings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, ValidationError, model_validator

from ..files.own_parts import find_initialization, is_own
from ..files.places import data_folder, expanded
from ..settings.limits import SHARDS, Listed, Name, Seed, Text, problem_lines
from ..settings.sections import (
    Ablation,
    Architectures,
    Capacity,
    Ensembles,
    EqualCompute,
    Figures,
    InDistribution,
    Judgement,
    Novelty,
    OwnResult,
    Properties,
    Reconstruction,
    Samplers,
    Section,
    Transfer,
    WithinZoos,
    declared,
)
from ..settings.stages import (
    Compute,
    Dataset,
    Gan,
    HyperRep,
    Jump,
    Method,
    Recipe,
    SettingsError,
    Statistics,
    Strict,
    Zoo,
)

# a zoo's own networks, and inputs of probes that need no hyper-representation: they
# stand beside methods and variants, whose names must be others
ZOO_POPULATIONS = ("B_T", "B_T30")
PLAIN_FEATURES = ("weights", "weights_aligned", "statistics")

Folder = Annotated[Text, Field(min_length=1)]


class Finetuning(NamedTuple):
    """How samples are finetuned, and the epochs whose weights are kept."""

    recipe: Recipe
    epochs: tuple[int, ...]


class Settings(Strict):
    """A whole run."""

    experiment: Name = Field(description="Results go to results/<experiment>.")
    seed: Seed = Field(0, description="Base seed of sampling and finetuning.")
    data_dir: Text = Field(
        "data",
        description="Folder of the official image files; files that are there are used,"
        " others downloaded. The environment variable HYPERREPS_DATA overrides it."
        " ~ and $NAME are replaced, here and in all paths.",
    )
    datasets: dict[Name, Dataset] = Field(
        max_length=1000, description="Image sets by name."
    )
    zoos: dict[Name, Zoo] = Field(max_length=1000, description="Populations by name.")
    hyper_rep: HyperRep = Field(
        HyperRep(), description="Settings that all variants share."
    )
    variants: dict[Name, dict[str, Any]] = Field(
        max_length=100,
        description="Hyper-representations by name: the keys of hyper_rep they change.",
    )
    gan: Gan = Field(Gan(), description="Training of sampler gan.")
    jump: Jump = Field(Jump(), description="Settings that all jumps share.")
    jumps: dict[Name, dict[str, Any]] = Field(
        {},
        max_length=100,
        description="Jumps by name: the keys of jump they change.",
    )
    methods: dict[Name, Method] = Field(
        max_length=1000, description="Ways to come by networks."
    )
    in_distribution: InDistribution = Field(description="The table in_distribution.")
    samplers: Samplers = Field(Samplers(), description="The table samplers.")
    transfer: Transfer = Field(Transfer(), description="The table transfer.")
    architectures: Architectures = Field(
        Architectures(), description="The table architectures."
    )
    equal_compute: EqualCompute = Field(
        EqualCompute(), description="The table equal_compute."
    )
    ensembles: Ensembles = Field(Ensembles(), description="The table ensembles.")
    reconstruction: Reconstruction = Field(
        Reconstruction(), description="The table reconstruction."
    )
    properties: Properties = Field(Properties(), description="The table properties.")
    ablation: Ablation = Field(Ablation(), description="Variants side by side.")
    novelty: Novelty = Field(Novelty(), description="The audit of samples.")
    judgement: Judgement = Field(
        Judgement(), description="All audited populations by the same measure."
    )
    capacity: Capacity = Field(Capacity(), description="The figure capacity.")
    own_results: dict[Name, OwnResult] = Field(
        {}, max_length=100, description="Your own tables and figures by name."
    )
    custom_rules: Listed[tuple[Folder, ...]] = Field(
        (), description="Your own rules: files that Snakemake includes after ours."
    )
    statistics: Statistics = Field(Statistics(), description="Uncertainty.")
    figures: Figures = Field(Figures(), description="Look of all figures.")
    compute: Compute = Field(Compute(), description="Machine matters.")
    pathvars: dict[Literal["results", "logs", "benchmarks"], Folder] = Field(
        {}, description="Snakemake's path variables, to redirect a run."
    )

    @property
    def sections(self) -> dict[str, Section]:
        """The sections that make tables and figures, by their key; no empty ones."""
        parts = {name: getattr(self, name) for name in type(self).model_fields}
        return {
            name: part
            for name, part in parts.items()
            if isinstance(part, Section) and part.wanted
        }

    @property
    def comparisons(self) -> dict[str, WithinZoos | Transfer]:
        """The sections that make a table of accuracies, by its name; no empty ones."""
        return {
            name: part
            for name, part in self.sections.items()
            if isinstance(part, WithinZoos | Transfer)
        }

    @property
    def sampled(self) -> list[tuple[str, str]]:
        """Zoo and method of all samples that tables, figures and the audit show."""
        used = [
            (source, method)
            for table in self.comparisons.values()
            for source, _ in table.pairs
            for method in table.methods + table.references
        ]
        ensembles = self.ensembles
        used += [(zoo, name) for zoo in ensembles.zoos for name in ensembles.methods]
        return list(dict.fromkeys(used + self.audited))

    @property
    def audited(self) -> list[tuple[str, str]]:
        """Zoo and method of all samples that are audited, a judgement's curves too."""
        return [
            (zoo, method)
            for zoo in self.novelty.zoos
            for method in dict.fromkeys(
                self.novelty.methods
                + (self.judgement.methods if zoo in self.judgement.zoos else ())
            )
        ]

    def variant(self, name: str, *, zoo: str) -> HyperRep:
        """Returns the settings of a variant of the hyper-representation for a zoo.

        The variant's own keys go before the zoo's, and these before hyper_rep. The
        empty name, of weight space, has the latter two.
        """
        own = self.variants[name] if name else {}
        return self._hyper_rep({**self.zoos[zoo].hyper_rep, **own})

    def jump_of(self, name: str) -> Jump:
        """Returns the settings of a jump."""
        return Jump(**{**self.jump.model_dump(), **self.jumps[name]})

    def finetuning(self, source: str, target: str, method: str) -> Finetuning:
        """Returns how samples are finetuned, and the epochs that are kept.

        The recipe is the target's, but for the activation: that is part of the network.
        Kept are the epochs of all tables that show them.
        """
        activation = self.zoos[source].recipe.activation
        recipe = self.zoos[target].recipe.model_copy(update={"activation": activation})
        epochs = {
            epoch
            for table in self.comparisons.values()
            if table.finetunes
            and (source, target) in table.pairs
            and method in table.methods
            for epoch in table.epochs
        }
        return Finetuning(recipe, tuple(sorted(epochs)))

    def _hyper_rep(self, changes: Mapping[str, Any]) -> HyperRep:
        return HyperRep(**{**self.hyper_rep.model_dump(), **changes})

    @model_validator(mode="after")
    def _references(self) -> Settings:
        problems = [*_change_problems(self), *_reference_problems(self)]
        if problems:
            raise ValueError("\n".join(problems))
        return self


def _change_problems(settings: Settings) -> Iterable[str]:
    """Yields a line for each change of hyper_rep that is not possible."""
    # all alone first, then each zoo's with each variant's
    changes: dict[tuple[str, ...], dict[str, Any]] = {
        ("variants", name): keys for name, keys in settings.variants.items()
    }
    for name, zoo in settings.zoos.items():
        changes["zoos", name, "hyper_rep"] = zoo.hyper_rep
    for path, keys in changes.items():
        try:
            settings._hyper_rep(keys)
        except ValidationError as error:
            yield from problem_lines(error, prefix=path)
            return
    yield from _wrong_jumps(settings)
    for (name, zoo), variant in product(settings.zoos.items(), settings.variants):
        if not zoo.hyper_rep:
            continue
        try:
            settings.variant(variant, zoo=name)
        except ValidationError as error:
            yield from problem_lines(
                error, prefix=("zoos", name, "hyper_rep", f"with variants.{variant}")
            )


def _wrong_jumps(settings: Settings) -> Iterator[str]:
    """Yields a line for each wrong key of a jump."""
    for name in settings.jumps:
        try:
            settings.jump_of(name)
        except ValidationError as error:
            yield from problem_lines(error, prefix=("jumps", name))


def _reference_problems(settings: Settings) -> Iterable[str]:
    """Yields a line for each name that is used but nowhere defined."""
    # imported late: the registries are light, but their modules use these models
    from ..data.sources import find_source
    from ..sampling.samplers import find_sampler, needs_generator, option_problems

    unknown = _unknown_problems
    yield from _place_problems(settings)
    yield from _own_result_problems(settings)
    yield from _reserved_problems(settings)
    for name, dataset in settings.datasets.items():
        key = f"datasets.{name}.source"
        yield from _part_problems(key, find_source, dataset.source)
    for name, zoo in settings.zoos.items():
        key = f"zoos.{name}"
        yield from unknown(f"{key}.dataset", zoo.dataset, settings.datasets, "datasets")
        yield from _network_problems(f"{key}.architecture", zoo.architecture)
        starts = [zoo.recipe.initialization]
        starts += [recipe.initialization for recipe in zoo.recipes]
        at = f"{key}.recipe.initialization"
        for start in dict.fromkeys(starts):
            yield from _part_problems(at, find_initialization, start)
    for name, method in settings.methods.items():
        key = f"methods.{name}"
        problems = [*_part_problems(f"{key}.sampler", find_sampler, method.sampler)]
        yield from problems
        if not problems:
            for problem in option_problems(method.sampler, method.options):
                yield f"{key}.options: {problem}"
            if method.sampler == "jump":
                yield from unknown(f"{key}.jump", method.jump, settings.jumps, "jumps")
            elif needs_generator(method.sampler) and not method.hyper_rep:
                yield f"{key}.hyper_rep: sampler {method.sampler} needs a latent space"
        if method.jump and method.sampler != "jump":
            yield f"{key}.jump: is for sampler jump only; leave it out"
        if method.architecture:
            yield from _network_problems(f"{key}.architecture", method.architecture)
        if method.hyper_rep:
            yield from unknown(
                f"{key}.hyper_rep", method.hyper_rep, settings.variants, "variants"
            )
    for section, part in settings.comparisons.items():
        zoos = dict.fromkeys(zoo for pair in part.pairs for zoo in pair)
        yield from _activation_problems(settings, section, zoos)
        for field, names, where in (
            ("pairs" if section == "transfer" else "zoos", zoos, "zoos"),
            ("methods", part.methods, "methods"),
            ("references", part.references, "methods"),
        ):
            for name in names:
                known = getattr(settings, where)
                yield from unknown(f"{section}.{field}", name, known, where)
    yield from _jump_problems(settings)
    yield from _transfer_problems(settings)
    yield from _stage_problems(settings)


def _jump_problems(settings: Settings) -> Iterable[str]:
    """Yields a line for each zoo that a jump cannot be trained on."""
    if next(_wrong_jumps(settings), None):
        return
    for name in settings.jumps:
        yield from _beginning_problems(settings, name)
    for source, method in settings.sampled:
        known = settings.methods.get(method)
        jump = known.jump if known else ""
        if jump not in settings.jumps or source not in settings.zoos:
            continue
        yield from _station_problems(settings, source, jump, method)
        place, before = settings.jump_of(jump).pretrained or ("", "")
        if place not in settings.zoos or before not in settings.jumps:
            continue
        yield from _station_problems(settings, place, before, method)
        given, wanted = (settings.zoos[zoo].architecture for zoo in (place, source))
        if given != wanted:
            yield (
                f"jumps.{jump}.pretrained_on: networks of {place} are {given},"
                f" those of {source} {wanted}; name a zoo of the same architecture"
            )


def _beginning_problems(settings: Settings, name: str) -> Iterable[str]:
    """Yields a line where the jump that another begins with cannot be one."""
    wanted, key = settings.jump_of(name), f"jumps.{name}"
    if not wanted.pretrained:
        return
    place, before = wanted.pretrained
    unknown = _unknown_problems
    yield from unknown(f"{key}.pretrained_on", place, settings.zoos, "zoos")
    yield from unknown(f"{key}.pretrained_as", before, settings.jumps, "jumps")
    if before not in settings.jumps:
        return
    known = settings.jump_of(before)
    if known.pretrained:
        yield (
            f"{key}.pretrained_as: {before} begins with another jump itself; name one"
            " that does not"
        )
    if known.seeds != wanted.seeds:
        yield (
            f"{key}.seeds: {list(wanted.seeds)} are not those of {before},"
            f" {list(known.seeds)}, with which it begins seed by seed; give both the"
            " same"
        )


def _station_problems(
    settings: Settings, name: str, jump: str, method: str
) -> Iterable[str]:
    """Yields a line for a zoo without the weights that a jump goes between."""
    zoo = settings.zoos[name]
    stations = settings.jump_of(jump).stations_of(zoo)
    if not zoo.weights and (missing := set(stations) - set(zoo.kept_epochs)):
        yield (
            f"methods.{method}: zoo {name} does not keep the weights of epochs"
            f" {sorted(missing)}, stations of jumps.{jump}; add them to"
            f" zoos.{name}.keep"
        )


def _place_problems(settings: Settings) -> Iterable[str]:
    """Yields a line for each path with a variable or home folder that is not there."""
    try:
        data_folder(settings.data_dir)
    except SettingsError as error:
        yield str(error)
    paths = {
        **{f"datasets.{name}.path": d.path for name, d in settings.datasets.items()},
        **{f"zoos.{name}.weights": zoo.weights for name, zoo in settings.zoos.items()},
        **{f"pathvars.{name}": path for name, path in settings.pathvars.items()},
    }
    for key, path in paths.items():
        try:
            expanded(path, key=key)
        except SettingsError as error:
            yield str(error)


def _activation_problems(
    settings: Settings, section: str, zoos: Iterable[str]
) -> Iterable[str]:
    """Yields a line for each zoo whose networks cannot be evaluated as one."""
    for name in zoos:
        if name in settings.zoos and "activation" in settings.zoos[name].variations:
            yield (
                f"{section}: zoo {name} varies its activation, so that samples of it"
                " have none; leave it out"
            )


def _reserved_problems(settings: Settings) -> Iterable[str]:
    """Yields a line for each name that means something else, and each zoo too large."""
    for name in set(ZOO_POPULATIONS) & settings.methods.keys():
        yield f"methods.{name}: is the name of a zoo's own networks; choose another"
    for name in set(PLAIN_FEATURES) & settings.variants.keys():
        yield f"variants.{name}: is the name of plain features; choose another"
    size = settings.compute.shard_size
    for name, zoo in settings.zoos.items():
        if name.endswith(".aligned"):
            yield f"zoos.{name}: names in .aligned are those of aligned zoos"
        if zoo.models > SHARDS * size:
            yield (
                f"zoos.{name}.models: {zoo.models} in shards of compute.shard_size"
                f" ({size}) are more than {SHARDS} jobs; make the shards larger"
            )


def _unknown_problems(
    key: str, name: str, known: Iterable[str], where: str
) -> Iterable[str]:
    if name not in known:
        yield f"{key}: unknown {name!r}; {where} has {', '.join(sorted(known))}"


def _part_problems(key: str, find: Callable[[str], object], name: str) -> Iterable[str]:
    """Yields what is wrong with the name of a registry's entry or of a user's part."""
    try:
        find(name)
    except SettingsError as error:
        yield f"{key}: {error}"


def _network_problems(key: str, name: str) -> Iterable[str]:
    from ..networks.architectures import build

    # images are grey, or in colour
    for channels in (1, 3):
        problems = [*_part_problems(key, partial(build, channels=channels), name)]
        yield from problems
        if problems:
            return


def _own_result_problems(settings: Settings) -> Iterable[str]:
    """Yields a line for each table and figure of the user's that cannot be made."""
    for name, own in settings.own_results.items():
        key = f"own_results.{name}"
        if name in declared(own.kind):
            yield f"{key}: is a {own.kind} of ours; choose another name"
        if own.section not in settings.sections:
            there = ", ".join(settings.sections)
            yield f"{key}.section: {own.section!r} makes nothing here; {there} do"
        # imported late: pandas comes with it
        from ..results.result import find

        yield from _part_problems(
            f"{key}.made_by", partial(find, own.kind), own.made_by
        )


def _stage_problems(settings: Settings) -> Iterable[str]:
    """Yields a line for each name or epoch that a section cannot have."""
    for section in ("ensembles", "reconstruction", "properties", "ablation", "novelty"):
        for field in ("zoos", "methods", "variants"):
            known = getattr(settings, field)
            for name in getattr(getattr(settings, section), field, ()):
                yield from _unknown_problems(f"{section}.{field}", name, known, field)
        if section != "properties":
            part = getattr(settings, section)
            yield from _activation_problems(settings, section, part.zoos)
    for section in ("capacity", "judgement"):
        for name in getattr(settings, section).zoos:
            known = settings.novelty.zoos
            yield from _unknown_problems(f"{section}.zoos", name, known, "novelty.zoos")
    judged = settings.judgement
    curves = {f"judgement.{field}": getattr(judged, field) for field in judged.shown}
    for key, names in curves.items():
        for name in names:
            yield from _unknown_problems(key, name, settings.methods, "methods")
    for key, names in {"novelty.methods": settings.novelty.methods, **curves}.items():
        for name in names:
            method = settings.methods.get(name)
            if settings.novelty.zoos and method and method.architecture:
                yield (
                    f"{key}: {name} are networks of another architecture than their"
                    " zoo's; leave it out"
                )
    yield from _kept_problems(settings)
    wanted, finetuned = settings.ensembles, settings.in_distribution
    missing = set(wanted.epochs) - set(finetuned.epochs)
    if wanted.zoos and missing:
        yield (
            f"ensembles.epochs: {sorted(missing)} are not among in_distribution.epochs,"
            " whose weights are kept"
        )
    untrained = set(wanted.methods) - set(finetuned.methods)
    if untrained and 0 not in wanted.epochs:
        yield (
            f"ensembles.methods: {sorted(untrained)} are not finetuned and need epoch 0"
            " among ensembles.epochs"
        )


def _kept_problems(settings: Settings) -> Iterable[str]:
    """Yields a line for each zoo without the weights that its ensembles are made of."""
    wanted = settings.ensembles
    for name in wanted.zoos:
        zoo = settings.zoos.get(name)
        if zoo is None or zoo.weights:
            continue
        if missing := sorted(set(wanted.epochs) - set(zoo.kept_epochs)):
            yield (
                f"ensembles.epochs: zoo {name} does not keep the weights of {missing};"
                f" add them to zoos.{name}.keep"
            )
        if late := [epoch for epoch in wanted.epochs if epoch > zoo.last_epoch]:
            yield (
                f"ensembles.epochs: not all networks of zoo {name} are trained to"
                f" {late}; set zoos.{name}.complete"
            )


def _transfer_problems(settings: Settings) -> Iterable[str]:
    """Yields a line for each pair whose networks cannot see the target's images."""
    from ..data.sources import find_source

    def channels(zoo: str) -> int:
        dataset = settings.datasets[settings.zoos[zoo].dataset]
        return 1 if dataset.grayscale else find_source(dataset.source).channels

    for source, target in settings.transfer.pairs:
        key = f"transfer.pairs: {source} -> {target}"
        if source == target:
            yield f"{key}: is one zoo; in_distribution is its table"
            continue
        try:
            seen, given = channels(source), channels(target)
        except (KeyError, SettingsError):
            continue  # an unknown name, which has its line already
        # 0: not known before the file is read
        if seen and given and seen != given:
            yield (
                f"{key}: networks of {source} take {seen} channel(s), the images of"
                f" {target} have {given}; see source and grayscale of their datasets"
            )


def load_settings(config: Mapping[Any, Any]) -> Settings:
    """Validates a merged configuration.

    Args:
        config: The content of config.yaml with its overlays.

    Raises:
        SettingsError: With one line per problem, each naming the key's path.
    """
    try:
        return Settings.model_validate(config)
    except ValidationError as error:
        lines = [f"config: {line}" for line in problem_lines(error)]
        raise SettingsError("\n".join(lines)) from None


def custom_rules(settings: Settings) -> list[str]:
    """Returns the files of a user's rules, seen from the working directory.

    Raises:
        SettingsError: If there is no such file.
    """
    found = []
    for number, name in enumerate(settings.custom_rules):
        key = f"custom_rules.{number}"
        path = Path(expanded(name, key=key)).absolute()
        if not path.is_file():
            raise SettingsError(f"config: {key}: {path}: no such file")
        # included by another file, relative names would be seen from there
        found.append(str(path))
    return found


def check_own_networks(settings: Settings) -> None:
    """Computes with each architecture of a user's whether it is what it declares.

    Raises:
        SettingsError: If an order of units that it declares free changes its function.
    """
    zoos, methods = settings.zoos.values(), settings.methods.values()
    names = {zoo.architecture for zoo in zoos} | {m.architecture for m in methods}
    for name in sorted(filter(is_own, names)):
        # imported late: torch comes with it
        from ..engines.symmetry_check import require_symmetry
        from ..networks.architectures import build

        try:
            require_symmetry(build(name, channels=1))
        except SettingsError as error:
            raise SettingsError(f"config: architecture {error}") from error
