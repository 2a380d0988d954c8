"""Whatever is wrong, the command line says so in one sentence, ends with 2 and leaves the disk alone."""

import hashlib
import json
import re
import shlex
import shutil
import warnings
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from wgan.cli import main

TINY = (
    "networks:mlp --networks.latent-dim 2 --networks.generator-hidden 4 --networks.critic-hidden 4 "
    "--batch-size 2 --n-critic 1 --steps 2 --device cpu"
)


def images(folder, count, side):
    rng = np.random.default_rng(0)
    folder.mkdir()
    for index in range(count):
        Image.fromarray(rng.integers(0, 256, (side, side), dtype=np.uint8)).save(folder / f"{index:02}.png")
    return folder


def damage(path):
    """Cut a file in two."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def copy(run, name):
    return shutil.copytree(run, run.with_name(name))


def edit(run, **changes):
    file = run / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    """A folder with everything that can be wrong in it."""
    stage = tmp_path_factory.mktemp("stage")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(stage)
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        assert main(shlex.split(f"train digits --out run {TINY}")) == 0
        assert main(shlex.split(f"train ring8 --out points {TINY}")) == 0
        assert main(shlex.split("classifier digits --steps 1 --out judge.safetensors --device cpu")) == 0
    runs(stage)
    folders(stage)
    arrays(stage)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(stage)
        for name, count in (("fewer", 70), ("more", 80)):
            copy(stage / "run", name)
            assert main(shlex.split(f"evaluate {name} --metrics fd --count {count}")) == 0
    return stage


def runs(stage):
    run = stage / "run"
    edit(copy(run, "newer"), format=99)
    edit(copy(run, "unsaid"), generator=None)
    edit(copy(run, "foreign"), generator={"network": "mine.Generator", "printed": "Generator()"})
    edit(copy(run, "odd"), generator={"network": "MLPGenerator", "colour": "red"})
    edit(
        copy(run, "grown"),
        generator=json.loads((run / "config.json").read_text())["generator"] | {"hidden": [5]},
    )
    (copy(run, "garbled") / "config.json").write_text("{")
    (copy(run, "listed") / "config.json").write_text("[]")
    (copy(run, "scrawled") / "evaluation.json").write_text("{")
    config = json.loads((run / "config.json").read_text())
    edit(copy(run, "changed"), dataset=config["dataset"] | {"fingerprint": "0" * 64})
    edit(copy(run, "gone"), dataset=config["dataset"] | {"name": "no/such/folder"})
    edit(copy(run, "rootless"), dataset=None)
    shutil.rmtree(copy(run, "untrained") / "checkpoints")
    shutil.rmtree(copy(run, "blind") / "samples")
    for file in copy(run, "broken").glob("checkpoints/*/average.safetensors"):
        damage(file)
    for file in copy(run, "smeared").glob("samples/*.png"):
        damage(file)
    (copy(run, "mixed") / "samples" / "00000099.png").write_bytes(image_of_another_size())


def image_of_another_size():
    from io import BytesIO

    buffer = BytesIO()
    Image.new("L", (3, 3)).save(buffer, format="PNG")
    return buffer.getvalue()


def folders(stage):
    (stage / "empty").mkdir()
    (stage / "mine").mkdir()
    (stage / "mine" / "thesis.txt").write_text("irreplaceable")
    (stage / "file").write_text("irreplaceable")
    (stage / "notes.txt").write_text("words")
    (stage / "song.zip").write_text("no zip")
    with zipfile.ZipFile(stage / "empty.zip", "w"):
        pass
    images(stage / "side30", 10, 30)
    images(stage / "few", 3, 8)
    images(stage / "corrupt", 20, 8)
    for index in (3, 7):
        damage(stage / "corrupt" / f"{index:02}.png")


def arrays(stage):
    samples = np.random.default_rng(0).uniform(-1, 1, (20, 1, 8, 8)).astype(np.float32)
    broken = samples.copy()
    broken[7, 0, 0, 0] = np.nan
    np.save(stage / "nan.npy", broken)
    broken[7, 0, 0, 0] = np.inf
    np.save(stage / "inf.npy", broken)
    np.save(stage / "loud.npy", 300 * samples)
    np.save(stage / "few.npy", samples[:7])
    np.save(stage / "flat.npy", samples.reshape(-1))
    np.save(stage / "none.npy", samples[:0])
    np.save(stage / "words.npy", np.array(["a"] * 20))
    np.save(stage / "cut.npy", samples)
    damage(stage / "cut.npy")
    np.save(stage / "two_channels.npy", samples.reshape(10, 2, 8, 8))
    np.savez(stage / "labels_short.npz", samples=samples, labels=np.arange(19))
    np.savez(stage / "labels_real.npz", samples=samples, labels=np.linspace(0, 1, 19))
    np.savez(stage / "labels_negative.npz", samples=samples, labels=np.arange(20) - 1)
    np.savez(stage / "unnamed.npz", these=samples, those=samples)
    np.savez(stage / "one_class.npz", samples=samples, labels=np.zeros(20, int))
    np.save(stage / "good.npy", samples)
    (stage / "fake.npz").write_text("no zip")


def tree(folder):
    """Every path with its content."""
    return {
        path.relative_to(folder): hashlib.sha256(path.read_bytes()).digest() if path.is_file() else None
        for path in folder.rglob("*")
    }


@pytest.fixture
def refused(stage, monkeypatch, capfd):
    """Runs a command that has to be refused; returns what it says."""
    monkeypatch.chdir(stage)

    def refuse(*words, after=""):
        before = tree(stage)
        with warnings.catch_warnings():
            warnings.simplefilter("default")  # as for a user
            code = main(words)
        out, err = capfd.readouterr()
        assert (code, out) == (2, ""), f"{words}: {err}"
        status, _, said = err.partition("wgan: ")
        assert re.fullmatch(after, status), err
        assert said.count("\n") == 1, err
        assert err.endswith((".\n", "--help.\n")), err
        assert "Traceback" not in err
        assert tree(stage) == before
        return said

    return refuse


COMMANDS = {
    # the words
    "nonsense": "no command 'nonsense'. The commands are train, recipes, distil",
    "''": "no command ''",
    "Train digits": "no command 'Train'",
    "--verbose": "no command '--verbose'",
    # train: words
    "train": "wgan train needs DATA",
    "train --n-critic 2": "wgan train needs DATA",
    "train digits mnist": "'mnist' is more than wgan train takes",
    "train --nonsense": "--nonsense",
    "train digits --nonsense 3": "--nonsense",
    "train digits --n-critc 3": "Did you mean --n-critic?",
    "train --n-critc 3 digits": "Did you mean --n-critic?",
    "train digits --steps": "--steps needs a value",
    "train digits --out": "--out needs a value",
    "train digits --monitor": "--monitor needs a value",
    "train digits --dry-run=maybe": "'maybe' is more than",
    "train digits networks:transformer": "There is no networks:transformer; known are networks:dcgan",
    "train digits networks:mlp networks:dcgan": "networks:dcgan comes after another of its kind",
    "train digits constraint:r1 --constraint.weight 3": "an option of constraint:gradient-penalty, ",
    "train digits networks:mlp --networks.kernel 4": "of networks:dcgan, which is not chosen",
    "train digits networks:dcgan --networks.generator-hidden 4": "--networks.generator-hidden",
    "train ring8 --networks.stages 3": "--networks.stages is an option of networks:dcgan",
    "train digits --recipe sagan --networks.no-attention": "as in networks:resnet --networks.no-attention",
    # train: sources
    "train ''": "neither the name of a dataset nor a path",
    "train digitz": "Did you mean 'digits'?",
    "train fashion_mnist": "Did you mean 'fashion-mnist'?",
    "train no/such/folder": "neither the name of a dataset nor a path",
    "train empty": "holds no images",
    "train empty.zip": "holds no images",
    "train song.zip": "cannot be read as a zip file",
    "train mine": "holds no images",
    "train notes.txt": "is a file of an unknown kind",
    "train few": "3 usable samples, too few",
    "train corrupt": "2 of the 20 images of 'corrupt' cannot be read ('03.png', '07.png'); more than 1 %",
    "train nan.npy": "NaN",
    "train inf.npy": "the first at index 7",
    "train loud.npy": "floats must lie in [-1, 1]",
    "train few.npy": "7 samples, too few",
    "train none.npy": "0 samples",
    "train flat.npy": "1 dimensions",
    "train words.npy": "give real numbers",
    "train cut.npy": "cannot be read as a .npy file",
    "train two_channels.npy": "no dimension can be the channels",
    "train labels_short.npz": "The labels of labels_short.npz have shape (19,)",
    "train labels_real.npz": "give the same few for each sample",
    "train labels_negative.npz": "run from -1 to 18",
    "train unnamed.npz": "not clear which are the samples",
    "train fake.npz": "cannot be read as a .npz file",
    "train digits --resolution 0": "give an integer from 1 to 8192",
    "train digits --resolution -8": "give an integer from 1 to 8192",
    "train digits --resolution 8193": "give an integer from 1 to 8192",
    "train digits --resolution 8.5": "--resolution: '8.5' is not a whole number",
    "train digits --channels 0": "give 1 or 3",
    "train digits --channels 2": "give 1 or 3",
    "train digits --channels grey": "--channels: 'grey' is not a whole number",
    "train ring8 --resolution 8": "vectors, which have neither resolution nor channels",
    "train ring8 --channels 1": "vectors, which have neither resolution nor channels",
    # train: settings that do not fit
    "train digits --recipe wgan": "no recipe 'wgan'; here it is wgan-original",
    "train digits --recipe": "--recipe needs a value",
    "train ring8 --recipe dcgan-gp": "works on images (C, H, W), not on samples of shape (2,)",
    "train ring8 networks:dcgan": "works on images (C, H, W), not on samples of shape (2,)",
    "train side30 --recipe dcgan-gp --resolution 30": "multiples of 4 and at least 4, not 30x30",
    "train digits --recipe dcgan-gp --resolution 30": "multiples of 4 and at least 4, not 30x30",
    "train digits --recipe dcgan-gp --networks.critic-norm batch": "a critic without batch normalisation",
    "train digits --recipe toy-gp --networks.critic-norm batch": "a critic without batch normalisation",
    "train digits networks:dcgan --networks.stages 9": "use at most 3 stages",
    "train digits networks:dcgan --networks.kernel 3": "--networks.kernel must be one of 4, 5, not '3'",
    "train digits --networks.generator-norm instance": "must be one of none, batch, layer, group, not",
    "train digits networks:mlp --networks.activation gelu": "one of relu, leaky-relu, softplus, tanh, not",
    "train digits networks:mlp --networks.latent-dim 2000000000": "not enough memory",
    "train digits networks:mlp --networks.latent-dim 100000000000000": "below 2^31",
    "train digits --batch-size 100000000000000": "below 2^31",
    "train digits --loss hinges": "relativistic, not 'hinges'. Did you mean hinge?",
    "train digits --decay step": "--decay must be one of constant, linear, cosine, not 'step'",
    "train digits --device abacus": "no device 'abacus' here",
    "train digits --device cuda:99": "no device 'cuda:99' here",
    "train digits --device meta": "no device 'meta' here",
    "train digits --device hpu": "no device 'hpu' here",
    "train digits --device ''": "no device '' here",
    "train digits --monitor wanb": "no monitor 'wanb'; did you mean 'wandb'?",
    "train digits --seed -1": "seed must be a whole number in [0, 2^63)",
    "train digits --seed 9223372036854775808": "seed must be a whole number in [0, 2^63)",
    "train digits --seed 1.5": "--seed: '1.5' is not a whole number",
    "train digits --generator-optimiser.betas 0.5": "--generator-optimiser.betas needs 2 values",
    "train digits --generator-optimiser.betas a b": "'a', 'b' are not numbers",
    "train digits --generator-optimiser.betas 0.5 1": "two betas in [0, 1)",
    "train digits --critic-optimiser.betas -0.1 0.9": "two betas in [0, 1)",
    "train digits --critic-optimiser.betas nan 0.9": "two betas in [0, 1)",
    "train digits networks:mlp --networks.generator-hidden 4 0": "hidden must be a whole number",
    "train digits networks:mlp --networks.critic-hidden 4 -4": "hidden must be a whole number",
    "train digits networks:mlp --networks.critic-hidden 4 wide": "'4', 'wide' are not whole numbers",
    # train: how long
    "train digits --minutes 0": "--minutes must be a finite number > 0, not 0.0",
    "train digits --minutes -1": "--minutes must be a finite number > 0",
    "train digits --minutes nan": "--minutes must be a finite number > 0",
    "train digits --minutes inf": "--minutes must be a finite number > 0",
    "train digits --minutes nan --dry-run": "--minutes must be a finite number > 0",
    "train digits --minutes soon": "--minutes: 'soon' is not a number",
    "train digits --minutes 1 --steps 5": "Give --steps or --minutes, not both",
    "train digits --steps=5 --minutes 1": "Give --steps or --minutes, not both",
    # train: where to
    f"train digits --out file {TINY}": "file is a file; a run needs a folder",
    f"train digits --out file/run {TINY}": "Cannot write file/run",
    f"train digits --out mine {TINY}": "mine contains files but is not a run folder",
    f"train digits --out /dev/null/run {TINY}": "Cannot write /dev/null/run",
    f"train digits --out newer {TINY}": "format 99, and this wgan reads format 2; upgrade",
    f"train digits --out newer --minutes 1 {TINY.replace('--steps 2', '')}": "format 99",
    f"train digits --out garbled {TINY}": "garbled/config.json cannot be read",
    f"train digits --out listed {TINY}": "listed/config.json cannot be read",
    f"train digits --out run {TINY} --n-critic 2": "n_critic 1 -> 2",
    f"train digits --out run {TINY} --seed 1": "seed 0 -> 1",
    f"train ring8 --out run {TINY}": "generator.shape [1, 8, 8] -> [2]",
    f"train digits --out run {TINY} --n-critic 2 --fork": "at step 2 already",
    f"train digits --out broken {TINY}": "No checkpoint in broken/checkpoints is complete",
    # sample
    "sample": "wgan sample needs RUN and --out PATH",
    "sample run": "wgan sample needs --out PATH",
    "sample --out x.npz": "wgan sample needs RUN",
    "sample run --out x.npz --nonsense": "--nonsense",
    "sample run --out x.npz --cout 3": "Did you mean --count?",
    "sample nowhere --out x.npz": "nowhere is not a run folder",
    "sample mine --out x.npz": "mine is not a run folder",
    "sample file --out x.npz": "file is not a run folder",
    "sample newer --out x.npz": "format 99, and this wgan reads format 2; upgrade",
    "sample garbled --out x.npz": "cannot be read",
    "sample listed --out x.npz": "cannot be read",
    "sample unsaid --out x.npz": "does not say what generator",
    "sample foreign --out x.npz": "mine.Generator is not one of wgan's own networks",
    "sample odd --out x.npz": "not the description of a MLPGenerator",
    "sample grown --out x.npz": "are not those of this generator",
    "sample untrained --out x.npz": "untrained has no checkpoint yet",
    "sample broken --out x.npz": "No checkpoint in broken/checkpoints is complete",
    "sample run --out x.npz --count 0": "count must be at least 1",
    "sample run --out x.npz --count -1": "count must be at least 1",
    "sample run --out x.npz --count 1.5": "--count: '1.5' is not a whole number",
    "sample run --out x.npz --count many": "--count: 'many' is not a whole number",
    f"sample run --out x.npz --count {10**30}": "less than 2^31",
    "sample run --out x.npz --seed -1": "a seed in [0, 2^64)",
    f"sample run --out x.npz --seed {2**64}": "a seed in [0, 2^64)",
    "sample run --out x.npz --seed x": "--seed: 'x' is not a whole number",
    "sample run --out x.npz --device abacus": "no device 'abacus' here",
    "sample run --out x.jpg": "Cannot write samples as '.jpg'; use .npz, .png, or a folder's name",
    "sample run --out x.npy": "Cannot write samples as '.npy'",
    "sample run --out file/x.npz": "Cannot write file/x.npz",
    "sample run --out file/x.png": "Cannot write file/x.png",
    "sample run --out file": "Cannot write file/00000.png",
    "sample run --out /dev/null/x.npz": "Cannot write /dev/null/x.npz",
    "sample points --out folder": "no image with 1 or 3 channels; save samples as .npz",
    # animate
    "animate": "wgan animate needs RUN and --out PATH",
    "animate run": "wgan animate needs --out PATH",
    "animate nowhere --out x.gif": "nowhere is not a run folder",
    "animate mine --out x.gif": "mine is not a run folder",
    "animate newer --out x.gif": "format 99",
    "animate garbled --out x.gif": "cannot be read",
    "animate blind --out x.gif": "blind has no images in samples/ yet",
    "animate smeared --out x.gif": "smeared/samples/00000000.png cannot be read as an image",
    "animate mixed --out x.gif": "all frames of one size",
    "animate run --out x.mp4": "x.mp4 does not end in .gif",
    "animate run --out x": "x does not end in .gif",
    "animate run --out file/x.gif": "Cannot write file/x.gif",
    "animate run --out x.gif --seconds 0": "seconds must be in [0.01, 600]",
    "animate run --out x.gif --seconds -1": "seconds must be in [0.01, 600]",
    "animate run --out x.gif --seconds nan": "seconds must be in [0.01, 600]",
    "animate run --out x.gif --seconds inf": "seconds must be in [0.01, 600]",
    "animate run --out x.gif --seconds slow": "--seconds: 'slow' is not a number",
    "animate run --out x.gif --loop": "--loop",
    # evaluate
    "evaluate": "wgan evaluate needs FAKE",
    "evaluate run points": "'points' is more than",
    "evaluate run --metric fd": "Instead of --metric, use --metrics",
    "evaluate nowhere": "nowhere is not a run folder with data of its own",
    "evaluate good.npy": "real samples to compare it with as `against`",
    "evaluate digits": "real samples to compare it with as `against`",
    "evaluate nowhere --against digits": "neither the name of a dataset nor a path",
    "evaluate empty --against digits": "holds no images",
    "evaluate few.npy --against digits": "7 samples, too few",
    "evaluate nan.npy --against digits": "NaN",
    "evaluate loud.npy --against digits": "floats must lie in [-1, 1]",
    "evaluate unnamed.npz --against digits": "not clear which are the samples",
    "evaluate cut.npy --against digits": "cannot be read as a .npy file",
    "evaluate side30 --against digits": "only samples of one shape can be compared",
    "evaluate run --against ring8": "only samples of one shape can be compared",
    "evaluate run --against digitz": "Did you mean 'digits'?",
    "evaluate run --against digits --resolution 9": "of shape (1, 9, 9)",
    "evaluate run --resolution 8": "--resolution is an option of the data of --against; give --against too",
    "evaluate run --data-dir mine": "--data-dir is an option of the data of --against; give --against too",
    "evaluate newer": "format 99",
    "evaluate garbled": "garbled/config.json cannot be read",
    "evaluate untrained": "untrained has no checkpoint yet",
    "evaluate broken": "No checkpoint in broken/checkpoints is complete",
    "evaluate grown": "are not those of this generator",
    "evaluate scrawled": "scrawled/evaluation.json cannot be read",
    "evaluate changed": "digits has changed since changed was trained on it",
    "evaluate gone": "The training data of gone cannot be loaded again",
    "evaluate rootless": "does not name the training data",
    "evaluate run --metrics fid": "no metric 'fid'; did you mean 'fd'?",
    "evaluate run --metrics fd,": "no metric ''",
    "evaluate run --metrics modes": "without labels cannot be counted",
    "evaluate run --metrics memorisation --against good.npy": "good.npy is other data",
    "evaluate run --metrics w1 --count 63": "W1 needs at least 64 fakes",
    "evaluate run --metrics pr --count 3": "has 2 others and no neighbour number 3; give at least 4",
    "evaluate run --count 0": "count must be from 2 to 100,000, not 0",
    "evaluate run --count -1": "count must be from 2 to 100,000, not -1",
    "evaluate run --count 1.5": "--count: '1.5' is not a whole number",
    f"evaluate run --count {10**30}": "count must be from 2 to 100,000",
    "evaluate good.npy --against digits --count 21": "holds 20 samples, fewer than count=21",
    "evaluate run --seed -1": "seed must be a whole number in [0, 2^63)",
    "evaluate run --device abacus": "no device 'abacus' here",
    "evaluate run --extractor resnet": "no extractor 'resnet'; there are pixels",
    "evaluate run --extractor inceptoin": "did you mean 'inception'?",
    "evaluate run --extractor classifier": "`wgan classifier`",
    "evaluate run --extractor none.safetensors": "Cannot read a classifier from none.safetensors",
    "evaluate run --extractor good.npy": "Cannot read a classifier from good.npy",
    "evaluate run --extractor run/checkpoints/00000002/average.safetensors": "is not a classifier that wgan",
    "evaluate run --extractor efficientnet-lite0 --weights judge.safetensors": "does not hold the ImageNet",
    "evaluate run --extractor pixels --weights judge.safetensors": "'pixels' has no weights",
    "evaluate run --extractor judge.safetensors --weights x": "is a file of weights itself",
    "evaluate points --metrics fd --extractor judge.safetensors": "trained on images (1, 8, 8)",
    "evaluate points --metrics fd --extractor efficientnet-lite0": "no images with 1 or 3 channels",
    # compare
    "compare": "Name the folders of the runs",
    "compare nowhere": "nowhere is not a run folder",
    "compare mine fewer": "mine is not a run folder",
    "compare fewer run": "run was not evaluated yet; `wgan evaluate run` does it",
    "compare fewer more": "differ in n_fake (70 and 80)",
    "compare fewer scrawled": "scrawled/evaluation.json cannot be read",
    "compare fewer --metrics kid": "fewer has no kid; there are fd",
    "compare fewer --metrics fid": "fewer has no fid",
    "compare fewer --nonsense": "--nonsense",
    # classifier
    "classifier": "wgan classifier needs DATA and --out PATH",
    "classifier digits": "wgan classifier needs --out PATH",
    "classifier digitz --out x.safetensors": "Did you mean 'digits'?",
    "classifier ring8 --out x.safetensors": "ring8 holds vectors; a classifier needs images",
    "classifier good.npy --out x.safetensors": "good.npy has no labels: give a folder",
    "classifier one_class.npz --out x.safetensors": "has only one class; a classifier needs at least two",
    "classifier labels_short.npz --out x.safetensors": "have shape (19,)",
    "classifier digits --resolution 2 --out x.safetensors": "with sides from 4 up",
    "classifier digits --out x.npz": "use a name that ends in .safetensors",
    "classifier digits --out file/x.safetensors": "Cannot write file/x.safetensors",
    "classifier digits --out /dev/null/x.safetensors": "Cannot write /dev/null/x.safetensors",
    "classifier digits --out x.safetensors --steps 0": "steps must be a whole number of at least 1",
    "classifier digits --out x.safetensors --seed -1": "seed must be a whole number in [0, 2^63)",
    "classifier digits --out x.safetensors --device abacus": "no device 'abacus' here",
    # audit
    "audit good.npy": "wgan audit needs Q",
    "audit nowhere.npz good.npy": "There is no file 'nowhere.npz'",
    "audit unnamed.npz good.npy": "not clear which are the samples",
    "audit cut.npy good.npy": "cannot be read as a .npy file",
    "audit fake.npz good.npy": "cannot be read as a .npz file",
    "audit good.npy good.npy": "at least 64 samples",
    # data
    "data": "wgan data needs one of pack, verify",
    "data unpack": "There is no unpack; known are pack, verify",
    "data pack": "wgan data pack needs DATA",
    "data verify": "wgan data verify needs DIR",
    "data pack few few": "'few' is more than",
    "data pack ''": "neither the name of a dataset nor a path",
    "data pack digits": "digits cannot be packed",
    "data pack nowhere": "neither the name of a dataset nor a path",
    "data pack empty": "holds no images",
    "data pack song.zip": "cannot be read as a zip",
    "data pack nowhere.tar": "nowhere.tar' cannot be read as a tar",
    "data pack x-{0..3}.tar": "x-0.tar' cannot be read as a tar",
    "data pack labels_short.npz": "cannot be packed",
    "data pack notes.txt": "notes.txt cannot be packed",
    "data pack hf:": "'hf:' is no name of a dataset",
    "data pack few --out mine": "'mine' holds files and is not a pack",
    "data pack few --out file": "'file' is a file; a pack needs a folder",
    "data pack few --out file/x": "Cannot write file/x",
    "data pack few --out few": "'few' holds files and is not a pack",
    "data pack side30 --resolution 0": "resolution is 0",
    "data pack side30 --channels 2": "channels is 2",
    "data pack side30 --processes 0": "processes must be a whole number of at least 1",
    "data pack side30 --processes many": "'many' is not a whole number",
    "data pack corrupt": "At least 2 of the 20 images",
    "data verify nowhere": "'nowhere' is not a pack",
    "data verify mine": "'mine' is not a pack",
    # recipes
    "recipes wgan": "no recipe 'wgan'; here it is wgan-original",
    "recipes toy-gp toy-clip": "'toy-clip' is more than",
    "recipes --nonsense": "--nonsense",
    "recipes --vectors": "--vectors needs the name of a recipe",
    "recipes dcgan-gp --vectors": "works on images (C, H, W), not on samples of shape (2,)",
}


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_that_cannot_work_is_refused(refused, command):
    assert COMMANDS[command] in refused(*shlex.split(command))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "phrase"),
    [
        (f"train digits --out untrained {TINY} --n-critic 2", "untrained has no checkpoint to start from"),
        (f"train ring8 --out run {TINY}", "others than those asked for"),
    ],
)
def test_a_fork_that_cannot_start_is_refused(refused, command, phrase):
    assert phrase in refused(*command.split(), "--steps", "3", "--fork", after=r"Forking \S+ into \S+\n")


MLP, DCGAN, RMSPROP = "networks:mlp", "networks:dcgan", "critic-optimiser:rmsprop"

WHOLE = {
    "--steps": "steps",
    "--n-critic": "n_critic",
    "--batch-size": "batch_size",
    "--penalty-every": "penalty_every",
    "--logging.metrics": "metrics",
    "--logging.images": "images",
    "--logging.checkpoint": "checkpoint",
    "--logging.keep": "keep",
    f"{MLP} --networks.latent-dim": "latent_dim",
    f"{MLP} --networks.generator-hidden": "hidden",
    f"{MLP} --networks.critic-hidden": "hidden",
    f"{DCGAN} --networks.latent-dim": "latent_dim",
    f"{DCGAN} --networks.generator-width": "width",
    f"{DCGAN} --networks.critic-width": "width",
    f"{DCGAN} --networks.stages": "stages",
    "constraint:spectral-normalisation --constraint.iterations": "iterations",
}
"""Options that are whole numbers of at least 1, and what the refusal calls them."""

POSITIVE = {
    "--generator-optimiser.lr": "learning rate",
    "--generator-optimiser.eps": "eps",
    "--critic-optimiser.lr": "learning rate",
    "--critic-optimiser.eps": "eps",
    f"{RMSPROP} --critic-optimiser.lr": "learning rate",
    f"{RMSPROP} --critic-optimiser.eps": "eps",
    "constraint:gradient-penalty --constraint.weight": "weight",
    "constraint:lipschitz-penalty --constraint.weight": "weight",
    "constraint:max-gradient-penalty --constraint.weight": "weight",
    "constraint:dragan --constraint.weight": "weight",
    "constraint:weight-clipping --constraint.c": "c",
    "constraint:r1 --constraint.gamma": "gamma",
    "constraint:r2 --constraint.gamma": "gamma",
}
"""Options that are finite numbers > 0."""

NOT_NEGATIVE = {
    "constraint:gradient-penalty --constraint.target": "target",
    "constraint:lipschitz-penalty --constraint.target": "target",
    "constraint:dragan --constraint.target": "target",
}
"""Options that are finite numbers >= 0."""

SHARES = {"--ema": "ema", f"{RMSPROP} --critic-optimiser.alpha": "alpha"}
"""Options that are numbers in [0, 1)."""

WRONG = (
    [(option, name, value) for option, name in WHOLE.items() for value in ("0", "-1")]
    + [
        (option, name, value)
        for option, name in POSITIVE.items()
        for value in ("0", "-1", "nan", "inf", "-inf")
    ]
    + [(option, name, value) for option, name in NOT_NEGATIVE.items() for value in ("-1", "nan", "inf")]
    + [(option, name, value) for option, name in SHARES.items() for value in ("1", "-0.1", "nan", "inf")]
)

NUMERIC = [*WHOLE, *POSITIVE, *NOT_NEGATIVE, *SHARES, "--seed", "--minutes", "--resolution", "--channels"]


@pytest.mark.slow
@pytest.mark.parametrize(("option", "name", "value"), WRONG)
def test_a_number_out_of_its_range_is_refused(refused, option, name, value):
    said = refused("train", "digits", "--out", "new", *option.split(), value)
    assert name in said
    assert value in said


@pytest.mark.slow
def test_a_batch_of_one_is_refused(refused):
    assert "batch_size must be a whole number of at least 2 and below 2^31, not 1" in refused(
        "train", "digits", "--batch-size", "1"
    )


@pytest.mark.slow
@pytest.mark.parametrize("option", NUMERIC)
@pytest.mark.parametrize("value", ["x", ""])
def test_what_is_no_number_is_refused(refused, option, value):
    assert option.split()[-1] in refused("train", "digits", "--out", "new", *option.split(), value)


@pytest.mark.slow
@pytest.mark.parametrize("option", [*WHOLE, "--seed"])
@pytest.mark.parametrize("value", ["1.5", "nan"])
def test_what_is_no_whole_number_is_refused(refused, option, value):
    said = refused("train", "digits", "--out", "new", *option.split(), value)
    assert f"{option.split()[-1]}: '{value}' is not a whole number" in said or "are not whole numbers" in said


def is_float(text):
    try:
        float(text)
    except ValueError:
        return False
    return True


@pytest.mark.slow
@given(text=st.text(st.characters(codec="utf-8")).filter(lambda text: not is_float(text)))
def test_no_text_at_all_passes_for_a_number(text):
    """Through the parser alone, where a thousand texts cost nothing."""
    from wgan.cli.parse import parse
    from wgan.cli.sample import Sample
    from wgan.errors import InputError

    with pytest.raises(InputError) as refusal:
        parse(Sample, ["run", "--out", "x.npz", f"--count={text}"])
    assert "--count: " in str(refusal.value)
    assert str(refusal.value).endswith("See wgan sample --help.")
