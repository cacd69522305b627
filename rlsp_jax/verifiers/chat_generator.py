"""Texts from a language model behind an OpenAI-compatible endpoint: one chat for each sample of each prompt."""

from collections import Counter
from collections.abc import Sequence

from rlsp_jax.common.errors import UserError
from rlsp_jax.verifiers.chat import ChatClient, Endpoint, Message, Reply, Spent

CUT_OFF = "cut off"  # why a reply that reached max_reply_tokens is none


class ChatGenerator:
    """Answers prompts with what a model writes. It holds the endpoint's key and what is left of its budget.

    `instructions` come before each prompt, as the system's. Raises UserError without the key, as `ChatClient` does.
    """

    def __init__(self, endpoint: Endpoint, instructions: str | None = None):
        self._endpoint, self._client = endpoint, ChatClient(endpoint)
        self._system: list[Message] = [{"role": "system", "content": instructions}] if instructions else []
        self.failures: Counter[str] = Counter()  # replies that never came, by reason

    @property
    def spent(self) -> Spent:
        return self._client.spent

    def generate(self, prompts: Sequence[str], samples: int) -> list[list[str]]:
        """Up to `samples` texts for each prompt, in order, within the endpoint's deadline.

        Replies that failed are missing, and so are those that were cut off: they are no texts to judge or to imitate.
        """
        if samples > 1 and self._endpoint.temperature == 0:
            raise UserError(f"{samples} samples at temperature 0 are all the same; raise the endpoint's temperature.")
        chats = [[*self._system, {"role": "user", "content": prompt}] for prompt in prompts for _ in range(samples)]
        texts = [self._read(reply) for reply in self._client.ask(chats, accept=lambda text: bool(text.strip()))]
        groups = [texts[i : i + samples] for i in range(0, len(texts), samples)]
        return [[text for text in group if text is not None] for group in groups]

    def _read(self, reply: Reply) -> str | None:
        if reply.text is not None and reply.finished:
            return reply.text
        self.failures[reply.reason.partition(":")[0] or CUT_OFF] += 1
        return None
