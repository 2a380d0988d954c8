"""The script for machines with a GPU, as far as a machine without one can test it."""

import sys
from collections.abc import Callable, Sequence

import pytest
import torch
from benchmarks import gpu
from benchmarks.gpu import CHECKS, SCALES, Check, Failed, Scale, answer, captures, covered, main, run

from wgan.training import Trainer
from wgan.training.engine import Plan, Replays

HERE = [name for name in CHECKS if not CHECKS[name].launcher]
"""The checks that need no launcher."""


@pytest.mark.slow
@pytest.mark.parametrize("name", HERE)
def test_a_check_carries_its_first_case_out_on_a_cpu(name: str):
    scale = SCALES["cpu"]
    check = CHECKS[name]
    assert check.case(check.cases(scale)[0], "cpu", scale)


def test_without_a_gpu_one_sentence_says_so(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main([]) == 2
    assert capsys.readouterr() == (
        "",
        "There is no CUDA GPU that torch can use here, so nothing was checked.\n",
    )


@pytest.mark.slow
def test_every_check_gives_a_row_on_a_cpu(capsys):
    assert main(["--device", "cpu"]) == 0
    shown = capsys.readouterr().out
    assert all(f"│ {name} " in shown for name in CHECKS)
    assert "failed" not in shown


def test_the_whole_takes_at_most_eight_minutes():
    limits = sum(check.seconds for check in CHECKS.values())
    assert limits + gpu.START_UP < 8 * 60


def test_a_state_with_captured_steps_is_told_from_an_eager_one():
    data = torch.zeros(8, 2)
    state = Trainer(data.numpy(), device="cpu").state()
    assert captures(state) == 0
    state.step_fn = Replays(lambda *_: [], lambda work: work)
    assert captures(state) == 0
    state.step_fn._known[Plan((1,), False)] = list
    assert captures(state) == 1


def test_every_recipe_is_checked_on_a_gpu_and_once():
    assert sorted(SCALES["cuda"].recipes) == sorted(gpu.RECIPES)


def test_a_process_reports_what_it_found_and_ends_with_the_first_error(capsys):
    def case(name: str, device: str, scale: Scale) -> str:
        if name == "wrong":
            raise Failed("3 % apart")
        if name == "broken":
            raise RuntimeError("CUDA error: an illegal memory access\nand more lines")
        return "fine"

    check = Check("some", case, lambda scale: (), 1)
    assert answer(check, ["good", "wrong", "broken", "later"], "cpu") == 1
    assert capsys.readouterr().out.splitlines() == [
        '["good", "begun"]',
        '["good", "fine"]',
        '["wrong", "begun"]',
        '["wrong", "failed: 3 % apart"]',
        '["broken", "begun"]',
        '["broken", "failed: RuntimeError: CUDA error: an illegal memory access"]',
    ]


def scripted(*lines: str) -> Callable[[Sequence[str]], list[str]]:
    """Processes that carry out Python lines, in which `cases` are the ones still to be done."""
    return lambda cases: [
        sys.executable,
        "-c",
        "\n".join(
            [
                "import json, os, time",
                f"cases = {list(cases)!r}",
                "def say(*words): print(json.dumps(words), flush=True)",
                *lines,
            ]
        ),
    ]


def test_a_crash_costs_the_case_in_hand_and_the_next_ones_are_done():
    command = scripted(
        "for case in cases:",
        "    say(case, 'begun')",
        "    if case == 'b': os.abort()",
        "    say(case, 'done')",
    )
    assert list(run("some", command, ["a", "b", "c"], 60)) == [
        ("some", "a", "done"),
        ("some", "b", "failed: its process ended without an answer"),
        ("some", "c", "done"),
    ]


def test_a_process_that_never_answers_fails_case_by_case():
    rows = list(run("some", scripted("raise SystemExit(1)"), ["a", "b"], 60))
    assert [case for _, case, found in rows if found.startswith("failed: its process ended")] == ["a", "b"]


@pytest.mark.slow
def test_a_hanging_case_is_ended_and_what_was_found_before_is_kept():
    command = scripted("say('a', 'begun'), say('a', 'done'), say('b', 'begun')", "time.sleep(600)")
    assert list(run("some", command, ["a", "b", "c"], 1.5)) == [
        ("some", "a", "done"),
        ("some", "b", "failed: no answer within 2 s"),
        ("some", "c", "failed: no time was left"),
    ]


def test_the_share_of_time_counts_overlapping_work_once():
    assert covered([(0, 2), (1, 3), (5, 6), (5.5, 5.7)]) == 4
