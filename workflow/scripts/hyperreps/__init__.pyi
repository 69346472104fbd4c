"""The public interface: what `import hyperreps` hands out, and from where."""

from .audit.auditor import Auditor, Candidates, Corpus, auditor_for
from .data.images import Images, read_images
from .engines.interface import evaluate
from .engines.symmetry_check import check_symmetry
from .networks.architectures import ARCHITECTURES, Architecture, build
from .networks.initialisation import initial_weights
from .representation.autoencoder import HyperRepresentation
from .representation.autoencoder import load as load_hyper_representation
from .representation.autoencoder import save as save_hyper_representation
from .representation.pretraining import Pretraining
from .sampling.samplers import SAMPLERS, draw, sampler
from .settings.stages import HyperRep, Method, Recipe, SettingsError
from .zoo.behaviour import predictions
from .zoo.population import PopulationTraining
from .zoo.small import small_zoo
from .zoo.zoos import Pool, ZooData, read_zoo, select

__version__: str

__all__ = [
    "ARCHITECTURES",
    "SAMPLERS",
    "Architecture",
    "Auditor",
    "Candidates",
    "Corpus",
    "HyperRep",
    "HyperRepresentation",
    "Images",
    "Method",
    "Pool",
    "PopulationTraining",
    "Pretraining",
    "Recipe",
    "SettingsError",
    "ZooData",
    "auditor_for",
    "build",
    "check_symmetry",
    "draw",
    "evaluate",
    "initial_weights",
    "load_hyper_representation",
    "predictions",
    "read_images",
    "read_zoo",
    "sampler",
    "save_hyper_representation",
    "select",
    "small_zoo",
]
