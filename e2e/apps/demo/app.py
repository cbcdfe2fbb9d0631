"""The page that `make run` pushes: who answers, which release, and what time it is there."""

import os
from datetime import datetime, timezone

from flask import Flask, render_template

GREETING = "Hello, world"

app = Flask(__name__)


@app.get("/")
def page():
    return render_template(
        "page.html",
        greeting=GREETING,
        now=datetime.now(timezone.utc),
        tool=os.environ.get("WINDLASS_TOOL", "demo"),
        release=os.environ.get("WINDLASS_RELEASE", "not released"),
        commit=os.environ.get("WINDLASS_COMMIT", "")[:7],
        process=os.environ.get("WINDLASS_PROCESS", ""),
    )


@app.get("/healthz")
def health():
    return "ok\n"
