"""From values to a file: templates of this folder, filled in with everything escaped, written in one step."""

import os
from pathlib import Path
from typing import Any

import jinja2


def render(template: str, **values: Any) -> str:
    """A template of this folder, filled in with everything escaped that is not marked safe."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
    return environment.get_template(template).render(**values)


def write_atomically(path: Path, text: str) -> Path:
    """A reader, or a crash, sees the old file or the new one, never a part."""
    draft = path.with_name(path.name + ".draft")
    draft.write_text(text, encoding="utf-8")
    os.replace(draft, path)
    return path
