"""A page for people: one document without scripts, under a policy that lets it load nothing (pure)."""

import hashlib
import re
from base64 import b64encode
from html import escape

_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h2 { margin-top: 2.5rem; border-bottom: 1px solid #8884; } h3 { margin: 2rem 0 0; } h4 { margin: 1rem 0 0; }
code { background: #8882; padding: 0.1em 0.3em; border-radius: 0.2em; overflow-wrap: anywhere; }
h3 b { display: inline-block; min-width: 4.5rem; } p { margin: 0.4rem 0; }
table { border-collapse: collapse; width: 100%; } td, th { text-align: left; vertical-align: top; }
td, th { padding: 0.2rem 0.8rem 0.2rem 0; border-bottom: 1px solid #8882; overflow-wrap: anywhere; }
"""
_HASH = b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_LOADS_NOTHING = f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'"
POLICY = f"{_LOADS_NOTHING}; frame-ancestors 'none'"
"""For the header ``Content-Security-Policy``; the page carries what of it may stand in a page."""

_QUOTED = re.compile(r"(`+)(.+?)\1")


def page(title: str, body: str) -> str:
    """``body`` is HTML, ``title`` is not."""
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f'<meta http-equiv="Content-Security-Policy" content="{_LOADS_NOTHING}">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>{body}</body></html>"
    )


def prose(text: str) -> str:
    """HTML of a docstring or a sentence: what stands between backticks is code."""
    return _QUOTED.sub(lambda match: f"<code>{match[2]}</code>", escape(text))
