"""Checkpoints are exact, atomic, and independent of what happens to the state afterwards."""

import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from rlsp_jax.checkpoints import Saver, has_checkpoint
from rlsp_jax.types import TrainState

ROOT = Path(__file__).parent.parent.parent


def place(mesh_shape: tuple[int, int], state: TrainState) -> TrainState:
    """The state on a mesh of this shape: matrices split over both axes, the rest replicated."""
    mesh = jax.make_mesh(
        mesh_shape, ("a", "b"), axis_types=(AxisType.Auto,) * 2, devices=jax.devices()[: np.prod(mesh_shape)]
    )

    def put(x):
        return jax.device_put(x, NamedSharding(mesh, PartitionSpec("a", "b") if np.ndim(x) == 2 else PartitionSpec()))

    return jax.tree.map(put, state)


def make_state(step: int) -> TrainState:
    """Values that no rounding survives: large and tiny, NaN and −0, several dtypes."""
    matrix = np.random.default_rng(step).normal(size=(8, 16)).astype(np.float32) * 1e-30
    odd = np.asarray([np.nan, -0.0, np.inf, 1e38, 1e-45, 1 / 3], np.float32)
    params = {"policy": {"w": matrix, "odd": odd}, "value": {"w": matrix.astype(jnp.bfloat16)}}
    counts = {"seen": np.arange(40, dtype=np.int32)}
    return TrainState(np.int32(step), params, {"mu": matrix * 2}, (), counts, np.int32(0), np.int32(0))


def same(left, right) -> bool:
    pairs = zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True)
    return all(
        np.asarray(a).dtype == np.asarray(b).dtype and np.asarray(a).tobytes() == np.asarray(b).tobytes()
        for a, b in pairs
    )


@pytest.mark.parametrize("after", [(8, 1), (2, 2), (1, 1)])
def test_what_is_restored_on_any_mesh_is_what_was_saved_bit_for_bit(after, tmp_path):
    saver = Saver(tmp_path)
    saver.save(3, place((4, 2), make_state(3)), {"tokens_generated": 5, "seconds": {"sft": 0.1}})
    saver.close()
    like = place(after, jax.tree.map(np.zeros_like, make_state(0)))
    state, progress = Saver(tmp_path).restore(3, like)
    assert same(state, make_state(3)) and progress == {"tokens_generated": 5, "seconds": {"sft": 0.1}}
    assert jax.tree.map(lambda x: x.sharding, state) == jax.tree.map(lambda x: x.sharding, like)


def test_a_state_may_be_donated_as_soon_as_save_returns(tmp_path):
    overwrite = jax.jit(lambda state: jax.tree.map(lambda x: x * 0 + 7, state), donate_argnums=0)
    saver, state = Saver(tmp_path), place((1, 1), make_state(1))
    saver.save(1, state, {})
    jax.block_until_ready(overwrite(state))
    assert jax.tree.leaves(state)[0].is_deleted()
    saver.close()
    assert same(Saver(tmp_path).restore(1, place((1, 1), make_state(0)))[0], make_state(1))


def test_a_disk_without_room_is_noticed_before_anything_is_written(tmp_path, monkeypatch):
    saver = Saver(tmp_path)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=100))
    with pytest.raises(OSError, match="No space left on device") as raised:
        saver.save(1, place((1, 1), make_state(1)), {})
    assert raised.value.filename == str(tmp_path)
    saver.close()
    assert not has_checkpoint(tmp_path)


def test_saving_compiles_nothing(tmp_path):
    compiled = []

    def listen(name: str, seconds: float, **about) -> None:
        compiled.extend([about] if "backend_compile" in name else [])

    state, saver = place((4, 2), make_state(1)), Saver(tmp_path)
    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        saver.save(1, state, {})
        saver.close()
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    assert compiled == []


def test_the_newest_two_are_kept_and_a_step_is_saved_once(tmp_path):
    saver = Saver(tmp_path)
    for step in (1, 2, 3):
        saver.save(step, place((1, 1), make_state(step)), {"is": step})
    saver.save(3, place((1, 1), make_state(9)), {"is": 9})
    saver.close()
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.isdecimal()) == ["2", "3"]
    state, progress = Saver(tmp_path).restore(3, place((1, 1), make_state(0)))
    assert same(state, make_state(3)) and progress == {"is": 3}


def test_a_folder_without_a_finished_checkpoint_has_none(tmp_path):
    assert not has_checkpoint(tmp_path / "absent")
    (tmp_path / "5.orbax-checkpoint-tmp").mkdir()
    assert not has_checkpoint(tmp_path) and Saver(tmp_path).latest_step() is None
    (tmp_path / "4").mkdir()
    assert has_checkpoint(tmp_path)


def test_of_what_is_adapted_the_adapters_alone_are_saved(tmp_path):
    def state(adapter: float, base: jax.Array) -> TrainState:
        policy = {"base": {"w": base}, "lora": {"a": jnp.full(3, adapter)}}
        return make_state(1)._replace(params={"policy": policy, "value": {"trunk": {"a": jnp.full(3, -adapter)}}})

    saver = Saver(tmp_path)
    saver.save(1, place((1, 1), state(7.0, jnp.ones((4, 4)))), {})
    saver.close()
    like = place((1, 1), state(0.0, jnp.zeros(5)))  # another base, which would not fit
    restored = Saver(tmp_path).restore(1, like)[0]
    assert same(restored, state(7.0, jnp.zeros(5)))
    assert restored.params["policy"]["base"]["w"] is like.params["policy"]["base"]["w"]
    part, _ = Saver(tmp_path).restore_part(1, {"params": {"policy": like.params["policy"]}})
    assert same(part["params"]["policy"], restored.params["policy"])


@pytest.mark.slow
def test_a_process_killed_while_it_saves_leaves_only_whole_checkpoints(tmp_path):
    script = """
        import sys
        from pathlib import Path
        import jax, jax.numpy as jnp
        from rlsp_jax.checkpoints import Saver
        from rlsp_jax.types import TrainState
        saver, zero = Saver(Path(sys.argv[1])), jnp.zeros((), jnp.int32)
        for step in range(1, 1000):
            params = {str(i): jnp.full((64, 1024), step, jnp.float32) for i in range(20)}
            saver.save(step, TrainState(zero + step, params, (), (), (), zero, zero), {"is": step})
            print(step, flush=True)
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    for rounds in (3, 6):  # later saves fall into another moment of their write
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for _ in range(rounds):
                process.stdout.readline()
            process.send_signal(signal.SIGKILL)
        saver = Saver(tmp_path)
        step = saver.latest_step()
        assert step is not None and step >= 1
        zero = jnp.zeros((), jnp.int32)
        like = TrainState(zero, {str(i): jnp.zeros((64, 1024)) for i in range(20)}, (), (), (), zero, zero)
        state, progress = saver.restore(step, like)
        assert progress == {"is": step} and all(np.all(np.asarray(x) == step) for x in state.params.values())
        saver.close()
