# SPDX-License-Identifier: MIT
"""Updates by packs on a whole device in process: what it takes, and what it falls back to.

Devices run 1.0.0. 2.0.0 has a compressed pack and a delta from it.
"""

import random

import pytest

import world as worlds
from in_process import Device, clone
from mpota import verify
from mpota.repository import open_repository
from mpota.sources import open_source
from ota.adapters import store
from ota.errors import FetchError, StoreError
from sim import image

TEXT = "".join(f"{n} = {random.Random(n).random()}\n" for n in range(1900))


def build(version, text):
    return image.build(version=version, modules={"main.py": f"# {version}", "table.py": text})


V1 = build("1.0.0", TEXT)
V2 = build("2.0.0", "# new\n" + TEXT.replace("1000 = ", "one thousand and more = "))
BLOCKS = -(-len(V2) // 4096)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    made = worlds.World(tmp_path_factory.mktemp("world") / "repo", 0x10000)
    made.release("1.0.0", V1)
    made.release("2.0.0", V2, deltas=3)
    return made


@pytest.fixture
def own(world, tmp_path):
    return clone(world, tmp_path / "own")


@pytest.fixture
def make(tmp_path, world):
    made = []

    def make(content=V1, of=world, **changes):
        made.append(Device(tmp_path / f"device{len(made)}", of, content, **changes))
        return made[-1]

    yield make
    for device in made:
        device.close()


@pytest.fixture
def device(make):
    return make()


def files(world, name):
    """Paths of the files of 2.0.0 with this in their name."""
    return sorted((world.repository / "targets/fw/thermo/devkit/2.0.0").glob(f"*{name}*"))


def pack_names(world):
    """(delta, compressed pack), file names."""
    custom = open_repository(world.workspace).images("thermo")["fw/thermo/devkit/2.0.0"].custom
    packs = dict(custom["packs"])
    return packs.pop(next(key for key in packs if key)), packs[""]


def asked(device):
    """What of 2.0.0 was asked for, list apart: (delta, compressed or raw, start, end)."""
    found = []
    for path, start, end in device.source.requests:
        if "/2.0.0/" in path and not path.endswith(".blocks"):
            found.append((kind_of(device, path), start, end))
    return found


def kind_of(device, path):
    delta, compressed = device.pack_names
    name = path.rpartition("/")[2]
    return "delta" if name == delta else "compressed" if name == compressed else "raw"


def kinds(device):
    return {kind for kind, _, _ in asked(device)}


def update(device, world):
    device.pack_names = pack_names(world)
    assert device.update().ready
    assert device.spare(len(V2)) == V2
    assert device.source.opened == device.source.closed
    return kinds(device)


def test_delta_is_all_that_is_fetched_in_two_requests(device, world):
    assert update(device, world) == {"delta"}
    # The whole of it; and block 0, which is written last, once more.
    assert asked(device)[0] == ("delta", 0, None) and len(asked(device)) == 2
    (delta,) = files(world, pack_names(world)[0])
    assert delta.stat().st_size < len(V2) / 10
    assert device.reset().runs == "ota_1"


def test_another_base_takes_the_compressed_pack(make, world):
    device = make(build("flashed over USB", "x"))
    assert update(device, world) == {"compressed"}


def test_release_without_packs(make, own):
    own.release("3.0.0", build("3.0.0", TEXT))
    device = make(of=own)
    assert device.update().ready
    assert device.source.blocks


@pytest.mark.parametrize("missing", ["delta", "compressed", "both"])
def test_missing_pack(make, own, missing):
    delta, compressed = pack_names(own)
    for name in (delta, compressed):
        if missing in ("both", "delta" if name == delta else "compressed"):
            files(own, name)[0].unlink()
    device = make(of=own)
    found = update(device, own)
    assert (
        found
        == {
            "delta": {"delta", "compressed"},
            "compressed": {"delta"},
            "both": {"delta", "compressed", "raw"},
        }[missing]
    )
    assert len([kind for kind, _, _ in asked(device) if kind == "delta"]) <= 2


def spoil(own, name, at, value=None):
    path = files(own, name)[0]
    data = bytearray(path.read_bytes())
    data[at] = data[at] ^ 0x55 if value is None else value
    path.write_bytes(data)


def test_bad_record_costs_one_block(make, own):
    delta, _ = pack_names(own)
    spoil(own, delta, -10)  # in the last record that there is
    device = make(of=own)
    assert update(device, own) == {"delta", "compressed"}
    assert [text for text, *_ in device.log] == ["record of no use"]
    spans = [end - start for kind, start, end in asked(device) if kind == "compressed" and start]
    assert max(spans) < 4200


def test_bad_head_costs_the_pack(make, own):
    delta, compressed = pack_names(own)
    for name, at in ((delta, 4), (compressed, 2)):
        spoil(own, name, at, 0xFF)
    device = make(of=own)
    assert update(device, own) == {"delta", "compressed", "raw"}
    assert [text for text, *_ in device.log] == ["doing without a pack"] * 2


def test_pack_with_bad_records_only_is_given_up(make, own):
    delta, compressed = pack_names(own)
    for name in (delta, compressed):
        path = files(own, name)[0]
        data = path.read_bytes()
        head = int.from_bytes(data[4:8], "little")
        path.write_bytes(data[:head] + bytes(len(data) - head))
    device = make(of=own)
    assert update(device, own) == {"delta", "compressed", "raw"}
    bad = [text for text, *_ in device.log]
    assert len(bad) <= 2 * 9


def test_pack_cut_short(make, own):
    delta, _ = pack_names(own)
    path = files(own, delta)[0]
    path.write_bytes(path.read_bytes()[:-20])
    device = make(of=own)
    assert update(device, own) == {"delta", "compressed"}


def test_damaged_running_image_falls_back_block_by_block(make, world):
    device = make()
    addr = device.board.row("ota_0")[2]
    for at in (9000, 30000):
        held = bytearray(16)
        device.flash.read(addr + at, held)
        device.flash.write(addr + at, bytes(b ^ 0xFF for b in held))
    assert update(device, world) == {"delta", "compressed"}
    assert len(device.log) <= 4


def test_packs_in_each_others_place(make, own):
    delta, compressed = (files(own, name)[0] for name in pack_names(own))
    there = delta.read_bytes()
    delta.write_bytes(compressed.read_bytes())
    compressed.write_bytes(there)
    assert update(make(of=own), own) == {"delta", "compressed", "raw"}


@pytest.mark.parametrize("allowed", [0, 1, 2, 5, BLOCKS - 1])
def test_stopped_and_taken_up_again(make, world, allowed):
    device = make()
    left = allowed

    def go():
        nonlocal left
        left -= 1
        return left >= 0

    assert not device.update(should_continue=go).ready
    device.reset()
    device.source.requests.clear()
    assert update(device, world) == {"delta"}


def test_network_that_fails_in_a_pack_is_asked_for_the_image(make, world):
    device = make()
    delta, compressed = pack_names(world)

    def refuse(path, data):
        if path.endswith((delta, compressed)):
            raise FetchError("connection", 104)
        return data

    device.source.spoil = refuse
    assert update(device, world) == {"delta", "compressed", "raw"}


def test_verify_builds_images_from_packs(own):
    def problems():
        source = open_source(str(own.repository), None)
        return verify.verify(source, own.root, own.now).problems

    assert problems() == []
    delta = pack_names(own)[0]
    spoil(own, delta, -10)
    assert len(problems()) == 1 and delta in problems()[0]
    files(own, delta)[0].unlink()
    assert "missing" in problems()[0]


# An application shares its file system with the heads of packs


def application(text):
    return {"main.py": text, "lib/table.py": TEXT}


@pytest.fixture
def display(tmp_path):
    made = worlds.World(tmp_path / "repo", 0, app=worlds.APP)
    made.release_app("1.0.0", application(TEXT))
    made.release_app("2.0.0", application(TEXT.replace("1000 = ", "999 = ")), deltas=1)
    device = Device(tmp_path / "device", made, None, app=application(TEXT))
    yield device
    device.close()


def documents(device, monkeypatch):
    """List the names of all documents that are made from now on."""
    made = []
    create = device.store.create
    monkeypatch.setattr(device.store, "create", lambda name: made.append(name) or create(name))
    return made


def give(device, monkeypatch, free):
    monkeypatch.setattr(device.trees.spare, "space", lambda: (4096, free))


def test_pack_takes_no_space_that_the_application_needs(display, monkeypatch):
    give(display, monkeypatch, 0)
    with pytest.raises(StoreError) as error:
        display.update()
    made = documents(display, monkeypatch)
    needed, free = error.value.args[1:]
    give(display, monkeypatch, needed - free)
    assert display.update().ready
    assert "delta" not in made and "pack" not in made
    assert display.tree("b")["lib/table.py"] == TEXT


def test_pack_of_an_application_is_used_where_there_is_room(display, monkeypatch):
    made = documents(display, monkeypatch)
    assert display.update().ready
    assert "delta" in made and not display.source.blocks


def test_head_that_cannot_be_written_is_removed(display, monkeypatch):
    made = documents(display, monkeypatch)
    write = store._Document.write

    def full(document, data):
        if document._name == "delta":
            write(document, data[:8])
            raise StoreError("file system", 28)
        return write(document, data)

    monkeypatch.setattr(store._Document, "write", full)
    assert display.update().ready
    assert "delta" in made
    assert display.store.open("delta") is None
