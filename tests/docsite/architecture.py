# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Draw the picture of docs/architecture.md: `python -m tests.docsite.architecture`. A test compares it with the layers of the engine."""

from __future__ import annotations

from html import escape

from ..support.environment import ROOT

TARGET = ROOT / "docs/images/architecture.svg"
# From the top to the bottom; imports point down. Each box: (name, what it does).
LAYERS = (
    [("a playbook, or a job template of AWX", "")],
    [("plugins/modules", "documentation; a process of its own"), ("plugins/action", "the same operation in the controller's process")],
    [("operations", "one for each module: options in, result out")],
    [
        ("dispatch", "several clusters"),
        ("deployments", "rollouts"),
        ("autoscaling", "replicas by load"),
        ("garbage", "what is left over"),
        ("reports", "HTML pages"),
        ("event_source", "for rulebooks"),
    ],
    [("tasks", "from the options of a task to its pod, its plan, its run and its result")],
    [
        ("reconciler", "desired and live state"),
        ("transfer", "copies of trees"),
        ("clients", "HTTP, gRPC, metrics"),
        ("image_policy", "which images may run"),
        ("podman", "pods without a cluster"),
    ],
    [("cluster", "the only part that sends requests to the API server")],
    [("objects", "knowledge of Kubernetes objects: quantities, readiness, the status of a pod")],
    [("errors · text · values · clock · console · files · scratch · libraries", "")],
)
OUTSIDE = 2  # layers above the engine
WIDTH, HEIGHT, GAP, MARGIN, STEP = 860, 46, 14, 28, 68
STYLE = (
    "text{font:14px system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif;fill:#1f2328}.n{font-weight:600}.s{font-size:12px;fill:#59636e}"
    ".p{fill:#fff}.b{fill:#f6f8fa;stroke:#d1d9e0}.o{fill:#ddf4ff;stroke:#54aeff}"
    ".e{fill:none;stroke:#afb8c1;stroke-dasharray:5 4}.a{stroke:#8c959f;fill:none}.h{fill:#8c959f}"
    "@media (prefers-color-scheme:dark){text{fill:#e6edf3}.s{fill:#9198a1}.p{fill:#0d1117}.b{fill:#151b23;stroke:#3d444d}.o{fill:#121d2f;stroke:#1f6feb}"
    ".e{stroke:#3d444d}.a{stroke:#656c76}.h{fill:#656c76}}"
)


def picture() -> str:
    """The SVG, whose colours follow those of the viewer."""
    height = len(LAYERS) * STEP + 2 * MARGIN
    first = MARGIN + OUTSIDE * STEP - 12
    parts = [f'<rect class="e" x="12" y="{first}" width="{WIDTH - 24}" height="{height - first - 10}" rx="8"/>']
    parts.append(f'<text class="s" x="{WIDTH - 24}" y="{height - 18}" text-anchor="end">plugins/module_utils/_engine</text>')
    for level, boxes in enumerate(LAYERS):
        y = MARGIN + level * STEP
        width = (WIDTH - 2 * MARGIN - (len(boxes) - 1) * GAP) / len(boxes)
        for column, (name, text) in enumerate(boxes):
            x = MARGIN + column * (width + GAP)
            middle = x + width / 2
            parts.append(f'<rect class="{"o" if level < OUTSIDE else "b"}" x="{x:.0f}" y="{y}" width="{width:.0f}" height="{HEIGHT}" rx="6"/>')
            parts.append(f'<text class="n" x="{middle:.0f}" y="{y + (20 if text else 28)}" text-anchor="middle">{escape(name)}</text>')
            if text:
                parts.append(f'<text class="s" x="{middle:.0f}" y="{y + 37}" text-anchor="middle">{escape(text)}</text>')
        if level + 1 < len(LAYERS):
            parts.append(f'<path class="a" d="M{WIDTH / 2:.0f} {y + HEIGHT + 2}v{STEP - HEIGHT - 8}"/>')
            parts.append(f'<path class="h" d="M{WIDTH / 2 - 4:.0f} {y + STEP - 8}h8l-4 6z"/>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">'
        f"<title>The layers of Podwright, from playbooks to the API server</title><style>{STYLE}</style>"
        f'<rect class="p" width="{WIDTH}" height="{height}"/>{"".join(parts)}</svg>\n'
    )


if __name__ == "__main__":
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(picture())
