"""Short chats with an OpenAI-compatible endpoint, many at once: retries, deadlines and a budget.

The connections, with TLS and the environment's proxies, are those of httpx, the `judge` extra.
"""

import asyncio
import contextlib
import email.utils
import itertools
import json
import math
import os
import random
import re
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from rlsp_jax.common.errors import UserError

if TYPE_CHECKING:
    import httpx

Message = dict[str, str]  # {"role": …, "content": …}
Chat = Sequence[Message]
Accept = Callable[[str], bool]

MAX_REASON = 200  # characters
BYTES_PER_TOKEN = 4  # roughly, until the endpoint says how many tokens there were
TIMEOUT, DEADLINE, SPENT, MALFORMED = "timeout", "deadline", "budget spent", "malformed reply"

_URL = re.compile(r"https?://([\w.-]+|\[[\da-fA-F:.]+\])(:\d{1,5})?(/[\w./~%+:=,-]*)?", re.ASCII)


@dataclass(frozen=True)
class Endpoint:
    """An OpenAI-compatible endpoint, and how hard it is pressed. The key itself is never part of a config."""

    model: str
    base_url: str = "https://api.openai.com/v1"  # what stands before /chat/completions
    api_key_variable: str | None = "OPENAI_API_KEY"  # the environment variable that holds the key; None: no key is sent
    max_in_flight: int = 8
    timeout: float = 60.0  # seconds one request may take; a late one is not repeated, for it may have been paid
    deadline: float = 300.0  # seconds a batch may take, waits between tries included
    max_tries: int = 5  # of one chat, on 408, 409, 429, 5xx and lost connections
    backoff: float = 1.0  # seconds before the second try, at most; doubles with each further one
    max_backoff: float = 30.0  # seconds; a Retry-After may ask for more
    max_requests: int | None = None  # over the life of a client, and of all sessions of a run
    max_tokens: int | None = None  # the same, prompts and replies together
    max_reply_tokens: int | None = 512  # None, here and below: not sent, for models that refuse the parameter
    temperature: float | None = 0.0

    def __post_init__(self):
        if not self.model:
            raise UserError("model is empty; name the model that answers.")
        if not _URL.fullmatch(self.base_url):  # not quoted, for a password may stand in it
            raise UserError("base_url must look like https://host/v1 or http://host:8000/v1, without user or query.")
        if self.api_key_variable == "":
            raise UserError("api_key_variable is empty; name an environment variable, or give None to send no key.")
        for name in ("max_in_flight", "max_tries", "max_requests", "max_tokens", "max_reply_tokens"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise UserError(f"{name} is {value}; it must be at least 1.")
        for name in ("timeout", "deadline", "backoff", "max_backoff"):
            if not 0 < getattr(self, name) < math.inf:
                raise UserError(f"{name} is {getattr(self, name)}; it must be a positive, finite number of seconds.")
        if self.temperature is not None and not 0 <= self.temperature < math.inf:
            raise UserError(f"temperature is {self.temperature}; it must be at least 0, or None.")


class Reply(NamedTuple):
    """What the model wrote; None where there is nothing acceptable, and then why, in a few words."""

    text: str | None
    reason: str = ""
    finished: bool = True  # False: the longest reply allowed cut it off


class Spent(NamedTuple):
    """What a client has sent and been told it cost."""

    requests: int
    tokens: int


class ChatClient:
    """Holds the key, and what was spent. Raises UserError without httpx, or when the environment has no usable key.

    `max_tokens` counts what the endpoint reports. A request in flight, or without a report, counts by an estimate from
    its size and the longest reply, so that the budget is overrun by no more than that estimate is wrong.
    """

    def __init__(self, endpoint: Endpoint):
        try:
            import httpx
        except ImportError:
            raise UserError("Endpoints are asked through httpx; install it: pip install 'rlsp_jax[judge]'.") from None
        self._endpoint = endpoint
        self._key = None
        if (variable := endpoint.api_key_variable) is not None:
            self._key = os.environ.get(variable, "").strip()
            if not re.fullmatch("[!-~]+", self._key):
                raise UserError(f"{variable} holds no key; export the endpoint's, or set api_key_variable to None.")
        self._certificates = httpx.create_ssl_context()  # read once, which takes longer than a short chat
        self._requests = self._tokens = 0
        self._one_batch = threading.Lock()

    @property
    def spent(self) -> Spent:
        return Spent(self._requests, self._tokens)

    def resume(self, spent: Spent) -> None:
        """Count on from here, as if this client had spent what another one did. Not while a batch is under way."""
        self._requests, self._tokens = spent

    def ask(self, chats: Sequence[Chat], accept: Accept) -> list[Reply]:
        """The replies, in order, within the deadline; a reply that `accept` refuses is asked for once more."""
        # In a thread of its own: the caller's may run a loop already, as a notebook's does, and Ctrl-C strikes there.
        with self._one_batch, ThreadPoolExecutor(1, "chat") as thread:
            loop = asyncio.new_event_loop()
            batch = loop.create_task(self._ask(chats, accept))

            def run() -> list[Reply]:
                with contextlib.closing(loop):
                    return loop.run_until_complete(batch)

            try:
                return thread.submit(run).result()
            except BaseException:
                with contextlib.suppress(RuntimeError):  # the loop has just been closed
                    loop.call_soon_threadsafe(batch.cancel)
                raise

    async def _ask(self, chats: Sequence[Chat], accept: Accept) -> list[Reply]:
        import httpx

        replies = [Reply(None, DEADLINE)] * len(chats)
        due = time.monotonic() + self._endpoint.deadline
        free = asyncio.Semaphore(self._endpoint.max_in_flight)

        async def work(index: int) -> None:
            async with free:
                text, reason, finished = await self._chat(http, chats[index], accept, due)
            replies[index] = Reply(text and self._without_key(text), self._without_key(reason)[:MAX_REASON], finished)

        headers = {"Content-Type": "application/json"}
        if self._key is not None:
            headers["Authorization"] = f"Bearer {self._key}"
        # httpx's timeout would begin anew with every byte of a reply that drips; `free` is the limit of connections.
        http = httpx.AsyncClient(headers=headers, timeout=None, limits=httpx.Limits(), verify=self._certificates)
        with contextlib.suppress(TimeoutError):
            async with http, asyncio.timeout(self._endpoint.deadline), asyncio.TaskGroup() as tasks:
                for index in range(len(chats)):
                    tasks.create_task(work(index))
        return replies

    async def _chat(self, http: "httpx.AsyncClient", chat: Chat, accept: Accept, due: float) -> Reply:
        """Ask until there is an acceptable reply, or no use in asking again."""
        knobs = {"max_tokens": self._endpoint.max_reply_tokens, "temperature": self._endpoint.temperature}
        request = {"model": self._endpoint.model, "messages": list(chat), **knobs}
        body = json.dumps({name: value for name, value in request.items() if value is not None}).encode()
        num_malformed, longest = 0, self._endpoint.backoff
        for num_tries in itertools.count(1):
            reply, wait = await self._try(http, body, accept)
            num_malformed += reply.reason == MALFORMED
            if wait is None or num_malformed > 1 or num_tries == self._endpoint.max_tries:
                break
            # Up to half is left to chance, so that many do not return at once; a seeded `random` is left alone.
            wait = max(wait, min(longest, self._endpoint.max_backoff) * random.SystemRandom().uniform(0.5, 1.0))
            if time.monotonic() + wait >= due:
                break
            await asyncio.sleep(wait)
            longest *= 2
        return reply

    async def _try(self, http: "httpx.AsyncClient", body: bytes, accept: Accept) -> tuple[Reply, float | None]:
        """What came of one request, and the seconds to wait, at least, before another; None: there is no use in one."""
        import httpx

        reserved = len(body) // BYTES_PER_TOKEN + (self._endpoint.max_reply_tokens or 0)
        max_requests, max_tokens = self._endpoint.max_requests or math.inf, self._endpoint.max_tokens or math.inf
        if self._requests + 1 > max_requests or self._tokens + reserved > max_tokens:
            return Reply(None, SPENT), None
        self._requests += 1
        self._tokens += reserved
        try:
            async with asyncio.timeout(self._endpoint.timeout):
                response = await http.post(f"{self._endpoint.base_url.rstrip('/')}/chat/completions", content=body)
        except TimeoutError:
            return Reply(None, TIMEOUT), None
        except httpx.RequestError as error:
            if isinstance(error, (httpx.ConnectError, httpx.ProxyError)):
                self._tokens -= reserved
            return Reply(None, f"connection failed: {type(error).__name__}: {error}"), 0.0
        status, content = response.status_code, None
        with contextlib.suppress(ValueError, RecursionError):
            content = response.json()
        match status, content:
            case 200, {"usage": {"total_tokens": int(num_tokens)}}:
                self._tokens += max(0, num_tokens) - reserved
            case _ if status != 200:
                self._tokens -= reserved
        match status, content:
            case 200, {"choices": [{"message": {"content": str(text)}, **more}, *_]} if accept(text):
                return Reply(text, finished=more.get("finish_reason") != "length"), None
            case 200, _:
                return Reply(None, MALFORMED), 0.0
            case _, {"error": {"message": str(message)}} | {"error": str(message)} | {"message": str(message)}:
                reason = f"HTTP {status}: {' '.join(message.split())}"
            case _:
                reason = f"HTTP {status}"
        again = status in (408, 409, 429) or status >= 500
        return Reply(None, reason), _seconds(response.headers.get("Retry-After", "")) if again else None

    def _without_key(self, text: str) -> str:
        return text if self._key is None else text.replace(self._key, "[key]")  # an endpoint may quote it


def _seconds(retry_after: str) -> float:
    """Until another try is welcome, from a number of seconds or a date; 0 if it is not said."""
    if re.fullmatch(r"\d+(\.\d+)?", retry_after):
        return float(retry_after)
    with contextlib.suppress(ValueError, OverflowError):
        return max(0.0, email.utils.parsedate_to_datetime(retry_after).timestamp() - time.time())
    return 0.0
