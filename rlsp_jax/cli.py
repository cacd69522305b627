"""The command line: `rlsp train | evaluate | sample | report | compare | config`.

A user's mistake is one sentence and exit code 2; Ctrl-C is exit code 130, with everything saved.
"""

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.markup import escape
from tyro.conf import Positional, UseAppendAction, arg

from rlsp_jax.common.errors import Interrupted, UserError

Overrides = Annotated[UseAppendAction[list[str]], arg(name="set", metavar="PATH=VALUE")]

app = tyro.extras.SubcommandApp()


@app.command
def train(
    experiment: Positional[Path],
    /,
    workdir: Path,
    set_: Overrides = [],  # noqa: B006  read only
    overwrite: bool = False,
    resume: bool = True,
    tensorboard: bool = False,
) -> None:
    """Run an experiment, or go on with it, and write its report.

    Args:
        experiment: A Python file with get_config(), such as experiments/countdown_rlsp.py.
        workdir: Where records and checkpoints go; a run found there is continued.
        set_: Change a field: stages.1.num_steps=40. May be given many times.
        overwrite: Remove the run in the workdir and start anew.
        resume: Go on with the run in the workdir; --no-resume refuses if there is one.
        tensorboard: Write TensorBoard events too.
    """
    console = Console()
    from rlsp_jax.report.page import write_report
    from rlsp_jax.training.config import load_experiment
    from rlsp_jax.training.environment import use_compilation_cache
    from rlsp_jax.training.workdir import check_same, is_finished, is_run

    loaded = load_experiment(experiment, set_)
    if is_run(workdir) and not resume and not overwrite:
        raise UserError(f"{workdir} already holds a run; drop --no-resume to go on with it, or add --overwrite.")
    if is_finished(workdir) and not overwrite:
        check_same(loaded.experiment, workdir)
        console.print(f"The run in {workdir} is finished; nothing is trained again (--overwrite starts anew).", highlight=False)
    else:
        use_compilation_cache()
        from rlsp_jax.training.progress import Display
        from rlsp_jax.training.train import train as run_training

        run_training(loaded, workdir, Display(console), overwrite=overwrite, tensorboard=tensorboard)
    report = write_report(workdir)
    _show_summary(console, workdir)
    console.print(f"Report: {report}", highlight=False)


@app.command
def evaluate(
    workdir: Positional[Path],
    /,
    problems: int | None = None,
    samples: int | None = None,
    json: bool = False,
) -> None:
    """Evaluate a run's newest policy on held-out problems.

    Args:
        workdir: The run's folder.
        problems: How many held-out problems; the experiment's own number by default.
        samples: Responses drawn per problem beside the greedy one.
        json: Print the shape of summary.json instead of a table.
    """
    import dataclasses

    import jax

    from rlsp_jax.records import to_row
    from rlsp_jax.training.evaluate import evaluate_run

    with _opened(workdir, quiet=json) as run, jax.set_mesh(run.mesh):
        config = next((e for e in run.experiment.evals if e.every is None), None)
        if config is None:
            raise UserError("The experiment has no eval at the end of stages (an Eval with every=None).")
        changes = {name: value for name, value in (("problems", problems), ("samples", samples)) if value is not None}
        summary = evaluate_run(run, dataclasses.replace(config, **changes))
    if json:
        print(_dumps(to_row(summary)))
    else:
        _show_levels(Console(), summary.stages[-1].evals)


@app.command
def sample(
    workdir: Positional[Path],
    problem: Positional[str | None] = None,
    /,
    samples: int = 1,
    temperature: float | None = None,
) -> None:
    """Type a problem and watch the newest policy think.

    Args:
        workdir: The run's folder.
        problem: Such as "3 7 12 = 33"; asked for at a prompt if absent.
        samples: How many responses.
        temperature: 0 is greedy; the stage's own temperature by default.
    """
    import dataclasses

    import jax

    from rlsp_jax.training.evaluate import load_policy

    with _opened(workdir) as run, jax.set_mesh(run.mesh):
        _, _, policy = load_policy(run)
        sampling = run.experiment.evals[0].sampling
        if temperature is not None:
            sampling = dataclasses.replace(sampling, temperature=temperature)
        if problem is not None:
            _think(run, policy, problem, sampling, samples)
            return
        while line := _ask():
            try:
                _think(run, policy, line, sampling, samples)
            except UserError as error:
                print(error)


@app.command
def report(workdir: Positional[Path], /) -> None:
    """Write report.html from a run's records, finished or not.

    Args:
        workdir: The run's folder.
    """
    from rlsp_jax.report.page import write_report

    _need_run(workdir)
    print(f"Report: {write_report(workdir)}")


@app.command
def compare(workdirs: Positional[tuple[Path, ...]], /, output: Path = Path("comparison.html")) -> None:
    """Lay several runs side by side in one page; seeds of one experiment are drawn as a band.

    Args:
        workdirs: Two or more runs' folders.
        output: The page to write.
    """
    from rlsp_jax.report.page import write_comparison

    if len(workdirs) < 2:
        raise UserError("Give at least two workdirs to compare.")
    for workdir in workdirs:
        _need_run(workdir)
    print(f"Comparison: {write_comparison(list(workdirs), output)}")


@app.command
def config(
    experiment: Positional[Path],
    other: Positional[Path | None] = None,
    /,
    set_: Overrides = [],  # noqa: B006  read only
    explain: str | None = None,
) -> None:
    """Show an experiment's config, explain a field of it, or show how two differ.

    Args:
        experiment: A Python file with get_config().
        other: A second one, to show the differences.
        set_: Change a field of the first: stages.1.num_steps=40.
        explain: A field's path, such as stages.1.clip: its type, value, default and what it means.
    """
    from rlsp_jax.common import describe
    from rlsp_jax.training.config import load_experiment

    first = load_experiment(experiment, set_).experiment
    if explain is not None:
        print(describe.explain(first, explain))
    elif other is not None:
        for path, left, right in describe.diff(first, load_experiment(other).experiment):
            print(f"{path}: {left} → {right}")
    else:
        for path, value in describe.flatten(first).items():
            print(f"{path} = {value!r}")


# ---- helpers ------------------------------------------------------------------------------------


def _need_run(workdir: Path) -> None:
    from rlsp_jax.training.workdir import RUN_FILE

    if not (workdir / RUN_FILE).is_file():
        raise UserError(f"{workdir} is not the workdir of a run: it has no {RUN_FILE}.")


def _opened(workdir: Path, *, quiet: bool = False):
    """The run of a workdir, to look at; a context manager."""
    from rlsp_jax.sharding import make_mesh
    from rlsp_jax.training.environment import use_compilation_cache
    from rlsp_jax.training.progress import Display
    from rlsp_jax.training.train import open_run
    from rlsp_jax.training.workdir import load_from_workdir

    experiment = load_from_workdir(workdir).experiment
    use_compilation_cache()
    return open_run(experiment, workdir, make_mesh(experiment.mesh), Display(Console(), enabled=not quiet))


def _ask() -> str:
    try:
        return input("problem (such as 3 7 12 = 33; empty to leave): ").strip()
    except EOFError:
        return ""


def _think(run, policy, problem: str, sampling, samples: int) -> None:
    """Write responses out as they come, search steps coloured."""
    from rlsp_jax.training.evaluate import stream_response

    console = Console()
    for number in range(samples):
        shown = ""
        for text, outcome in stream_response(run, policy, problem, sampling, sample=number):
            console.print(_coloured(text[len(shown) :]), end="", highlight=False)
            shown = text
            if outcome is not None:
                style = {"CORRECT": "bold green", "WRONG": "bold red"}.get(outcome.verdict.name, "bold yellow")
                console.print(f"\n[{style}]{outcome.verdict.name.lower()}[/]: {escape(outcome.reason)}\n", highlight=False)


def _coloured(text: str) -> str:
    from rlsp_jax.common import words

    text = escape(text)
    for word, style in ((words.BACK, "yellow"), (words.NO, "red"), (words.YES, "green"), (words.ANSWER, "bold cyan")):
        text = text.replace(word, f"[{style}]{word}[/]")
    return text


def _show_summary(console: Console, workdir: Path) -> None:
    from rlsp_jax.records import read_json
    from rlsp_jax.training.workdir import SUMMARY_FILE

    from rich.table import Table

    summary = read_json(workdir / SUMMARY_FILE)
    table = Table("stage", "greedy", "pass@1", "backtracks", "length", "truncated", "minutes", title=summary["name"])
    for stage in summary["stages"]:
        result = stage["evals"].get("all")
        if result:
            figures = (result["greedy"], result["pass_at"].get("1"), result["behaviors"]["backtracks"], result["length"], result["truncated"])
            table.add_row(stage["stage"], *map(_figure, figures), f"{stage['seconds'] / 60:.1f}")
    if table.row_count:
        console.print(table)


def _show_levels(console: Console, evals) -> None:
    from rich.table import Table

    table = Table("level", "problems", "greedy", "pass@1", "backtracks", "length", "truncated")
    for level, result in evals.items():
        figures = (result["greedy"], result["pass_at"].get("1"), result["behaviors"]["backtracks"], result["length"], result["truncated"])
        table.add_row(level, str(result["problems"]), *map(_figure, figures))
    console.print(table)


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _dumps(value) -> str:
    return json.dumps(value, indent=2)


def main() -> None:
    """The `rlsp` command."""
    try:
        app.cli(prog="rlsp")
    except Interrupted as stop:
        print(f"{stop} The same command goes on from there.", file=sys.stderr)
        sys.exit(130)
    except KeyboardInterrupt:
        sys.exit(130)
    except UserError as error:
        if os.environ.get("RLSP_TRACEBACK"):
            raise
        print(f"rlsp: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
