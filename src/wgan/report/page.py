"""The page: its parts in order, and the frame around them.

Nothing in it asks for anything outside of it, and its content security policy would not let it: style and
script are allowed by their checksums, images as data.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from json import dumps
from pathlib import Path
from typing import Any

from wgan.report import quality
from wgan.report.charts import Chart, figure
from wgan.report.commands import Commands
from wgan.report.curves import Group, Marks, groups
from wgan.report.findings import Finding, spelled, spoken
from wgan.report.html import Markup, join, tag
from wgan.report.numbers import duration, finite, shown
from wgan.report.ridges import Ridges, ridge_figure
from wgan.report.run_data import Run, number
from wgan.report.sample_images import SampleImages, Still
from wgan.report.verdict import Verdict, verdict
from wgan.runs import flatten

_HERE = Path(__file__).parent
_NAMES = {"origin", "source", "format"}
"""Parts of the configuration that are told elsewhere or say nothing."""
_SYMBOLS = {"good": "✓", "warning": "!", "error": "×", "open": "…", "note": "i"}
MARKED = 2
"""Findings whose beginning is marked in the curves."""


def page(run: Run, found: Sequence[Finding], images: SampleImages, commands: Commands | None = None) -> str:
    """The whole report as HTML."""
    judged = verdict(run, found)
    curves = groups(run, marks(run, found))
    sections = [
        _section("findings", "Findings", *_findings(found, commands), *_treated(run)) if run.rows else None,
        _section("images", "Images over time", *_images(run, images)) if images.stills else None,
        _section("curves", "Curves", *_curves(curves)) if curves else None,
        _section("quality", "Quality", *_quality(run, commands)),
        _section("settings", "What was run", *_settings(run)),
        _section("again", "How to run it again", *_again(run, commands)),
    ]
    shown_sections = [part for part in sections if part is not None]
    return _frame(
        f"{_title(run)} · wgan report", join(_head(run, judged, images), tag("main", *shown_sections))
    )


def marks(run: Run, found: Sequence[Finding]) -> Marks:
    """Steps to mark in the curves: where trouble began."""
    serious = [finding for finding in found if finding.severity != "note"]
    begun = {finding.since: spoken(finding.name) for finding in reversed(serious[:MARKED])}
    return [(step, name) for step, name in begun.items() if len(run.steps) > 1 and step > run.steps[0]]


# ------------------------------------------------------------------------------------------ head


def _head(run: Run, judged: Verdict, images: SampleImages) -> Markup:
    recipe = run.setting("origin.name")
    words = tag(
        "div",
        tag("p", "Run report", f" · recipe {recipe}" if isinstance(recipe, str) else None, class_="eyebrow"),
        tag("h1", _title(run)),
        tag(
            "p",
            tag("span", _SYMBOLS[judged.tone], class_="symbol", aria_hidden="true"),
            judged.state,
            class_=f"badge {judged.tone}",
        ),
        tag("p", tag("strong", judged.sentences[0]), " ", judged.sentences[1], class_="verdict"),
        tag("dl", *_key_numbers(run), class_="key"),
        class_="words",
    )
    return tag("header", words, _player(run, images), class_="with-image" if images.stills else None)


def _title(run: Run) -> str:
    name = run.setting("source.name")
    stem = Path(name).name if isinstance(name, str) else ""
    return stem or run.path.resolve().name


def _key_numbers(run: Run) -> Iterator[Markup]:
    whole = "" if run.planned is None or run.finished else f" of {run.planned:,}"
    yield _fact("Steps", f"{run.done:,}{whole}")
    seconds = run.timing[-1].get("seconds") if run.timing else None
    if seconds is not None:
        yield _fact("Training time", duration(seconds))
    last = run.rows[-1] if run.rows else {}
    held_out = last.get("gap_held_out")
    if held_out is not None:
        yield _fact("Gap, held out", shown(held_out))
    low, high = last.get("w1_lower"), last.get("w1_upper")
    if low is not None and high is not None:
        yield _fact("W1, proven", f"{shown(low)} to {shown(high)}")


def _fact(name: str, text: str) -> Markup:
    return tag("div", tag("dt", name), tag("dd", text))


def _player(run: Run, images: SampleImages) -> Markup | None:
    """The last image, and all before it under a slider."""
    if not images.stills:
        return None
    last = images.stills[-1]
    controls = None
    if images.frames:
        controls = tag(
            "div",
            tag("button", "Play", type="button"),
            tag(
                "input",
                type="range",
                min=0,
                max=len(images.frames) - 1,
                value=len(images.frames) - 1,
                aria_label="Step of the image",
            ),
            class_="controls",
        )
    return tag(
        "figure",
        _image(run, last),
        controls,
        tag(
            "figcaption",
            "What the generator draws at ",
            tag("output", f"step {last.step:,}"),
            _scatter(run),
            ".",
        ),
        class_="player",
        data_frames=dumps([[image.step, image.uri] for image in images.frames]),
    )


def _image(run: Run, image: Still) -> Markup:
    drawn = " drawn" if _is_scatter(run) else ""
    what = "Generated points" if _is_scatter(run) else "Generated samples"
    return tag(
        "img",
        src=image.uri,
        width=image.width,
        height=image.height,
        alt=f"{what} at step {image.step:,}",
        class_=f"image{drawn}",
    )


def _is_scatter(run: Run) -> bool:
    return run.shape is not None and len(run.shape) == 1


def _scatter(run: Run) -> str:
    return ": grey points are real, red ones generated" if _is_scatter(run) else ""


# -------------------------------------------------------------------------------------- sections


def _section(name: str, title: str, *content: Markup | None) -> Markup:
    return tag("section", tag("h2", title), *content, id=name)


def _lead(text: str) -> Markup:
    return tag("p", text, class_="lead")


def _findings(found: Sequence[Finding], commands: Commands | None) -> Iterator[Markup]:
    if not found:
        yield _lead("The diagnosis looked at everything that was logged and found nothing to tell.")
        return
    yield _lead(
        "What the diagnosis sees in the log, the most important first, with the numbers that show it."
    )
    yield tag("ol", *(_finding(finding, commands) for finding in found), class_="findings")


def _finding(finding: Finding, commands: Commands | None) -> Markup:
    command = commands.remedied(finding.remedy) if commands and finding.remedy else None
    evidence = [_fact(spoken(name), _quantity(value)) for name, value in finding.evidence.items()]
    severity = finding.severity
    return tag(
        "li",
        tag(
            "h3",
            tag("span", _SYMBOLS[severity], class_=f"symbol {severity}", aria_hidden="true"),
            _capital(spoken(finding.name)),
            tag("small", f"{severity}, since step {finding.since:,}"),
        ),
        tag("p", finding.meaning),
        tag("dl", *evidence, class_="evidence") if evidence else None,
        tag("p", tag("strong", "What to do: "), finding.advice),
        _shell(command) if command else None,
        tag("p", "Settings: ", ", ".join(spelled(finding.remedy)))
        if finding.remedy and not command
        else None,
        class_=severity,
    )


def _treated(run: Run) -> Iterator[Markup]:
    """What the run did about earlier findings by itself."""
    given = run.setting("origin.interventions")
    done = [part for part in given if isinstance(part, dict)] if isinstance(given, list) else []
    if done:
        yield tag("h3", "What was done on the way")
        yield _lead(
            "This run looked after itself; each attempt that was given up is kept whole in its folder."
        )
        yield tag("ol", *(tag("li", _intervention(part)) for part in done), class_="treated")


def _intervention(done: Mapping[str, Any]) -> str:
    step, since, start = (number(done.get(name)) or 0 for name in ("step", "since", "start"))
    remedy = done.get("remedy")
    settings = spelled(remedy) if isinstance(remedy, Mapping) else ()
    return (
        f"At step {step:,.0f}: {spoken(str(done.get('name')))}, since step {since:,.0f}. It went on "
        f"{f'from step {start:,.0f}' if start else 'anew'} with {', '.join(settings)}; what was there is in "
        f"{done.get('before')}."
    )


def _quantity(value: object) -> str:
    found = number(value)
    return str(value) if found is None else shown(found)


def _images(run: Run, images: SampleImages) -> Iterator[Markup]:
    left_out = f", {len(images.stills)} of {images.count}" if images.count > len(images.stills) else ""
    yield _lead(
        f"The same random inputs at different steps{left_out}: from one to the next they should become "
        "sharper and stay different from each other."
        if not _is_scatter(run)
        else f"The same random inputs at different steps{left_out}: the red generated points should come to "
        "cover the grey real ones."
    )
    stills = (
        tag("figure", _image(run, image), tag("figcaption", f"step {image.step:,}"))
        for image in images.stills
    )
    yield tag("div", *stills, class_="stills")


def _curves(curves: Sequence[Group]) -> Iterator[Markup]:
    yield _lead("Steps run from left to right; point at a curve, or touch it, to read the values there.")
    for group in curves:
        charts = tag("div", *map(_figure, group.charts), class_="charts")
        if group.folded:
            yield tag("details", tag("summary", group.title), charts)
        else:
            yield join(tag("h3", group.title), charts)


def _figure(chart: Chart | Ridges) -> Markup:
    return figure(chart) if isinstance(chart, Chart) else ridge_figure(chart)


def _quality(run: Run, commands: Commands | None) -> Iterator[Markup]:
    yield from (tag("p", text, class_="trouble") for text in run.trouble)
    if run.numbers:
        yield _lead(
            "Each measure of this run beside what fresh real samples get in its place, which is as good as "
            "it can be; ± is one standard error, and the small print is where the numbers come from."
        )
        yield quality.tables(run)
    elif not run.trouble:
        yield _lead("Nothing was measured yet; once the run is evaluated, the next report shows the numbers.")
        if commands is not None:
            yield _shell(commands.evaluate)


def _settings(run: Run) -> Iterator[Markup]:
    yield _lead("The data, the networks and the rules of their game; everything else is folded in below.")
    yield tag("dl", *(_fact(name, text) for name, text in _facts(run)), class_="facts")
    rows = [
        tag("tr", tag("th", name, scope="row"), tag("td", _plain(value)))
        for name, value in flatten({key: run.config[key] for key in run.config if key not in _NAMES})
    ]
    yield tag("details", tag("summary", "All settings"), tag("table", tag("tbody", *rows), class_="settings"))


def _facts(run: Run) -> Iterator[tuple[str, str]]:
    wanted = {
        "Data": _data(run),
        "TrainingSettings": run.setting("origin.name"),
        "Loss": run.setting("loss"),
        "Constraint": _call(run.setting("constraint")),
        "Generator": _network(run.setting("generator")),
        "Critic": _network(run.setting("critic")),
        "Optimisers": " / ".join(
            dict.fromkeys(
                filter(None, (_call(run.setting(f"{which}_optimiser")) for which in ("generator", "critic")))
            )
        ),
        "Critic steps for each of the generator": run.setting("n_critic"),
        "Samples in a batch": run.setting("batch_size"),
        "Precision": run.setting("precision"),
        "Seed": run.setting("seed"),
        "Speed": _speed(run),
        "Memory": _memory(run),
        "Started from": run.setting("origin.start"),
        "Folder": run.path,
    }
    yield from ((name, str(value)) for name, value in wanted.items() if value not in (None, ""))


def _data(run: Run) -> str | None:
    name, shape = run.setting("source.name"), run.shape
    if not isinstance(name, str):
        return None
    if shape is None:
        return name
    if len(shape) == 3:
        kind = {1: "grey", 3: "colour"}.get(shape[0], f"{shape[0]}-channel")
        return f"{name}: {kind} images of {shape[1]} × {shape[2]}"
    return f"{name}: vectors of {' × '.join(map(str, shape))}"


def _speed(run: Run) -> str | None:
    values = finite(run.clock("images_per_second"))
    return f"{shown(sorted(values)[len(values) // 2])} samples a second" if values else None


def _memory(run: Run) -> str | None:
    most = [max(values) for name in ("memory", "gpu_memory") if (values := finite(run.clock(name)))]
    return " and on the GPU ".join(f"{value:,.0f} MiB" for value in most) or None


def _call(settings: Any) -> str | None:  # noqa: ANN401 - whatever stands in config.json
    """A part of the configuration as it is written in Python."""
    if not isinstance(settings, dict) or "is" not in settings:
        return None
    members = (f"{name}={_plain(value)}" for name, value in settings.items() if name not in ("is", "eps"))
    return f"{settings['is']}({', '.join(members)})"


def _network(settings: Any) -> str | None:  # noqa: ANN401
    if not isinstance(settings, dict):
        return None
    members = (f"{name}={_plain(value)}" for name, value in settings.items() if name in _TELLING)
    return f"{settings.get('network', 'network')}({', '.join(members)})"


_TELLING = {"latent_dim", "hidden", "width", "stages", "norm", "activation"}


def _plain(value: object) -> str:
    if isinstance(value, list):
        return f"({', '.join(map(_plain, value))})"
    if isinstance(value, dict):
        return _call(value) or str(value)
    return shown(value) if isinstance(value, float) else str(value)


def _again(run: Run, commands: Commands | None) -> Iterator[Markup]:
    if commands is None or commands.rerun is None:
        yield _lead(
            "This run was started from Python: the same settings, data and seed give the same run, and "
            "`fit` in the same folder goes on with it."
        )
    else:
        yield _lead(
            "In the same folder this command goes on with the run; in another one it does it again from the "
            "start, on one CPU to the last bit."
        )
        yield _shell(commands.rerun)
    versions = run.setting("versions")
    listed = ", ".join(f"{name} {v}" for name, v in versions.items()) if isinstance(versions, dict) else None
    fingerprint = run.setting("source.fingerprint")
    yield tag(
        "dl",
        _fact("Versions", listed) if listed else None,
        _fact("Data's fingerprint", fingerprint) if isinstance(fingerprint, str) else None,
        class_="facts",
    )
    if run.saved is not None and commands is not None:
        yield tag("p", "Samples from the last checkpoint:", class_="reading")
        yield _shell(commands.sample)


def _shell(words: str) -> Markup:
    """A command that breaks into lines between its words only."""
    spaced = (join(tag("span", word), " ") for word in words.split(" "))
    return tag("pre", *spaced)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


# ----------------------------------------------------------------------------------------- frame


def _frame(title: str, body: Markup) -> str:
    style, script = (Markup((_HERE / name).read_text("utf-8")) for name in ("style.css", "page.js"))
    policy = (
        f"default-src 'none'; img-src data:; style-src {_checksum(style)}; script-src {_checksum(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("link", rel="icon", href="data:,"),
        tag("style", style),
    )
    return f"<!doctype html>\n{tag('html', head, tag('body', body, tag('script', script)), lang='en')}\n"


def _checksum(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"
