"""What must be settled before jax is first imported, and the two checks that only the tests switch on.

Eight fake CPU devices stand in for an accelerator mesh, compiled programs are kept between runs, and every
shape and type annotated in rlsp_jax is checked at each call.
"""

import getpass
import os
import tempfile
from pathlib import Path

_compiled = Path(tempfile.gettempdir()) / f"rlsp_jax-tests-{getpass.getuser()}"
_compiled.mkdir(mode=0o700, exist_ok=True)

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=8".strip()
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(_compiled))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")

from hypothesis import settings  # noqa: E402
from jaxtyping import install_import_hook  # noqa: E402

# An int is taken for a float, as every static checker does.
install_import_hook("rlsp_jax", "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")

settings.register_profile("rlsp_jax", deadline=None, max_examples=60, derandomize=True, database=None)
settings.load_profile("rlsp_jax")
