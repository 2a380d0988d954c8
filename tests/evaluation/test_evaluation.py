"""What is measured of a run or a set, against which split, and what may stand beside what."""

import json
import math
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from small_runs import DIGITS, trainer, tree

import wgan
from wgan import data
from wgan.data import even_indices
from wgan.errors import InputError
from wgan.evaluation import (
    METRIC_NAMES,
    Evaluation,
    comparable_columns,
    evaluate,
    evaluator,
    find_sample_sets,
    latest_results,
    save_results,
)
from wgan.evaluation.evaluator import REFERENCE, SEARCHED
from wgan.metrics import METRICS, Classifier, from_callable, load_extractor, train_classifier
from wgan.runs import RunFolder
from wgan.sampling import Sampler
from wgan.wasserstein.auditing import LINEAR, FitSettings, audit

QUALITY = ("fd", "kid", "pr", "dc")
NUMBERS = {"fd", "kid", "precision", "recall", "density", "coverage"}


def vectors(count, seed, shift=0.0):
    return np.random.default_rng(seed).normal(np.array([shift, 0, 0]), 1, (count, 3))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run of a few steps on digits."""
    return trainer().fit(tmp_path_factory.mktemp("run") / "digits", 20).path


@pytest.fixture
def folder(run, tmp_path):
    """A copy of it, to write to."""
    return RunFolder(Path(shutil.copytree(run, tmp_path / "run")))


@pytest.fixture(scope="module")
def judge() -> Classifier:
    """A poor classifier of digits."""
    labelled = [
        (split.storage[split.rows], split.labels[split.rows]) for split in (DIGITS.train, DIGITS.held_out)
    ]
    return train_classifier(*labelled[0], held_out=labelled[1], steps=60, device="cpu")


# ---------------------------------------------------------------------------------- closed forms


def test_a_set_held_against_its_own_law_reaches_the_floor_and_a_shifted_one_does_not():
    dataset = data.load(vectors(2000, 0))
    same = evaluate(vectors(200, 1), dataset, metrics=QUALITY).estimates
    apart = evaluate(vectors(200, 1, shift=2.0), dataset, metrics=QUALITY).estimates
    assert same.keys() == apart.keys() == NUMBERS
    assert abs(same["fd"].value - same["fd"].floor.value) < 5 * same["fd"].standard_error + 0.1
    assert apart["fd"].value == pytest.approx(4, abs=0.8)  # a shift by 2 has a distance of 2 squared
    assert apart["precision"].value < same["precision"].value
    assert apart["coverage"].value < same["coverage"].value
    assert apart["fd"].floor == same["fd"].floor


def test_a_set_held_against_itself_has_no_distance():
    given = vectors(400, 0)
    dataset = data.load(given)
    training = dataset.train.batch(torch.arange(len(dataset.train))).numpy()
    found = evaluate(training, dataset, metrics=["fd", "pr"], count=len(training)).estimates
    assert found["fd"].value == pytest.approx(0, abs=1e-9)
    assert found["precision"].value == found["recall"].value == 1


@pytest.mark.slow
def test_the_bracket_holds_the_length_of_a_shift():
    found = evaluate(vectors(1000, 1, shift=6.0), vectors(2000, 0), metrics=["w1"])
    assert found.w1.lower <= 6 <= found.w1.upper
    assert found.w1.lower > 1
    assert found.w1.confidence == 0.99
    assert found.estimates == {}
    assert (
        (found.w1_provenance.n_real, found.w1_provenance.n_fake) == (200, 200) == (found.w1.n_p, found.w1.n_q)
    )
    (row,) = found.rows()
    assert (row["label"], row["lower"]) == ("W1", found.w1.lower)


def test_w1_is_of_the_features_and_says_so(monkeypatch):
    """A feature that is the sample thrice as long has thrice the distance."""
    monkeypatch.setattr(evaluator, "audit", partial(audit, fit=FitSettings(candidates=(LINEAR,), steps=50)))
    longer = from_callable(lambda x: 3 * x.flatten(1), name="thrice")
    dataset, fakes = data.load(vectors(1000, 0)), vectors(100, 1, shift=2.0)
    own, longer_ = (
        evaluate(fakes, dataset, metrics=["w1"], extractor=extractor) for extractor in (None, longer)
    )
    assert longer_.w1.upper == pytest.approx(3 * own.w1.upper, rel=1e-5)
    assert longer_.w1.lower <= 6 <= longer_.w1.upper
    assert own.w1.upper < 6 < 3 * own.w1.upper
    assert own.w1_provenance.extractor == "pixels"
    assert longer_.w1_provenance.extractor_hash == longer.hash
    assert longer_.w1_provenance.split.endswith("held out")
    assert longer_.w1_provenance.differences(own.w1_provenance).keys() == {"extractor", "extractor_hash"}


# ---------------------------------------------------------------------------------- splits


def test_every_number_says_its_split_and_count(run):
    found = evaluate(run, metrics=[*QUALITY, "memorisation"])
    assert found.step == 20
    assert found.estimates.keys() == {*NUMBERS, "memorisation"}
    for name, estimate in found.estimates.items():
        origin = estimate.provenance
        assert origin.split == f"digits {DIGITS.fingerprint[:12]}, train", name
        assert (origin.n_real, origin.n_fake) == (len(DIGITS.train), len(DIGITS.held_out)), name
        assert origin.extractor == "pixels"
        assert estimate.floor is not None


def test_copies_of_training_samples_are_memorised_and_held_out_ones_are_not():
    copies, fresh = (
        evaluate(split.batch(torch.arange(100)).numpy(), DIGITS, metrics=["memorisation"], count=100)
        for split in (DIGITS.train, DIGITS.held_out)
    )
    assert copies.estimates["memorisation"].value > 0.9
    assert fresh.estimates["memorisation"].value < 0.2


def test_memorisation_needs_the_data_that_the_run_learned_from(run):
    other = data.load(DIGITS.held_out.batch(torch.arange(179)), name="others")
    assert "memorisation" not in evaluate(run, other, count=70).estimates
    with pytest.raises(InputError, match="others is other data"):
        evaluate(run, other, metrics=["memorisation"])
    assert "memorisation" in evaluate(run, DIGITS, metrics=["memorisation"], count=70).estimates


def test_the_floor_of_a_set_sorted_by_class_has_every_class():
    order = torch.argsort(DIGITS.train.labels, stable=True)
    sorted_ = data.load(DIGITS.train.storage[order], name="sorted")
    floor, usual = (
        evaluate(DIGITS.train.batch(torch.arange(90)), dataset, metrics=["fd"], count=90)
        .estimates["fd"]
        .floor
        for dataset in (sorted_, DIGITS)
    )
    assert floor.value < 1.5 * usual.value


def test_what_is_asked_for_does_not_change_what_another_metric_sees(run):
    alone, together = (
        evaluate(run, metrics=names, count=70).estimates["fd"] for names in (["fd"], ["memorisation", "fd"])
    )
    assert alone == together


def test_a_reference_of_many_samples_is_a_part_of_those_that_copies_are_looked_for_in():
    dataset = data.load(vectors(12_000, 0))
    alone, together = (
        evaluate(vectors(80, 1), dataset, metrics=names, count=80).estimates
        for names in (["fd"], ["fd", "memorisation"])
    )
    assert alone["fd"] == together["fd"]
    assert alone["fd"].provenance.n_real == REFERENCE
    assert together["memorisation"].provenance.n_real == len(dataset.train) > REFERENCE
    for total in (REFERENCE - 1, SEARCHED - 1, SEARCHED + 1, 1_234_567):
        searched = even_indices(total, SEARCHED)
        assert torch.equal(searched[even_indices(len(searched), REFERENCE)], even_indices(total, REFERENCE))


# ---------------------------------------------------------------------------------- defaults


def test_there_are_as_many_fakes_as_held_out_samples_or_as_the_little_there_is():
    def count(real, fakes):
        return len(
            find_sample_sets(vectors(fakes, 1), vectors(real, 0), count=None, seed=0, device="cpu").fake
        )

    assert count(2000, 5000) == 200
    assert count(200, 5000) == 180
    assert count(2000, 50) == 50


def test_what_applies_depends_on_the_data():
    few = evaluate(vectors(30, 1), vectors(200, 0))
    assert (few.w1, few.step) == (None, None)
    assert few.estimates.keys() == NUMBERS
    ring = data.ring8()
    fakes = ring.held_out.batch(torch.arange(300))
    found = evaluate(fakes, ring, metrics=["modes"], count=300).estimates
    assert found["modes"].value == 8
    assert found["high_quality"].value > 0.95


def test_neighbours_are_left_out_where_there_are_none(recwarn):
    kept = [evaluate(vectors(9, 1), vectors(400, 0), count=count).estimates.keys() for count in (5, 3)]
    assert kept == [{"fd", "kid", "precision", "recall"}, {"fd", "kid"}]


def test_who_watches_is_told_how_far_it_is():
    told = []
    evaluate(
        vectors(300, 1), vectors(2000, 0), metrics=["fd", "pr"], on_progress=lambda *what: told.append(what)
    )
    assert [doing for doing, _ in told] == ["samples", *["features"] * 4, "fd", "pr"]
    shares = [done for doing, done in told if doing == "features"]
    assert shares == sorted(shares)
    assert all(0 <= done <= 1 for _, done in told)


def test_a_classifier_counts_the_labels_that_samples_reach(judge, tmp_path):
    threes = DIGITS.train.batch(torch.where(DIGITS.train.labels[DIGITS.train.rows] == 3)[0][:100])
    judge.save(tmp_path / "judge.safetensors")
    by_file, by_name, itself = (
        evaluate(threes, DIGITS, metrics=["fd", "modes"], count=100, **how).estimates
        for how in (
            {"extractor": tmp_path / "judge.safetensors"},
            {"extractor": "classifier", "weights": tmp_path / "judge.safetensors"},
            {"extractor": judge},
        )
    )
    assert by_file == by_name == itself
    assert itself["modes"].value <= 4
    assert itself["kl"].value > 1
    assert itself["fd"].provenance.extractor_hash == judge.extractor.hash


def test_an_extractor_of_ones_own_is_used(run):
    assert evaluate(run, metrics=["fd"], count=70, extractor=load_extractor("pixels")).estimates == (
        evaluate(run, metrics=["fd"], count=70).estimates
    )


def test_the_samples_of_a_run_as_a_set_or_from_its_sampler_give_the_same_numbers(run):
    sampler = Sampler.load(run, device="cpu")
    drawn, given, sampled = (
        evaluate(fake, against, metrics=["fd", "kid"], count=100, device="cpu")
        for fake, against in ((run, None), (sampler(100).numpy(), "digits"), (sampler, DIGITS))
    )
    assert drawn.estimates == given.estimates == sampled.estimates
    assert (drawn.step, given.step, sampled.step) == (20, None, 20)


def test_the_package_offers_it():
    assert wgan.evaluate is evaluate
    assert wgan.Evaluation is Evaluation
    assert ("w1", *METRICS) == METRIC_NAMES


# ---------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"metrics": ["fid"]}, "no metric 'fid'; did you mean 'fd'"),
        ({"metrics": []}, "Name a metric: w1, fd"),
        ({"metrics": ["modes"]}, "without labels cannot be counted"),
        ({"metrics": ["w1"], "count": 63}, "at least 64 fakes"),
        ({"count": 0}, "count must be from 2 to 100,000, not 0"),
        ({"count": -3}, "not -3"),
        ({"count": 201}, "holds 200 samples, and 201 are asked for"),
        ({"count": 10**30}, "count must be from 2"),
        ({"seed": -1}, "seed must be"),
        ({"extractor": "resnet"}, "no extractor 'resnet'"),
        ({"extractor": "pixels", "weights": "x.pth"}, "has no weights"),
        ({"extractor": "efficientnet-lite0", "metrics": ["fd"]}, "no images"),
        (
            {"metrics": ["pr"], "count": 3},
            "Each of 3 fake samples has 2 others and no neighbour number 3; .* at least 4",
        ),
    ],
)
def test_what_cannot_work_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        evaluate(vectors(200, 1), vectors(400, 0), **arguments)


def test_samples_that_do_not_fit_are_refused(run):
    with pytest.raises(InputError, match=r"shape \(1, 8, 8\) and ring8 of shape \(2,\)"):
        evaluate(run, "ring8")
    with pytest.raises(InputError, match="not a run folder"):
        evaluate(vectors(200, 1))
    with pytest.raises(InputError, match="NaN"):
        evaluate(np.full((20, 3), np.nan), vectors(200, 0))


def test_a_run_whose_generator_makes_no_numbers_is_refused(folder):
    from wgan.runs import load_latest, save

    checkpoint = load_latest(folder.checkpoints)
    groups = dict(checkpoint.tensors)
    groups["average"] = {
        name: value * math.nan if value.is_floating_point() else value
        for name, value in groups["average"].items()
    }
    save(folder.checkpoints, checkpoint.step, groups, 2)
    with pytest.raises(InputError, match="NaN or infinity"):
        evaluate(folder.path, metrics=["fd"])


def test_a_run_on_data_that_changed_or_is_gone_is_refused(tmp_path):
    np.save(tmp_path / "mine.npy", DIGITS.train.storage[:200].numpy())
    dataset = data.load(tmp_path / "mine.npy")
    folder = trainer(data=dataset).fit(tmp_path / "run", 2).path
    assert evaluate(folder, metrics=["fd"], count=70).step == 2
    np.save(tmp_path / "mine.npy", DIGITS.train.storage[200:400].numpy())
    with pytest.raises(InputError, match="changed since"):
        evaluate(folder)
    (tmp_path / "mine.npy").unlink()
    with pytest.raises(InputError, match="cannot be loaded again"):
        evaluate(folder)


def test_a_run_on_resized_images_finds_them_again(tmp_path):
    small = data.load("digits", resolution=4, channels=3)
    folder = trainer(data=small, generator=colours(), critic=flat(48)).fit(tmp_path / "run", 2).path
    found = evaluate(folder, metrics=["memorisation"], count=70)
    assert small.fingerprint[:12] in found.estimates["memorisation"].provenance.split


def colours():
    from wgan.networks import MLPGenerator

    return MLPGenerator((3, 4, 4), latent_dim=4, hidden=(8,))


def flat(width):
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(width, 1))


# ---------------------------------------------------------------------------------- kept in the run


def test_an_evaluated_run_is_as_it_was_but_for_one_file_and_goes_on_to_the_same_weights(
    folder, run, tmp_path
):
    before = tree(folder.path)
    save_results(folder, evaluate(folder.path, metrics=["fd"], count=70))
    assert tree(folder.path) == before | {"evaluation.json": tree(folder.path)["evaluation.json"]}
    longer, straight = (trainer().fit(path, 30).path for path in (folder.path, tmp_path / "straight"))
    assert tree(longer / "checkpoints" / "00000030") == tree(straight / "checkpoints" / "00000030")
    assert (longer / "metrics.jsonl").read_bytes() == (straight / "metrics.jsonl").read_bytes()
    save_results(folder, evaluate(longer, metrics=["kid"], count=70))
    assert [(row["name"], row["step"]) for row in folder.read_numbers()] == [("fd", 20), ("kid", 30)]
    assert [row["name"] for row in latest_results(folder)] == ["kid"]


def test_two_evaluations_at_once_keep_all_their_numbers(folder, monkeypatch):
    """Each reads before the other has written, unless one of them waits."""
    read, asked = RunFolder.read_numbers, []

    def slowly(self):
        asked.append(self)
        rows = read(self)
        time.sleep(0.05)
        return rows

    monkeypatch.setattr(RunFolder, "read_numbers", slowly)
    found = [evaluate(folder.path, metrics=["kid"], count=count) for count in (70, 71, 72)]
    before = {path.name for path in folder.path.iterdir()}
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda one: save_results(folder, one), found))
    assert len(asked) == len(found)
    assert sorted(row["provenance"]["n_fake"] for row in read(folder)) == [70, 71, 72]
    assert {path.name for path in folder.path.iterdir()} == before | {"evaluation.json"}


def test_numbers_of_another_provenance_stay_and_the_same_are_replaced(folder):
    for count, seed in ((70, 0), (80, 0), (70, 1)):
        save_results(folder, evaluate(folder.path, metrics=["fd"], count=count, seed=seed))
    rows = folder.read_numbers()
    assert [row["provenance"]["n_fake"] for row in rows] == [70, 80]
    again = evaluate(folder.path, metrics=["fd"], count=70, seed=1).estimates["fd"]
    assert rows[0]["value"] == again.value
    assert rows[0]["floor"] == again.floor._asdict()


def test_rows_are_json_without_nan(run):
    found = evaluate(run, metrics=["fd"], count=70)
    odd = replace(found.estimates["fd"], standard_error=math.nan, value=math.inf)
    (row,) = replace(found, estimates={"fd": odd}).rows()
    assert (row["value"], row["standard_error"]) == (None, None)
    assert json.loads(json.dumps(row, allow_nan=False)) == row


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"numbers": 3}', '{"numbers": [{"name": "fd"}]}', '{"numbers": ["fd"]}']
)
def test_a_broken_file_of_numbers_is_refused_and_kept(folder, text):
    (folder.path / "evaluation.json").write_text(text)
    with pytest.raises(InputError, match="move it away"):
        latest_results(folder)
    with pytest.raises(InputError, match="move it away"):
        save_results(folder, Evaluation())
    assert (folder.path / "evaluation.json").read_text() == text


# ---------------------------------------------------------------------------------- beside each other


def row(name="fd", value=1.0, **changes):
    origin = {
        "metric": name,
        "extractor": "pixels",
        "extractor_hash": "0" * 64,
        "resize": "none",
        "n_real": 100,
        "n_fake": 50,
        "split": "digits 01, train",
        "versions": {"wgan": "1"},
    }
    return {"name": name, "step": 5, "value": value, "provenance": origin | changes}


A, B, C = map(Path, "abc")


def test_only_numbers_of_the_same_provenance_stand_beside_each_other():
    runs = {
        A: [row(value=1), row(value=2, n_fake=60), row("kid")],
        B: [row(value=3, n_fake=60), row(value=4, n_fake=70), row("kid")],
    }
    fd, kid = comparable_columns(runs)
    assert (fd.name, fd.provenance.n_fake) == ("fd", 60)
    assert [fd.rows[run]["value"] for run in (A, B)] == [2, 3]
    assert kid.name == "kid"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"n_fake": 51}, r"n_fake \(50 and 51\)"),
        ({"split": "digits 02, train"}, r"split \(digits 01, train and digits 02, train\)"),
        ({"versions": {"wgan": "2"}}, r"versions.wgan \(1 and 2\)"),
        ({"resize": "to 4x4"}, r"resize \(none and to 4x4\)"),
        (
            {"extractor": "classifier", "extractor_hash": "f" * 64},
            r"extractor \(pixels and classifier\), extractor_hash \(00000000 and ffffffff\)",
        ),
    ],
)
def test_numbers_of_another_provenance_are_refused_by_the_part_that_differs(changes, said):
    with pytest.raises(InputError, match=f"The FD of a and of b do not compare, for they differ in {said}"):
        comparable_columns({A: [row()], B: [row(**changes)]})


def test_three_runs_that_agree_only_in_pairs_are_refused():
    runs = {
        A: [row(n_fake=1), row(n_fake=2)],
        B: [row(n_fake=2), row(n_fake=3)],
        C: [row(n_fake=1), row(n_fake=3)],
    }
    with pytest.raises(InputError, match="n_fake"):
        comparable_columns(runs)


def test_metrics_are_chosen_by_the_names_that_evaluate_takes():
    runs = {A: [row(), row("precision"), row("recall")], B: [row(), row("recall"), row("precision")]}
    assert [column.name for column in comparable_columns(runs, ["pr"])] == ["precision", "recall"]
    assert [column.name for column in comparable_columns(runs, ["recall"])] == ["recall"]
    with pytest.raises(InputError, match="a has no kid; there are fd, precision, recall"):
        comparable_columns(runs, ["kid"])
    with pytest.raises(InputError, match="no metric in common"):
        comparable_columns({A: [row("fd")], B: [row("kid")]})


def test_a_provenance_of_another_version_is_refused():
    with pytest.raises(InputError, match="not one that this version writes"):
        comparable_columns({A: [row(colour="red")], B: [row(colour="red")]})


def test_a_run_that_was_never_evaluated_says_how(folder, tmp_path):
    with pytest.raises(InputError, match=rf"not evaluated yet; `wgan evaluate {folder.path}` does it"):
        latest_results(folder)
    with pytest.raises(InputError, match="not a run folder"):
        latest_results(RunFolder(tmp_path))


def test_the_weights_of_another_model_are_refused(tmp_path):
    save_file({"a": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="is not a classifier"):
        evaluate(vectors(200, 1), vectors(400, 0), extractor=tmp_path / "other.safetensors")
