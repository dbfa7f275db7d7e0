# SPDX-License-Identifier: Apache-2.0
"""The serial protocol, on the host build of the harness with sanitizers."""

import json
import random
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.build.firmware import build_firmware
from deploy.core.errors import DeployError
from deploy.devices.banner import Banner, BannerTensor
from deploy.devices.link import DeviceLink
from deploy.devices.process import EmulatorProcess
from deploy.targets import load_target

FAKE = Path(__file__).resolve().parent / "fake_model"
IMAGE = bytes(range(16))
ANSWER = bytes(a ^ b for a, b in zip((6, 22, 38, 54), (1, 2, 3, 4), strict=True))
SESSION = b"%db load 16%db " + IMAGE.hex().encode() + b"%infer 1%output%name%"

pytestmark = pytest.mark.skipif(
    shutil.which("cmake") is None or shutil.which("cc") is None,
    reason="cmake or a C compiler is not installed",
)


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    out = tmp_path_factory.mktemp("harness") / "harness"
    build_firmware(FAKE, load_target("host"), out, sanitize=True)
    return out


@pytest.fixture
def link(program):
    process = EmulatorProcess([str(program)], "host")
    link = DeviceLink(process, timeout=20)
    link.banner = link.wait_for_banner()
    yield link
    process.close()


def _talk(program: Path, data: bytes) -> list[str]:
    done = subprocess.run([program], input=data, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stdout.decode("ascii").split("\r\n")


def test_banner(link):
    banner = link.banner
    assert banner.model == "fake"
    assert banner.sha256 == "0123456789abcdef" * 4
    assert banner.target == "host"
    assert (banner.arena_bytes, banner.weights_bytes, banner.layers) == (20, 16, 3)
    assert banner.inputs == [BannerTensor(name="image", shape=[1, 4, 4, 1], bytes=16)]


def test_boot_lines(program):
    lines = _talk(program, b"")
    json.loads(lines[0])
    assert lines[1:] == ["m-init-done", "m-ready", ""]


def test_infer(link):
    link.load_input(IMAGE)
    report = link.infer()
    assert link.output() == ANSWER
    expected = [(q + 128) / 256 for q in np.frombuffer(ANSWER, np.int8).tolist()]
    assert report.results == pytest.approx(expected, abs=0.0006)
    assert link.results() == report.results
    assert report.microseconds >= 0


def test_infer_answers_in_the_benchmark_runners_words(link):
    link.load_input(IMAGE)
    lines = link.command("infer 2 1")
    kinds = [line.rstrip("0123456789") for line in lines if not line.startswith("m-results")]
    assert kinds == [
        "m-warmup-start-", "m-warmup-done", "m-infer-start-", "m-lap-us-", "m-lap-us-",
        "m-lap-ticks-", "m-infer-done",
    ]  # fmt: skip
    assert lines[0] == "m-warmup-start-1"
    assert "m-infer-start-2" in lines


def test_repeated_inference_reports_the_loaded_input_and_hides_what_came_after(link):
    link.load_input(IMAGE)
    once = link.infer().results
    link.load_input(IMAGE)
    assert link.infer(5).results == once  # the fake model overwrites its input
    with pytest.raises(DeployError, match="overwrote the input"):
        link.output()
    with pytest.raises(DeployError, match="no input"):
        link.infer()


def test_input_may_come_in_pieces_and_print_back(link):
    link.command("db load 16")
    for byte in IMAGE:
        link.command(f"db {byte:02X}")
    lines = link.command("db print")
    assert bytes.fromhex("".join(line.removeprefix("m-buffer-") for line in lines).replace("-", ""))
    assert lines[0] == "m-buffer-00-01-02-03-04-05-06-07"
    link.infer()
    assert link.output() == ANSWER


def test_other_commands(link):
    assert link.command("name") == ["m-name-dut-[netbooster host]"]
    profile = link.command("profile")
    assert profile[:2] == ["m-profile-[netbooster-1]", "m-model-[fake]"]
    assert len(link.command("help")) == 15
    first, second = (int(link.command("timestamp")[0].removeprefix("m-lap-us-")) for _ in range(2))
    assert second >= first
    assert link.memory().arena_bytes == 20
    link.self_test()


def test_banner_again(link):
    assert Banner.model_validate_json(link.command("banner")[0]) == link.banner
    assert link.banner.counter == "clock_gettime"
    assert link.connect() == link.banner


def test_profile_layers(link):
    link.load_input(IMAGE)
    layers = link.profile_layers()
    assert [(layer["index"], layer["layers"]) for layer in layers] == [(0, 1), (1, 1), (2, 1)]
    assert all(layer["ticks"] is None or layer["ticks"] > 0 for layer in layers)
    assert link.output() == ANSWER
    with pytest.raises(DeployError, match="no input"):
        link.profile_layers()


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("", "unknown command"),
        ("nam", "unknown command"),
        ("names", "unknown command"),
        ("name 1", "unknown command"),
        ("infer", "give the number"),
        ("infer 0", "1 or more"),
        ("infer x", "give the number"),
        ("infer 1 x", "warm-up"),
        ("infer 99999999999999999999", "give the number"),
        ("infer 4294967295", "at most 65535"),
        ("infer 1", "no input"),
        ("profile layer", "unknown command"),
        ("profile layers", "no input"),
        ("firmware", "does not lie in flash"),
        ("output", "no result yet"),
        ("results", "no result yet"),
        ("db", "unknown command"),
        ("db load", "number of bytes"),
        ("db load 15", "has 16 bytes, not 15"),
        ("db load 4294967297", "number of bytes"),
        ("db 00", "announce the input"),
        ("x" * 300, "not a command"),
        ("na\tme", "not a command"),
    ],
)
def test_bad_commands_get_one_error_and_the_device_goes_on(link, command, message):
    with pytest.raises(DeployError) as error:
        link.command(command)
    assert message in str(error.value)
    link.load_input(IMAGE)
    link.infer()
    assert link.output() == ANSWER


@pytest.mark.parametrize(
    ("data", "message"),
    [("000", "odd number"), ("0g", "not a hex digit"), ("00" * 17, "more bytes than announced")],
)
def test_bad_data_asks_for_all_of_it_again(link, data, message):
    link.command("db load 16")
    with pytest.raises(DeployError, match=message):
        link.command("db " + data)
    with pytest.raises(DeployError, match="announce the input"):
        link.command("db 00")
    with pytest.raises(DeployError, match="no input"):
        link.infer()


def test_incomplete_input_is_not_inferred(link):
    link.command("db load 16")
    link.command("db 0001")
    with pytest.raises(DeployError, match="no input"):
        link.infer()


def test_a_cut_command_ends_at_the_next_one(program):
    for cut in (b"db load 1", b"db 0", b"infer ", b"\xff\x00", b"db load 16%db 00112"):
        lines = _talk(program, cut + SESSION)
        assert lines[-4:] == ["m-ready", "m-name-dut-[netbooster host]", "m-ready", ""]
        assert f"m-output-{ANSWER.hex()}" in lines


def _mutated(seed: int) -> bytes:
    rng = random.Random(seed)
    words = b"name|db load 16|db 00ff|db print|infer 1 2|results|output|memory|selftest".split(b"|")
    words += [b"timestamp", b"help", b"profile", b"%", b" ", b"\r\n"]
    blob = bytearray(b"%".join(rng.choices(words, k=rng.randint(1, 12))))
    for _ in range(rng.randint(0, 6)):
        at = rng.randrange(len(blob) + 1)
        match rng.randrange(3):
            case 0:
                blob[at:at] = rng.randbytes(rng.randint(1, 80))
            case 1:
                del blob[at : at + rng.randint(1, 9)]
            case 2:
                blob[at : at + 1] = rng.randbytes(1)
    return bytes(blob)


def test_fuzzed_lines_never_hang_or_corrupt(program):
    for seed in range(150):
        lines = _talk(program, _mutated(seed) + SESSION)
        assert lines[-4:] == ["m-ready", "m-name-dut-[netbooster host]", "m-ready", ""], seed
        assert f"m-output-{ANSWER.hex()}" in lines, seed


@settings(max_examples=100, deadline=None)
@given(noise=st.binary(max_size=300))
def test_noise_never_hangs_or_corrupts(program, noise):
    lines = _talk(program, noise + SESSION)
    assert lines[-4:] == ["m-ready", "m-name-dut-[netbooster host]", "m-ready", ""]
    assert f"m-output-{ANSWER.hex()}" in lines


def test_link_reports_a_device_that_says_nothing_or_leaves(program):
    silent = EmulatorProcess(["sleep", "30"], "silent")
    try:
        with pytest.raises(DeployError, match=r"silent: no answer within 0\.2 s"):
            DeviceLink(silent, timeout=0.2).wait_for_banner()
    finally:
        silent.close()
    gone = EmulatorProcess(["sh", "-c", "echo out of order >&2; exit 3"], "gone")
    try:
        with pytest.raises(DeployError, match=r"gone has ended: exit status 3; out of order"):
            DeviceLink(gone, timeout=5).wait_for_banner()
    finally:
        gone.close()


def test_synchronize_after_a_cut_command(link):
    link._stream.write(b"db load 1")
    link.synchronize()
    assert link.command("name") == ["m-name-dut-[netbooster host]"]
