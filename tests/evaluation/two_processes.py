"""One of two processes that judge the same rollout: `python -m tests.evaluation.two_processes ADDRESS NUMBER`."""

import sys

import jax
import numpy as np

from rlsp_jax.data import Conventions, parse_question
from rlsp_jax.evaluation import Responder, make_judge
from rlsp_jax.generation import SamplingConfig
from rlsp_jax.models import ActorCritic, nano
from rlsp_jax.rewards import CountdownChecker
from rlsp_jax.sharding import MeshConfig, make_mesh, place_rows
from rlsp_jax.types import Rollout
from rlsp_jax.verifiers import Countdown, Outcome, VerifierPool

TEXTS = ["answer: 1+2", "answer: 1-2", "none", "answer: 2+1", "answer: 3", "answer: (1+2)", "answer: 2-1", "answer: 1"]


class Bytes:
    """Each byte is a token."""

    vocab_size, eos_id, pad_id = 258, 256, 257
    id_to_bytes = [*(bytes([byte]) for byte in range(256)), b"", b""]
    conventions = Conventions("bytes")

    def encode(self, text: str) -> list[int]:
        return list(text.encode())

    encode_marked = encode

    def decode(self, ids: list[int]) -> str:
        return bytes(i for i in ids if i < 256).decode()


class Recording(VerifierPool):
    """Tells which responses it was asked about."""

    def verify(self, items) -> list[Outcome]:
        print("asked", *(text for _, text in items), sep="|")
        return super().verify(items)


def main(address: str, number: int) -> None:
    jax.distributed.initialize(address, num_processes=2, process_id=number)
    mesh = make_mesh(MeshConfig(data=2, fsdp=2))
    problem = parse_question("1 2 = 3")
    with jax.set_mesh(mesh), Recording(Countdown()) as pool:
        judge = make_judge(mesh, CountdownChecker(answer_bytes=1), pool, Bytes())
        responder = Responder(mesh, ActorCritic(nano(), 258), judge, SamplingConfig(max_response=16), len(TEXTS), 16)
        prompts = responder.prompts([problem], samples=len(TEXTS))
        ids = [[*text.encode(), Bytes.eos_id] for text in TEXTS]
        tokens = np.array([row + [Bytes.pad_id] * (16 - len(row)) for row in ids], np.int32)
        mask = np.array([[True] * len(row) + [False] * (16 - len(row)) for row in ids])
        tokens, mask, zeros, ends = place_rows(
            mesh, (tokens, mask, np.zeros(mask.shape, np.float32), np.zeros(8, np.int8))
        )
        verdicts = responder.verify(Rollout(prompts, tokens, mask, zeros, zeros, ends), [problem] * len(TEXTS))
        for shard in verdicts.outcome.addressable_shards:
            print("verdicts", shard.index[0].start, *np.asarray(shard.data).tolist())


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
