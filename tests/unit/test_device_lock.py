"""The lock of one training at a time a device: no other user's mask, file or tidying stands in its way."""

import multiprocessing
import os
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from epic22.adapters.device_lock import hold_devices

NAME = "epic22-cpu.lock"


def hold(folder: Path, home: Path, is_held: Event) -> None:
    with hold_devices(["cpu"], home, folder):
        is_held.set()


def start_holder(folder: Path, home: Path) -> tuple[multiprocessing.process.BaseProcess, Event]:
    context = multiprocessing.get_context("spawn")
    is_held = context.Event()
    holder = context.Process(target=hold, args=(folder, home, is_held))
    holder.start()
    return holder, is_held


def test_a_second_training_on_a_device_waits_whatever_home_it_is_of(tmp_path: Path) -> None:
    with hold_devices(["cpu", "accelerator"], tmp_path / "one", tmp_path):
        holder, is_held = start_holder(tmp_path, tmp_path / "other")
        assert not is_held.wait(3)
    holder.join(60)
    assert is_held.is_set()


def test_whatever_a_users_mask_is_all_others_can_lock_the_file(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        with hold_devices(["cpu"], tmp_path / "home", tmp_path):
            assert (tmp_path / NAME).stat().st_mode & 0o777 == 0o444
    finally:
        os.umask(before)


@pytest.mark.parametrize("kind", ["folder", "link", "pipe"])
def test_what_another_user_put_in_the_files_place_refuses_no_training(tmp_path: Path, kind: str) -> None:
    put = {"folder": os.mkdir, "link": lambda path: os.symlink(tmp_path / "elsewhere", path), "pipe": os.mkfifo}
    put[kind](tmp_path / NAME)
    with hold_devices(["cpu"], tmp_path / "home", tmp_path):
        holder, is_held = start_holder(tmp_path, tmp_path / "home")
        assert not is_held.wait(3), "the home's own file is locked in its stead"
    holder.join(60)
    assert is_held.is_set()
    assert not (tmp_path / "elsewhere").exists()


def test_a_file_that_was_removed_while_it_was_waited_for_is_not_the_lock(tmp_path: Path) -> None:
    with hold_devices(["cpu"], tmp_path / "home", tmp_path):
        holder, is_held = start_holder(tmp_path, tmp_path / "home")
        assert not is_held.wait(3)
        (tmp_path / NAME).unlink()
        with hold_devices(["cpu"], tmp_path / "home", tmp_path):
            pass
    holder.join(60)
    assert is_held.is_set()
    assert (tmp_path / NAME).exists(), "the one who waited locked a file that others find"
