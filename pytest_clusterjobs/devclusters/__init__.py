"""Slurm, AWS Batch and SkyPilot on this machine (``clusterjobs dev``). Nothing else of the product imports this."""
