"""The template of the page of pictures: light and dark, nothing loaded from anywhere, nothing runs."""

TEMPLATE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
:root { color-scheme: light dark; --ink: #1b1f24; --muted: #5f6773; --paper: #ffffff; --box: #f4f6f8; --line: #d9dee4;
  --main: #2563eb; --other: #94a3b8; --warm: #b45309; --alert: #fef3c7; --alert-ink: #713f12; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ee; --muted: #9aa4b2; --paper: #14171b; --box: #1d2127; --line: #363d47;
  --main: #6ea0ff; --other: #64748b; --warm: #f5a742; --alert: #3b2f12; --alert-ink: #fde9b5; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.55 system-ui, -apple-system, "Segoe UI", sans-serif; }
main { max-width: 68rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: .5rem 0; } h2 { font-size: 1.25rem; margin: 2.5rem 0 .5rem; }
h3 { margin: 0 0 .5rem; font-size: 1rem; } .muted, figcaption { color: var(--muted); font-size: .92rem; }
.alert { background: var(--alert); color: var(--alert-ink); padding: .8rem 1rem; border-radius: .5rem; margin: 1rem 0; }
.pictures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(26rem, 100%), 1fr)); gap: 1.5rem;
  align-items: start; }
figure { margin: 0; background: var(--box); border-radius: .5rem; padding: 1rem; } figure svg { width: 100%; height: auto; }
figure svg text { fill: var(--ink); font-family: system-ui, sans-serif; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .93rem; }
th, td { text-align: left; padding: .3rem 1.5rem .3rem 0; border-bottom: 1px solid var(--line); font-weight: normal; }
td { text-align: right; }
@media print { figure, .alert { break-inside: avoid; } }
</style>
</head>
<body>
<main>
<p class="muted">Epic 22 sample portfolio · until {{ end }}</p>
<h1>{{ title }}</h1>
<p class="alert" role="note"><strong>Simulated.</strong>
No row of it is real, and nothing measured on it says how a model does on real data.</p>
<div class="pictures">
{% for picture, drawn in pictures %}
<figure aria-label="{{ picture.title }}"><h3>{{ picture.title }}</h3>{{ drawn | safe }}
<figcaption>{{ picture.caption }}</figcaption></figure>
{% endfor %}
</div>
<h2>Tables</h2>
<table><tbody>
{% for name, rows in tables %}
<tr><th scope="row">{{ name }}</th><td>{{ "{:,}".format(rows) }}</td></tr>
{% endfor %}
</tbody></table>
</main>
</body>
</html>
"""
