"""What other projects call the options, recipes and commands, and what they are called here.

The names are those of PyTorch-GAN, the code of the WGAN and WGAN-GP papers, Keras, mimicry, StudioGAN and
CTGAN. Names are compared without dashes, underscores and capitals.
"""

from collections.abc import Mapping

from wgan.errors import InputError

_RATES = "--generator-optimiser.lr and --critic-optimiser.lr"
_BETAS = "--generator-optimiser.betas and --critic-optimiser.betas"
_CLIPPING = "constraint:weight-clipping --constraint.c"
_WIDTHS = "--networks.generator-width, or --networks.generator-hidden with networks:mlp"
_CRITIC_WIDTHS = "--networks.critic-width, or --networks.critic-hidden with networks:mlp"
_OPTIMISERS = "generator-optimiser:adam or :rm-sprop, and critic-optimiser:adam or :rm-sprop"
_OUT = dict.fromkeys(("output", "output-dir", "outdir", "save-dir", "log-dir", "results-dir"), "--out")
_DEVICE = dict.fromkeys(("gpu", "gpus", "cuda", "use-cuda", "no-cuda", "cpu", "ngpu", "gpu-id"), "--device")

_TRAIN = {
    **_OUT,
    **_DEVICE,
    "experiment": "--out",
    "name": "--out",
    "n-epochs": "--epochs",
    "num-epochs": "--epochs",
    "niter": "--epochs",
    "iterations": "--steps",
    "iters": "--steps",
    "max-iters": "--steps",
    "max-steps": "--steps",
    "num-steps": "--steps",
    "n-steps": "--steps",
    "total-steps": "--steps",
    "g-steps": "--steps",
    "batch": "--batch-size",
    "bs": "--batch-size",
    "critic-iters": "--n-critic",
    "critic-iterations": "--n-critic",
    "critic-steps": "--n-critic",
    "d-iters": "--n-critic",
    "d-steps": "--n-critic",
    "n-dis": "--n-critic",
    "discriminator-steps": "--n-critic",
    "num-critic": "--n-critic",
    "lr": _RATES,
    "learning-rate": _RATES,
    "lr-g": "--generator-optimiser.lr",
    "g-lr": "--generator-optimiser.lr",
    "generator-lr": "--generator-optimiser.lr",
    "lr-d": "--critic-optimiser.lr",
    "d-lr": "--critic-optimiser.lr",
    "critic-lr": "--critic-optimiser.lr",
    "discriminator-lr": "--critic-optimiser.lr",
    "beta1": f"the first number of {_BETAS}",
    "b1": f"the first number of {_BETAS}",
    "beta2": f"the second number of {_BETAS}",
    "b2": f"the second number of {_BETAS}",
    "betas": _BETAS,
    "optimizer": _OPTIMISERS,
    "optimiser": _OPTIMISERS,
    "optim": _OPTIMISERS,
    "adam": "generator-optimiser:adam and critic-optimiser:adam",
    "rmsprop": "generator-optimiser:rm-sprop and critic-optimiser:rm-sprop",
    "lr-decay": "--decay",
    "lr-schedule": "--decay",
    "lr-scheduler": "--decay",
    "scheduler": "--decay",
    "lambda": "--constraint.weight",
    "lambda-gp": "--constraint.weight",
    "gp-lambda": "--constraint.weight",
    "gp-weight": "--constraint.weight",
    "gradient-penalty-weight": "--constraint.weight",
    "gp": "constraint:gradient-penalty",
    "gradient-penalty": "constraint:gradient-penalty",
    "clip": _CLIPPING,
    "clip-value": _CLIPPING,
    "clamp": _CLIPPING,
    "clamp-lower": _CLIPPING,
    "clamp-upper": _CLIPPING,
    "weight-clip": _CLIPPING,
    "weight-clipping": _CLIPPING,
    "weight-cliping-limit": _CLIPPING,
    "spectral-norm": "constraint:spectral-normalisation",
    "sn": "constraint:spectral-normalisation",
    "r1": "constraint:r1",
    "r1-gamma": "constraint:r1 --constraint.gamma",
    "gamma": "constraint:r1 --constraint.gamma",
    "gan-type": "--loss",
    "gan-mode": "--loss",
    "loss-type": "--loss",
    "adv-loss": "--loss",
    "nz": "--networks.latent-dim",
    "z-dim": "--networks.latent-dim",
    "dim-z": "--networks.latent-dim",
    "noise-dim": "--networks.latent-dim",
    "latent-size": "--networks.latent-dim",
    "embedding-dim": "--networks.latent-dim",
    "ngf": _WIDTHS,
    "g-dim": _WIDTHS,
    "generator-dim": _WIDTHS,
    "ndf": _CRITIC_WIDTHS,
    "d-dim": _CRITIC_WIDTHS,
    "discriminator-dim": _CRITIC_WIDTHS,
    "pac": "--networks.packing, with networks:res-net or networks:r3-gan",
    "model": "networks:dcgan, networks:mlp, networks:res-net or networks:r3-gan",
    "arch": "networks:dcgan, networks:mlp, networks:res-net or networks:r3-gan",
    "architecture": "networks:dcgan, networks:mlp, networks:res-net or networks:r3-gan",
    "image-size": "--resolution",
    "img-size": "--resolution",
    "size": "--resolution",
    "nc": "--channels",
    "img-channels": "--channels",
    "dataset": "the first argument, as in `wgan train digits`",
    "dataset-name": "the first argument, as in `wgan train digits`",
    "dataroot": "the first argument, as in `wgan train my/images`",
    "root": "the first argument, as in `wgan train my/images`",
    "train-dir": "the first argument, as in `wgan train my/images`",
    "data-path": "the first argument, as in `wgan train my/images`",
    "cond": "--conditional",
    "class-cond": "--conditional",
    "n-classes": "--conditional, which counts the classes itself",
    "num-classes": "--conditional, which counts the classes itself",
    "ema-decay": "--ema",
    "beta-ema": "--ema",
    "aug": "--augment.strength, or --augment.target to adapt it",
    "diffaug": "--augment.strength",
    "ada-target": "--augment.target",
    "mirror": "--augment.transforms flip",
    "amp": "--precision bfloat16",
    "fp16": "--precision bfloat16",
    "bf16": "--precision bfloat16",
    "mixed-precision": "--precision bfloat16",
    "compile": "--engine compile",
    "sample-interval": "--logging.images",
    "sample-every": "--logging.images",
    "vis-steps": "--logging.images",
    "log-interval": "--logging.metrics",
    "log-every": "--logging.metrics",
    "log-steps": "--logging.metrics",
    "print-steps": "--logging.metrics",
    "log-frequency": "--logging.metrics",
    "save-interval": "--logging.checkpoint",
    "save-every": "--logging.checkpoint",
    "save-steps": "--logging.checkpoint",
    "checkpoint-interval": "--logging.checkpoint",
    "wandb": "--monitor wandb",
    "use-wandb": "--monitor wandb",
    "tensorboard": "--monitor tensorboard",
    "mlflow": "--monitor mlflow",
    "manual-seed": "--seed",
    "random-seed": "--seed",
    "num-workers": None,
    "workers": None,
    "n-cpu": None,
    "resume": "the same command again, which resumes the run in its folder",
    "checkpoint": "the same command again, which resumes the run in its folder",
    "ckpt": "the same command again, which resumes the run in its folder",
}
_DRAWN = {
    **_DEVICE,
    "num-samples": "--count",
    "n-samples": "--count",
    "num-images": "--count",
    "num": "--count",
    "n": "--count",
    "manual-seed": "--seed",
}
_TABLES: Mapping[str, Mapping[str, str | None]] = {
    "train": _TRAIN,
    "sample": {
        **_DRAWN,
        **_OUT,
        "seeds": "--seed",
        "class": "--label",
        "class-idx": "--label",
        "trunc": "--truncation",
        "truncation-psi": "--truncation",
    },
    "evaluate": {
        **_DRAWN,
        "metric": "--metrics",
        "fid": "--metrics fd, with --extractor inception for the FID of papers",
        "kid": "--metrics kid",
        "real": "--against",
        "dataset": "--against",
    },
    "export": {**_OUT, "format": "--to", "onnx": "--to onnx", "quantize": "--int8", "output-path": "--out"},
}
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
    names = {_key(name): own for name, own in _TABLES.get(command, {}).items()}
    if _key(option) not in names:
        return None
    own = names[_key(option)]
    if own is None:
        return f"{option} is not needed: the data are in memory, or in files that are mapped into it."
    return f"Instead of {option}, use {own}."


def check_recipe(name: str) -> None:
    """Refuse the name that a recipe has elsewhere."""
    own = {_key(known): recipe for known, recipe in RECIPES.items()}.get(_key(name))
    if own is not None:
        raise InputError(f"There is no recipe {name!r}; here it is {own}. `wgan recipes` lists them.")


def _key(name: str) -> str:
    return name.replace("-", "").replace("_", "").lower()
