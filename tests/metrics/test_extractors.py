"""Every extractor: what it makes of samples, what it is traced by, and what it refuses."""

import io
import re
import sys

import numpy as np
import pytest
import torch
from matplotlib import cbook
from PIL import Image
from torch import nn

from wgan.errors import InputError
from wgan.metrics import EXTRACTORS, PIXELS, Classifier, from_callable, load_extractor, train_classifier
from wgan.metrics.extractors import efficientnet, inception
from wgan.metrics.extractors.extractor import BATCH


def images(count: int, channels: int = 1, side: int = 8, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, channels, side, side, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.fixture(scope="module")
def extractors(classifier, tmp_path_factory):
    """Each by the table that can be made here: all but inception, whose weights are a download."""
    path = tmp_path_factory.mktemp("classifier") / "digits.safetensors"
    classifier.save(path)
    weights = {"pixels": None, "efficientnet-lite0": None, "classifier": path}
    return {name: load_extractor(name, given, device="cpu") for name, given in weights.items()}


NAMES = ["pixels", "efficientnet-lite0", "classifier"]
every_extractor = pytest.mark.parametrize("name", NAMES)


def test_the_table_holds_every_extractor():
    assert set(EXTRACTORS) == {*NAMES, "inception"}


@every_extractor
def test_features_are_deterministic_finite_and_as_wide_as_told(name, extractors):
    extractor, given = extractors[name], images(3)
    features = extractor(given)
    assert extractor.name == name
    assert features.shape == (3, extractor.width or 64)
    assert features.dtype == torch.float32
    assert features.isfinite().all()
    assert torch.equal(features, extractor(given))
    assert re.fullmatch("[0-9a-f]{64}", extractor.hash)


@pytest.mark.slow
@every_extractor
def test_batches_change_nothing(name, extractors):
    given = images(BATCH + 2)
    parts = torch.cat([extractors[name](given[:5]), extractors[name](given[5:])])
    assert torch.allclose(extractors[name](given), parts, atol=1e-5)


@every_extractor
def test_no_sample_and_no_number_are_refused(name, extractors):
    bad = images(4)
    bad[2, 0, 3, 3] = torch.nan
    for given, message in (
        (bad, "NaN or infinity"),
        (images(0), "no features"),
        (images(4).mul(127).to(torch.uint8), "scale bytes"),
    ):
        with pytest.raises(InputError, match=message):
            extractors[name](given)


def test_pixels_are_the_identity_on_vectors():
    vectors = torch.randn(5, 3)
    assert torch.equal(PIXELS(vectors), vectors)


def test_grey_is_the_same_as_tiled_colour(extractors):
    grey = images(2)
    colour = grey.repeat(1, 3, 1, 1)
    assert torch.equal(extractors["efficientnet-lite0"](grey), extractors["efficientnet-lite0"](colour))


def test_efficientnet_knows_a_photograph():
    """Admiral Hopper's portrait: of the thousand classes of ImageNet, military uniform (652) comes first."""
    with cbook.get_sample_data("grace_hopper.jpg") as file:
        portrait = torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1)[None] / 127.5 - 1
    weights = torch.load(efficientnet._installed(), weights_only=True)
    features = load_extractor("efficientnet-lite0", device="cpu")(portrait)
    assert (features @ weights["_fc.weight"].T + weights["_fc.bias"]).argmax().item() == 652


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (images(2, channels=2), "no images with 1 or 3 channels"),
        (torch.zeros(2, 5), "no images"),
        (255 * images(2).abs(), "must lie in .-1, 1., and these reach"),
    ],
)
def test_what_are_no_images_is_said(given, message):
    with pytest.raises(InputError, match=message):
        load_extractor("efficientnet-lite0", device="cpu")(given)


@pytest.mark.parametrize("name", ["efficientnet-lite0", "inception", "classifier"])
def test_the_wrong_weights_are_refused_in_one_sentence(name, tmp_path):
    path = tmp_path / "other.pth"
    torch.save(nn.Linear(2, 2).state_dict(), path)
    with pytest.raises(InputError, match=r"other\.pth") as caught:
        load_extractor(name, path)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="missing"):
        load_extractor(name, tmp_path / "missing")


def test_an_unknown_extractor_is_refused_with_the_nearest():
    with pytest.raises(InputError, match="did you mean 'inception'"):
        load_extractor("inceptoin")
    with pytest.raises(InputError, match="there are pixels"):
        load_extractor("resnet")
    with pytest.raises(InputError, match="'pixels' has no weights"):
        load_extractor("pixels", "some.pth")
    with pytest.raises(InputError, match="train one first"):
        load_extractor("classifier")


# ---------------------------------------------------------------------------- inception


@pytest.mark.slow
@pytest.mark.usefixtures("torch_fidelity")
def test_inception_needs_no_torchvision_and_makes_2048_features():
    """With weights of our own making: the standard ones are a download of 96 MB."""
    before = set(sys.modules)
    module = inception._network_module()
    left_behind = {name.partition(".")[0] for name in set(sys.modules) - before}
    assert not left_behind & {"torch_fidelity", "torchvision"}
    network = inception.build(random_weights(module))
    features = network(inception.round_to_bytes(images(2).expand(-1, 3, -1, -1)))[0]
    assert features.shape == (2, inception.WIDTH)
    assert features.isfinite().all()


def random_weights(module) -> io.BytesIO:
    """A state dict of the right shapes."""

    class Untrained(module.FeatureExtractorInceptionV3):
        def load_state_dict(self, _):
            """Stay as made."""

    torch.manual_seed(0)
    return saved(Untrained("untrained", ["2048"], saved({})).state_dict())


def saved(value) -> io.BytesIO:
    content = io.BytesIO()
    torch.save(value, content)
    content.seek(0)
    return content


def test_bytes_are_rounded_as_files_are():
    levels = torch.arange(256)
    assert torch.equal(inception.round_to_bytes(levels / 127.5 - 1), levels.to(torch.uint8))
    assert inception.round_to_bytes(torch.tensor([-1.1, 1.1])).tolist() == [0, 255]


# ---------------------------------------------------------------------------- your own


def test_any_callable_is_an_extractor():
    extractor = from_callable(lambda x: x.flatten(1)[:, :4], name="corner", width=4)
    given = images(3)
    assert torch.equal(extractor(given), given.flatten(1)[:, :4])
    wrong = from_callable(lambda x: x.flatten(1), name="corner", width=4)
    with pytest.raises(InputError, match=r"features of shape \(3, 64\) .* must return \(3, 4\)"):
        wrong(given)


def test_the_hash_is_of_weights_and_rules():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 5))
    before = from_callable(module, name="mine").hash
    assert from_callable(module, name="mine").hash == before
    assert from_callable(module, name="mine", resize="to 8x8").hash != before
    assert from_callable(module, name="other").hash != before
    module[1].bias.data[0] += 1e-7
    assert from_callable(module, name="mine").hash != before


# ---------------------------------------------------------------------------- classifier


def test_the_classifier_knows_digits(classifier, unseen):
    held_out, labels = unseen
    assert classifier.accuracy >= 0.97
    assert (classifier(held_out) == labels).double().mean().item() == classifier.accuracy
    assert torch.equal(classifier(held_out), classifier(((held_out + 1) * 127.5).round().to(torch.uint8)))


def test_training_is_a_function_of_its_seed(train_digits):
    first, again, other = (train_digits(seed, steps=20) for seed in (3, 3, 4))
    assert first.extractor.hash == again.extractor.hash
    assert first.extractor.hash != other.extractor.hash


def test_features_have_a_mean_square_of_one(classifier, digits):
    features = classifier.extractor(digits[0])
    assert features.square().mean().item() == pytest.approx(1, abs=0.05)


def test_saved_and_loaded_it_is_the_same_bit_for_bit(classifier, tmp_path):
    path = tmp_path / "digits.safetensors"
    classifier.save(path)
    again = Classifier.load(path, device="cpu")
    assert again.extractor.hash == classifier.extractor.hash
    assert torch.equal(again.extractor(images(20)), classifier.extractor(images(20)))
    assert (again.shape, again.classes, again.accuracy) == ((1, 8, 8), 10, classifier.accuracy)
    assert (
        again.training == {"seed": 0, "steps": 150, "samples": 1618, "held_out": 179} == classifier.training
    )


@pytest.mark.parametrize("at", [0.05, 0.5, 0.99])
def test_a_changed_file_is_refused(at, classifier, tmp_path):
    path = tmp_path / "digits.safetensors"
    classifier.save(path)
    content = bytearray(path.read_bytes())
    content[int(at * len(content))] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"digits\.safetensors"):
        Classifier.load(path, device="cpu")


def test_a_changed_accuracy_is_refused(classifier, tmp_path):
    path = tmp_path / "digits.safetensors"
    classifier.save(path)
    content = path.read_bytes()
    claimed = f"{classifier.accuracy!r}".encode()
    assert claimed in content
    path.write_bytes(
        content.replace(claimed, claimed[:-1] + b"9" if claimed[-1:] != b"9" else claimed[:-1] + b"8")
    )
    with pytest.raises(InputError, match="or was changed since"):
        Classifier.load(path, device="cpu")


@pytest.mark.slow
@pytest.mark.parametrize(("channels", "side"), [(3, 4), (1, 28), (3, 64)])
def test_it_takes_images_from_4_to_64(channels, side):
    given, labels = images(12, channels, side), torch.arange(12) % 3
    trained = train_classifier(given, labels, held_out=(given, labels), steps=1, device="cpu")
    assert trained.extractor(given).shape == (12, 64)
    assert trained.classes == 3


def test_what_cannot_be_trained_on_is_said():
    given, labels = images(6), torch.arange(6)
    for arguments, message in (
        ((given, labels[:5], (given, labels)), "6 images need as many labels"),
        ((given, labels.float(), (given, labels)), "integers from 0"),
        ((given, labels, (given[:, :, :4], labels)), "images .N, C, H, W. of one shape"),
        ((given.flatten(1), labels, (given, labels)), "images .N, C, H, W. of one shape"),
        ((given, labels, (given[:0], labels[:0])), "0 images need"),
    ):
        first, second, held_out = arguments
        with pytest.raises(InputError, match=message):
            train_classifier(first, second, held_out=held_out)
    with pytest.raises(InputError, match="steps must be at least 1"):
        train_classifier(given, labels, held_out=(given, labels), steps=0)


def test_the_classifier_refuses_images_of_another_shape(classifier):
    for call in (classifier, classifier.extractor):
        with pytest.raises(InputError, match=r"trained on images \(1, 8, 8\) and is given \(3, 8, 8\)"):
            call(images(2, channels=3))
