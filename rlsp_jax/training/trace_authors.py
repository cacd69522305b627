"""Who writes trial-and-error traces: models behind an endpoint, and a policy of one's own beside them."""

import contextlib
import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from rlsp_jax.data.trial_and_error import Author, Authors
from rlsp_jax.training.evaluate import load_policy, open_trained, own_sampling
from rlsp_jax.training.policy_generator import PolicyGenerator
from rlsp_jax.training.progress import Display
from rlsp_jax.verifiers import ChatGenerator, Endpoint


@contextlib.contextmanager
def open_authors(
    endpoint: Endpoint, models: Sequence[str], display: Display, *, policy: Path | None = None
) -> Iterator[Authors]:
    """Each of `models` attempts the problems, and so does the newest policy of the workdir `policy`.

    The endpoint's own model criticizes, merges and rewrites, at temperature 0; the endpoint's temperature is that of
    the attempts. Its budget is each author's.
    """
    attempts = [Author(name, ChatGenerator(dataclasses.replace(endpoint, model=name))) for name in models]
    pen = Author(endpoint.model, ChatGenerator(dataclasses.replace(endpoint, temperature=0.0)))
    with contextlib.ExitStack() as stack:
        if policy is not None:
            run = stack.enter_context(open_trained(policy, display))
            index, _, params = load_policy(run)
            sampling = run.sampling(index, own_sampling(run.experiment))
            own = PolicyGenerator(run, params, sampling, suffix=run.prompt_suffix(index))
            attempts.append(Author(str(policy), own, "$question"))
        yield Authors(tuple(attempts), pen, pen, pen)


def failures(authors: Authors) -> Counter[str]:
    """Replies that never came, by model and reason."""
    counts: Counter[str] = Counter()
    for author in {id(author.generator): author for author in (*authors.attempts, *authors[1:])}.values():
        if isinstance(author.generator, ChatGenerator):
            counts += Counter({f"{author.name}: {why}": n for why, n in author.generator.failures.items()})
    return counts
