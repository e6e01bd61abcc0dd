# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The style sheet of a report: light and dark, from a phone to a wide screen, and on paper."""

from __future__ import annotations

# Each color of text has a contrast of at least 4.5:1 to its background, each color of a bar one of at least 3:1; a test calculates both.
LIGHT = {
    "page": "#ffffff", "surface": "#f5f6f7", "line": "#dfe2e6", "text": "#1a1c1f", "muted": "#5a6068", "link": "#1a56b0",
    "succeeded": "#1b7a47", "failed": "#bf2a2a", "running": "#1f62c4", "skipped": "#7c5c00", "waiting": "#80878f", "pulling": "#8a6bb8",
}  # fmt: skip
DARK = {
    "page": "#141618", "surface": "#1d2023", "line": "#32363b", "text": "#e7e9ec", "muted": "#a2a9b2", "link": "#8ab8f5",
    "succeeded": "#56c28a", "failed": "#f4807a", "running": "#6aa9f0", "skipped": "#d9b44a", "waiting": "#7d858e", "pulling": "#b69ae0",
}  # fmt: skip


def _variables(colors: dict[str, str]) -> str:
    return "".join(f"--{name}:{value};" for name, value in colors.items())


_SHEET = """
*{box-sizing:border-box}
html{background:var(--page);color:var(--text);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif;-webkit-text-size-adjust:100%;
scroll-padding-top:1rem}
body{margin:0 auto;max-width:88rem;padding:0 1rem 3rem;font-variant-numeric:tabular-nums}
a{color:var(--link);text-underline-offset:.15em;text-decoration-thickness:1px}
:focus-visible{outline:2px solid var(--link);outline-offset:2px;border-radius:2px}
h1,h2,h3,p,dl,dd,ul,pre,table,fieldset{margin:0;padding:0}
h1{font-size:1.9rem;line-height:1.2;font-weight:650;letter-spacing:-.015em;text-wrap:balance}
h2{font-size:1.15rem;line-height:1.3;font-weight:650;margin:3rem 0 .75rem}
h3{font-size:.95rem;line-height:1.4;font-weight:600;margin:0 0 .35rem;overflow-wrap:anywhere}
.about{color:var(--muted);font-size:.9rem}
.skip{position:absolute;left:-99rem;top:.5rem;padding:.4rem .8rem;background:var(--page)}
.skip:focus{left:1rem;z-index:2}
header{padding:2.5rem 0 0}
header .about{margin-top:.5rem;overflow-wrap:anywhere}
.subject{color:var(--muted);font-size:.9rem;margin-bottom:.35rem;overflow-wrap:anywhere}
.shares{display:block;margin:1.75rem 0 1rem;border-radius:2px}
.figures{display:grid;grid-template-columns:repeat(auto-fill,minmax(7.5rem,1fr));gap:1rem}
.figures div{display:flex;flex-direction:column-reverse}
.figures dt{font-size:.85rem;color:var(--muted)}.figures .state{font-size:inherit}
.figures dd{white-space:nowrap;font-size:1.35rem;line-height:1.3;font-weight:600;letter-spacing:-.01em}
nav{margin-top:1.75rem;border-bottom:1px solid var(--line)}
nav ul{display:flex;flex-wrap:wrap;gap:0 1.5rem;list-style:none}
nav a{display:block;padding:.5rem 0;color:var(--text);text-decoration:none;font-size:.95rem}
nav a:hover{text-decoration:underline}
.state{white-space:nowrap;font-size:.9rem;color:var(--muted)}
.state.succeeded{color:var(--succeeded)}.state.failed,.state.stopped{color:var(--failed)}
.state.running{color:var(--running)}.state.skipped{color:var(--skipped)}
h3 .state{font-weight:400;margin-left:.35rem}
.failures{list-style:none;border-top:1px solid var(--line)}
.failures li{display:grid;gap:.1rem 1.5rem;padding:.6rem 0;border-bottom:1px solid var(--line)}
.failures a{font-weight:600;overflow-wrap:anywhere}
.failures span{overflow-wrap:anywhere}
.message{white-space:pre-wrap;overflow-wrap:anywhere;color:var(--failed);margin-bottom:.35rem}
.hint{overflow-wrap:anywhere;margin-bottom:.35rem}
.filter{border:0;display:none;flex-wrap:wrap;gap:.4rem;margin-bottom:1rem}
.filter legend,.definitions,caption{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
.filter input{position:absolute;opacity:0}
.filter label{border:1px solid var(--line);border-radius:4px;padding:.2rem .7rem;font-size:.9rem;color:var(--muted);cursor:pointer}
.filter label b{color:var(--text);font-weight:600}
.filter input:checked+label{background:var(--text);border-color:var(--text);color:var(--page)}
.filter input:checked+label b{color:var(--page)}
.filter input:focus-visible+label{outline:2px solid var(--link);outline-offset:2px}
.key{display:flex;flex-wrap:wrap;justify-content:space-between;gap:.25rem 2rem;margin-bottom:.5rem}
.legend{display:flex;flex-wrap:wrap;gap:.15rem 1.25rem;list-style:none;font-size:.85rem;color:var(--muted)}
.legend svg{vertical-align:-4px}
.tasks{border-top:1px solid var(--line)}
.task{border-bottom:1px solid var(--line);content-visibility:auto;contain-intrinsic-size:auto 4rem}
.task:target{background:var(--surface)}
summary{cursor:pointer;list-style:none;display:grid;grid-template-columns:1fr auto auto;gap:0 .75rem;align-items:center;padding:.4rem 0 .3rem}
summary::-webkit-details-marker{display:none}
summary .name::before{content:"";display:inline-block;width:.38em;height:.38em;border:solid var(--muted);border-width:0 1.5px 1.5px 0;
transform:translateY(-.15em) rotate(-45deg);margin:0 .7em 0 .15em}
details[open]>summary .name::before{transform:translateY(-.2em) rotate(45deg)}
summary:hover .name{text-decoration:underline;text-underline-offset:.15em;text-decoration-thickness:1px}
.name{font-weight:550;overflow-wrap:anywhere;min-width:0}
.namespace{color:var(--muted);font-weight:400}
.took{font-size:.9rem;text-align:right;white-space:nowrap;min-width:4.5rem}
summary .bar{grid-column:1/-1;grid-row:2}summary .took{grid-column:3;grid-row:1}
.bar,.axis{display:block;overflow:visible}
.axis text{font-size:12px;fill:var(--muted)}
.grid line{stroke:var(--line);stroke-width:1}
.p-waiting{fill:var(--waiting)}.p-pulling{fill:var(--pulling)}.p-initializing{fill:var(--pulling)}
.p-running{fill:var(--running)}.p-running.succeeded{fill:var(--succeeded)}.p-running.failed,.p-running.stopped{fill:var(--failed)}
.p-running.skipped{fill:var(--skipped)}.p-running.pending,.p-running.deleting,.p-running.absent{fill:var(--waiting)}
.body{padding:.35rem 0 1.5rem;display:grid;gap:1rem}
.body>*{min-width:0}
.body>.message+.hint{margin-top:-.9rem}
.body .message,.body .hint{margin-bottom:0}
.body h3{margin:0}
.facts{display:flex;flex-wrap:wrap;gap:.6rem 2rem}
.facts dt,.quota dt{font-size:.85rem;color:var(--muted)}
.facts dd{overflow-wrap:anywhere}
.attempt{display:grid;gap:.25rem}
table{border-collapse:collapse;width:100%;font-size:.9rem}
th{text-align:left;font-weight:400;color:var(--muted);font-size:.85rem}
th,td{padding:.3rem 1.25rem .3rem 0;vertical-align:top;border-bottom:1px solid var(--line)}
td{overflow-wrap:anywhere}
.events td:first-child{white-space:nowrap}
.events .warning td:nth-child(2){color:var(--failed)}
.scroll{overflow-x:auto}
pre,code{font:.84rem/1.55 ui-monospace,SFMono-Regular,Menlo,Consolas,"Liberation Mono",monospace}
pre{background:var(--surface);padding:.75rem 1rem;border-radius:4px;white-space:pre-wrap;overflow-wrap:anywhere;max-height:32rem;overflow-y:auto}
.body h3+pre,.body h3+.about{margin-top:-.6rem}
.card{padding:1rem 0;border-top:1px solid var(--line)}
.card>*+*{margin-top:.35rem}
.quota{display:grid;gap:.9rem 3rem;grid-template-columns:repeat(auto-fill,minmax(min(18rem,100%),1fr))}
.quota dd{font-size:.95rem}
.quota dd.full{color:var(--failed)}.quota dd.nearly{color:var(--skipped)}
.meter{display:block;margin-top:.25rem}
.track{fill:var(--line)}.fill{fill:var(--running)}.fill.nearly{fill:var(--skipped)}.fill.full{fill:var(--failed)}
footer{margin-top:4rem;color:var(--muted);font-size:.85rem}
@supports selector(:has(a)){.filter{display:flex}}
@media(max-width:51.99rem){.events tr{display:grid;grid-template-columns:auto 1fr;border-bottom:1px solid var(--line);padding:.35rem 0}
.events thead{display:none}.events td{border:0;padding:0 .75rem 0 0}.events td:last-child{grid-column:1/-1}}
@media(min-width:52rem){body{padding:0 2.5rem 4rem}header{padding-top:3.5rem}h1{font-size:2.5rem}
.failures li{grid-template-columns:minmax(10rem,16rem) 1fr}
summary,.axis-row{grid-template-columns:minmax(10rem,17rem) 7rem 1fr 5.5rem;padding:0}
.axis-row{display:grid;gap:0 .75rem}.axis-row svg{grid-column:3}
.figures{display:flex;flex-wrap:wrap;gap:1rem 2.25rem}
summary{min-height:28px}summary .bar{grid-column:3;grid-row:1}summary .took{grid-column:4}.body{padding:.75rem 0 2rem 1.45rem}
.events td:first-child{width:6rem}.events td:nth-child(2){width:14rem}}
@media print{body{max-width:none}.filter,nav,.skip{display:none}pre{max-height:none}.task{break-inside:avoid;content-visibility:visible}}
"""


def _sheet() -> str:
    # Which states the filter shows; a task has one of these classes.
    states = ("failed", "stopped", "running", "pending", "deleting", "skipped", "succeeded", "absent")
    hidden = ",".join(f"body:has(#show-{state}:checked) .task:not(.s-{state})" for state in states)
    dark = f"@media(prefers-color-scheme:dark){{:root{{{_variables(DARK)}}}}}"
    return f":root{{color-scheme:light dark;{_variables(LIGHT)}}}{dark}{_SHEET}{hidden}{{display:none}}\n"


STYLE = _sheet()
