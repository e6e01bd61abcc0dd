# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A connection that is cut, split, merged or delayed at any byte gives a correct result, or an error that says the connection was lost."""

from __future__ import annotations

import hashlib
import random
import re

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.arguments import CONNECTION
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.exec import execute
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.exec_command import Command
from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.operation import perform
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import pod_copy
from ansible_collections.podwright.core.plugins.module_utils._engine.transfer.upload import SMALLEST_PART

from ..support.environment import scaled
from ..support.relay import DOWN, SEED, UP, Disruption, connect

V4, V5 = b"v4.channel.k8s.io", b"v5.channel.k8s.io"
EXEC_CUTS, END_CUTS, V4_CUTS, COPY_CUTS, SHAPES, PARTS = (scaled(count) for count in (80, 20, 8, 10, 6, 2))
INPUT = hashlib.shake_256(b"input").digest(100_000)
LOST = ("ConnectionLost", "Refused")


def echo(client, container):
    """Send the input through a command and return its exit code and output."""
    return run(client, container, Command(["sh", "-c", "cat; exit 3"], source=lambda: iter([INPUT]), size=len(INPUT)))


def read(client, container):
    """Read the same from a file: a command without input uses the other protocol."""
    return run(client, container, Command(["sh", "-c", "cat /tmp/input; exit 3"]))


def run(client, container, command):
    """The exit code and output of a command."""
    stdout = bytearray()
    return execute(client, container, command, stdout.extend), bytes(stdout)


def check(command, client, container):
    """Whether the command returned a result, which must be correct."""
    try:
        result = command(client, container)
    except PodwrightError as error:
        assert error.reason in LOST, error
        return False
    assert result == (3, INPUT)
    return True


@pytest.mark.parametrize("command", [echo, read])
def test_connection_loss_at_any_byte_is_reported(command, relay, box, tried):
    container, token = box
    with connect(relay, token) as client:
        execute(client, container, Command(["sh", "-c", "cat > /tmp/input"], source=lambda: iter([INPUT]), size=len(INPUT)))
        assert check(command, client, container)
        whole = relay.counts[-1]
        chance = random.Random(SEED)
        cuts = [(direction, chance.randrange(whole[direction])) for direction in (UP, DOWN) for _turn in range(EXEC_CUTS // 2)]
        # The last bytes are the status and the close of the connection: cut at some of them, or (PODWRIGHT_SCALE) at each.
        cuts += [(DOWN, whole[DOWN] - back) for back in chance.sample(range(1, 60), min(END_CUTS, 59))]
        completed = 0
        for cut in cuts:
            relay.disruption = lambda number, cut=cut: Disruption(cut)
            completed += check(command, client, container)
        assert completed < len(cuts) / 2
    tried("connections of commands cut at any byte", len(cuts), "lost", "wrong", "hung", seed=SEED)


def test_split_and_merged_streams_are_complete(relay, box):
    container, token = box
    chance = random.Random(SEED)
    with connect(relay, token) as client:
        for turn in range(SHAPES):
            shape = Disruption(pieces=chance.choice([1000, 5000, 40000]), merges=chance.random() < 0.5)
            relay.disruption = lambda number, shape=shape: shape
            assert echo(client, container) == (3, INPUT), (turn, shape)


def test_server_that_supports_only_v4(relay, box):
    container, token = box
    relay.disruption = lambda number: Disruption(hidden_protocol=V5)
    with connect(relay, token) as client:
        assert check(echo, client, container)
        whole = relay.counts[-1]
        # Input of unknown size cannot be closed: that is an error, and nothing has started.
        with pytest.raises(PodwrightError) as caught:
            execute(client, container, Command(["sh", "-c", "touch /tmp/started; cat"], source=lambda: iter([INPUT])))
        assert caught.value.reason == "NoEndOfInput"
        assert execute(client, container, Command(["test", "-e", "/tmp/started"])) == 1
        chance = random.Random(SEED)
        for _turn in range(V4_CUTS):
            cut = (DOWN, chance.randrange(whole[DOWN]))
            relay.disruption = lambda number, cut=cut: Disruption(cut, hidden_protocol=V5)
            check(echo, client, container)


def copy(relay, token, container, **options):
    """Run pod_copy through the relay."""
    operation = pod_copy.OPERATION
    params = dict.fromkeys(CONNECTION) | {name: spec.get("default") for name, spec in operation.arguments.items()}
    params |= {"host": relay.url, "api_key": token, "validate_certs": False, "namespace": container.namespace, "pod": container.pod}
    return perform(operation, params | options, False, False, Console())


def test_copies_are_complete_or_missing(relay, box, client, tmp_path, tried):
    container, token = box
    chance = random.Random(SEED)
    tree = tmp_path / "tree"
    tree.mkdir()
    for number in range(5):
        (tree / f"file-{number}").write_bytes(hashlib.shake_256(bytes([number])).digest(60_000))
    finished = 0
    for turn in range(COPY_CUTS):
        first = len(relay.counts)
        victim, cut = first + chance.randrange(4), (chance.choice([UP, DOWN]), chance.randrange(400_000) if turn % 2 else chance.randrange(4000))
        relay.disruption = lambda number, victim=victim, cut=cut: Disruption(cut if number == victim else None)
        method = chance.choice(["tar", "stream"])
        result = copy(relay, token, container, local_path=str(tree), remote_path=f"/srv/{turn}", method=method)
        assert not result["failed"] or result["reason"] in LOST, result["msg"]
        found = digests_in(client, container, f"/srv/{turn}")
        wanted = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in tree.iterdir()}
        assert found.items() <= wanted.items(), (turn, victim, cut)
        assert result["failed"] or found == wanted
        victim += len(relay.counts) - first
        relay.disruption = lambda number, victim=victim, cut=cut: Disruption(cut if number == victim else None)
        if not result["failed"]:
            finished += 1
            back = copy(relay, token, container, state="from_pod", local_path=str(tmp_path / str(turn)), remote_path=f"/srv/{turn}", method=method)
            assert not back["failed"] or back["reason"] in LOST, back["msg"]
            arrived = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (tmp_path / str(turn)).glob("[!.]*")}
            assert arrived.items() <= wanted.items()
            assert back["failed"] or arrived == wanted
            assert not list((tmp_path / str(turn)).glob(".podwright*"))
    assert finished > COPY_CUTS / 4
    tried("connections of copies cut at any byte, in both directions", COPY_CUTS + finished, "lost", "wrong", "hung", seed=SEED)


@pytest.mark.parametrize("hidden", [V4, V5])
def test_terminal_is_complete_with_either_protocol(hidden, relay, box):
    """Input is echoed, and the EOF character closes it."""
    container, token = box
    relay.disruption = lambda number: Disruption(hidden_protocol=hidden)
    script = "read line; echo got $line; cat; exit 3"
    with connect(relay, token) as client:
        for _turn in range(2):
            assert run(client, container, Command(["sh", "-c", "test -t 0 && cat && echo said; exit 3"], tty=True)) == (3, b"said\r\n")
            rc, said = run(client, container, Command(["sh", "-c", script], source=lambda: iter([b"one\n", b"", b"two"]), size=7, tty=True))
            assert rc == 3 and b"got one\r\n" in said and said.count(b"two") == 2


@pytest.mark.parametrize("hidden", [V4, V5])
def test_copies_are_complete_with_either_protocol(hidden, relay, box, client, tmp_path):
    """A small and a large file; the size of the large one is not a multiple of the block size."""
    container, token = box
    relay.disruption = lambda number: Disruption(hidden_protocol=hidden)
    for name, size in (("empty", 0), ("small", 1000), ("large", (33 << 20) + 12345)):
        (tmp_path / name).write_bytes(hashlib.shake_256(name.encode()).digest(size))
        copied = copy(relay, token, container, local_path=str(tmp_path / name), remote_path=f"/srv/one/{name}")
        assert not copied["failed"] and copied["changed"], copied["msg"]
        assert digests_in(client, container, "/srv/one")[name] == copied["checksum"] == hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
    assert execute(client, container, Command(["sh", "-c", 'ls -A /srv/one | grep -q "^\\." && exit 1; rm -r /srv/one'])) == 0


def digests_in(client, container, path):
    """{name: sha256} of the files in a directory, empty if it does not exist."""
    output = bytearray()
    execute(client, container, Command(["sh", "-c", f"cd {path} 2>/dev/null && sha256sum *"]), output.extend)
    return {name: digest for digest, name in re.findall(r"([0-9a-f]{64})  (\S+)", output.decode())}


def test_download_resumes_after_connection_loss(relay, box, tmp_path):
    container, token = box
    size, cut = 48 << 20, 20 << 20
    script = f"mkdir -p /srv && head -c {size} /dev/urandom > /srv/large"
    with connect(relay, token) as client:
        assert execute(client, container, Command(["sh", "-c", script])) == 0
        expected = digests_in(client, container, "/srv")["large"]
    first = len(relay.counts)
    # Connections that only observe transfer less than the cut; the third attempt is not cut.
    relay.disruption = lambda number: Disruption((DOWN, cut) if number < first + 3 else None)
    down = copy(relay, token, container, state="from_pod", local_path=str(tmp_path / "back"), remote_path="/srv/large")
    assert not down["failed"], down["msg"]
    assert hashlib.sha256((tmp_path / "back").read_bytes()).hexdigest() == expected == down["checksum"]
    passed = [count[DOWN] for count in relay.counts[first:]]
    assert sum(count > cut // 2 for count in passed) >= 2
    assert sum(passed) < 1.4 * size


def test_upload_repeats_parts_after_connection_loss(relay, box, client, tmp_path):
    container, token = box
    part = SMALLEST_PART
    source = tmp_path / "large"
    chance = random.Random(SEED)
    source.write_bytes(hashlib.shake_256(b"large").digest(1 << 20) * (3 * part >> 20) + b"rest")
    wanted = hashlib.sha256(source.read_bytes()).hexdigest()
    for turn in range(PARTS):
        first = len(relay.counts)
        cuts = {first + number: (UP, chance.randrange(part)) for number in chance.sample(range(1, 5), 2)}
        relay.disruption = lambda number, cuts=cuts: Disruption(cuts.get(number))
        up = copy(relay, token, container, local_path=str(source), remote_path=f"/srv/parts/{turn}")
        assert not up["failed"] and up["checksum"] == wanted, up
        assert digests_in(client, container, "/srv/parts")[str(turn)] == wanted
        passed = relay.counts[first:]
        assert len(passed) >= 1 + 3 + 2 + 1 and sum(count[UP] for count in passed) < 3 * part + sum(cut for _way, cut in cuts.values()) + (1 << 20)
        execute(client, container, Command(["rm", f"/srv/parts/{turn}"]))
