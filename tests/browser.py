"""Pages in a real browser, and what a reader sees of them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import escape, unescape
from pathlib import Path
from typing import Any

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PROBE = """
<script>
addEventListener("load", () => setTimeout(() => {
  const frame = document.querySelector("iframe"), inner = frame.contentDocument, view = frame.contentWindow;
  const root = inner.documentElement;
  const found = { errors: view.errors, width: root.clientWidth, needed: root.scrollWidth };
  %s
  document.body.textContent = "RESULT" + JSON.stringify(found) + "END";
}, 300));
</script>
"""


def in_browser(page: str, width: int, tmp_path: Path, script: str = "") -> dict[str, Any]:
    """Load `page` in a frame of `width` pixels, run `script` (which may add to `found` what it reads from `inner`, the
    page, and `view`, its window), and return what was found: `errors`, the `width`, what is `needed` of it, and that.
    """
    listening = "<head><script>window.errors=[];addEventListener('error',e=>errors.push(e.message))</script>"
    listening = page.replace("<head>", listening, 1)
    frame = f'<iframe style="width:{width}px;height:900px;border:0" srcdoc="{escape(listening, quote=True)}"></iframe>'
    outer = tmp_path / "outer.html"
    outer.write_text(f"<!doctype html><body>{frame}{PROBE % script}</body>", encoding="utf-8")
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    flags += " --disable-component-update --disable-sync --hide-scrollbars --window-size=1400,1000"
    flags += " --virtual-time-budget=4000 --dump-dom"
    done = subprocess.run(
        [str(BROWSER), *flags.split(), f"--user-data-dir={tmp_path / 'profile'}", outer.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    result = re.search(r"RESULT(.*)END", done.stdout)
    assert result, done.stdout[-500:]
    return json.loads(unescape(result[1]))


def text_of(html: str) -> str:
    """What a reader sees: no scripts, styles or tags."""
    html = re.sub(r"<(script|style)\b.*?</\1>", " ", html, flags=re.S)
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", html)))
