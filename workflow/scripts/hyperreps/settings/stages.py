"""The settings of each stage: keys of config.yaml, meaning, range and default.

The models of this module, of sections.py and of configuration.py are the one source of
the configuration: the Snakefile validates the merged config with them, and the scripts
take them as command line flags. No torch in here: every job on a cluster parses the
Snakefile, and with it these files, again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import islice, pairwise, product
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from .limits import (
    MOST,
    SHARDS,
    Count,
    Decay,
    Epoch,
    Fraction,
    Layers,
    Listed,
    Name,
    NotNegative,
    Part,
    Positive,
    Real,
    Seed,
    Share,
    Text,
    Units,
    problem_lines,
    shown_key,
)

Engine = Literal["auto", "loop", "grouped", "fused"]


class SettingsError(ValueError):
    """A configuration that cannot be used; the message names each key."""


class Strict(BaseModel):
    """Base of all settings: no unknown keys, no conversion, no change."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Dataset(Strict):
    """Images and labels: where they come from and how they become 28 x 28."""

    source: Part = Field(
        description="Loader: an entry of SOURCES in sources.py, or your FILE.py:NAME."
    )
    path: Text = Field(
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
    mean: Listed[tuple[Fraction, ...]] = Field(
        (),
        description="Pixel mean per channel in [0, 1], subtracted before training;"
        " empty: measured on the training images.",
    )
    std: Listed[tuple[Positive, ...]] = Field(
        (), description="Pixel standard deviation per channel; empty: measured."
    )

    @model_validator(mode="after")
    def _mean_with_std(self) -> Dataset:
        if len(self.mean) != len(self.std):
            raise ValueError("mean and std need the same number of channels")
        return self


# what Recipe.initialization can be, beside a user's
INITIALIZATIONS = (
    *("uniform", "uniform_fan_in", "normal", "kaiming_uniform", "kaiming_normal"),
    *("xavier_uniform", "xavier_normal"),
)


class Recipe(Strict):
    """How one population of networks is initialised and trained."""

    initialization: Part = Field(
        description="Distribution of initial weights: uniform is U(0, 1),"
        " uniform_fan_in U(0, 1/sqrt(fan_in)), normal N(0, 1); kaiming_uniform,"
        " kaiming_normal, xavier_uniform, xavier_normal, or your FILE.py:NAME. Biases"
        " start at 0.01."
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
    epochs: Count = Field(description="Epochs of training.")
    passes: Count = Field(
        1,
        description="Passes over the training images that count as one epoch, for image"
        " sets smaller than those a recipe was made for.",
    )
    weight_limit: Positive = Field(
        1000.0,
        description="A network with a larger absolute weight has diverged: it is kept"
        " as it was an epoch before, marked, and left out of what follows.",
    )
    evaluate_every: Count = Field(
        1,
        description="Epochs between evaluations on validation and test images. Also"
        " evaluated: epochs 0, 1 and the last, and those whose weights are kept.",
    )

    @property
    def evaluated_epochs(self) -> tuple[int, ...]:
        """Epochs that are evaluated whatever is kept, increasing."""
        regular = range(0, self.epochs + 1, self.evaluate_every)
        return tuple(sorted({*regular, 1, self.epochs}))


class Zoo(Strict):
    """A population of networks that differ in their seed, and in what is varied."""

    dataset: Name = Field(description="Images they are trained on: a key of datasets.")
    architecture: Text = Field(
        "cnn",
        description="Network: an entry of ARCHITECTURES in architectures.py, or your"
        " FILE.py:NAME.",
    )
    models: Annotated[int, Field(ge=3, le=MOST)] = Field(
        description="Number of networks, at least one for each part of the split."
    )
    first_seed: Seed = Field(1, description="Seeds are first_seed, first_seed + 1, ...")
    split: Listed[tuple[Fraction, Fraction, Fraction]] = Field(
        (0.7, 0.15, 0.15),
        description="Fractions of the models that train, validate and test the"
        " hyper-representation.",
    )
    window: Listed[tuple[Epoch, Epoch]] = Field(
        description="First and last epoch whose weights train the hyper-representation."
    )
    keep: Listed[tuple[Epoch, ...]] = Field(
        (0,),
        description="Epochs whose weights are kept besides those of the window.",
    )
    complete: bool = Field(
        False,
        description="Train all networks for all epochs of the recipe; otherwise those"
        " outside the test split end with the window.",
    )
    recipe: Recipe = Field(description="Initialisation and training.")
    variations: dict[str, Listed[tuple[int | Real | Text, ...]]] = Field(
        {},
        description="Keys of recipe with the values they take; every combination gets"
        " an equal share of the models, in blocks of consecutive seeds.",
    )
    weights: Text = Field(
        "",
        description="npz file or folder below data_dir with networks trained elsewhere"
        " by this recipe (docs/own_zoo.md); empty: they are trained here.",
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
        if late := [epoch for epoch in self.keep if epoch > self.recipe.epochs]:
            raise ValueError(
                f"keep: {late} come after epoch {self.recipe.epochs} (recipe.epochs)"
            )
        if self.first_seed + self.models > 2**31:
            raise ValueError(
                f"first_seed ({self.first_seed}) and models ({self.models}) make seeds"
                f" above {2**31 - 1}, the last one"
            )
        if min(split_sizes(self.models, self.split)) < 1:
            raise ValueError(
                f"split {list(self.split)} leaves none of {self.models} models to train"
                " the hyper-representation"
            )
        if problems := "\n".join(self._variation_problems()):
            raise ValueError(problems)
        return self

    def _variation_problems(self) -> Iterable[str]:
        base = self.recipe.model_dump()
        for key in ("epochs", "evaluate_every"):
            if key in self.variations:
                yield f"variations: {key} is the same for all models"
        if self.variations and self.weights:
            yield "variations: of networks trained elsewhere, none is known"
        for key, values in self.variations.items():
            if not values:
                yield (
                    f"variations.{shown_key(key)}: no value; give one at least, or"
                    " leave it out"
                )
            for value in values:
                try:
                    Recipe(**base | {key: value})
                except ValidationError as error:
                    yield from problem_lines(error, prefix=("variations",))
        count = self._combinations
        if count > min(self.models, SHARDS):
            yield (
                f"variations have {count} combinations, more than models"
                f" ({self.models}) or {SHARDS}"
            )

    @property
    def kept_epochs(self) -> tuple[int, ...]:
        """The epochs whose weights are kept, increasing."""
        first, last = self.window
        return tuple(sorted({*self.keep, *range(first, last + 1)}))

    @property
    def last_epoch(self) -> int:
        """The epoch up to which every network is trained."""
        return self.recipe.epochs if self.complete else self.window[1]

    @property
    def recipes(self) -> tuple[Recipe, ...]:
        """The recipe of every combination of what is varied."""
        return tuple(map(self._varied, product(*self.variations.values())))

    def recipe_of(self, seed: int) -> Recipe:
        """Returns the recipe of the model with this seed."""
        if not self.variations:  # seeds of imported networks are any
            return self.recipe
        index = (seed - self.first_seed) * self._combinations // self.models
        return self._varied(
            next(islice(product(*self.variations.values()), index, None))
        )

    @property
    def _combinations(self) -> int:
        return math.prod(map(len, self.variations.values()))

    def _varied(self, values: Iterable[int | float | str]) -> Recipe:
        changes = dict(zip(self.variations, values, strict=True))
        return Recipe(**self.recipe.model_dump() | changes)

    def shards(self, size: int) -> list[tuple[int, int]]:
        """Cuts the models into runs of consecutive seeds with one recipe.

        Args:
            size: Models in a shard, at most.

        Returns:
            First and last seed of each.
        """
        count = self._combinations
        starts = [-(-self.models * k // count) for k in range(count + 1)]
        return [
            (self.first_seed + first, self.first_seed + min(first + size, end) - 1)
            for start, end in pairwise(starts)
            for first in range(start, end, size)
        ]


def split_sizes(models: int, fractions: Sequence[float]) -> tuple[int, int, int]:
    """Returns how many models train, validate and test: one each, if there are enough.

    Args:
        models: All of them.
        fractions: Of the three parts; the first takes what the others leave.
    """
    val, test = (max(1, round(models * fraction)) for fraction in fractions[1:])
    return models - val - test, val, test


class HyperRep(Strict):
    """The hyper-representation: a transformer autoencoder on weights."""

    width: Units = Field(800, description="Size of a token inside the transformer.")
    heads: Layers = Field(4, description="Attention heads; they divide width.")
    blocks: Layers = Field(
        2, description="Transformer blocks of encoder and of decoder."
    )
    feedforward: Units = Field(900, description="Hidden width of a block's MLP.")
    block_activation: Literal["relu", "gelu"] = Field(
        "relu", description="Activation of a block's MLP."
    )
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.1, description="Dropout in attention and MLP."
    )
    latent: Units = Field(700, description="Size of the latent vector.")
    compression: Literal["token", "linear"] = Field(
        "token",
        description="Latent from one learned compression token, or from all tokens.",
    )
    initialization: Literal["release", "components"] = Field(
        "release",
        description="Where training begins: at random, or at the principal components"
        " of the training networks in all their permutations, as far as width and"
        " latent hold them; needs linear compression.",
    )
    projection_layers: Layers = Field(
        4, description="Hidden layers of the projection head of the contrastive loss."
    )
    projection_width: Units = Field(400, description="Their width.")
    projection_size: Units = Field(50, description="Size of the projection.")
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
    permutations: Literal["all"] | Count = Field(
        "all",
        description="Which: all, drawn anew for each view, or one of so many that are"
        " drawn once.",
    )
    erase_probability: Fraction = Field(
        0.5, description="Probability that a block of a view is set to zero."
    )
    erase_fraction: Listed[tuple[Fraction, Fraction]] = Field(
        (0.02, 0.33),
        description="Range of the erased fraction of the vector; a block that does not"
        " fit where it would begin is drawn again, up to ten times.",
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
    inputs: Literal["raw", "layer"] = Field(
        "raw",
        description="What the encoder sees: weights as they are (or by centering), or"
        " minus their mean over all permutations of neurons, over the standard"
        " deviation of their layer.",
    )
    alignment: Literal["none", "weight_matching"] = Field(
        "none",
        description="Bring all models into the coordinates of one reference first (git"
        " re-basin weight matching, with signs where the activation is odd).",
    )
    weight_threshold: Positive = Field(
        5.0,
        description="Networks with a larger absolute weight are left out, in weight"
        " space too.",
    )
    optimizer: Literal["adam", "adamw"] = Field("adam", description="Optimiser.")
    learning_rate: Positive = Field(1e-4, description="Its (maximal) step size.")
    bottleneck_rate: Positive = Field(
        1.0, description="Step size of the maps to and from the latent, times the rest."
    )
    betas: Listed[tuple[Decay, Decay]] = Field(
        (0.9, 0.999),
        description="Decay of its means of gradients and of their squares; onecycle"
        " moves the first.",
    )
    weight_decay: NotNegative = Field(1e-9, description="Its weight decay.")
    gradient_clip: NotNegative = Field(
        0.0, description="Largest norm of all gradients together; 0: any."
    )
    schedule: Literal["constant", "plateau", "onecycle", "cosine"] = Field(
        "plateau",
        description="Learning rate: constant, times 0.3 when the training loss stops"
        " falling, one cycle, or a linear rise and half a cosine down to 0.",
    )
    warm_up: Share = Field(
        0.15, description="Fraction of the steps in which onecycle and cosine rise."
    )
    batch_size: Annotated[int, Field(ge=2, le=MOST)] = Field(
        500, description="Models per step; each gives two views."
    )
    micro_batch: Annotated[int, Field(ge=0, le=MOST)] = Field(
        0,
        description="Models per forward pass, to save memory, two at least; gradients"
        " are summed over the batch. Contrast and batch norm then see this many models."
        " 0: all.",
    )
    epochs: Annotated[int, Field(ge=0, le=MOST)] = Field(
        500,
        description="Passes over the training samples; 0: the components as they are.",
    )
    evaluate_every: Count = Field(
        10, description="Epochs between evaluations on held-out models."
    )
    precision: Literal["float32", "bfloat16", "auto"] = Field(
        "float32",
        description="Arithmetic inside encoder and decoder in training; weights, their"
        " steps and losses stay float32. auto: bfloat16 where the device multiplies"
        " faster in it.",
    )
    seeds: Listed[tuple[Seed, ...]] = Field(
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
        if self.initialization == "components" and self.compression != "linear":
            raise ValueError(
                "initialization: components needs compression: linear; set it, or"
                " initialization to release"
            )
        if self.epochs == 0 and self.initialization == "release":
            raise ValueError(
                "epochs: 0 leaves it untrained; set it to 1 or more, or initialization"
                " to components"
            )
        if self.centering and self.inputs == "layer":
            raise ValueError(
                "inputs: layer centres by itself; set centering to false, or inputs to"
                " raw"
            )
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("seeds must differ from one another")
        return self


class Method(Strict):
    """A way to come by a population of networks: a pool of models and a sampler."""

    sampler: Part = Field(
        description="An entry of SAMPLERS in samplers.py, or your FILE.py:NAME."
    )
    hyper_rep: Text = Field(
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
    jump: Text = Field(
        "", description="For sampler jump: an entry of jumps; its pool is their zoo."
    )
    alignment: Literal["none", "weight_matching"] = Field(
        "none", description="Coordinates of the pool in weight space (hyper_rep empty)."
    )
    samples: Count = Field(
        50, description="Networks drawn (per seed of the hyper-representation)."
    )
    best_of: Count = Field(
        1,
        description="Times as many are drawn, and the best kept by accuracy on the"
        " validation images.",
    )
    options: dict[str, int | Real | Text] = Field(
        {}, description="Keyword arguments of the sampler."
    )
    architecture: Text = Field(
        "",
        description="Network that the samples become, an entry of ARCHITECTURES or your"
        " FILE.py:NAME; empty: the zoo's.",
    )
    transplant: Literal["layers", "vector", "none"] = Field(
        "layers",
        description="How they become it: layer by layer, by reading the whole vector"
        " across layers, or not at all (random initialisation by the zoo's recipe).",
    )
    published: Text = Field(
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

    noise: Units = Field(64, description="Size of the noise that is fed in.")
    width: Units = Field(256, description="Units of each of the two hidden layers.")
    learning_rate: Positive = Field(5e-4, description="Step size of Adam, both.")
    penalty: NotNegative = Field(
        1.0, description="Weight of the discriminator's gradient penalty R1."
    )
    averaging: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.99, description="Decay of the average of the generator that is kept."
    )
    batch_size: Count = Field(64, description="Points per step.")
    epochs: Count = Field(100, description="Epochs, of 100 steps whatever the pool.")


class Jump(Strict):
    """The jump: flow matching from initial to trained networks (docs/beyond.md)."""

    stations: Listed[tuple[Epoch, ...]] = Field(
        (),
        description="Epochs from one of which to the next it jumps, the first is 0;"
        " none: from 0 to the last epoch of the zoo's window.",
    )
    networks: Annotated[int, Field(ge=0, le=MOST)] = Field(
        0, description="Networks of the train split it is trained on, 0: all."
    )
    part: Literal["first", "last"] = Field(
        "first", description="Which of them, where not all are taken."
    )
    pretrained_on: Text = Field(
        "",
        description="Zoo on which the jump was trained that it begins with; empty: it"
        " begins with random weights.",
    )
    pretrained_as: Text = Field(
        "jump", description="That jump: an entry of jumps, of the same shape."
    )
    width: Units = Field(128, description="Size of a token; heads divide it.")
    connection: Units = Field(
        32, description="Size of what is known of a connection between two neurons."
    )
    heads: Units = Field(4, description="Attention heads.")
    blocks: Count = Field(4, description="Transformer blocks.")
    feedforward: Units = Field(256, description="Hidden width of a block's MLP.")
    block_activation: Literal["relu", "gelu"] = Field(
        "gelu", description="Activation of a block's MLP."
    )
    dropout: Decay = Field(0.0, description="Dropout in attention and MLP.")
    optimizer: Literal["adamw", "muon"] = Field(
        "adamw",
        description="muon: orthogonal steps of matrices inside, AdamW for the rest.",
    )
    learning_rate: Positive = Field(0.002, description="Largest step size, of both.")
    weight_decay: NotNegative = Field(0.01, description="Decay of weights.")
    gradient_clip: Positive = Field(1.0, description="Largest norm of all gradients.")
    warm_up: Share = Field(
        0.05, description="Fraction of all steps in which the step size rises."
    )
    batch_size: Count = Field(64, description="Networks per step.")
    averaging: Decay = Field(
        0.995, description="Decay of the average of the weights that is kept."
    )
    epochs: Count = Field(45, description="Epochs, of 100 steps whatever the zoo.")
    evaluate_every: Count = Field(
        3,
        description="Epochs between looks at held-out networks; the best one is kept.",
    )
    patience: Annotated[int, Field(ge=0, le=MOST)] = Field(
        5, description="Looks in a row without a better one that end it, 0: none do."
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="Arithmetic inside; auto: the faster one of this machine."
    )
    seeds: Listed[tuple[Seed, ...]] = Field(
        (1, 2, 3), min_length=1, description="One jump is trained per seed."
    )

    @model_validator(mode="after")
    def _possible(self) -> Jump:
        stations = self.stations
        if self.width % self.heads:
            raise ValueError(f"heads ({self.heads}) must divide width ({self.width})")
        if stations and (
            len(stations) < 2 or stations[0] or stations != tuple(sorted(set(stations)))
        ):
            raise ValueError(
                f"stations: must be 0 and later epochs, rising, got {list(stations)}"
            )
        return self

    @property
    def pretrained(self) -> tuple[str, str] | None:
        """Zoo and name of the jump that it begins with."""
        where = self.pretrained_on
        return (where, self.pretrained_as) if where else None

    @property
    def learned(self) -> slice:
        """Which networks of the train split it is trained on, in their order."""
        if not self.networks:
            return slice(None)
        first = self.part == "first"
        return slice(self.networks) if first else slice(-self.networks, None)

    def stations_of(self, zoo: Zoo) -> tuple[int, ...]:
        """Returns the epochs from one of which to the next it jumps in a zoo."""
        return self.stations or (0, zoo.window[1])


class Statistics(Strict):
    """Uncertainty of every number."""

    confidence: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.95, description="Level of the confidence intervals, and of verdicts."
    )
    equivalence_margin: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.02,
        description="Difference of two mean accuracies in [0, 1] below which two"
        " methods are called equivalent; to be fixed before any result is seen.",
    )


class Compute(Strict):
    """How the work is cut and where it runs. Results do not depend on shard_size."""

    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="auto takes a GPU where there is one."
    )
    engine: Engine = Field(
        "auto",
        description="What trains and evaluates networks; auto takes the fastest that"
        " can: fused (on a CPU with numba, on a GPU the cnn) or grouped (anything)."
        " loop is plain PyTorch, one network at a time.",
    )
    compiled: bool = Field(
        False,
        description="Let torch.compile fuse the hyper-representation's training step;"
        " for large models on a GPU.",
    )
    shard_size: Count = Field(
        100, description="Models trained side by side in one job."
    )
    threads: Annotated[int, Field(ge=1, le=1024)] = Field(
        1,
        description="CPU threads of a job that trains networks; fixed, since float"
        " sums can depend on it.",
    )
