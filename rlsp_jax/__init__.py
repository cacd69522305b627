"""Post-train language models to think."""
