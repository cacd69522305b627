"""Every PyTree that crosses a module boundary, in the order the data meets them.

    PromptBatch → Rollout → Verdicts → Scores → Experience → TrainState
         generate     verify    score   make_experience   update

Each is made from the one before it by one function, so a loss cannot be handed an unscored
rollout: that is another type.

The alignment law, kept everywhere: a `[batch, time]` array is *about the token at that place*.
`logprobs[b, t]` is the log-probability of `tokens[b, t]` given everything before it, and
`values[b, t]` is V of the state just before `tokens[b, t]` is chosen. Masks are carried, never
inferred from token ids (the padding id may equal eos).

Prompts are padded on the left and responses on the right, so that in `prompt ++ response` every
response begins at the same column.
"""

from typing import Any, NamedTuple

from jaxtyping import Array, Bool, Float, Int, Int8, PRNGKeyArray, UInt8, UInt32

PyTree = Any
Params = PyTree


class TokenBytes(NamedTuple):
    """The bytes each token id stands for, on the device: what lets a jitted kernel read text."""

    table: UInt8[Array, "vocab width"]  # zero-padded
    lengths: Int[Array, " vocab"]  # 0 for control tokens: eos, padding


class Demonstrations(NamedTuple):
    """Worked responses to imitate, several packed into each row."""

    tokens: Int[Array, "batch total"]
    segments: Int[Array, "batch total"]  # which demonstration of the row a token belongs to, from 1; 0 is padding
    mask: Bool[Array, "batch total"]  # True on response tokens, eos included: what the loss counts


class JudgedBatch(NamedTuple):
    """Whole responses of which it is known whether they ended right, several packed into each row."""

    tokens: Int[Array, "batch total"]
    segments: Int[Array, "batch total"]  # which response of the row a token belongs to, from 1; 0 is padding
    mask: Bool[Array, "batch total"]  # True on response tokens, eos included: what the loss counts
    correct: Bool[Array, "batch total"]  # whether the response that a token belongs to ended right


class PromptBatch(NamedTuple):
    """The tokens shown, one row per sample: k samples of a problem are k neighbouring rows."""

    tokens: Int[Array, "batch prompt"]
    mask: Bool[Array, "batch prompt"]
    problem: Int[Array, " batch"]  # the problem's number in its set; with `sample` it keys the row's randomness
    sample: Int[Array, " batch"]  # which of the problem's k samples this row is
    truth: PyTree  # what the device checker compares with, [batch, …]
    steps: UInt32[Array, "batch steps"] | None = None  # keys of a reference solution's values; 0 where there is none


class Rollout(NamedTuple):
    """The tokens chosen, with what the sampler knew when it chose them."""

    prompts: PromptBatch
    tokens: Int[Array, "batch time"]
    mask: Bool[Array, "batch time"]  # True from the first chosen token to the last one, eos included
    logprobs: Float[Array, "batch time"]  # of the distribution really sampled from; 0 where masked
    entropies: Float[Array, "batch time"]  # nats, of the same distribution; 0 where masked
    stop_reason: Int8[Array, " batch"]  # common.codes.StopReason


class Verdicts(NamedTuple):
    """What the outcome checker says of each response."""

    outcome: Int8[Array, " batch"]  # common.codes.Verdict
    answer_start: Int[Array, " batch"]  # first token of the first final answer; the response's length if none
    answered: Bool[Array, " batch"]  # a final answer stands in the response, well formed or not
    effort: Float[Array, " batch"] | None = None  # an effort judge's grade in [0, 1]; NaN where it has none
    promise: Float[Array, "batch time"] | None = None  # an outcome model's p(correct) after each token


class Scores(NamedTuple):
    """Rewards by stream, before any weight: stream k of K is one slice."""

    rewards: Float[Array, "stream batch time"]
    valid: Bool[Array, "stream batch"]  # False: this stream knows nothing of this row; it is masked, not 0


class Experience(NamedTuple):
    """All that one update needs, rows only: it may be split into minibatches anywhere."""

    tokens: Int[Array, "batch total"]  # prompt ++ response
    token_mask: Bool[Array, "batch total"]
    mask: Bool[Array, "batch time"]  # response tokens that the policy loss counts
    value_mask: Bool[Array, "batch head time"]
    logprobs: Float[Array, "batch time"]  # of the policy before the update
    reference_logprobs: Float[Array, "batch time"]
    advantages: Float[Array, "batch time"]
    values: Float[Array, "batch head time"]
    returns: Float[Array, "batch head time"]


class TrainState(NamedTuple):
    """All that a stage carries from step to step; everything else is a function of the step."""

    step: Int[Array, ""]
    params: Params
    opt_state: PyTree
    reference: Params  # a copy: donated state never aliases it
    memory: PyTree  # what exploration kernels remember over training, by stream
    bad_steps: Int[Array, ""]  # non-finite updates in a row
    skipped: Int[Array, ""]  # non-finite updates in all


__all__ = [
    "Demonstrations",
    "Experience",
    "JudgedBatch",
    "PRNGKeyArray",
    "Params",
    "PromptBatch",
    "PyTree",
    "Rollout",
    "Scores",
    "TokenBytes",
    "TrainState",
    "Verdicts",
]
