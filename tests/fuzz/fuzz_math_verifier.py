r"""A search, guided by coverage, for texts that crash the math verifier or take it long. Not collected by pytest.

    pip install atheris
    python tests/fuzz/fuzz_math_verifier.py run FOLDER -max_total_time=1200
    python tests/fuzz/fuzz_math_verifier.py distill FOLDER

`run` keeps what reaches new code in FOLDER/corpus, and what raises or computes for longer than SLOW_SECONDS in
FOLDER/findings.jsonl; it goes on after each. Further arguments are libFuzzer's. `distill` chooses the shortest inputs
that together reach all that the corpus reaches, and writes at most MAX_KEPT of them to corpus/math_verifier.jsonl
beside this file, which an ordinary test replays.
"""

import json
import signal
import sys
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import atheris

with atheris.instrument_imports(include=["rlsp_jax.verifiers", "rlsp_jax.common"]):
    from rlsp_jax.verifiers import Math
    from tests.verifiers.adversarial import FRAGMENTS, GOLDS, OPERATORS, Late, by_chance, hand_made

KEPT = Path(__file__).parent / "corpus" / "math_verifier.jsonl"
MAX_KEPT, MAX_CHARACTERS = 200, 400
MAX_BYTES = 2500  # of an input, in which a piece may stand for a hundred thousand characters
SLOW_SECONDS, LATE_SECONDS = 0.5, 2.0  # of computing; what is late is broken off
BETWEEN = "\0"  # between the gold answer and the text
AGAIN = "\1"  # around a piece of the text that is repeated, up to LONG characters
LONG = 100_000


def encode(gold: str, text: str) -> bytes:
    return (gold + BETWEEN + text).encode("utf-8", "surrogatepass")


def decode(data: bytes) -> tuple[str, str]:
    """Any bytes as a gold answer and a text; what is no UTF-8 becomes lone surrogates."""
    gold, _, text = data.decode("utf-8", "surrogateescape").partition(BETWEEN)
    first, *pieces = text.split(AGAIN, 2)
    if len(pieces) == 2 and pieces[0]:
        text = first + pieces[0] * (LONG // len(pieces[0])) + pieces[1]
    return gold, text


class Search:
    """Judges what libFuzzer makes, and writes down what is worth a look, once for each place in the code."""

    def __init__(self, findings: Path):
        self._findings, self._known = findings, set()
        signal.signal(signal.SIGVTALRM, _break_off)

    def __call__(self, data: bytes) -> None:
        gold, text = decode(data)
        for name, judge in (
            ("compare", lambda: Math().compare(gold, text)),
            ("verify", lambda: Math().verify({"answer": gold}, text)),
            ("equivalence", lambda: Math().equivalence(text)),
        ):
            started, fault = time.process_time(), None
            signal.setitimer(signal.ITIMER_VIRTUAL, LATE_SECONDS)
            try:
                judge()
            except (Exception, Late) as error:
                frames = traceback.extract_tb(error.__traceback__)
                place = [frame for frame in frames if "rlsp_jax" in frame.filename][-1]
                fault = f"{type(error).__name__} at {Path(place.filename).name}:{place.lineno}"
            finally:
                signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            seconds = time.process_time() - started
            if fault is None and seconds > SLOW_SECONDS:
                fault = f"slow, {seconds:.1f} s"
            if fault is not None and (name, fault) not in self._known:
                self._known.add((name, fault))
                with self._findings.open("a") as file:
                    row = {"way": name, "fault": fault, "seconds": seconds, "gold": gold, "text": text}
                    file.write(json.dumps(row) + "\n")


def _break_off(*_: object) -> None:
    raise Late


def run(folder: Path, options: list[str]) -> None:
    """Search until libFuzzer ends this process."""
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    seeds = [(gold, text) for gold, text in hand_made() if len(gold) + len(text) < MAX_BYTES]
    seeds += [("1", f"\\boxed{{1}}{operator}{AGAIN} {AGAIN}z") for operator in OPERATORS]
    seeds += [("1", f"{operator}{AGAIN} {AGAIN}\\boxed{{1}}") for operator in OPERATORS]
    seeds += [(gold, gold) for gold in GOLDS] + [by_chance(seed) for seed in range(500)]
    if KEPT.exists():
        seeds += [(row["gold"], row["text"]) for row in map(json.loads, KEPT.read_text().splitlines())]
    for number, seed in enumerate(seeds):
        (corpus / f"seed{number}").write_bytes(encode(*seed)[:MAX_BYTES])
    words = folder / "words.dict"
    escaped = {"".join(f"\\x{byte:02x}" for byte in word.encode("utf-8", "surrogatepass")) for word in FRAGMENTS}
    words.write_text("".join(f'"{word}"\n' for word in sorted(escaped)))
    arguments = [f"-dict={words}", f"-max_len={MAX_BYTES}", "-timeout=30", f"-artifact_prefix={folder}/", *options]
    atheris.Setup([sys.argv[0], str(corpus), *arguments], Search(folder / "findings.jsonl"))
    atheris.Fuzz()


def distill(folder: Path) -> None:
    """Write the inputs that reach a step from line to line which no shorter one reached, evenly chosen if too many."""
    pairs = {decode(path.read_bytes()) for path in (folder / "corpus").iterdir()}
    reached: set[tuple[str, int, int]] = set()
    kept = []
    for gold, text in sorted(pairs, key=lambda pair: (len(pair[0]) + len(pair[1]), pair)):
        steps = steps_of(gold, text) if len(gold) + len(text) <= MAX_CHARACTERS else set()
        if not steps <= reached:
            reached |= steps
            kept.append((gold, text))
    chosen = [kept[place * len(kept) // MAX_KEPT] for place in range(MAX_KEPT)] if len(kept) > MAX_KEPT else kept
    KEPT.write_text("".join(json.dumps({"gold": gold, "text": text}) + "\n" for gold, text in chosen))
    print(f"{len(pairs)} inputs, {len(kept)} of which reach something new, {len(chosen)} kept")


def steps_of(gold: str, text: str) -> set[tuple[str, int, int]]:
    """The steps from line to line that judging a text takes within the verifier."""
    steps: set[tuple[str, int, int]] = set()
    before: dict[object, int] = {}

    def trace(frame, event, _):
        if "rlsp_jax" not in (name := frame.f_code.co_filename):
            return None
        steps.add((name, before.get(frame, 0), frame.f_lineno))
        before[frame] = frame.f_lineno
        return trace

    sys.settrace(trace)
    try:
        Math().compare(gold, text)
        Math().verify({"answer": gold}, text)
    except Exception as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
    finally:
        sys.settrace(None)
    return steps


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["run", folder, *options]:
            run(Path(folder), options)
        case ["distill", folder]:
            distill(Path(folder))
        case _:
            sys.exit(__doc__)
