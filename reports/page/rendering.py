"""Render a page from a template, with the one script that may run in it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from importlib import resources
from typing import Any

from reports.figures.selection import CELLS_SHOWN, ROWS_KEPT
from reports.page.signs import control_finding
from reports.text import cell_name, count, interval, number, signed


def render(template: str, context: Mapping[str, Any]) -> str:
    """Fill in a template; whatever the context brings is escaped."""
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("reports.page"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        count=count,
        number=number,
        signed=signed,
        cell_name=cell_name,
        rows_shown=CELLS_SHOWN,
        rows_kept=ROWS_KEPT,
        interval=interval,
        control_finding=control_finding,
    )
    script = (resources.files("reports.page") / "templates" / "report.js").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    own = {"script": Markup(script), "script_hash": f"sha256-{digest}"}  # noqa: S704 - a file of ours, nothing put in
    return environment.get_template(template).render({**context, **own})
