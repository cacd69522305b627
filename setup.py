"""The package's metadata. `make lock` turns it into requirements.lock, the set that the Makefile installs."""

from setuptools import find_packages, setup

# TFDS 4.9.10 imports importlib_resources without requiring it, and array_record on Linux only.
DATA = ["tensorflow-datasets>=4.9.10", "array_record>=0.8.1", "importlib_resources>=6.4"]
HF = ["huggingface_hub>=0.30", "jinja2>=3.1", "tokenizers>=0.21"]
JUDGE = ["httpx>=0.27,<1"]
REPORT = ["jinja2>=3.1", "matplotlib>=3.9"]
TENSORBOARD = ["tensorboardX>=2.6.2.2"]

setup(
    name="rlsp_jax",
    version="0.1.0",
    description="Post-train language models to think, in JAX: RLSP, T1 and Teaching LLMs to Reason on one code base.",
    author="The rlsp_jax Authors",
    license="Apache-2.0",
    classifiers=[
        "Programming Language :: Python :: 3",
        "Operating System :: POSIX :: Linux",
        "Operating System :: MacOS",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
    python_requires=">=3.11",
    packages=find_packages(include=["rlsp_jax", "rlsp_jax.*"]),
    package_data={"rlsp_jax.report": ["*.jinja"]},
    install_requires=[
        "jax>=0.10,!=0.11.1,<0.13",  # 0.11.1 rewrites a whole buffer on small in-loop updates (jax#40101)
        "flax>=0.12.4",
        "optax>=0.2.6",
        "orbax-checkpoint>=0.11.32",
        "sentencepiece>=0.2.3",
        "safetensors>=0.5",
        "numpy>=2.0",
        "mpmath>=1.3",
        "rich>=13.7",
        "tyro>=0.9",
        "jaxtyping>=0.3.3",
    ],
    extras_require={
        "tpu": ["jax[tpu]"],
        "cuda": ["jax[cuda12]"],  # drivers from 525 on; on CUDA 13 cuDNN attention still fails (jax#32430)
        "hf": HF,  # checkpoints of other people: their weights, tokenizers and chat templates
        "data": DATA,  # GSM8K and MATH through TFDS; files in a folder and JSONL need none of it
        "judge": JUDGE,
        "report": REPORT,
        "tensorboard": TENSORBOARD,
        "dev": [
            *DATA,
            *HF,
            *JUDGE,
            *REPORT,
            *TENSORBOARD,
            "beartype>=0.22",
            "hypothesis>=6.140",
            "import-linter>=2.5",
            "pyright[nodejs]>=1.1.400",  # with its own Node: the plain package downloads one when first run
            "pytest>=9",
            "pytest-xdist>=3.8",
            "ruff>=0.14",
            "setuptools>=77",  # these two let `pip install --no-build-isolation -e .` work offline
            "wheel>=0.45",
        ],
    },
    entry_points={"console_scripts": ["rlsp = rlsp_jax.cli:main"]},
)
