"""The table of metrics, what a number carries with it, and its course as samples get worse."""

import dataclasses
import json
import re

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from wgan.errors import InputError
from wgan.metrics import (
    METRICS,
    Comparison,
    Estimate,
    Features,
    MetricValue,
    Modes,
    Provenance,
    measure,
    memorisation_floor,
)
from wgan.metrics.extractors import FID_HASH

NUMBERS = {
    "fd": ["fd"],
    "kid": ["kid"],
    "pr": ["precision", "recall"],
    "dc": ["density", "coverage"],
    "memorisation": ["memorisation"],
    "modes": ["modes", "effective_modes", "reverse_kl", "kl"],
}
ALL = list(NUMBERS)


def features(seed: int, n: int, shift: float = 0.0) -> Features:
    rng = torch.Generator().manual_seed(seed)
    labels = torch.randint(3, (n,), generator=rng)
    return Features(torch.randn(n, 2, generator=rng) + shift + labels[:, None], labels)


GIVEN = Comparison(features(0, 300), features(1, 300, 0.5), features(2, 700), split="made: train")


@pytest.fixture(scope="module")
def found() -> dict[str, Estimate]:
    return measure(GIVEN, ALL)


def test_the_table_holds_every_number(found):
    assert list(METRICS) == ALL
    assert list(found) == [number for numbers in NUMBERS.values() for number in numbers]
    for metric, numbers in NUMBERS.items():
        assert list(METRICS[metric](GIVEN)) == numbers


def test_every_number_carries_its_error_count_floor_and_provenance(found):
    for name, estimate in found.items():
        assert np.isfinite(estimate.value)
        assert estimate.standard_error >= 0
        assert estimate.n == (300, 300)
        assert isinstance(estimate.floor, MetricValue)
        assert estimate.floor.standard_error >= 0
        assert estimate.provenance.metric == name
        assert estimate.provenance.extractor == "pixels"
        assert estimate.provenance.split == "made: train"
        assert estimate.provenance.versions["torch"] == torch.__version__


def test_the_floor_is_the_metric_of_held_out_samples_in_the_place_of_fakes(found):
    swapped = Comparison(GIVEN.real, GIVEN.held_out[:300], GIVEN.held_out[300:])
    for metric, numbers in NUMBERS.items():
        if metric != "memorisation":
            expected = METRICS[metric](swapped)
            assert {name: found[name].floor for name in numbers} == expected
    assert found["memorisation"].floor == memorisation_floor(300, 700)
    assert found["fd"].value > found["fd"].floor.value + 2 * found["fd"].standard_error


def test_there_is_no_floor_where_held_out_samples_are_too_few():
    few = dataclasses.replace(GIVEN, held_out=GIVEN.held_out[:299])
    floors = {name: estimate.floor for name, estimate in measure(few, ALL).items()}
    assert floors.pop("memorisation") == memorisation_floor(300, 299)  # known without samples
    assert set(floors.values()) == {None}
    assert measure(dataclasses.replace(GIVEN, held_out=None), ["kid"])["kid"].floor is None


def test_an_estimate_prints_all_of_it_and_survives_json(found):
    text = str(found["fd"])
    pattern = (
        r"FD [\d.]+ ± [\d.]+ \(floor [\d.]+ ± [\d.]+; n = 300 real, 300 fake; pixels [0-9a-f]{8}, resize: "
    )
    assert re.match(pattern, text)
    assert "made: train" in text
    assert "torch" in text
    plain = json.loads(json.dumps(dataclasses.asdict(found["fd"])))
    assert plain["provenance"]["n_fake"] == 300


def test_a_number_without_error_or_floor_says_so():
    estimate = dataclasses.replace(measure(GIVEN, ["fd"])["fd"], value=1.0, standard_error=None, floor=None)
    assert str(estimate).startswith("FD 1 (floor unknown;")


def test_known_modes_stand_for_labels():
    toy = dataclasses.replace(GIVEN, modes=Modes(torch.tensor([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]]), 1.0))
    estimates = measure(toy, ["modes"])
    assert list(estimates) == ["modes", "effective_modes", "high_quality", "reverse_kl", "kl"]
    assert estimates["modes"].value == 3


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["precission"], "There is no metric 'precission'; there are fd, kid"),
        (["memorization"], "There is no metric 'memorization'; did you mean 'memorisation'?"),
    ],
)
def test_an_unknown_metric_is_refused_with_the_nearest(names, message):
    with pytest.raises(InputError, match=re.escape(message)):
        measure(GIVEN, names)


def test_what_a_metric_lacks_is_said():
    bare = Comparison(Features(GIVEN.real.values), Features(GIVEN.fake.values))
    with pytest.raises(InputError, match="real samples without labels"):
        measure(bare, ["modes"])
    with pytest.raises(InputError, match="held-out samples, and there are none"):
        measure(bare, ["memorisation"])
    with pytest.raises(InputError, match="2 labels are not one for each of 3"):
        Features(torch.zeros(3, 2), torch.zeros(2, dtype=torch.int64))


def test_frechet_below_the_width_warns_and_gives_the_floor():
    rng = torch.Generator().manual_seed(0)
    real, fake, held_out = (Features(torch.randn(20, 30, generator=rng)) for _ in range(3))
    with pytest.warns(UserWarning, match="Compare it with its floor"):
        estimate = measure(Comparison(real, fake, held_out), ["fd"])["fd"]
    assert estimate.value == pytest.approx(estimate.floor.value, rel=0.2)


# ---------------------------------------------------------------------------- provenance


def provenance(**changes) -> Provenance:
    plain = Provenance("fd", "pixels", "ab" * 32, "none", 100, 50, "digits: train", {"torch": "2.13.0"})
    return dataclasses.replace(plain, **changes)


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({}, []),
        ({"n_fake": 60}, ["n_fake"]),
        ({"extractor": "mine", "extractor_hash": "cd" * 32}, ["extractor", "extractor_hash"]),
        ({"resize": "bilinear"}, ["resize"]),
        ({"split": "digits: held out"}, ["split"]),
        ({"versions": {"torch": "2.11.0", "numpy": "2.0"}}, ["versions.torch", "versions.numpy"]),
    ],
)
def test_differences_name_the_parts_and_both_values(changes, names):
    differences = provenance().differences(provenance(**changes))
    assert list(differences) == names
    assert all(mine != theirs for mine, theirs in differences.values())


def test_only_the_official_extractor_makes_a_fid():
    assert provenance(extractor="inception", extractor_hash=FID_HASH).label == "FID"
    assert provenance(extractor="inception").label == "FD"
    assert provenance(metric="kid", extractor="inception", extractor_hash=FID_HASH).label == "KID"
    assert provenance(metric="reverse_kl").label == "reverse kl"


# ---------------------------------------------------------------------------- worse and worse


@pytest.fixture(scope="module")
def halves(digits):
    images, _ = digits
    return images[::2], images[1::2]


WORSE = {
    "noise": lambda x, s: x + s * torch.randn(x.shape, generator=torch.Generator().manual_seed(0)),
    "blur": lambda x, s: torch.from_numpy(gaussian_filter(x.numpy(), (0, 0, s, s))),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", WORSE)
def test_numbers_get_worse_with_the_samples(kind, halves, classifier):
    real, fake = halves
    course = []
    for strength in (0.0, 0.4, 0.7, 1.0):
        worse = WORSE[kind](fake, strength)
        given = Comparison(
            Features(classifier.extractor(real), classifier(real)),
            Features(classifier.extractor(worse), classifier(worse)),
            extractor=classifier.extractor,
        )
        course.append(measure(given, ["fd", "kid", "pr", "dc", "modes"]))
    for rising in ("fd", "kid", "reverse_kl"):
        assert np.all(np.diff([found[rising].value for found in course]) > 0), rising
    for falling in ("recall", "coverage"):
        assert np.all(np.diff([found[falling].value for found in course]) <= 0), falling
    assert course[-1]["precision"].value < course[0]["precision"].value


@pytest.mark.slow
def test_numbers_get_worse_with_each_class_that_is_lost(digits, classifier):
    images, labels = digits
    rest, of_rest = images[1::2], labels[1::2]
    seen = Features(classifier.extractor(images[::2]), labels[::2])
    course = []
    for lost in range(0, 10, 3):
        kept = of_rest >= lost
        fake = Features(classifier.extractor(rest[kept]), of_rest[kept])
        course.append(measure(Comparison(seen, fake), ["fd", "kid", "pr", "dc", "modes"]))
    for rising in ("fd", "kid", "reverse_kl", "kl"):
        assert np.all(np.diff([found[rising].value for found in course]) > 0), rising
    for falling in ("recall", "coverage", "modes"):
        assert np.all(np.diff([found[falling].value for found in course]) < 0), falling
    assert [found["modes"].value for found in course] == [10, 7, 4, 1]
