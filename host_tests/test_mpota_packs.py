# SPDX-License-Identifier: MIT
"""`mpota release` makes packs: from which releases, for which images, and which are kept."""

import random
from dataclasses import replace

import pytest

import pack_world
import world as worlds
from in_process import Device
from mpota import publish, release, verify
from mpota.repository import open_repository
from mpota.sources import open_source


def problems(world):
    return verify.verify(open_source(str(world.repository), None), world.root, world.now).problems


def image_of(world, product, version):
    images = open_repository(world.workspace).images(product)
    return next(image for path, image in images.items() if path.endswith("/" + version))


@pytest.fixture
def world(tmp_path):
    return worlds.World(tmp_path / "repo", 0x10000)


def test_deltas_from_the_newest_releases_with_another_image(world, tmp_path):
    text = "".join(f"{random.Random(n).random()}\n" for n in range(1000))
    images = []
    for number in range(1, 6):
        images.append(pack_world.image.build(version=str(number), modules={"t.py": text[number:]}))
        made = world.release(f"{number}.0.0", images[-1], deltas=3)
    assert [pack.version for pack in made.packs] == ["", "4.0.0", "3.0.0", "2.0.0"]
    assert all(pack.kept for pack in made.packs)
    custom = image_of(world, "thermo", "5.0.0").custom
    expected = {image_of(world, "thermo", f"{n}.0.0").custom["identity"][:16] for n in (2, 3, 4)}
    assert set(custom["packs"]) == expected | {""}
    assert problems(world) == []
    # They travel with the image.
    publish.publish(open_repository(world.workspace), tmp_path / "www")
    folder = tmp_path / "www/targets/fw/thermo/devkit/5.0.0"
    assert {name for name in custom["packs"].values() if (folder / name).is_file()} == set(
        custom["packs"].values()
    )


def test_packs_that_save_nothing_are_not_kept(world):
    noise = [random.Random(n).randbytes(30_000) for n in range(2)]
    for number, data in enumerate(noise):
        content = pack_world.image.build(version=str(number), modules={"noise": data})
        made = world.release(f"{number}.0.0", content, deltas=3)
    assert [pack.kept for pack in made.packs] == [False, False]
    assert "packs" not in image_of(world, "thermo", "1.0.0").custom


def test_no_packs_unless_they_are_wanted(world):
    made = world.release("1.0.0", pack_world.related(20_000)["v1"])
    assert made.packs == () and "packs" not in made.release.custom


@pytest.mark.parametrize("digest", [16, 32])
def test_digests_of_16_bytes_halve_the_list(world, tmp_path, digest):
    images = pack_world.related(30_000)
    world.release("1.0.0", images["v1"], digest=digest)
    made = world.release("2.0.0", images["v2"], deltas=1, digest=digest)
    assert len(made.release.parts[0].blocks) == digest * -(-len(images["v2"]) // 4096)
    assert problems(world) == []
    device = Device(tmp_path / "device", world, images["v1"])
    try:
        assert device.update().ready
        assert device.spare(len(images["v2"])) == images["v2"]
        assert not device.source.blocks
    finally:
        device.close()


def test_deltas_of_applications_cross_files_that_moved(tmp_path):
    world = worlds.World(tmp_path / "repo", 0, app="display")
    files = {
        path: "".join(f"{random.Random(n).random()}\n" for n in range(at, at + 300))
        for at, path in enumerate(("a.py", "lib/b.py", "main.py"))
    }
    world.release_app("1.0.0", files)
    # A new file in front moves all that is behind it, and one has other bytes.
    files = {"0.txt": "new\n" * 3, **files, "a.py": "# other\n" + files["a.py"]}
    made = world.release_app("2.0.0", files, deltas=1)
    delta = made.packs[1]
    assert delta.kept and delta.length < 1000
    assert problems(world) == []
    folder = world.repository / "targets" / made.release.path
    path = folder / image_of(world, "display", "2.0.0").custom["packs"][delta.base[:16]]
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    assert len(problems(world)) == 1


@pytest.mark.parametrize("packs", [["x"], 5, {"": 5}, {"": "../../../mpota.json"}, {"": ".x"}])
def test_verify_takes_no_names_that_a_device_would_not(world, monkeypatch, packs):
    make = release._part
    monkeypatch.setattr(
        release,
        "_part",
        lambda *a: replace(part := make(*a), custom={**part.custom, "packs": packs}),
    )
    world.release("1.0.0", pack_world.related(20_000)["v1"])
    (problem,) = problems(world)
    assert "devices would not ask for" in problem
