# SPDX-License-Identifier: Apache-2.0
"""When a stage is done, and when it has to be done again."""

from pathlib import Path

from deploy.core.stamps import Stamp


def make_stamp(folder: Path, setting: int = 1) -> Stamp:
    return Stamp(
        folder,
        "stage",
        inputs=[folder / "in"],
        settings={"setting": setting},
        outputs=[folder / "out", folder / "made"],
        amended=[folder / "card"],
    )


def test_a_stage_is_done_again_once_anything_that_it_read_or_wrote_is_another(
    tmp_path: Path,
) -> None:
    (tmp_path / "made").mkdir()
    files = [tmp_path / name for name in ("in", "out", "made/model.c", "card")]
    for file in files:
        file.write_text("as made")
    assert not make_stamp(tmp_path).is_current()
    make_stamp(tmp_path).write()
    assert make_stamp(tmp_path).is_current()
    assert not make_stamp(tmp_path, 2).is_current()
    for file in files:
        file.write_text("damaged")
        # Later stages add to the card, so that its content says nothing.
        assert make_stamp(tmp_path).is_current() == (file.name == "card")
        if file.name != "in":
            file.unlink()
            assert not make_stamp(tmp_path).is_current()
        file.write_text("as made")
        assert make_stamp(tmp_path).is_current()
    make_stamp(tmp_path).clear()
    assert not make_stamp(tmp_path).is_current()
