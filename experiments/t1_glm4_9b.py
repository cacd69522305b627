"""`t1_qwen25_14b.py` from GLM-4-9B-chat.

Data:      that of t1_qwen25_32b.py
Paper:     Advancing Language Model Reasoning through RL and Inference Scaling (2501.11651), T1
Command:   rlsp train experiments/t1_glm4_9b.py --workdir runs/t1_glm4_9b
Hardware:  16 × H100, 80 GB each
Published: MATH-500 50.1 → 60.2 (SFT) → 65.8; AIME 2024 1.7 → 4.1 → 9.2
Expect:    not yet run at this size
"""

from t1_qwen25_14b import MAX_LENGTH, smaller

from rlsp_jax import models
from rlsp_jax.sharding import MeshConfig
from rlsp_jax.training import Experiment


def get_config() -> Experiment:
    model = models.glm4_9b(max_length=MAX_LENGTH, remat="full")
    return smaller("t1_glm4_9b", "THUDM/glm-4-9b-chat-hf", model, MeshConfig(data=1, fsdp=8, tensor=2))
