"""Runs that look after themselves: what is wrong is treated, can be undone, and survives interruptions."""

import json
from dataclasses import replace

import pytest
from histories import CLIPPING, GP, SHOWN, history
from small_runs import DIGITS

from wgan.diagnosis import Finding, History, diagnose
from wgan.errors import InputError
from wgan.lipschitz import R1, GradientPenalty, WeightClipping
from wgan.networks import MLP
from wgan.recovery import MAX_INTERVENTIONS, Intervention, _intervention, attempt_folder, heal, with_remedies
from wgan.runs import RunFolder, load_latest
from wgan.training import Adam, LoggingIntervals, Trainer, recipe

HEALTHY = replace(
    recipe("default", DIGITS.shape),
    networks=MLP(latent_dim=16, generator_hidden=(64, 64), critic_hidden=(64, 64), generator_norm="batch"),
    logging=LoggingIntervals(metrics=10, images=1000, checkpoint=20, keep=3),
)
SICK = replace(HEALTHY, constraint=WeightClipping(1e-4))
STEPS = 120


def build(settings, done=()):
    origin = {"interventions": [intervention.plain() for intervention in done]}
    return Trainer(DIGITS, settings=settings, device="cpu", origin=origin)


def run(settings, folder, **more):
    return heal(settings, build, steps=STEPS, run_dir=folder, **more)


def weights(folder):
    return {
        f"{group}.{name}": tensor.tolist()
        for group, tensors in load_latest(RunFolder(folder).checkpoints).tensors.items()
        for name, tensor in tensors.items()
    }


@pytest.fixture(scope="module")
def healed(tmp_path_factory):
    """A run whose clipping is far too tight, healed; and what was done to it."""
    folder = tmp_path_factory.mktemp("healed") / "run"
    return folder, run(SICK, folder)


@pytest.mark.slow
def test_a_healthy_run_is_the_run_that_it_would_have_been(tmp_path):
    assert run(HEALTHY, tmp_path / "watched") == []
    build(HEALTHY).fit(tmp_path / "alone", STEPS)
    watched, alone = RunFolder(tmp_path / "watched"), RunFolder(tmp_path / "alone")
    assert watched.history() == alone.history()
    assert weights(watched.path) == weights(alone.path)
    assert not attempt_folder(watched.path, 1).exists()


@pytest.mark.slow
def test_what_is_wrong_is_treated_and_the_run_comes_to_its_end(healed):
    folder, done = healed
    assert [intervention.finding.name for intervention in done] == ["clipping-too-tight"]
    config = RunFolder(folder).read_config()
    assert config["constraint"]["is"] == "GradientPenalty"
    assert config["origin"]["interventions"][0]["name"] == "clipping-too-tight"
    assert RunFolder(folder).history()[-1]["step"] == STEPS


@pytest.mark.slow
def test_the_attempt_that_was_given_up_is_a_whole_run(healed):
    (only,) = healed[1]
    before = RunFolder(only.before)
    assert before.read_config()["constraint"]["is"] == "WeightClipping"
    assert before.history()[-1]["step"] == only.step < STEPS
    assert load_latest(before.checkpoints) is not None


def test_the_same_command_again_changes_nothing(healed):
    folder, done = healed
    rows, config = RunFolder(folder).history(), RunFolder(folder).read_config()
    assert [again.plain() for again in run(SICK, folder)] == [intervention.plain() for intervention in done]
    assert (RunFolder(folder).history(), RunFolder(folder).read_config()) == (rows, config)


@pytest.mark.slow
def test_a_run_lost_at_the_worst_moment_goes_on_as_if_nothing_had_happened(tmp_path, healed):
    def lose(intervention):
        raise KeyboardInterrupt  # after the old attempt was moved, before the new one began

    with pytest.raises(KeyboardInterrupt):
        run(SICK, tmp_path / "run", on_intervention=lose)
    assert not (tmp_path / "run").exists()
    run(SICK, tmp_path / "run")
    assert RunFolder(tmp_path / "run").history() == RunFolder(healed[0]).history()
    assert weights(tmp_path / "run") == weights(healed[0])


@pytest.mark.slow
@pytest.mark.parametrize(("dead", "start"), [(0.1, 80), (0.5, 0)])
def test_units_that_died_at_once_are_alive_in_the_last_checkpoint(tmp_path, dead, start):
    folder = RunFolder(tmp_path / "run")
    build(HEALTHY).fit(folder.path, STEPS)  # keeps the checkpoints of 80, 100 and 120
    rows = [{**row, "critic_dead": 0.9 if row["step"] > 90 else dead} for row in folder.history()]
    (folder.path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    finding = Finding("dead-units", "error", 100, {}, "", "", {"n_critic": 2})
    assert _intervention(folder.path, 1, finding).start == start
    for remedy in ({"networks.critic_norm": "layer"}, {"constraint": {"is": "R1", "gamma": 1.0}}):
        assert _intervention(folder.path, 1, replace(finding, remedy=remedy)).start == 0


@pytest.mark.slow
def test_what_no_remedy_helps_is_left_alone_after_a_few(tmp_path):
    # The learning rate is so high that a tenth of it, and a tenth of that, is still too high.
    hopeless = replace(HEALTHY, generator_optimiser=Adam(1e8), critic_optimiser=Adam(1e8), decay="constant")
    try:
        done = run(hopeless, tmp_path / "run")
    except ArithmeticError:  # diverged for good
        done = [
            number
            for number in range(1, MAX_INTERVENTIONS + 1)
            if attempt_folder(tmp_path / "run", number).exists()
        ]
    assert len(done) == MAX_INTERVENTIONS


def test_remedies_add_up():
    def intervention(**remedy):
        changes = {name.replace("__", "."): value for name, value in remedy.items()}
        return Intervention(10, Finding("x", "error", 5, {}, "", "", changes), 0, None)

    new = with_remedies(
        HEALTHY,
        [
            intervention(n_critic=4, constraint={"is": "R1", "gamma": 2.0}),
            intervention(critic_optimiser__lr=0.5, constraint={"is": "GradientPenalty", "weight": 3.0}),
        ],
    )
    assert (new.n_critic, new.critic_optimiser.lr, new.constraint) == (4, 0.5, GradientPenalty(3.0))
    assert new.generator_optimiser == HEALTHY.generator_optimiser
    assert with_remedies(HEALTHY, [intervention(constraint={"is": "R1", "gamma": 1.0})]).constraint == R1(1.0)


@pytest.mark.parametrize("name", SHOWN)
def test_every_remedy_is_settings_that_a_recipe_has(name):
    finding = diagnose(history(**SHOWN[name]))[0]
    intervention = Intervention(10, finding, 0, None)
    assert (with_remedies(HEALTHY, [intervention]) != HEALTHY) == bool(finding.remedy)


@pytest.mark.slow
def test_a_folder_that_only_looks_like_an_earlier_attempt_is_named(tmp_path):
    build(HEALTHY).fit(attempt_folder(tmp_path / "run", 1), STEPS)
    with pytest.raises(InputError, match="not an abandoned attempt"):
        run(HEALTHY, tmp_path / "run")


def test_the_attempts_of_another_run_are_none_of_this_one(healed):
    folder, _ = healed
    with pytest.raises(InputError, match="other settings"):
        run(replace(SICK, n_critic=3), folder)


@pytest.mark.slow
def test_what_settings_can_mend_is_treated_although_something_else_comes_first(tmp_path):
    rows = DIGITS.train.rows[:50]  # too few, at every log point, and no setting helps
    few = replace(DIGITS, train=replace(DIGITS.train, rows=rows))

    def build_few(settings, done=()):
        return Trainer(few, settings=settings, device="cpu")

    done = heal(SICK, build_few, steps=60, run_dir=tmp_path / "run")
    assert done[0].finding.name == "clipping-too-tight"
    names = [finding.name for finding in diagnose(History.load(done[0].before))]
    assert names[:2] == ["data-trouble", "clipping-too-tight"]


RATES = ("critic_optimiser.lr", "generator_optimiser.lr")
RATES_APART = {"critic_optimiser": {"lr": 0.0015}, "generator_optimiser": {"lr": 0.0005}}
WASSERSTEIN = {"loss": "wasserstein", "constraint": {"is": "GradientPenalty", "weight": 10.0}}


@pytest.mark.parametrize(
    ("name", "config", "wanted"),
    [
        ("lipschitz-violated", {}, {"constraint.weight": 100.0}),
        ("lipschitz-violated", {"constraint": {**GP, "weight": 1e-7}}, {"constraint.weight": 10.0}),
        (  # a step is to change a fiftieth of the norm, and changes 1e-7 of it
            "learning-rate-too-low",
            {},
            {"critic_optimiser.lr": 200.0, "generator_optimiser.lr": 200.0},
        ),
        ("divergence", {}, {"critic_optimiser.lr": 8e-4, "generator_optimiser.lr": 8e-4}),
        (
            "divergence",
            {"origin": {"interventions": [{"name": "divergence", "remedy": {}}]}},
            {"critic_optimiser.lr": 1e-4, "generator_optimiser.lr": 1e-4},
        ),
        ("vanishing-gradients", {"critic": {"norm": "none"}}, {"networks.critic_norm": "layer"}),
        ("vanishing-gradients", {"critic": {"norm": "layer"}}, {}),
        ("critic-starved", {"n_critic": 20}, {}),
        ("critic-starved", {"n_critic": 2}, {"n_critic": 4}),
        # A step is to change a fiftieth of the norm, and changes 1e-9 of it.
        ("critic-starved", {"critic_optimiser": {"lr": 2.5e-10}}, {"critic_optimiser.lr": 0.005}),
        ("critic-starved", {"critic_optimiser": {"lr": 1e-15}}, {"critic_optimiser.lr": 1e-3}),
        ("critic-starved", {"critic_optimiser": {"lr": 1e-5}}, {"critic_optimiser.lr": 0.02}),
        # The critic's rate at five critic steps or more, that share of it at fewer, no less than it was, and
        # such that a step, which changes 0.005 of the norm, changes 0.02 at most.
        (
            "critic-saturated",
            {"n_critic": 10, **RATES_APART},
            {**WASSERSTEIN, "generator_optimiser.lr": 0.0015},
        ),
        (
            "critic-saturated",
            {"n_critic": 2, **RATES_APART},
            {**WASSERSTEIN, "generator_optimiser.lr": 0.0006},
        ),
        (
            "critic-saturated",
            {"n_critic": 5, **RATES_APART, "critic_optimiser": {"lr": 1.0}},
            {**WASSERSTEIN, "generator_optimiser.lr": 0.002},
        ),
        ("critic-saturated", {"n_critic": 1, **RATES_APART}, WASSERSTEIN),
        ("oscillation", {"constraint": {"is": "R1", "gamma": 10.0}}, {"constraint.gamma": 100.0}),
        ("oscillation", {"constraint": {"is": "Orthogonal"}}, {}),
    ],
)
def test_a_remedy_goes_on_from_what_the_run_has(name, config, wanted):
    case = {**SHOWN[name], "config": {**dict(SHOWN[name].get("config", {})), **config}}
    assert diagnose(history(**case))[0].remedy == wanted


@pytest.mark.parametrize(("update", "factor"), [(0.5, 0.04), (0.005, 0.1), (1e9, 1e-3)])
def test_rates_are_lowered_by_as_much_as_a_step_is_too_large_and_a_tenth_at_least(update, factor):
    shown = SHOWN["learning-rate-too-high"]["change"](14)
    finding = diagnose(history(change=lambda i: {**shown, "critic_update": update}, start=2, points=6))[0]
    assert finding.name == "learning-rate-too-high"
    assert finding.remedy == {name: pytest.approx(1e-3 * factor) for name in RATES}


def test_a_critic_that_mixes_samples_gets_another_norm_with_the_penalty():
    mixing = replace(SICK, networks=replace(SICK.networks, critic_norm="batch"))
    finding = diagnose(
        history(
            **{**SHOWN["clipping-too-tight"], "config": {"constraint": CLIPPING, "critic": {"norm": "batch"}}}
        )
    )[0]
    trainer = build(with_remedies(mixing, [Intervention(10, finding, 0, None)]))
    assert trainer.settings.constraint == GradientPenalty(10.0)
    assert trainer.critic.arguments["norm"] == "layer"
