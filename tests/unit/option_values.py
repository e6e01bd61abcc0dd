# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Values of options for generated tests: of the type that an argument spec names, and odd ones, all as Ansible passes them (decoded JSON)."""

from __future__ import annotations

from hypothesis import strategies as st

ODD_TEXTS = (
    "", " ", "a", "web", "0", "-1", "2", "\u00b2", "1e3", "nan", "1" * 400, "a=b", "-x", "--", ".", "..", "/", "a/b", "A_b", "x" * 70, "x" * 3000, "10%",
    "true", "null", "~", "{{ x }}", "{% raw %}", "[1]", "{", '{"a": 1}', "a: b\n- c", "line\nline\n", "\x00", "\x1b[31mred", "a\r\nX: y", "\u2028", "\u202eabc",
    "\u00e9\U0001f600", "\udce9", "http://[", "a,b==c", "app in (a", "'", '"', "\\", "500m", "1Ei", "1e99", "2026-01-01T00:00:00Z",
)  # fmt: skip
ODD_NUMBERS = (0, 1, -1, 2, 80, 65536, 2**31, 2**63, 10**30, -(10**30), 0.5, -0.5, float("nan"), float("inf"), 1e308)
ODD_NESTED = (
    [],
    {},
    [None],
    [[]],
    [{}],
    {"": None},
    {"a": None},
    {"a": {"b": [1, None]}},
    [1, "a", True],
    {"name": "x"},
    {"a=b": "c", "d\x00": 1, "\u2028": 2},
)
SCALARS = st.one_of(st.none(), st.booleans(), st.sampled_from(ODD_NUMBERS), st.sampled_from(ODD_TEXTS), st.text(max_size=12))
# Keys that the engine or the API gives a meaning in options of any form.
KEYS = (
    "name", "namespace", "kind", "api_version", "apiVersion", "uid", "metadata", "spec", "labels", "annotations", "items", "data", "stringData", "containers",
    "secret", "config_map", "key", "optional", "prefix", "field", "resource", "ingress", "egress", "cidr", "except", "pods", "ports", "port", "target_port",
    "container_port", "http", "tcp", "grpc", "exec", "interval", "limits", "requests", "cpu", "memory", "storage", "policy", "nameservers", "options", "driver",
    "op", "path", "value", "from", "scaleUp", "policies", "type", "parents", "env", "image", "template", "storage_class", "access_modes", "socket",
)  # fmt: skip
WORDS = st.sampled_from((*KEYS, "v1", "Pod", "Secret", "ConfigMap", "List", "add", "remove", "replace", "/spec", "/spec/containers/0", "/metadata/labels/a",
                         "dns", "isolated", "10.0.0.0/8", "same_namespace", "auto", "image", "80", "53/UDP", "/x:80"))  # fmt: skip
FREE = st.recursive(
    st.one_of(WORDS, SCALARS), lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4), max_leaves=6
)
ODD = st.one_of(SCALARS, st.sampled_from(ODD_NESTED), FREE)
MAPPINGS = st.dictionaries(st.one_of(st.sampled_from(KEYS), st.sampled_from(ODD_TEXTS), st.text(max_size=8)), ODD, max_size=3)


def options(arguments, skipped=(), likely=None):
    """Strategy of a mapping of some options of an argument spec, of which at most one has a value of any type.

    Args:
        skipped: names of options to omit.
        likely: usual values of options by name, which most mappings have.
    """
    likely = likely or {}
    names = [name for name in arguments if name not in skipped]
    required = [name for name in names if arguments[name].get("required")]
    chosen = st.lists(st.sampled_from(names), max_size=4, unique=True).map(lambda more: dict.fromkeys([*required, *more]))
    typed = chosen.flatmap(lambda picked: st.fixed_dictionaries({name: _typed(arguments[name]) for name in picked}))
    odd = st.one_of(st.just({}), st.just({}), st.dictionaries(st.sampled_from(names), ODD, max_size=1))
    usual = st.one_of(st.just(likely), st.just(likely), st.sampled_from([{}, *({name: likely[name]} for name in likely)]))
    of_any_form = [name for name in names if arguments[name]["type"] in ("raw", "dict", "list") and name not in likely] or names
    formed = st.dictionaries(st.sampled_from(of_any_form), st.one_of(MAPPINGS, FREE, st.lists(st.one_of(MAPPINGS, FREE), max_size=2)), min_size=1, max_size=1)
    return st.one_of(
        st.builds(lambda first, second, third: first | second | third, typed, usual, odd),
        st.builds(lambda first, second, third: second | first | third, typed, usual, odd),
        st.builds(lambda first, second: first | second, st.just(likely), formed),
    )


def _typed(spec):
    if spec.get("choices"):
        return st.sampled_from(spec["choices"])
    kind = spec.get("type", "str")
    if kind == "list":
        return st.lists(_typed({**spec, "type": spec.get("elements", "str")}), max_size=3)
    if kind == "dict":
        return options(spec["options"]) if spec.get("options") else MAPPINGS
    if kind == "bool":
        return st.booleans()
    if kind == "int":
        return st.sampled_from([number for number in ODD_NUMBERS if isinstance(number, int)])
    if kind == "float":
        return st.sampled_from(ODD_NUMBERS)
    return ODD if kind == "raw" else st.one_of(st.sampled_from(ODD_TEXTS), st.text(max_size=12))
