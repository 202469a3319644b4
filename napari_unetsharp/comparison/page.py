"""The HTML of a comparison: one page, no links, readable in light and dark and on paper."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from napari_unetsharp.comparison.difference import COLOURS, Kind
from napari_unetsharp.comparison.rows import Row
from napari_unetsharp.comparison.table_text import COLUMNS, Column, cell

STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --paper: #ffffff; --soft: #f3f4f6; --faint: #d9dce1; --dim: #555b66; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8e8e8; --paper: #16181c; --soft: #22252b; --faint: #3a3f48; --dim: #a7adb8; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1240px; padding: 24px; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 24px; margin: 0 0 4px; } h2 { font-size: 18px; margin: 32px 0 8px; }
.dim { color: var(--dim); } .advice { font-size: 17px; padding: 12px 16px; background: var(--soft);
  border-left: 4px solid #0072B2; border-radius: 4px; margin: 16px 0; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 13px; }
th, td { padding: 4px 9px; text-align: right; border-bottom: 1px solid var(--faint); white-space: nowrap; }
th { font-weight: 600; vertical-align: bottom; } th:first-child, td:first-child { text-align: left; }
td small { display: block; color: var(--dim); font-size: 11px; }
svg { max-width: 100%; height: auto; } svg text { font-family: inherit; }
@media (prefers-color-scheme: dark) { svg line, svg circle { filter: brightness(1.35); } }
.panes { display: grid; grid-template-columns: repeat(auto-fill, minmax(340px, 1fr)); gap: 14px; }
.close { display: grid; grid-template-columns: repeat(auto-fill, minmax(150px, 1fr)); gap: 8px; margin-bottom: 12px; }
figure { margin: 0; break-inside: avoid; } figure img { width: 100%; display: block; border-radius: 3px; }
figcaption { font-size: 13px; padding-top: 3px; overflow-wrap: anywhere; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 18px; font-size: 13px; padding: 0; margin: 6px 0 12px;
  list-style: none; }
.legend i { display: inline-block; width: 14px; height: 14px; border-radius: 3px; margin-right: 6px;
  vertical-align: -2px; }
.both { background: linear-gradient(135deg, #000 50%, #F0E442 50%); border: 1px solid var(--dim); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 16px; font-size: 13px; margin: 0; }
dt { color: var(--dim); } dd { margin: 0; overflow-wrap: anywhere; } code { font-size: 12px; overflow-wrap: anywhere; }
@media print {
  :root { color-scheme: light; --ink: #000; --paper: #fff; --soft: #f3f4f6; --faint: #ccc; --dim: #444; }
  @page { size: A4 landscape; margin: 12mm; }
  body { max-width: none; padding: 0; font-size: 11px; } .wide { overflow: visible; } table { font-size: 9px; }
  th, td { padding: 2px 4px; } td small { font-size: 8px; }
  h2, .legend { break-after: avoid; } tr { break-inside: avoid; }
  .panes { grid-template-columns: repeat(3, 1fr); }
  .close { grid-template-columns: repeat(7, 1fr); }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""

OUTLINE_WORDS = (
    (Kind.BOTH, "matches (black on bright tissue, yellow on dark)"), (Kind.ONLY_A, "missed: only the truth has it"),
    (Kind.ONLY_B, "false: only the candidate has it"), (Kind.SPLIT, "split by the candidate"),
    (Kind.JOINED, "joined by the candidate"),
)  # fmt: skip


@dataclass(frozen=True)
class Figure:
    """A picture of the page.

    Attributes
    ----------
    png : bytes
    caption : str
    """

    png: bytes
    caption: str

    def html(self) -> str:
        """As an element."""
        encoded = base64.b64encode(self.png).decode("ascii")
        words = escape(self.caption)
        return (
            f'<figure><img src="data:image/png;base64,{encoded}" alt="{words}">'
            f"<figcaption>{words}</figcaption></figure>"
        )


def page(title: str, parts: Sequence[str]) -> str:
    """A whole document."""
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style>"
    )
    body = "\n".join(parts)
    return f'<!DOCTYPE html>\n<html lang="en">\n<head>{head}</head>\n<body>\n{body}\n</body>\n</html>\n'


def heading(text: str, level: int = 2) -> str:
    """A heading."""
    return f"<h{level}>{escape(text)}</h{level}>"


def paragraph(text: str, kind: str = "") -> str:
    """A paragraph, of a class of `STYLE` perhaps; no line ends between a number and its percent sign."""
    return f"<p{_classed(kind)}>{escape(text).replace(' %', '&nbsp;%')}</p>"


def table(rows: Sequence[Row], columns: Sequence[Column] = COLUMNS) -> str:
    """The table of numbers, intervals in small."""
    heads = "".join(f'<th title="{escape(column.words)}">{escape(column.title)}</th>' for column in columns)
    lines = []
    for row in rows:
        cells = []
        for column in columns:
            text, _, ends = cell(row, column, True).partition(" (")
            small = f"<small>{escape(ends[:-1])}</small>" if ends else ""
            cells.append(f"<td>{escape(text)}{small}</td>")
        lines.append(f"<tr><td>{escape(row.name)}</td>{''.join(cells)}</tr>")
    return (
        f'<div class="wide"><table><thead><tr><th>Candidate</th>{heads}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def figures(items: Sequence[Figure], kind: str = "panes") -> str:
    """Pictures side by side."""
    return f'<div class="{kind}">{"".join(item.html() for item in items)}</div>'


def legend(words: Sequence[tuple[Kind, str]], outlines: bool) -> str:
    """What the colours mean."""
    entries = []
    for kind, text in words:
        both = outlines and kind is Kind.BOTH
        mark = '<i class="both"></i>' if both else f'<i style="background:{COLOURS[kind]}"></i>'
        entries.append(f"<li>{mark}{escape(text)}</li>")
    return f'<ul class="legend">{"".join(entries)}</ul>'


def facts(values: Mapping[str, Any], code: bool = False) -> str:
    """Names and values, one below the other."""
    lines = []
    for name, value in values.items():
        text = escape(str(value))
        lines.append(f"<dt>{escape(name)}</dt><dd>{f'<code>{text}</code>' if code else text}</dd>")
    return f"<dl>{''.join(lines)}</dl>"


def definitions() -> str:
    """What each column means, on the page itself."""
    return facts({column.title: column.words for column in COLUMNS})


def _classed(kind: str) -> str:
    return f' class="{kind}"' if kind else ""
