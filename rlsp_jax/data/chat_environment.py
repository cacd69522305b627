"""The sandbox that chat templates run in: Jinja, set up as `transformers` sets it up."""

import functools
import json
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from rlsp_jax.data.chat_template import END, START

# What a template may end in that is no fault of ours: its own refusals, and messages that it did not expect.
FAULTS = (jinja2.TemplateError, TypeError, ValueError, LookupError, ArithmeticError)


@functools.lru_cache(maxsize=16)
def compile_template(template: str) -> jinja2.Template:
    """A template, compiled once. Raises one of `FAULTS` where it is none."""
    extensions = [Generation, loopcontrols]
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=extensions)
    environment.filters["tojson"] = to_json
    environment.globals["raise_exception"] = raise_exception
    return environment.from_string(template)


class Generation(Extension):
    """`{% generation %} … {% endgeneration %}`: what stands there is what an assistant chose."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("mark"), [], [], body).set_lineno(line)

    def mark(self, caller: Any) -> str:
        return f"{START}{caller()}{END}"


def to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """JSON as it is: Jinja's own filter writes it for HTML."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def raise_exception(message: str) -> None:
    """How a template refuses."""
    raise jinja2.TemplateError(message)
