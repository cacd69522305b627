"""The transformer again, in numpy and float64, one unpadded sequence at a time: what the fast one is held against."""

import numpy as np

from rlsp_jax.models import LinearScaling


def forward(config, policy, tokens) -> tuple[np.ndarray, np.ndarray]:
    """Last hidden states [time, embed] and logits [time, vocab] of one sequence of token ids."""
    embedding = _array(policy["embed"]["embedding"])
    x = embedding[np.asarray(tokens)]
    for i in range(config.num_layers):
        block = policy[f"block_{i}"]
        x = x + _attention(config, block["attention"], _norm(config, x, block["attention_norm"]))
        x = x + _mlp(block["mlp"], _norm(config, x, block["mlp_norm"]))
    hidden = _norm(config, x, policy["final_norm"])
    return hidden, hidden @ (embedding.T if config.tie_embeddings else _array(policy["head"]["kernel"]))


def log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def values(params, hidden) -> np.ndarray:
    """Values [time, head] of linear heads."""
    out = params["value"]["heads"]["out"]
    return hidden @ _array(out["kernel"]) + _array(out["bias"])


def _attention(config, weights, x) -> np.ndarray:
    project = {
        name: np.einsum("te,ehd->thd", x, _array(weights[name]["kernel"])) + _array(weights[name].get("bias", 0.0))
        for name in ("query", "key", "value")
    }
    if config.qk_norm:
        project |= {name: _norm(config, project[name], weights[f"{name}_norm"]) for name in ("query", "key")}
    queries, keys = _rotate(config, project["query"]), _rotate(config, project["key"])
    mixed = np.zeros(queries.shape)
    for head in range(config.num_heads):
        own = head // (config.num_heads // config.num_kv_heads)
        for t in range(len(x)):
            scores = keys[: t + 1, own] @ queries[t, head] / np.sqrt(config.head_dim)
            mixed[t, head] = np.exp(log_softmax(scores)) @ project["value"][: t + 1, own]
    return np.einsum("thd,hde->te", mixed, _array(weights["out"]["kernel"]))


def _rotate(config, x) -> np.ndarray:
    """Dimensions i and i + half are one complex number, turned by position · rate(i); the last dimensions stay."""
    half = config.rope_dims // 2
    rates = [_rate(config.rope_scaling, config.rope_theta ** (-i / half)) for i in range(half)]
    angle = np.arange(len(x))[:, None] * np.array(rates)
    turned = (x[..., :half] + 1j * x[..., half : 2 * half]) * np.exp(1j * angle)[:, None]
    return np.concatenate([turned.real, turned.imag, x[..., 2 * half :]], axis=-1)


def _rate(scaling, rate: float) -> float:
    """Radians per position once scaled: Llama-3.1's rule in the words of its paper's code, by wavelength."""
    if scaling is None:
        return rate
    if isinstance(scaling, LinearScaling):
        return rate / scaling.factor
    wavelength = 2 * np.pi / rate
    if wavelength < scaling.original_length / scaling.high_frequency:
        return rate
    if wavelength > scaling.original_length / scaling.low_frequency:
        return rate / scaling.factor
    smooth = scaling.original_length / wavelength - scaling.low_frequency
    smooth /= scaling.high_frequency - scaling.low_frequency
    return (1 - smooth) * rate / scaling.factor + smooth * rate


def _mlp(weights, x) -> np.ndarray:
    gate = x @ _array(weights["gate"]["kernel"])
    return (gate / (1 + np.exp(-gate)) * (x @ _array(weights["up"]["kernel"]))) @ _array(weights["down"]["kernel"])


def _norm(config, x, weights) -> np.ndarray:
    return x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + config.norm_eps) * _array(weights["scale"])


def _array(x) -> np.ndarray:
    return np.asarray(x, np.float64)
