"""Command-line options for the fields of a config type."""

from __future__ import annotations

import ast
import inspect
import json
import textwrap
from collections.abc import Callable
from typing import Annotated, Any, Literal, get_args, get_origin

import pydantic
import typer


def add_field_options(command: Callable[..., Any], model: type[pydantic.BaseModel]) -> None:
    """Replace the ``**fields`` of a command with one option per field of ``model``, and ``--preset``.

    Options arrive as text, None where not given; :func:`parse_value` reads them. Doing it again changes nothing.
    """
    if hasattr(command, "__signature__"):
        return
    signature = inspect.signature(command, eval_str=True)
    parameters = [
        p.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for p in signature.parameters.values()
        if p.kind is not inspect.Parameter.VAR_KEYWORD
    ]
    parameters.append(_option("preset", "default, seed (the published program) or mnih2016; other options change it."))
    docs = _docs(model)
    for name, field in model.model_fields.items():
        default = "none" if field.default is None else json.dumps(field.default).strip('"')
        choices = f"one of {', '.join(get_args(field.annotation))}; " if get_origin(field.annotation) is Literal else ""
        parameters.append(_option(name, f"{docs.get(name, '')} ({choices}default: {default})".strip()))
    command.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters} | {"return": None}


def parse_value(text: str) -> object:
    """Read an option as a study file would: numbers, booleans, lists and tables, else text."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # no JSON; a number of thousands of digits; a list in a list in a list
        return text


def _option(name: str, text: str) -> inspect.Parameter:
    dashed = "--" + name.replace("_", "-")
    names = [dashed] if "_" not in name else [dashed, "--" + name]
    annotation = Annotated[str | None, typer.Option(*names, help=text, metavar="VALUE", show_default=False)]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _docs(model: type) -> dict[str, str]:
    """Return the docstring under each field of a class, without its reStructuredText marks."""
    body = ast.parse(textwrap.dedent(inspect.getsource(model))).body[0]
    assert isinstance(body, ast.ClassDef)  # noqa: S101 - the source of a class
    docs = {}
    for field, text in zip(body.body, body.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(field.target, ast.Name):
            docs[field.target.id] = (
                inspect.cleandoc(ast.literal_eval(text.value)).replace("``", "").replace(":mod:", "").replace("`", "")
            )
    return docs
