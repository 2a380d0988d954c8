"""The page: its sections in order, and the HTML document around them.

The page loads nothing, and its content security policy forbids it to: style and script are allowed by their
checksums, images as data URIs.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from json import dumps
from pathlib import Path
from typing import Any

from wgan.diagnosis import Finding, format_settings
from wgan.monitors import display_name
from wgan.report.charts import Chart, draw_chart
from wgan.report.commands import Commands
from wgan.report.curves import ChartGroup, Marks, chart_groups
from wgan.report.html import Content, Markup, join, tag
from wgan.report.numbers import format_duration, format_number, present
from wgan.report.quality import result_tables
from wgan.report.ridges import RidgePlot, draw_ridges
from wgan.report.run_data import RunData, as_number
from wgan.report.sample_images import EmbeddedImage, SampleImages
from wgan.report.verdict import Verdict, reach_verdict
from wgan.runs import flatten

_HERE = Path(__file__).parent
_LISTED_ELSEWHERE = {"origin", "dataset", "format"}
"""Parts of the configuration that are left out of the table of all settings."""
_SYMBOLS = {"good": "✓", "warning": "!", "error": "×", "open": "…", "note": "i"}
_NETWORK_SETTINGS = {"latent_dim", "hidden", "width", "stages", "norm", "activation"}
"""Settings that are listed with the name of a network."""
MARKED = 2
"""Findings whose beginning is marked in the curves."""


def render_page(
    run: RunData, findings: Sequence[Finding], images: SampleImages, commands: Commands | None = None
) -> str:
    """The whole report as HTML."""
    curves = chart_groups(run, _marks(run, findings))
    sections = [
        _section("findings", "Findings", *_findings(findings, commands), *_interventions(run))
        if run.rows
        else None,
        _section("images", "Images over time", *_images(run, images)) if images.stills else None,
        _section("curves", "Curves", *_curves(curves)) if curves else None,
        _section("quality", "Quality", *_quality(run, commands)),
        _section("settings", "Settings", *_settings(run)),
        _section("again", "How to run it again", *_again(run, commands)),
    ]
    main = tag("main", *(section for section in sections if section is not None))
    return _document(
        f"{_title(run)} · wgan report", join(_header(run, reach_verdict(run, findings), images), main)
    )


def _marks(run: RunData, findings: Sequence[Finding]) -> Marks:
    """Steps to mark in the curves: the beginnings of the most important problems."""
    serious = [finding for finding in findings if finding.severity != "note"]
    starts = {finding.since: display_name(finding.name) for finding in reversed(serious[:MARKED])}
    return [(step, name) for step, name in starts.items() if len(run.steps) > 1 and step > run.steps[0]]


# ------------------------------------------------------------------------------------------ header


def _header(run: RunData, verdict: Verdict, images: SampleImages) -> Markup:
    recipe = run.setting("origin.name")
    words = tag(
        "div",
        tag("p", "Run report", f" · recipe {recipe}" if isinstance(recipe, str) else None, class_="eyebrow"),
        tag("h1", _title(run)),
        tag("p", _symbol(verdict.tone), verdict.state, class_=f"badge {verdict.tone}"),
        tag("p", tag("strong", verdict.sentences[0]), " ", verdict.sentences[1], class_="verdict"),
        tag("dl", *_key_numbers(run), class_="key"),
        class_="words",
    )
    return tag("header", words, _player(run, images), class_="with-image" if images.stills else None)


def _symbol(kind: str, *classes: str) -> Markup:
    return tag("span", _SYMBOLS[kind], class_=" ".join(("symbol", *classes)), aria_hidden="true")


def _title(run: RunData) -> str:
    name = run.setting("dataset.name")
    stem = Path(name).name if isinstance(name, str) else ""
    return stem or run.path.resolve().name


def _key_numbers(run: RunData) -> Iterator[Markup]:
    planned = "" if run.planned is None or run.finished else f" of {run.planned:,}"
    yield _definition("Steps", f"{run.done:,}{planned}")
    seconds = run.timing[-1].get("seconds") if run.timing else None
    if seconds is not None:
        yield _definition("Training time", format_duration(seconds))
    last = run.rows[-1] if run.rows else {}
    held_out = last.get("gap_held_out")
    if held_out is not None:
        yield _definition("Gap, held out", format_number(held_out))
    low, high = last.get("w1_lower"), last.get("w1_upper")
    if low is not None and high is not None:
        yield _definition("W1, proven", f"{format_number(low)} to {format_number(high)}")


def _definition(name: str, text: str) -> Markup:
    return tag("div", tag("dt", name), tag("dd", text))


def _player(run: RunData, images: SampleImages) -> Markup | None:
    """The last image, and all earlier ones by a slider."""
    if not images.stills:
        return None
    last = images.stills[-1]
    controls = None
    if images.frames:
        end = len(images.frames) - 1
        slider = tag("input", type="range", min=0, max=end, value=end, aria_label="Step of the image")
        controls = tag("div", tag("button", "Play", type="button"), slider, class_="controls")
    caption = tag(
        "figcaption",
        "Generated samples at ",
        tag("output", f"step {last.step:,}"),
        ": grey points are real, red ones generated." if _is_scatter(run) else ".",
    )
    frames = dumps([[image.step, image.uri] for image in images.frames])
    return tag("figure", _image(run, last), controls, caption, class_="player", data_frames=frames)


def _image(run: RunData, image: EmbeddedImage) -> Markup:
    scatter = _is_scatter(run)
    return tag(
        "img",
        src=image.uri,
        width=image.width,
        height=image.height,
        alt=f"Generated {'points' if scatter else 'samples'} at step {image.step:,}",
        class_=f"image{' drawn' if scatter else ''}",
    )


def _is_scatter(run: RunData) -> bool:
    return run.shape is not None and len(run.shape) == 1


# -------------------------------------------------------------------------------------- sections


def _section(name: str, title: str, *content: Content) -> Markup:
    return tag("section", tag("h2", title), *content, id=name)


def _lead(text: str) -> Markup:
    return tag("p", text, class_="lead")


def _findings(findings: Sequence[Finding], commands: Commands | None) -> Iterator[Markup]:
    if not findings:
        yield _lead("The diagnosis examined all logged metrics and found no problem.")
        return
    yield _lead(
        "Problems that the diagnosis found in the log, the most important first, with their evidence."
    )
    yield tag("ol", *(_finding(finding, commands) for finding in findings), class_="findings")


def _finding(finding: Finding, commands: Commands | None) -> Markup:
    command = commands.remedied(finding.remedy) if commands and finding.remedy else None
    evidence = [_definition(display_name(name), _number(value)) for name, value in finding.evidence.items()]
    settings = None
    if finding.remedy and not command:
        settings = tag("p", "Settings: ", ", ".join(format_settings(finding.remedy)))
    return tag(
        "li",
        tag(
            "h3",
            _symbol(finding.severity, finding.severity),
            _capitalised(display_name(finding.name)),
            tag("small", f"{finding.severity}, since step {finding.since:,}"),
        ),
        tag("p", finding.meaning),
        tag("dl", *evidence, class_="evidence") if evidence else None,
        tag("p", tag("strong", "What to do: "), finding.advice),
        _shell(command) if command else None,
        settings,
        class_=finding.severity,
    )


def _interventions(run: RunData) -> Iterator[Markup]:
    """What a run that was healed changed by itself."""
    noted = run.setting("origin.interventions")
    interventions = [part for part in noted if isinstance(part, dict)] if isinstance(noted, list) else []
    if interventions:
        yield tag("h3", "Automatic remedies")
        yield _lead("This run treated its own problems; each abandoned attempt stays in its folder.")
        yield tag("ol", *(tag("li", _intervention(part)) for part in interventions), class_="treated")


def _intervention(plain: Mapping[str, Any]) -> str:
    step, since, start = (as_number(plain.get(name)) or 0 for name in ("step", "since", "start"))
    remedy = plain.get("remedy")
    settings = ", ".join(format_settings(remedy)) if isinstance(remedy, Mapping) else ""
    return (
        f"At step {step:,.0f}: {display_name(str(plain.get('name')))}, since step {since:,.0f}. Training "
        f"{f'resumed from step {start:,.0f}' if start else 'started again'} with {settings}; the abandoned "
        f"attempt is {plain.get('before')}."
    )


def _number(value: object) -> str:
    number = as_number(value)
    return str(value) if number is None else format_number(number)


def _images(run: RunData, images: SampleImages) -> Iterator[Markup]:
    chosen = f", {len(images.stills)} of {images.count}" if images.count > len(images.stills) else ""
    goal = (
        "the red generated points should come to cover the grey real ones."
        if _is_scatter(run)
        else "they should become sharper and stay different from each other."
    )
    yield _lead(f"Samples of the same latents at different steps{chosen}: {goal}")
    stills = (
        tag("figure", _image(run, image), tag("figcaption", f"step {image.step:,}"))
        for image in images.stills
    )
    yield tag("div", *stills, class_="stills")


def _curves(groups: Sequence[ChartGroup]) -> Iterator[Markup]:
    yield _lead("Steps run from left to right; point at a curve, or touch it, to read the values there.")
    for group in groups:
        charts = tag("div", *map(_figure, group.charts), class_="charts")
        if group.folded:
            yield tag("details", tag("summary", group.title), charts)
        else:
            yield join(tag("h3", group.title), charts)


def _figure(chart: Chart | RidgePlot) -> Markup:
    return draw_chart(chart) if isinstance(chart, Chart) else draw_ridges(chart)


def _quality(run: RunData, commands: Commands | None) -> Iterator[Markup]:
    yield from (tag("p", text, class_="trouble") for text in run.problems)
    if run.results:
        yield _lead(
            "Each metric of this run beside the value for new real samples, which is the best possible; ± is "
            "one standard error, and the small print is the provenance."
        )
        yield result_tables(run)
    elif not run.problems:
        yield _lead("Nothing was evaluated yet; after an evaluation, the next report shows the results.")
        if commands is not None:
            yield _shell(commands.evaluate)


def _settings(run: RunData) -> Iterator[Markup]:
    yield _lead("Data, networks and training settings; the complete configuration is folded in below.")
    yield tag("dl", *(_definition(name, text) for name, text in _key_settings(run)), class_="facts")
    rows = [
        tag("tr", tag("th", name, scope="row"), tag("td", _plain(value)))
        for name, value in flatten(
            {key: run.config[key] for key in run.config if key not in _LISTED_ELSEWHERE}
        )
    ]
    yield tag("details", tag("summary", "All settings"), tag("table", tag("tbody", *rows), class_="settings"))


def _key_settings(run: RunData) -> Iterator[tuple[str, str]]:
    optimisers = (_call(run.setting(f"{network}_optimiser")) for network in ("generator", "critic"))
    settings = {
        "Data": _dataset(run),
        "Recipe": run.setting("origin.name"),
        "Loss": run.setting("loss"),
        "Constraint": _call(run.setting("constraint")),
        "Generator": _network(run.setting("generator")),
        "Critic": _network(run.setting("critic")),
        "Optimisers": " / ".join(dict.fromkeys(filter(None, optimisers))),
        "Critic steps per generator step": run.setting("n_critic"),
        "Batch size": run.setting("batch_size"),
        "Precision": run.setting("precision"),
        "Seed": run.setting("seed"),
        "Speed": _speed(run),
        "Memory": _memory(run),
        "Started from": run.setting("origin.start"),
        "Folder": run.path,
    }
    yield from ((name, str(value)) for name, value in settings.items() if value not in (None, ""))


def _dataset(run: RunData) -> str | None:
    name, shape = run.setting("dataset.name"), run.shape
    if not isinstance(name, str):
        return None
    if shape is None:
        return name
    if len(shape) == 3:
        kind = {1: "grey", 3: "colour"}.get(shape[0], f"{shape[0]}-channel")
        return f"{name}: {kind} images of {shape[1]} × {shape[2]}"
    return f"{name}: vectors of {' × '.join(map(str, shape))}"


def _speed(run: RunData) -> str | None:
    values = present(run.clock("images_per_second"))
    return f"{format_number(sorted(values)[len(values) // 2])} samples per second" if values else None


def _memory(run: RunData) -> str | None:
    peaks = [max(values) for name in ("memory", "gpu_memory") if (values := present(run.clock(name)))]
    return " and on the GPU ".join(f"{peak:,.0f} MiB" for peak in peaks) or None


def _call(settings: Any) -> str | None:  # noqa: ANN401 - any value of config.json
    """A part of the configuration, as a call in Python."""
    if not isinstance(settings, dict) or "is" not in settings:
        return None
    members = (f"{name}={_plain(value)}" for name, value in settings.items() if name not in ("is", "eps"))
    return f"{settings['is']}({', '.join(members)})"


def _network(settings: Any) -> str | None:  # noqa: ANN401
    if not isinstance(settings, dict):
        return None
    members = (f"{name}={_plain(value)}" for name, value in settings.items() if name in _NETWORK_SETTINGS)
    return f"{settings.get('network', 'network')}({', '.join(members)})"


def _plain(value: object) -> str:
    if isinstance(value, list):
        return f"({', '.join(map(_plain, value))})"
    if isinstance(value, dict):
        return _call(value) or str(value)
    return format_number(value) if isinstance(value, float) else str(value)


def _again(run: RunData, commands: Commands | None) -> Iterator[Markup]:
    if commands is None or commands.rerun is None:
        yield _lead(
            "This run was started from Python: the same settings, data and seed give the same run, and `fit` "
            "in the same folder resumes it."
        )
    else:
        yield _lead(
            "In the same folder this command resumes the run; in another one it repeats it from the start, "
            "on one CPU to the last bit."
        )
        yield _shell(commands.rerun)
    versions = run.setting("versions")
    listed = ", ".join(f"{name} {v}" for name, v in versions.items()) if isinstance(versions, dict) else None
    fingerprint = run.setting("dataset.fingerprint")
    yield tag(
        "dl",
        _definition("Versions", listed) if listed else None,
        _definition("Fingerprint of the data", fingerprint) if isinstance(fingerprint, str) else None,
        class_="facts",
    )
    if run.saved is not None and commands is not None:
        yield tag("p", "Samples from the last checkpoint:", class_="reading")
        yield _shell(commands.sample)


def _shell(command: str) -> Markup:
    """A command that wraps between its words only."""
    return tag("pre", *(join(tag("span", word), " ") for word in command.split(" ")))


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]


# -------------------------------------------------------------------------------------- document


def _document(title: str, body: Markup) -> str:
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
