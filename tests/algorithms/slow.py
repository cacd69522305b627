"""PPO with reward streams in numpy, one row, one stream and one token at a time."""

import numpy as np

from rlsp_jax.algorithms.combination import Decoupled
from rlsp_jax.algorithms.ppo import KLLoss, KLReward
from rlsp_jax.rewards import LeaveOneOut, Whiten
from tests.models import slow as transformer


def score_row(model_config, params, prompt, response, *, temperature):
    """Log-probs, entropies [time] and values [time, head] of the response tokens, from the sequence alone."""
    hidden, logits = transformer.forward(model_config, params["policy"], [*prompt, *response])
    before = slice(len(prompt) - 1, len(prompt) + len(response) - 1)
    logp = transformer.log_softmax(logits[before] / temperature)
    entropies = -(np.exp(logp) * logp).sum(axis=1)
    return logp[np.arange(len(response)), response], entropies, transformer.values(params, hidden[before])


def rows_of(rollout):
    """(prompt, response) token ids without padding."""
    prompts, arrays = rollout.prompts, np.asarray
    for tokens, mask, chosen, real in zip(
        *map(arrays, (prompts.tokens, prompts.mask, rollout.tokens, rollout.mask)), strict=True
    ):
        yield tokens[mask].tolist(), chosen[real].tolist()


def gae(rewards, values, gamma, lam):
    """Advantages and returns of one row (1506.02438, Eq. 16, summed out)."""
    later = [*values[1:], 0.0]
    deltas = [r + gamma * n - v for r, n, v in zip(rewards, later, values, strict=True)]
    total = len(deltas)
    advantages = [sum((gamma * lam) ** (u - t) * deltas[u] for u in range(t, total)) for t in range(total)]
    return np.array(advantages), np.array(advantages) + values


def normalize(normalization, advantages, rewards, known, group):
    """Lists of rows in, a list of rows out; rows that are not known become 0."""
    if isinstance(normalization, Whiten):
        counted = np.concatenate([a for a, ok in zip(advantages, known, strict=True) if ok])
        divisor = max(counted.std(), normalization.min_std)
        advantages = [(a - counted.mean()) / divisor for a in advantages]
    if isinstance(normalization, LeaveOneOut):
        baselined = []
        for i, a in enumerate(advantages):
            first = i - i % group
            siblings = [rewards[j].sum() for j in range(first, first + group) if j != i and known[j]]
            own = rewards[i].sum() - np.mean(siblings) if siblings else 0.0
            baselined.append(np.full(len(a), own))
        advantages = baselined
    return [a if ok else np.zeros(len(a)) for a, ok in zip(advantages, known, strict=True)]


def combine(combination, channels, rewards, values, valid, step, group):
    """rewards[k][row], values[head][row] → advantages[row], returns[head][row], known[row], known[head][row]."""
    rows = range(len(rewards[0]))
    weights = [float(channel.weight(step)) for channel in channels]
    if isinstance(combination, Decoupled):
        total, returns = [np.zeros(len(rewards[0][i])) for i in rows], []
        for k, channel in enumerate(channels):
            pairs = [gae(rewards[k][i], values[k][i], channel.gamma, channel.lam) for i in rows]
            scaled = normalize(channel.normalization, [a for a, _ in pairs], rewards[k], valid[k], group)
            total = [t + weights[k] * s for t, s in zip(total, scaled, strict=True)]
            returns.append([r for _, r in pairs])
        return total, returns, [all(v[i] for v in valid) for i in rows], valid
    mixed = [sum(w * rewards[k][i] for k, w in enumerate(weights)) for i in rows]
    if combination.clip is not None:
        mixed = [np.asarray([min(max(r, -combination.clip), combination.clip) for r in row]) for row in mixed]
    known = [all(v[i] for v in valid) for i in rows]
    pairs = [gae(mixed[i], values[0][i], combination.gamma, combination.lam) for i in rows]
    advantages = normalize(combination.normalization, [a for a, _ in pairs], mixed, known, group)
    return advantages, [[r for _, r in pairs]], known, [known]


def experience(model_config, config, heads, params, reference, rollout, scores, step):
    """All that `make_experience` makes, as ragged lists by row (and by head)."""
    temperature, rewards = config.sampling.temperature, []
    rows = list(rows_of(rollout))
    scored = [score_row(model_config, params, *row, temperature=temperature) for row in rows]
    referred = [
        score_row(model_config, params | {"policy": reference}, *row, temperature=temperature)[0] for row in rows
    ]
    sampled = [np.asarray(rollout.logprobs[i][: len(row[1])]) for i, row in enumerate(rows)]
    for stream in np.asarray(scores.rewards):
        rewards.append([stream[i][: len(row[1])] for i, row in enumerate(rows)])
    valid = [list(map(bool, stream)) for stream in np.asarray(scores.valid)]
    if isinstance(config.kl, KLReward):
        rewards.append([-(s - r) for s, r in zip(sampled, referred, strict=True)])
        valid.append([True] * len(rows))
    values = [[row_values[:, head] for _, _, row_values in scored] for head in heads]
    advantages, returns, known, value_known = combine(
        config.combination, config.channels, rewards, values, valid, step, config.samples_per_prompt
    )
    return dict(
        learner=[logprobs for logprobs, _, _ in scored],
        reference=referred,
        advantages=advantages,
        returns=returns,
        values=values,
        known=known,
        value_known=value_known,
    )


def loss(model_config, config, heads, params, batch, prompt, step):
    """The loss and metrics of an experience (PPO's Eq. 7 and the clipped value loss), token by token."""
    tokens, token_mask, mask = map(np.asarray, (batch.tokens, batch.token_mask, batch.mask))
    value_mask = np.asarray(batch.value_mask)
    sums = dict.fromkeys(("surrogate", "entropy", "ratio", "approx_kl", "clipped", "kl"), 0.0)
    value_sums = np.zeros(len(heads))
    for b in range(len(tokens)):
        question = tokens[b, :prompt][token_mask[b, :prompt]].tolist()
        response = tokens[b, prompt:][token_mask[b, prompt:]].tolist()
        scored = score_row(model_config, params, question, response, temperature=config.sampling.temperature)
        for t, (logprob, entropy, values) in enumerate(zip(*scored, strict=True)):
            for k, head in enumerate(heads):
                if value_mask[b, k, t]:
                    old, target = float(batch.values[b, k, t]), float(batch.returns[b, k, t])
                    near = old + np.clip(values[head] - old, -config.value_clip, config.value_clip)
                    value_sums[k] += 0.5 * max((values[head] - target) ** 2, (near - target) ** 2)
            if not mask[b, t]:
                continue
            advantage, change = float(batch.advantages[b, t]), logprob - float(batch.logprobs[b, t])
            ratio, drift = np.exp(change), logprob - float(batch.reference_logprobs[b, t])
            sums["surrogate"] -= min(ratio * advantage, np.clip(ratio, 1 - config.clip, 1 + config.clip) * advantage)
            sums["entropy"] += entropy
            sums["ratio"] += ratio
            sums["approx_kl"] += ratio - 1 - change
            sums["clipped"] += abs(ratio - 1) > config.clip
            if isinstance(config.kl, KLLoss):
                kinds = {"K1": drift, "K2": drift**2 / 2, "K3": np.exp(-drift) - 1 + drift}
                sums["kl"] += kinds[type(config.kl.estimator).__name__]
    means = {name: total / max(mask.sum(), 1) for name, total in sums.items()}
    value_loss = sum(value_sums / np.maximum(value_mask.sum(axis=(0, 2)), 1))
    entropy_coef, kl_coef = float(config.entropy_coef(step)), config.kl.coef if isinstance(config.kl, KLLoss) else 0.0
    total = (
        means["surrogate"] + config.value_coef * value_loss - entropy_coef * means["entropy"] + kl_coef * means["kl"]
    )
    return total, means | {"value": value_loss}


# ---- without critics: groups of siblings ----


def compare(baseline, rewards, known, group):
    """The advantage of each response by its siblings' rewards: lists of numbers, 0 where not known."""
    advantages = []
    for i, reward in enumerate(rewards):
        first = i - i % group
        everyone = [rewards[j] for j in range(first, first + group) if known[j]]
        others = [rewards[j] for j in range(first, first + group) if known[j] and j != i]
        match type(baseline).__name__ if known[i] else "unknown":
            case "LeaveOneOut":
                advantages.append(reward - np.mean(others) if others else 0.0)
            case "GroupMean":
                advantages.append(reward - np.mean(everyone))
            case "GroupNormalized":
                advantages.append((reward - np.mean(everyone)) / (np.std(everyone) + baseline.eps))
            case "unknown":
                advantages.append(0.0)
    return np.array(advantages)


def group_advantages(config, rewards, valid, drifts, step):
    """rewards[k][row], valid[k][row] and Σ_t log π/π_ref of each row → A_i; 0 where some stream knows nothing."""
    group, rows = config.samples_per_prompt, range(len(drifts))
    weights = [float(stream.weight(step)) for stream in config.streams]
    known = [all(v[i] for v in valid) for i in rows]
    if type(config.mixing).__name__ == "Apart":
        compared = [compare(config.baseline, r, v, group) for r, v in zip(rewards, valid, strict=True)]
        total = sum(w * c for w, c in zip(weights, compared, strict=True))
    else:
        mixed = [sum(w * r[i] for w, r in zip(weights, rewards, strict=True)) if known[i] else 0.0 for i in rows]
        total = compare(config.baseline, mixed, known, group)
    if type(config.kl).__name__ == "SequenceKL":
        for i in rows:
            others = [drifts[j] for j in range(i - i % group, i - i % group + group) if j != i]
            total[i] -= config.kl.coef * (drifts[i] - np.mean(others))
    return np.where(known, total, 0.0)


def group_loss(model_config, config, params, batch, prompt, entropy_coef):
    """The loss and metrics of a whole minibatch of experience, one token at a time."""
    tokens, token_mask, mask = map(np.asarray, (batch.tokens, batch.token_mask, batch.mask))
    num_rows, num_tokens = mask.any(axis=1).sum(), mask.sum()
    total, sums = 0.0, dict.fromkeys(("loss", "entropy", "ratio", "approx_kl", "clip_fraction", "kl_loss"), 0.0)
    for b in np.flatnonzero(mask.any(axis=1)):
        question = tokens[b, :prompt][token_mask[b, :prompt]].tolist()
        response = tokens[b, prompt:][token_mask[b, prompt:]].tolist()
        logprobs, entropies, _ = score_row(
            model_config, params, question, response, temperature=config.sampling.temperature
        )
        weight = {
            "SequenceSum": 1 / num_rows,
            "SequenceMean": 1 / len(response) / num_rows,
            "TokenMean": 1 / num_tokens,
            "ConstantLength": 1 / num_rows / getattr(config.aggregation, "length", 1),
        }[type(config.aggregation).__name__]
        for t, (logprob, entropy) in enumerate(zip(logprobs, entropies, strict=True)):
            advantage, change = float(batch.advantages[b, t]), logprob - float(batch.logprobs[b, t])
            ratio, drift = np.exp(change), logprob - float(batch.reference_logprobs[b, t])
            if type(config.loss).__name__ == "PolicyGradient":
                own = -advantage * logprob
            else:
                clip = config.loss.clip
                own = -min(ratio * advantage, np.clip(ratio, 1 - clip, 1 + clip) * advantage)
                sums["clip_fraction"] += float(abs(ratio - 1) > clip) / num_tokens
            sums["loss"] += weight * own
            sums["entropy"] += entropy / num_tokens
            sums["ratio"] += ratio / num_tokens
            sums["approx_kl"] += (ratio - 1 - change) / num_tokens
            if isinstance(config.kl, KLLoss):
                kinds = {"K1": drift, "K2": drift**2 / 2, "K3": np.exp(-drift) - 1 + drift}
                sums["kl_loss"] += weight * kinds[type(config.kl.estimator).__name__]
    total = sums["loss"] - entropy_coef * sums["entropy"]
    return total + (config.kl.coef * sums["kl_loss"] if isinstance(config.kl, KLLoss) else 0.0), sums
