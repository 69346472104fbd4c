"""The settings of a run: every key of config.yaml with its meaning, range and default.

The models are the one source of the configuration: the Snakefile validates the merged
config with them, the scripts take them as command line flags, and
workflow/schemas/config.schema.json is generated from them. No torch in here: every job
on a cluster parses the Snakefile, and with it this file, again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise, product
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Epoch = Annotated[int, Field(ge=0)]
# names become parts of file names and wildcards
Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_.]*$")]


Engine = Literal["auto", "loop", "grouped", "fused"]


class SettingsError(ValueError):
    """A configuration that cannot be used; the message names each key."""


class Strict(BaseModel):
    """Base of all settings: unknown keys are errors and values cannot change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Dataset(Strict):
    """Images and labels: where they come from and how they become 28 x 28."""

    source: str = Field(description="Loader: an entry of SOURCES in sources.py.")
    path: str = Field(
        "", description="File below data_dir, for sources that need one (npz)."
    )
    grayscale: bool = Field(
        False, description="Turn colour into one channel (ITU-R 601 luma)."
    )
    fit: Literal["resize", "crop"] = Field(
        "resize",
        description="How other sizes become 28 x 28: antialiased bilinear resize, or"
        " the centre.",
    )
    validation: Count = Field(
        description="Images taken from the training images for validation."
    )
    split_seed: Seed = Field(42, description="Seed of the train/validation split.")
    mean: tuple[float, ...] = Field(
        (),
        description="Pixel mean per channel in [0, 1], subtracted before training;"
        " empty: measured on the training images.",
    )
    std: tuple[Positive, ...] = Field(
        (), description="Pixel standard deviation per channel; empty: measured."
    )

    @model_validator(mode="after")
    def _mean_with_std(self) -> Dataset:
        if len(self.mean) != len(self.std):
            raise ValueError("mean and std need the same number of channels")
        return self


class Recipe(Strict):
    """How one population of networks is initialised and trained."""

    initialization: Literal[
        "uniform",
        "uniform_fan_in",
        "normal",
        "kaiming_uniform",
        "kaiming_normal",
        "xavier_uniform",
        "xavier_normal",
    ] = Field(
        description="Distribution of initial weights: uniform is U(0, 1),"
        " uniform_fan_in U(0, 1/sqrt(fan_in)), normal N(0, 1); biases start at 0.01."
    )
    activation: Literal["tanh", "relu", "leaky_relu", "sigmoid", "silu", "gelu"] = (
        Field(description="Activation after every layer but the last.")
    )
    optimizer: Literal["adam", "sgd", "rmsprop"] = Field(
        "adam", description="Optimiser; weight decay is coupled L2 in all three."
    )
    learning_rate: Positive = Field(description="Step size.")
    weight_decay: NotNegative = Field(0.0, description="L2 penalty on all parameters.")
    momentum: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, description="Momentum of sgd and rmsprop; adam ignores it."
    )
    batch_size: Count = Field(
        description="Images per step; the last batch may be short."
    )
    epochs: Count = Field(description="Passes over the training images.")
    weight_limit: Positive = Field(
        1000.0,
        description="A network with a larger absolute weight has diverged: it is kept"
        " as it was an epoch before, marked, and left out of what follows.",
    )


class Zoo(Strict):
    """A population of networks that differ in their seed, and in what is varied."""

    dataset: Name = Field(description="Images they are trained on: a key of datasets.")
    architecture: str = Field(
        "cnn", description="Network: an entry of ARCHITECTURES in architectures.py."
    )
    models: Annotated[int, Field(ge=3)] = Field(
        description="Number of networks, at least one for each part of the split."
    )
    first_seed: Seed = Field(1, description="Seeds are first_seed, first_seed + 1, ...")
    split: tuple[Fraction, Fraction, Fraction] = Field(
        (0.7, 0.15, 0.15),
        description="Fractions of the models that train, validate and test the"
        " hyper-representation.",
    )
    window: tuple[Epoch, Epoch] = Field(
        description="First and last epoch whose weights train the hyper-representation."
    )
    recipe: Recipe = Field(description="Initialisation and training.")
    variations: dict[str, tuple[float | str, ...]] = Field(
        {},
        description="Keys of recipe with the values they take; every combination gets"
        " an equal share of the models, in blocks of consecutive seeds.",
    )
    weights: str = Field(
        "",
        description="npz file below data_dir with networks trained elsewhere by this"
        " recipe (weights, epochs, seeds); empty: they are trained here.",
    )
    hyper_rep: dict[str, Any] = Field(
        {}, description="Keys of hyper_rep that are different for this zoo."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Zoo:
        if abs(sum(self.split) - 1) > 1e-9:
            raise ValueError(f"split must sum to 1, got {sum(self.split):g}")
        first, last = self.window
        if not first <= last <= self.recipe.epochs:
            raise ValueError(
                f"window must be increasing and end by epoch {self.recipe.epochs}"
                f" (recipe.epochs), got {first}..{last}"
            )
        if "epochs" in self.variations:
            raise ValueError("variations: epochs are the same for all models")
        if self.variations and self.weights:
            raise ValueError("variations: of networks trained elsewhere, none is known")
        if not len(self.recipes) <= self.models:
            raise ValueError(
                f"variations have {len(self.recipes)} combinations, more than models"
                f" ({self.models})"
            )
        return self

    @property
    def recipes(self) -> tuple[Recipe, ...]:
        """The recipe of every combination of what is varied."""
        base = self.recipe.model_dump()
        return tuple(
            Recipe(**base | dict(zip(self.variations, values, strict=True)))
            for values in product(*self.variations.values())
        )

    def recipe_of(self, seed: int) -> Recipe:
        """Returns the recipe of the model with this seed."""
        model = seed - self.first_seed
        return self.recipes[model * len(self.recipes) // self.models]

    def shards(self, size: int) -> list[tuple[int, int]]:
        """Cuts the models into runs of consecutive seeds with one recipe.

        Args:
            size: Models in a shard, at most.

        Returns:
            First and last seed of each.
        """
        count = len(self.recipes)
        starts = [-(-self.models * k // count) for k in range(count + 1)]
        return [
            (self.first_seed + first, self.first_seed + min(first + size, end) - 1)
            for start, end in pairwise(starts)
            for first in range(start, end, size)
        ]


class HyperRep(Strict):
    """The hyper-representation: a transformer autoencoder on weights."""

    width: Count = Field(800, description="Size of a token inside the transformer.")
    heads: Count = Field(4, description="Attention heads; they divide width.")
    blocks: Count = Field(
        2, description="Transformer blocks of encoder and of decoder."
    )
    feedforward: Count = Field(900, description="Hidden width of a block's MLP.")
    block_activation: Literal["relu", "gelu"] = Field(
        "relu", description="Activation of a block's MLP."
    )
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.1, description="Dropout in attention and MLP."
    )
    latent: Count = Field(700, description="Size of the latent vector.")
    compression: Literal["token", "linear"] = Field(
        "token",
        description="Latent from one learned compression token, or from all tokens.",
    )
    projection_layers: Count = Field(
        4, description="Hidden layers of the projection head of the contrastive loss."
    )
    projection_width: Count = Field(400, description="Their width.")
    projection_size: Count = Field(50, description="Size of the projection.")
    loss_normalization: Literal["layer", "none"] = Field(
        "layer",
        description="layer: squared errors divided by the variance of their layer;"
        " none: plain squared error (the baseline hyper-representation).",
    )
    contrast_weight: Annotated[float, Field(ge=0, le=1)] = Field(
        0.1,
        description="Weight gamma of the contrastive loss; reconstruction: 1 - gamma.",
    )
    temperature: Positive = Field(0.1, description="Temperature of NT-Xent.")
    permutation: bool = Field(
        True, description="Augment each view by a random permutation of neurons."
    )
    erase_probability: Fraction = Field(
        0.5, description="Probability that a block of a view is set to zero."
    )
    erase_fraction: tuple[Fraction, Fraction] = Field(
        (0.02, 0.33), description="Range of the erased fraction of the vector."
    )
    noise: NotNegative = Field(
        0.0, description="Standard deviation of Gaussian noise added to each view."
    )
    target: Literal["view", "clean"] = Field(
        "view",
        description="What is reconstructed: the augmented view (as released), or the"
        " view before noise and erasing.",
    )
    centering: bool = Field(
        False,
        description="Subtract the mean of the training weights per coordinate and"
        " divide by their overall standard deviation.",
    )
    alignment: Literal["none", "weight_matching"] = Field(
        "none",
        description="Bring all models into the coordinates of one reference first (git"
        " re-basin weight matching).",
    )
    weight_threshold: Positive = Field(
        5.0, description="Samples with a larger absolute weight are left out."
    )
    optimizer: Literal["adam", "adamw"] = Field("adam", description="Optimiser.")
    learning_rate: Positive = Field(1e-4, description="Its (maximal) step size.")
    weight_decay: NotNegative = Field(1e-9, description="Its weight decay.")
    schedule: Literal["constant", "plateau", "onecycle"] = Field(
        "plateau",
        description="Learning rate: constant, times 0.3 when the training loss stops"
        " falling, or one cycle.",
    )
    batch_size: Annotated[int, Field(ge=2)] = Field(
        500, description="Models per step; each gives two views."
    )
    micro_batch: Annotated[int, Field(ge=0)] = Field(
        0,
        description="Models per forward pass, to save memory; gradients are summed over"
        " the batch. Contrast and batch norm then see this many models. 0: all.",
    )
    epochs: Count = Field(500, description="Passes over the training samples.")
    evaluate_every: Count = Field(
        10, description="Epochs between evaluations on held-out models."
    )
    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="Arithmetic inside the transformer; losses stay float32."
    )
    seeds: tuple[Seed, ...] = Field(
        (1,), min_length=1, description="One hyper-representation is trained per seed."
    )

    @model_validator(mode="after")
    def _consistent(self) -> HyperRep:
        if self.width % self.heads:
            raise ValueError(
                f"heads ({self.heads}) must divide width ({self.width}) evenly"
            )
        low, high = self.erase_fraction
        if low > high:
            raise ValueError(f"erase_fraction must be increasing, got {low}..{high}")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("seeds must differ from one another")
        return self


class Method(Strict):
    """A way to come by a population of networks: a pool of models and a sampler."""

    sampler: str = Field(description="An entry of SAMPLERS in sampling.py.")
    hyper_rep: str = Field(
        "",
        description="Variant whose latent space is sampled; empty: weight space.",
    )
    split: Literal["train", "val", "test"] = Field(
        "train", description="Models that the sampler may see."
    )
    epochs: Literal["window", "last"] = Field(
        "window", description="Their epochs: all of the zoo's window, or its last."
    )
    top: Annotated[float, Field(gt=0, le=1)] = Field(
        1.0, description="Best fraction of them that is kept."
    )
    bottom: Annotated[float, Field(gt=0, le=1)] = Field(
        1.0, description="Worst fraction of them that is kept, instead of the best."
    )
    select_on: Literal["val", "test"] = Field(
        "val",
        description="Accuracy that ranks them; test is what the release used.",
    )
    alignment: Literal["none", "weight_matching"] = Field(
        "none", description="Coordinates of the pool in weight space (hyper_rep empty)."
    )
    samples: Count = Field(
        50, description="Networks drawn (per seed of the hyper-representation)."
    )
    options: dict[str, int | float | str] = Field(
        {}, description="Keyword arguments of the sampler."
    )
    architecture: str = Field(
        "",
        description="Network that the samples become, an entry of ARCHITECTURES; empty:"
        " the zoo's.",
    )
    transplant: Literal["layers", "vector", "none"] = Field(
        "layers",
        description="How they become it: layer by layer, by reading the whole vector"
        " across layers, or not at all (random initialisation by the zoo's recipe).",
    )
    published: str = Field(
        "",
        description="Method in published.yaml to compare with; empty: the same name.",
    )

    @model_validator(mode="after")
    def _one_end(self) -> Method:
        if self.top < 1 and self.bottom < 1:
            raise ValueError("top and bottom: leave one of them out, or at 1")
        return self


class Gan(Strict):
    """The generative adversarial network of sampler gan: two small perceptrons."""

    noise: Count = Field(64, description="Size of the noise that is fed in.")
    width: Count = Field(256, description="Units of each of the two hidden layers.")
    learning_rate: Positive = Field(5e-4, description="Step size of Adam, both.")
    penalty: NotNegative = Field(
        1.0, description="Weight of the discriminator's gradient penalty R1."
    )
    averaging: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.99, description="Decay of the average of the generator that is kept."
    )
    batch_size: Count = Field(64, description="Points per step.")
    epochs: Count = Field(100, description="Epochs, of 100 steps whatever the pool.")


class Comparison(Strict):
    """What stands side by side in a table and its figures: methods on pairs of zoos."""

    # whether the samples of methods are finetuned
    finetunes: ClassVar[bool] = True
    methods: tuple[Name, ...] = Field((), description="Keys of methods.")
    references: tuple[Name, ...] = Field(
        (), description="Keys of methods that are evaluated at epoch 0 only."
    )
    epochs: tuple[Epoch, ...] = Field(
        (0, 1, 25, 50), min_length=1, description="Finetuning epochs in the table."
    )

    @model_validator(mode="after")
    def _increasing(self) -> Comparison:
        if list(self.epochs) != sorted(set(self.epochs)) or self.epochs[0] != 0:
            raise ValueError("epochs must start at 0 and increase")
        return self


class WithinZoos(Comparison):
    """A comparison of networks on the images of their own zoo."""

    zoos: tuple[Name, ...] = Field((), description="Keys of zoos; none: no such table.")

    @property
    def populations(self) -> tuple[tuple[str, str], ...]:
        """Every zoo with itself."""
        return tuple((zoo, zoo) for zoo in self.zoos)


class InDistribution(WithinZoos):
    """Networks sampled and finetuned on their own zoo's images (paper, Table 1)."""

    zoos: tuple[Name, ...] = Field(min_length=1, description="Keys of zoos.")
    methods: tuple[Name, ...] = Field(
        min_length=1, description="Keys of methods; their samples are finetuned."
    )


class Samplers(WithinZoos):
    """Samplers beside each other, before any finetuning (paper, box plot)."""

    finetunes: ClassVar[bool] = False
    epochs: tuple[Epoch, ...] = Field(
        (0, 25),
        min_length=1,
        description="Epochs of B_T, training from scratch, beside them.",
    )


class Architectures(WithinZoos):
    """Generated weights in other architectures, finetuned (paper, poster)."""

    epochs: tuple[Epoch, ...] = Field(
        (0, 1, 5, 50), min_length=1, description="Finetuning epochs in the table."
    )


class Transfer(Comparison):
    """Networks of one zoo finetuned on the images of another."""

    pairs: tuple[tuple[Name, Name], ...] = Field(
        (), description="Source and target, keys of zoos; none: no such table."
    )

    @property
    def populations(self) -> tuple[tuple[str, str], ...]:
        """Source and target: the zoo of the networks and that of their images."""
        return self.pairs


class Ensembles(Strict):
    """Ensembles of sampled networks beside ensembles of the zoo's own."""

    zoos: tuple[Name, ...] = Field((), description="Keys of zoos; empty: not made.")
    methods: tuple[Name, ...] = Field(
        (),
        description="Keys of methods; those that in_distribution does not finetune are"
        " known at epoch 0 only.",
    )
    sizes: tuple[Count, ...] = Field(
        (1, 2, 5, 10, 20, 30),
        min_length=1,
        description="Networks per ensemble; sizes above a population's are left out.",
    )
    epochs: tuple[Epoch, ...] = Field(
        (0, 1, 25),
        min_length=1,
        description="Finetuning epochs, among those of in_distribution.",
    )
    subsets: Count = Field(
        200, description="Random ensembles drawn of each size, at least."
    )

    @model_validator(mode="after")
    def _increasing(self) -> Ensembles:
        for name in ("sizes", "epochs"):
            values = list(getattr(self, name))
            if values != sorted(set(values)):
                raise ValueError(f"{name} must increase, got {values}")
        return self


class Reconstruction(Strict):
    """Networks beside their reconstructions, layer by layer."""

    zoos: tuple[Name, ...] = Field((), description="Keys of zoos; empty: not made.")
    variants: tuple[Name, ...] = Field((), description="Keys of variants.")

    @model_validator(mode="after")
    def _some_variant(self) -> Reconstruction:
        if self.zoos and not self.variants:
            raise ValueError("variants must name one at least, or zoos none")
        return self


class Properties(Strict):
    """What linear probes read from weights, their statistics and latents."""

    zoos: tuple[Name, ...] = Field((), description="Keys of zoos; empty: not made.")
    variants: tuple[Name, ...] = Field(
        (), description="Keys of variants; the figure latents shows the first."
    )

    @model_validator(mode="after")
    def _some_variant(self) -> Properties:
        if self.zoos and not self.variants:
            raise ValueError("variants must name one at least, or zoos none")
        return self


class Novelty(Strict):
    """The audit: how far sampled networks are from those they were learned from."""

    zoos: tuple[Name, ...] = Field((), description="Keys of zoos; none: no audit.")
    methods: tuple[Name, ...] = Field(
        (), description="Keys of methods whose samples are audited."
    )
    accuracy_bar: Annotated[float, Field(gt=0, le=1)] = Field(
        0.8,
        description="Performant is a network with at least this fraction of the median"
        " test accuracy of the zoo's held-out networks.",
    )
    multiples: tuple[Positive, ...] = Field(
        (1, 2, 3, 4, 6),
        min_length=1,
        description="Novel is a network farther from all training networks than this"
        " many times the zoo's median leave-one-out distance.",
    )
    noise: tuple[Positive, ...] = Field(
        (0.02, 0.04, 0.1, 0.2),
        description="Standard deviations of the reference training network + noise.",
    )
    soup: Annotated[int, Field(ge=2)] = Field(
        16, description="Networks of which each reference soup is the mean."
    )
    networks: Annotated[int, Field(ge=2)] = Field(
        100, description="Networks of each reference."
    )
    images: Count = Field(
        10_000, description="Test images (the first) on which answers are compared."
    )

    @model_validator(mode="after")
    def _increasing(self) -> Novelty:
        for name in ("multiples", "noise"):
            values = getattr(self, name)
            if list(values) != sorted(set(values)):
                raise ValueError(f"{name} must increase, got {list(values)}")
        if self.zoos and not self.methods:
            raise ValueError("methods: none to audit; name some, or leave zoos empty")
        return self


class Statistics(Strict):
    """Uncertainty of every number."""

    resamples: Annotated[int, Field(ge=100)] = Field(
        2000, description="Bootstrap resamples."
    )
    confidence: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.95, description="Level of the confidence intervals."
    )


class Compute(Strict):
    """How the work is cut and where it runs. Results do not depend on shard_size."""

    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="auto takes a GPU where there is one."
    )
    engine: Engine = Field(
        "auto",
        description="What trains and evaluates networks; auto takes the fastest that"
        " can: fused (the cnn on a CPU, with numba) or grouped (anything). loop is"
        " plain PyTorch, one network at a time.",
    )
    compiled: bool = Field(
        False,
        description="Let torch.compile fuse the hyper-representation's training step;"
        " for large models on a GPU.",
    )
    shard_size: Count = Field(50, description="Models trained side by side in one job.")
    threads: Count = Field(
        1,
        description="CPU threads of a job that trains networks; fixed, since float"
        " sums can depend on it.",
    )


class Settings(Strict):
    """A whole run."""

    experiment: Name = Field(description="Results go to results/<experiment>.")
    seed: Seed = Field(0, description="Base seed of sampling, finetuning, bootstrap.")
    data_dir: str = Field(
        "data",
        description="Folder of the official image files; files that are there are used,"
        " others downloaded. The environment variable HYPERREPS_DATA overrides it.",
    )
    datasets: dict[Name, Dataset] = Field(description="Image sets by name.")
    zoos: dict[Name, Zoo] = Field(description="Populations by name.")
    hyper_rep: HyperRep = Field(
        HyperRep(), description="Settings that all variants share."
    )
    variants: dict[Name, dict[str, Any]] = Field(
        description="Hyper-representations by name: the keys of hyper_rep they change."
    )
    gan: Gan = Field(Gan(), description="Training of sampler gan.")
    methods: dict[Name, Method] = Field(description="Ways to come by networks.")
    in_distribution: InDistribution = Field(description="The table in_distribution.")
    samplers: Samplers = Field(Samplers(), description="The table samplers.")
    transfer: Transfer = Field(Transfer(), description="The table transfer.")
    architectures: Architectures = Field(
        Architectures(), description="The table architectures."
    )
    ensembles: Ensembles = Field(Ensembles(), description="The table ensembles.")
    reconstruction: Reconstruction = Field(
        Reconstruction(), description="The table reconstruction."
    )
    properties: Properties = Field(Properties(), description="The table properties.")
    novelty: Novelty = Field(Novelty(), description="The audit of samples.")
    statistics: Statistics = Field(Statistics(), description="Uncertainty.")
    compute: Compute = Field(Compute(), description="Machine matters.")
    pathvars: dict[str, str] = Field(
        {}, description="Snakemake's path variables, to redirect a run."
    )

    @property
    def comparisons(self) -> dict[str, WithinZoos | Transfer]:
        """The sections that make a table of accuracies, by its name; no empty ones."""
        sections: dict[str, WithinZoos | Transfer] = {
            "in_distribution": self.in_distribution,
            "samplers": self.samplers,
            "transfer": self.transfer,
            "architectures": self.architectures,
        }
        return {name: part for name, part in sections.items() if part.populations}

    def variant(self, name: str, *, zoo: str) -> HyperRep:
        """Returns the settings of a variant of the hyper-representation for a zoo.

        The variant's own keys go before the zoo's, and these before hyper_rep.
        """
        return self._hyper_rep({**self.zoos[zoo].hyper_rep, **self.variants[name]})

    def finetuning(
        self, source: str, target: str, method: str
    ) -> tuple[Recipe, tuple[int, ...]]:
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
            and (source, target) in table.populations
            and method in table.methods
            for epoch in table.epochs
        }
        return recipe, tuple(sorted(epochs))

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
    changes: dict[tuple[str, ...], dict[str, Any]] = {
        ("variants", name): keys for name, keys in settings.variants.items()
    }
    for name, zoo in settings.zoos.items():
        changes["zoos", name, "hyper_rep"] = zoo.hyper_rep
    for path, keys in changes.items():
        try:
            settings._hyper_rep(keys)
        except ValidationError as error:
            yield from _lines(error, prefix=path)


def _reference_problems(settings: Settings) -> Iterable[str]:
    """Yields a line for each name that is used but nowhere defined."""
    # imported late: the registries are light, but their modules use these models
    from .architectures import ARCHITECTURES
    from .sampling import SAMPLERS, needs_generator, option_problems
    from .sources import SOURCES

    unknown = _unknown_problems
    for name, dataset in settings.datasets.items():
        key = f"datasets.{name}.source"
        yield from unknown(key, dataset.source, SOURCES, "sources.py")
    for name, zoo in settings.zoos.items():
        key = f"zoos.{name}"
        yield from unknown(f"{key}.dataset", zoo.dataset, settings.datasets, "datasets")
        yield from unknown(
            f"{key}.architecture", zoo.architecture, ARCHITECTURES, "architectures.py"
        )
    for name, method in settings.methods.items():
        key = f"methods.{name}"
        yield from unknown(f"{key}.sampler", method.sampler, SAMPLERS, "sampling.py")
        if method.sampler in SAMPLERS:
            for problem in option_problems(method.sampler, method.options):
                yield f"{key}.options: {problem}"
            if needs_generator(method.sampler) and not method.hyper_rep:
                yield f"{key}.hyper_rep: sampler {method.sampler} needs a latent space"
        if method.architecture:
            yield from unknown(
                f"{key}.architecture",
                method.architecture,
                ARCHITECTURES,
                "architectures.py",
            )
        if method.hyper_rep:
            yield from unknown(
                f"{key}.hyper_rep", method.hyper_rep, settings.variants, "variants"
            )
    for section, part in settings.comparisons.items():
        zoos = dict.fromkeys(zoo for pair in part.populations for zoo in pair)
        for zoo_name in zoos.keys() & settings.zoos.keys():
            if "activation" in settings.zoos[zoo_name].variations:
                yield (
                    f"{section}: zoo {zoo_name} varies its activation, so that samples"
                    " of it have none; leave it out"
                )
        for field, names, where in (
            ("pairs" if section == "transfer" else "zoos", zoos, "zoos"),
            ("methods", part.methods, "methods"),
            ("references", part.references, "methods"),
        ):
            for name in names:
                known = getattr(settings, where)
                yield from unknown(f"{section}.{field}", name, known, where)
    yield from _transfer_problems(settings)
    yield from _experiment_problems(settings)


def _unknown_problems(
    key: str, name: str, known: Iterable[str], where: str
) -> Iterable[str]:
    if name not in known:
        yield f"{key}: unknown {name!r}; {where} has {', '.join(sorted(known))}"


def _experiment_problems(settings: Settings) -> Iterable[str]:
    """Yields a line for each name or epoch that the experiments cannot have."""
    for section in ("ensembles", "reconstruction", "properties", "novelty"):
        for field in ("zoos", "methods", "variants"):
            known = getattr(settings, field)
            for name in getattr(getattr(settings, section), field, ()):
                yield from _unknown_problems(f"{section}.{field}", name, known, field)
    for name in settings.novelty.methods:
        method = settings.methods.get(name)
        if settings.novelty.zoos and method and method.architecture:
            yield (
                f"novelty.methods: {name} are networks of another architecture than"
                " their zoo's; leave it out"
            )
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


def _transfer_problems(settings: Settings) -> Iterable[str]:
    """Yields a line for each pair whose networks cannot see the target's images."""
    from .sources import SOURCES

    def channels(zoo: str) -> int:
        dataset = settings.datasets[settings.zoos[zoo].dataset]
        return 1 if dataset.grayscale else SOURCES[dataset.source].channels

    for source, target in settings.transfer.pairs:
        key = f"transfer.pairs: {source} -> {target}"
        if source == target:
            yield f"{key}: is one zoo; in_distribution is its table"
            continue
        try:
            seen, given = channels(source), channels(target)
        except KeyError:
            continue  # an unknown name, which has its line already
        # 0: not known before the file is read
        if seen and given and seen != given:
            yield (
                f"{key}: networks of {source} take {seen} channel(s), the images of"
                f" {target} have {given}"
            )


def _lines(error: ValidationError, prefix: tuple[str, ...] = ()) -> Iterable[str]:
    """Yields one line per problem: the key's path, what is wrong and what was given."""
    for problem in error.errors(include_url=False):
        path = ".".join(str(part) for part in (*prefix, *problem["loc"]))
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            message = "unknown key; see config/config.yaml for the known ones"
        elif problem["type"] == "missing":
            message = "missing key; see config/config.yaml for an example"
        elif problem["type"] != "value_error":
            message += f", got {problem['input']!r}"
        yield from (f"{path}: {m}" if path else m for m in message.splitlines())


def load_settings(config: Mapping[str, Any]) -> Settings:
    """Validates a merged configuration.

    Args:
        config: The content of config.yaml with its overlays.

    Raises:
        SettingsError: With one line per problem, each naming the key's path.
    """
    try:
        return Settings(**config)
    except ValidationError as error:
        lines = [f"config: {line}" for line in _lines(error)]
        raise SettingsError("\n".join(lines)) from None
