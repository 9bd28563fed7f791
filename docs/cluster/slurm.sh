#!/bin/bash
# A SLURM array of 20 tasks, each of which does its part of the rows: sbatch docs/cluster/slurm.sh
# Not run here. A task that is killed goes on when the array is submitted again.
#SBATCH --job-name=objects
#SBATCH --array=1-20
#SBATCH --gpus=1
#SBATCH --cpus-per-task=8
#SBATCH --mem=16G
#SBATCH --time=12:00:00
#SBATCH --signal=B:TERM@120
cd "$SLURM_SUBMIT_DIR"
exec .venv/bin/python launch.py --config configs/latent-nerf-sd.yaml --jobs jobs.csv --out /shared/out \
    --shard "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT" --job-timeout 7200
