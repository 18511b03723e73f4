"""An independent, CUDA-compatible platform: CUDA programs, unmodified, on machines with no NVIDIA GPU."""
