import Config

# vLLM logs much while it loads.
config :logger, level: :error

config :assistant,
  vllm: Vllm,
  # The arguments of the engine. The last three make it start sooner on a CPU: leave them out where
  # there is a GPU.
  engine: [
    max_model_len: 1024,
    enforce_eager: true,
    kv_cache_memory_bytes: 256 * 1024 * 1024,
    distributed_executor_backend: "vllm.v1.executor.uniproc_executor.UniProcExecutor"
  ]

if config_env() == :test, do: import_config("test.exs")
