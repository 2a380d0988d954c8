"""What other projects call the options, recipes and commands, and what they are called here.

The names are those of PyTorch-GAN, the code of the WGAN and WGAN-GP papers, Keras, mimicry, StudioGAN and
CTGAN. Names are compared without dashes, underscores and capitals.
"""

from collections.abc import Mapping

from wgan.errors import InputError

NOT_NEEDED = "no option, because the data are in memory or in memory-mapped files"

_TRAIN = {
    "--out": "output output-dir outdir save-dir log-dir results-dir experiment name",
    "--device": "gpu gpus cuda use-cuda no-cuda cpu ngpu gpu-id",
    "--epochs": "n-epochs num-epochs niter",
    "--steps": "iterations iters max-iters max-steps num-steps n-steps total-steps g-steps",
    "--batch-size": "batch bs",
    "--n-critic": (
        "critic-iters critic-iterations critic-steps d-iters d-steps n-dis discriminator-steps num-critic"
    ),
    "--generator-optimiser.lr and --critic-optimiser.lr": "lr learning-rate",
    "--generator-optimiser.lr": "lr-g g-lr generator-lr",
    "--critic-optimiser.lr": "lr-d d-lr critic-lr discriminator-lr",
    "the first number of --generator-optimiser.betas and --critic-optimiser.betas": "beta1 b1",
    "the second number of --generator-optimiser.betas and --critic-optimiser.betas": "beta2 b2",
    "--generator-optimiser.betas and --critic-optimiser.betas": "betas",
    "generator-optimiser:adam or :rmsprop, and critic-optimiser:adam or :rmsprop": (
        "optimizer optimiser optim"
    ),
    "generator-optimiser:adam and critic-optimiser:adam": "adam",
    "generator-optimiser:rmsprop and critic-optimiser:rmsprop": "rmsprop",
    "--critic": "discriminator netd",
    "--generator": "netg",
    "networks:dcgan, networks:mlp, ... before its options": "network",
    "--decay": "lr-decay lr-schedule lr-scheduler scheduler",
    "--constraint.weight": "lambda lambda-gp gp-lambda gp-weight gradient-penalty-weight",
    "constraint:gradient-penalty": "gp gradient-penalty",
    "constraint:weight-clipping --constraint.c": (
        "clip clip-value clamp clamp-lower clamp-upper weight-clip weight-clipping weight-clipping-limit"
    ),
    "constraint:spectral-normalisation": "spectral-norm sn",
    "constraint:r1": "r1",
    "constraint:r1 --constraint.gamma": "r1-gamma gamma",
    "--loss and constraint:gradient-penalty, ...": "gan-type gan-mode loss-type adv-loss",
    "--networks.latent-dim": "nz z-dim dim-z noise-dim latent-size embedding-dim",
    "--networks.generator-width, or --networks.generator-hidden with networks:mlp": "ngf g-dim generator-dim",
    "--networks.critic-width, or --networks.critic-hidden with networks:mlp": "ndf d-dim discriminator-dim",
    "--networks.packing, with networks:resnet or networks:r3gan": "pac",
    "networks:dcgan, networks:mlp, networks:resnet or networks:r3gan": "model arch architecture",
    "--resolution": "image-size img-size size",
    "--channels": "nc img-channels",
    "the first argument, as in `wgan train digits`": "dataset dataset-name",
    "the first argument, as in `wgan train my/images`": "dataroot root train-dir data-path",
    "--conditional": "cond class-cond",
    "--conditional, which counts the classes itself": "n-classes num-classes",
    "--ema": "ema-decay beta-ema",
    "--augment.strength, or --augment.target to adapt it": "aug",
    "--augment.strength": "diffaug",
    "--augment.target": "ada-target",
    "--augment.transforms flip": "mirror",
    "--precision bfloat16": "amp fp16 bf16 mixed-precision",
    "--engine compile": "compile",
    "--logging.images": "sample-interval sample-every vis-steps",
    "--logging.metrics": "log-interval log-every log-steps print-steps log-frequency",
    "--logging.checkpoint": "save-interval save-every save-steps checkpoint-interval",
    "--monitor wandb": "wandb use-wandb",
    "--monitor tensorboard": "tensorboard",
    "--monitor mlflow": "mlflow",
    "--seed": "manual-seed random-seed",
    NOT_NEEDED: "num-workers workers n-cpu",
    "the same command again, which resumes the run in its folder": "resume checkpoint ckpt",
}
_SAMPLE = {
    "--device": "gpu gpus cuda use-cuda no-cuda cpu ngpu gpu-id",
    "--count": "num-samples n-samples num-images num n",
    "--seed": "manual-seed seeds",
    "--out": "output output-dir outdir save-dir log-dir results-dir",
    "--label": "class class-idx",
    "--truncation": "trunc truncation-psi",
    "--step": "checkpoint ckpt epoch iteration",
}
_EVALUATE = {
    "--device": "gpu gpus cuda use-cuda no-cuda cpu ngpu gpu-id",
    "--count": "num-samples n-samples num-images num n",
    "--seed": "manual-seed",
    "--metrics": "metric",
    "--metrics fd, with --extractor inception for the FID of papers": "fid",
    "--metrics kid": "kid",
    "--against": "real dataset",
    "--step": "checkpoint ckpt epoch iteration",
}
_EXPORT = {
    "--out": "output output-dir outdir save-dir log-dir results-dir output-path",
    "--to": "format",
    "--to onnx": "onnx",
    "--int8": "quantize",
    "--step": "checkpoint ckpt epoch iteration",
}
OPTIONS: Mapping[str, Mapping[str, str]] = {
    command: {name: own for own, names in table.items() for name in names.split()}
    for command, table in {
        "train": _TRAIN,
        "sample": _SAMPLE,
        "evaluate": _EVALUATE,
        "export": _EXPORT,
    }.items()
}
"""By command: what options are called elsewhere, and what does the same here."""
RECIPES: Mapping[str, str] = {
    "wgan-gp": "dcgan-gp or wgan-gp-resnet for images, toy-gp for vectors; default has its penalty, too",
    "wgan": "wgan-original; default is quicker",
    "wgan-clip": "dcgan-clip or wgan-original",
    "dcgan": "dcgan-gp, or dcgan-adam",
    "r3gan": "quality",
    "cgan": "conditional-projection or conditional-gp; or --conditional with any other",
    "acgan": "conditional-gp",
}
"""What recipes are called elsewhere, and here."""

COMMANDS: Mapping[str, str] = {
    "fit": "train",
    "generate": "sample",
    "gen": "sample",
    "eval": "evaluate",
    "test": "evaluate",
    "fid": "evaluate",
    "gif": "animate",
    "project": "invert",
    "latent-directions": "directions",
    "convert": "export",
    "benchmark": "bench",
    "dataset": "data",
    "check": "diagnose",
}
"""What commands are called elsewhere, and here."""


def answer(command: str, option: str) -> str | None:
    """What an option of another project is called here, in a sentence; None where that is not known."""
    names = {_key(name): own for name, own in OPTIONS.get(command, {}).items()}
    if _key(option) not in names:
        return None
    return f"Instead of {option}, use {names[_key(option)]}."


def check_recipe(name: str) -> None:
    """Refuse the name that a recipe has elsewhere."""
    own = {_key(known): recipe for known, recipe in RECIPES.items()}.get(_key(name))
    if own is not None:
        raise InputError(f"There is no recipe {name!r}; here it is {own}. `wgan recipes` lists them.")


def _key(name: str) -> str:
    return name.replace("-", "").replace("_", "").lower()
