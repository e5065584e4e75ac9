# What real engines need on a CPU, for scripts that are run without `make`: the Makefile sets the same
# and says why. What is set already stays.

for {name, value} <- [
      {"HF_HUB_OFFLINE", "1"},
      {"VLLM_NO_USAGE_STATS", "1"},
      {"VLLM_CPU_KVCACHE_SPACE", "1"},
      {"OMP_NUM_THREADS", "1"},
      {"TORCHDYNAMO_DISABLE", "1"}
    ],
    System.get_env(name) == nil,
    do: System.put_env(name, value)
