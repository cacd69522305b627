"""The command line: `rlsp train | evaluate | sample | verify | demonstrations | report | compare | convert | plan
| config`.

A user's mistake is one sentence and exit code 2; Ctrl-C is exit code 130, with everything saved. What a command does
not need is not imported: `rlsp --help` and `rlsp report` start without JAX.
"""

import importlib.util
import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.table import Table
from rich.text import Text
from tyro.conf import FlagCreatePairsOff, Positional, UseAppendAction, arg

from rlsp_jax.common import words
from rlsp_jax.common.errors import Interrupted, UserError
from rlsp_jax.records import SUMMARY_FILE, check_run, is_run

Experiment = Annotated[Positional[Path], arg(metavar="EXPERIMENT")]
Workdir = Annotated[Positional[Path], arg(metavar="WORKDIR")]
Overrides = Annotated[UseAppendAction[tuple[str, ...]], arg(name="set", metavar="PATH=VALUE")]
Flag = Annotated[bool, FlagCreatePairsOff]

STYLES = {words.BACK: "yellow", words.NO: "red", words.YES: "green", words.ANSWER: "bold cyan"}
VERDICTS = {"correct": "bold green", "wrong": "bold red", "unknown": "bold yellow"}
NO_REPORT = "No report: pip install 'rlsp_jax[report]'"

app = tyro.extras.SubcommandApp()


@app.command
def train(
    experiment: Experiment,
    /,
    workdir: Path,
    set_: Overrides = (),
    overwrite: Flag = False,
    resume: bool = True,
    reuse: Annotated[Path | None, arg(metavar="WORKDIR")] = None,
    tensorboard: Flag = False,
) -> None:
    """Run an experiment, or go on with it, and write its report.

    Args:
        experiment: A Python file with get_config(), such as experiments/countdown_rlsp.py.
        workdir: Where records and checkpoints go; a run found there is continued.
        set_: Change a field, as in stages.1.num_steps=40. May be given many times.
        overwrite: Remove the run in the workdir and start anew.
        resume: Go on with the run in the workdir; --no-resume refuses if there is one.
        reuse: Take the stages that both runs begin with from another run, instead of training them again.
        tensorboard: Write TensorBoard events too.
    """
    from rlsp_jax.training.environment import set_up_process
    from rlsp_jax.training.experiment_file import load_experiment
    from rlsp_jax.training.progress import Display
    from rlsp_jax.training.train import train as run_training
    from rlsp_jax.training.workdir import check_same, is_finished

    loaded = load_experiment(experiment, set_)
    if is_run(workdir) and not resume and not overwrite:
        raise UserError(f"{workdir} already holds a run; drop --no-resume to go on with it, or add --overwrite.")
    console = Console()
    if is_finished(workdir) and not overwrite:
        check_same(loaded.experiment, workdir)
        print(f"The run in {workdir} is finished; nothing is trained again (--overwrite starts anew).")
        _write_report(workdir)
    else:
        set_up_process()
        run_training(
            loaded,
            workdir,
            Display(console),
            overwrite=overwrite,
            reuse=reuse,
            tensorboard=tensorboard,
            report=_write_report,
        )
    _show_stages(console, workdir / SUMMARY_FILE)
    print(f"Report: {workdir / 'report.html'}" if _has_report() else f"{NO_REPORT}, then rlsp report {workdir}")


@app.command
def evaluate(
    workdir: Workdir,
    /,
    problems: Annotated[int | None, arg(metavar="INT")] = None,
    samples: Annotated[int | None, arg(metavar="INT")] = None,
    scaling: Flag = False,
    as_json: Annotated[Flag, arg(name="json")] = False,
) -> None:
    """Evaluate a run's newest policy on held-out problems.

    Args:
        workdir: The run's folder.
        problems: How many held-out problems; the experiment's own number by default.
        samples: Responses drawn per problem beside the greedy one.
        scaling: Measure instead how often answers are right that are asked for after only a part of the thinking, and
            those that a majority of samples gives: at the ends of stages, and with the newest policy. The run keeps
            the figures, and what it has already is not measured again.
        as_json: Print JSON instead of tables: an object as in summary.json, or with --scaling the rows it keeps.
    """
    import dataclasses

    from rlsp_jax.training.environment import set_up_process
    from rlsp_jax.training.evaluate import closing_eval, evaluate_run, open_trained
    from rlsp_jax.training.progress import Display

    if scaling and (problems is not None or samples is not None):
        raise UserError("--scaling asks what the experiment's scalings say; leave --problems and --samples out.")
    set_up_process()
    if scaling:
        _scale(workdir, as_json=as_json)
        return
    changes = {"problems": problems, "samples": samples}
    with open_trained(workdir, Display(Console(), enabled=not as_json)) as run:
        config = closing_eval(run.experiment)
        config = dataclasses.replace(config, **{k: v for k, v in changes.items() if v is not None})
        summary = evaluate_run(run, config)
    if as_json:
        print(json.dumps(summary, indent=2))
    else:
        stage = summary["stages"][-1]
        _show(Console(), f"{summary['name']}: {stage['stage']}, step {stage['steps']}", "level", stage["evals"])


@app.command
def sample(
    workdir: Workdir,
    problem: Annotated[Positional[str | None], arg(metavar="[PROBLEM]")] = None,
    /,
    samples: int = 1,
    temperature: Annotated[float | None, arg(metavar="FLOAT")] = None,
    seed: int = 0,
) -> None:
    """Type a problem and watch the newest policy think.

    Args:
        workdir: The run's folder.
        problem: Such as "3 7 12 = 33"; asked for at a prompt if absent.
        samples: How many responses.
        temperature: 0 is greedy; the temperature of training by default.
        seed: Another one draws other responses.
    """
    import dataclasses

    from rlsp_jax.training.environment import set_up_process
    from rlsp_jax.training.evaluate import load_policy, make_think_fn, open_trained, own_sampling
    from rlsp_jax.training.progress import Display

    if samples < 1:
        raise UserError(f"--samples is {samples}; it must be at least 1.")
    if not 0 <= seed < 2**32:
        raise UserError(f"--seed is {seed}; it must be 0 or more, and less than 2³².")
    set_up_process()
    console = Console()
    with open_trained(workdir, Display(console)) as run:
        sampling = own_sampling(run.experiment)
        if temperature is not None:
            sampling = dataclasses.replace(sampling, temperature=temperature)
        index, _, policy = load_policy(run)
        sampling = run.sampling(index, sampling)
        think = make_think_fn(run, policy, sampling, suffix=run.prompt_suffix(index), seed=seed)
        if problem is not None:
            _think(console, think, problem, samples)
            return
        while line := _ask():
            try:
                _think(console, think, line, samples)
            except UserError as error:
                print(error)


@app.command
def verify(
    *,
    input: Annotated[Path, arg(metavar="FILE")],
    output: Annotated[Path, arg(metavar="FILE")],
    workers: Annotated[int | None, arg(metavar="INT")] = None,
    deadline: float = 2.0,
    overwrite: Flag = False,
    retry_unknown: Flag = False,
    fallback: bool = True,
    forgive_percent: bool = True,
    unevaluated: Flag = False,
    decimal_comma: Flag = False,
    tolerance: float = 0.0,
) -> None:
    """Judge the mathematical answers in a file, or go on with it.

    Args:
        input: One JSON object a line: id, answer (the gold one), and a bare prediction or a whole response.
        output: One JSON object a line: id, verdict (correct, wrong or unknown), extracted, reason, and the settings
            (the last five options) where they are not the default ones.
        workers: Processes that judge; one for each core by default.
        deadline: Seconds for a row, after which it is unknown.
        overwrite: Remove the output and start anew.
        retry_unknown: Judge again the rows of the output that timed out or crashed.
        fallback: In a response without a box or a marker, take the last formula or number.
        forgive_percent: 12% is right for a gold 12 (and always for a gold 0.12).
        unevaluated: Arithmetic that is left to do, such as 2^{10} or 56/8, is right for the number it comes to.
        decimal_comma: 1,5 is one and a half, and no pair.
        tolerance: The relative error that is forgiven where the gold is no whole number.
    """
    from rlsp_jax.verifiers import VerifierPool
    from rlsp_jax.verifiers.bare import BareAnswers
    from rlsp_jax.verifiers.files import verify_file
    from rlsp_jax.verifiers.math import Math
    from rlsp_jax.verifiers.progress import Progress

    if overwrite and retry_unknown:
        raise UserError("--overwrite judges all rows, and --retry-unknown some of them; give one of the two.")
    math = Math(fallback, forgive_percent, unevaluated, decimal_comma, tolerance)
    settings = {name: value for name, value in vars(math).items() if value != getattr(Math(), name)}
    num_workers = _num_cores() if workers is None else workers
    memory = 2048 if sys.platform.startswith("linux") else None  # megabytes, far more than a judge needs
    with (
        VerifierPool(BareAnswers(math), num_workers=num_workers, deadline=deadline, memory_limit_mb=memory) as pool,
        Progress(Console(stderr=True), input) as progress,
    ):
        tally = verify_file(
            input, output, pool, settings=settings, overwrite=overwrite, retry=retry_unknown, show=progress.show
        )
    print(f"{tally} ({tally.judged:,} judged now, {progress.rate:,.0f} rows/s)")
    if tally.failed:
        rows, them = ("1 row", "it") if tally.failed == 1 else (f"{tally.failed:,} rows", "them")
        print(f"{rows} timed out or crashed; --retry-unknown --deadline {5 * deadline:g} judges {them} again.")
    if tally.bad:
        sys.exit(1)


@app.command
def demonstrations(
    *,
    input: Annotated[Path, arg(metavar="FILE")],
    output: Annotated[Path, arg(metavar="FILE")],
    model: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="NAME")],
    writer: Annotated[str | None, arg(metavar="NAME")] = None,
    policy: Annotated[Path | None, arg(metavar="WORKDIR")] = None,
    endpoint: Annotated[str, arg(metavar="URL")] = "https://api.openai.com/v1",
    key_variable: Annotated[str | None, arg(metavar="VARIABLE")] = "OPENAI_API_KEY",
    samples: int = 4,
    wrong: int = 2,
    temperature: float = 1.0,
    max_tokens: int = 4096,
    in_flight: int = 8,
    budget: Annotated[int | None, arg(metavar="TOKENS")] = None,
    overwrite: Flag = False,
) -> None:
    """Write traces of trial, error and self-verification for the problems in a file, or go on with it.

    Each model attempts each problem; the writer criticizes the attempts, merges them into one trace and writes that
    anew. Traces whose answer is correct are kept, for SFT to imitate with data.JSONLDemonstrations.

    Args:
        input: One JSON object a line: a problem (problem, question or prompt), the answer to it (answer, final_answer,
            expected_answer or solution), and an id if there is one.
        output: One JSON object a line: question, response and where it came from. Problems without a trace, and why,
            are in FILE.dropped.
        model: Attempts the problems. May be given many times.
        writer: The model that criticizes, merges and rewrites; by default the first --model.
        policy: The folder of a run on problems of this kind, whose newest policy attempts them too.
        endpoint: What stands before /chat/completions.
        key_variable: The environment variable that holds the endpoint's key; None sends no key.
        samples: Attempts of each model.
        wrong: Wrong attempts that a trace goes through, at most.
        temperature: Of the attempts; all else is written at 0.
        max_tokens: Of one reply; what is longer is not used.
        in_flight: Requests at a time.
        budget: Tokens that a model may cost, prompts and replies together.
        overwrite: Remove the output and start anew.
    """
    from rlsp_jax.data.trace_files import read_tasks, write_traces
    from rlsp_jax.data.trial_and_error import Recipe
    from rlsp_jax.training.environment import set_up_process
    from rlsp_jax.training.progress import Display
    from rlsp_jax.training.trace_authors import failures, open_authors
    from rlsp_jax.verifiers import Endpoint, Math, VerifierPool

    if not model and policy is None:
        raise UserError("Nobody attempts the problems; name a model with --model, or a run with --policy.")
    if not model and writer is None:
        raise UserError("Nobody writes the traces; name a model with --writer.")
    set_up_process()
    console = Console(stderr=True)
    writes = Endpoint(
        writer or model[0],
        endpoint,
        key_variable,
        max_in_flight=in_flight,
        timeout=600.0,  # seconds that a long reply may take
        deadline=3600.0,  # and a stage of several problems
        max_tokens=budget,
        max_reply_tokens=max_tokens,
        temperature=temperature,
    )
    memory = 2048 if sys.platform.startswith("linux") else None  # megabytes, far more than a judge needs
    with (
        VerifierPool(Math(), num_workers=_num_cores(), deadline=10.0, memory_limit_mb=memory) as pool,
        open_authors(writes, model, Display(console), policy=policy) as authors,
    ):
        try:
            tally = write_traces(
                read_tasks(input),
                output,
                Recipe(samples=samples, wrong=wrong),
                authors,
                lambda items: [outcome.verdict for outcome in pool.verify(items)],
                overwrite=overwrite,
                show=lambda item, tally: _show_trace(console, item, tally),
            )
        finally:
            for reason, number in failures(authors).most_common():
                console.print(f"{number:,} × no reply from {reason}", highlight=False, markup=False, soft_wrap=True)
    print(tally)
    if tally.failed:
        print("The same command asks again where there was no reply.")
    if tally.bad or tally.failed:
        sys.exit(1)


@app.command
def report(workdir: Workdir, /) -> None:
    """Write report.html from a run's records, finished or not.

    Args:
        workdir: The run's folder.
    """
    _check_report()
    from rlsp_jax.report.page import write_report

    check_run(workdir)
    print(f"Report: {write_report(workdir)}")


@app.command
def compare(
    workdirs: Annotated[Positional[tuple[Path, ...]], arg(metavar="WORKDIR WORKDIR …")],
    /,
    output: Path = Path("comparison.html"),
    figures: Annotated[Path | None, arg(metavar="FOLDER")] = None,
) -> None:
    """Lay several runs side by side in one page; runs that differ by their seed alone are drawn as a band.

    Args:
        workdirs: Two or more runs' folders.
        output: The page to write.
        figures: A folder for each figure as .svg, and the tables as table.md.
    """
    _check_report()
    from rlsp_jax.report.page import write_comparison

    for workdir in workdirs:
        check_run(workdir)
    different = list({workdir.resolve(): workdir for workdir in workdirs}.values())
    if len(different) < 2:
        raise UserError("There is nothing to compare; give at least two different workdirs.")
    print(f"Comparison: {write_comparison(different, output, figures)}")


@app.command
def convert(
    direction: Annotated[Positional[Literal["import", "export"]], arg(metavar="import|export")],
    source: Annotated[Positional[str], arg(metavar="SOURCE")],
    /,
    out: Annotated[Path, arg(metavar="FOLDER")],
    revision: Annotated[str | None, arg(metavar="NAME")] = None,
    dtype: Literal["float32", "bfloat16", "float16"] | None = None,
    adapter: Flag = False,
) -> None:
    """Bring a published checkpoint into the form that many machines read at once, or a trained policy into that of
    transformers.

    Args:
        direction: import reads a published checkpoint; training can also begin with it as it is. export writes a run's
            newest policy, or what import wrote.
        source: To import: a folder with config.json and safetensors, or a Hub id such as owner/name. To export: a run's
            folder, or one that import wrote.
        out: A folder that does not exist yet.
        revision: Of a Hub id: a branch, a tag or a commit.
        dtype: What exported weights are stored in; by default as in the checkpoint that the policy began as.
        adapter: Export the adapters of a run alone, as PEFT loads them, instead of merged into their base.
    """
    from rlsp_jax.training.convert import export, import_checkpoint
    from rlsp_jax.training.environment import set_up_process

    if direction == "import" and dtype is not None:
        raise UserError("An import keeps the type of the weights; leave --dtype out.")
    if adapter and (direction == "import" or dtype is not None):
        raise UserError("--adapter exports adapters, in float32; leave --dtype out, or --adapter.")
    if direction == "export" and revision is not None:
        raise UserError("What is exported lies on this machine and has no revision; leave --revision out.")
    set_up_process()
    if direction == "import":
        import_checkpoint(source, out, revision=revision)
        print(f"Imported: {out}; begin a run with weights=checkpoints.Pretrained({str(out)!r}).")
    else:
        export(Path(source), out, dtype=dtype, adapter=adapter)
        print(f"Exported: {out}")


@app.command
def plan(
    experiment: Experiment,
    /,
    set_: Overrides = (),
    memory: Annotated[str | None, arg(metavar="SIZE")] = None,
    devices: Annotated[int | None, arg(metavar="INT")] = None,
) -> None:
    """Count what an experiment needs of each device's memory, by part, and whether it fits; nothing is allocated.

    Exits with 1 where it does not fit, and says with which change it would.

    Args:
        experiment: A Python file with get_config().
        set_: Change a field, as in stages.1.micro_batches=8. May be given many times.
        memory: Of one device, such as 80GB or 16GiB; by default what JAX says of the devices here.
        devices: How many there are; by default as many as the mesh names.
    """
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # to ask a GPU for its size takes nothing of it
    from rlsp_jax.training.experiment_file import load_experiment
    from rlsp_jax.training.fit import device_room, refusal, room_of
    from rlsp_jax.training.plan import make_plan, spelled_bytes

    loaded = load_experiment(experiment, set_).experiment
    room = device_room() if memory is None else room_of(memory)
    counted = make_plan(loaded, devices)
    for stage in counted.stages:
        _show_moments(Console(), stage.name, [(moment.name, moment.parts) for moment in stage.moments])
    if room is None:
        print("Whether that fits is not known: give --memory, such as 80GB, for what one device has.")
    elif counted.total > room:
        _end(1, f"rlsp: {refusal(loaded, devices, counted, room)}")
    else:
        print(f"It fits: {spelled_bytes(counted.total)} of {spelled_bytes(room)} that can be used of a device.")


@app.command
def config(
    experiment: Experiment,
    other: Annotated[Positional[Path | None], arg(metavar="[OTHER]")] = None,
    /,
    set_: Overrides = (),
    explain: Annotated[str | None, arg(metavar="PATH")] = None,
) -> None:
    """Show an experiment's config, explain a field of it, or show how two differ.

    Args:
        experiment: A Python file with get_config().
        other: A second one, to show the differences.
        set_: Change a field of the first, as in stages.1.num_steps=40.
        explain: A field's path, such as stages.1.clip: its type, value, default and what it means.
    """
    from rlsp_jax.common import describe
    from rlsp_jax.training.experiment_file import load_experiment

    first = load_experiment(experiment, set_).experiment
    if explain is not None:
        print(describe.explain(first, explain))
    elif other is not None:
        for path, left, right in describe.diff(first, load_experiment(other).experiment):
            print(f"{path}: {left!r} → {right!r}")
    else:
        for path, value in describe.flatten(first).items():
            print(f"{path} = {value!r}")


def _show_trace(console: Console, item: Any, tally: Any) -> None:
    """A line for each problem: how it ended, or what is bad about its row."""
    ended = f"{item.end}{item.reason and ': '}{item.reason}" if not hasattr(item, "fault") else f"bad row: {item.fault}"
    name = item.id if hasattr(item, "fault") else item.task.id
    console.print(f"{name}: {ended}", highlight=False, markup=False, soft_wrap=True)


def _num_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# ---- reports, which need the `report` extra ----------------------------------------------------


def _has_report() -> bool:
    return all(importlib.util.find_spec(name) is not None for name in ("jinja2", "matplotlib"))


def _check_report() -> None:
    """Raise `UserError` unless reports can be written."""
    if not _has_report():
        raise UserError(f"{NO_REPORT}.")


def _write_report(workdir: Path) -> None:
    """Write the report where that is possible: training goes without."""
    if _has_report():
        from rlsp_jax.report.page import write_report

        write_report(workdir)


# ---- what is shown ------------------------------------------------------------------------------


def _show_stages(console: Console, summary_file: Path) -> None:
    summary = json.loads(summary_file.read_text())
    ends = {stage["stage"]: stage["evals"].get("all") for stage in summary["stages"]}
    minutes = summary["seconds"]["total"] / 60
    _show(console, f"{summary['name']}, {minutes:.1f} minutes", "stage", ends)


def _show(console: Console, title: str, what: str, results: Mapping[str, Any]) -> None:
    """A table of evaluation results; nothing where there are none."""
    best = max((k for r in results.values() for k in (r or {}).get("rerank_at") or {}), key=float, default=None)
    extra = () if best is None else (f"rerank@{best}",)
    table = Table(what, "problems", "greedy", "pass@1", *extra, "backtracks", "length", "truncated", title=title)
    for name, result in results.items():
        if result is not None:
            reranked = [(result.get("rerank_at") or {}).get(best) for _ in extra]
            figures = (result["greedy"], result["pass_at"].get("1"), *reranked, result["behaviors"]["backtracks"])
            figures = (*figures, result["length"], result["truncated"])
            table.add_row(name, str(result["problems"]), *("–" if x is None else f"{x:.3f}" for x in figures))
    if table.row_count:
        console.print(table)


def _scale(workdir: Path, *, as_json: bool) -> None:
    """Measure what thinking and votes are worth in a run, and show what is recorded of it."""
    from rlsp_jax.records import to_row
    from rlsp_jax.training.evaluate import open_trained
    from rlsp_jax.training.progress import Display
    from rlsp_jax.training.scaling import scale_run

    with open_trained(workdir, Display(Console(), enabled=not as_json)) as run:
        results, grid = scale_run(run)
    if as_json:
        print(json.dumps({"scaling": [to_row(r) for r in results], "grids": [to_row(r) for r in grid]}, indent=2))
        return
    thinking = Table("stage", "step", "thinking", "tokens kept", "own answer", "summary model", title="Cut thinking")
    for r in results:
        part = f"{r.fraction:.0%}" if r.fraction else "as written" if r.budget is None else f"≤ {r.budget}"
        rates = (f"{rate:.3f}" if rate == rate else "–" for rate in (r.own, r.summary))
        thinking.add_row(r.stage, str(r.step), part, f"{r.kept:.1f}", *rates)
    votes = Table("stage", "step", "samples", "tokens", "accuracy", title="Majority votes")
    largest = {r.eval: r.budget for r in sorted(grid, key=lambda r: r.budget)}
    for r in (r for r in grid if r.budget == largest[r.eval]):
        votes.add_row(r.stage, str(r.step), str(r.k), f"{r.tokens:.1f}", f"{r.accuracy:.3f}")
    for table in (thinking, votes):
        Console().print(table)


def _show_moments(console: Console, stage: str, moments: list[tuple[str, dict[str, int]]]) -> None:
    """A table of a stage: parts of a device's memory below one another, the programs that it runs side by side."""
    names = dict.fromkeys(name for _, parts in moments for name, size in parts.items() if size)
    totals = [sum(parts.values()) for _, parts in moments]
    unit, word = (2**30, "GiB") if max(totals) > 2**27 else (2**20, "MiB")
    table = Table(f"{word} of each device", *(name for name, _ in moments), title=stage)
    for name in names:
        table.add_row(name, *(f"{parts[name] / unit:.2f}" if name in parts else "" for _, parts in moments))
    table.add_row("together", *(f"{total / unit:.2f}" for total in totals), style="bold")
    console.print(table)


def _ask() -> str:
    try:
        return input("problem (such as 3 7 12 = 33; empty to leave): ").strip()
    except EOFError:
        return ""


def _think(console: Console, think, problem: str, samples: int) -> None:
    """Write responses out line by line as they come, search steps coloured."""
    for number in range(samples):
        shown = ""
        for text, outcome in think(problem, sample=number):
            ready = text if outcome is not None else text[: text.rfind("\n") + 1]  # whole lines, for the colours
            console.print(_coloured(ready[len(shown) :]), end="", soft_wrap=True)
            shown = ready
            if outcome is not None:
                verdict = outcome.verdict.name.lower()
                console.print(
                    Text.assemble("\n", (verdict, VERDICTS[verdict]), f": {outcome.reason}\n"), soft_wrap=True
                )


def _coloured(text: str) -> Text:
    coloured = Text("".join(c if c.isprintable() or c == "\n" else "�" for c in text))  # no escapes to the terminal
    for word, style in STYLES.items():
        coloured.highlight_regex(rf"\b{re.escape(word)}(?!\w)", style)
    return coloured


# ---- how it ends --------------------------------------------------------------------------------


def main() -> None:
    """The `rlsp` command."""
    try:
        app.cli(prog="rlsp")
    except Interrupted as stop:
        _end(130, f"{stop} The same command goes on from there.")
    except KeyboardInterrupt:
        _end(130, "Stopped.")
    except BrokenPipeError:  # whoever read the output has enough of it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (UserError, OSError) as error:
        if os.environ.get("RLSP_TRACEBACK"):
            raise
        _end(2, f"rlsp: {_sentence(error)}")


def _sentence(error: UserError | OSError) -> str:
    if isinstance(error, UserError) or error.strerror is None:
        return str(error)
    return f"{error.strerror}: {error.filename}." if error.filename else f"{error.strerror}."


def _end(code: int, message: str) -> None:
    print(message, file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
