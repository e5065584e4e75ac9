# For `iex -S mix` in this repository: names without prefix, and vLLM's log out of the way.
#
#     {:ok, model} = SmallModel.path()
#     {:ok, engine} = AsyncLLM.from_engine_args(model: model, enforce_eager: true)
#     {:ok, answer} = Vllm.chat(engine, "Why is the sky blue?")
#     Vllm.status()

alias Vllm.{
  AsyncLLM,
  Environment,
  Error,
  LLM,
  LoRARequest,
  PoolingParams,
  RequestOutput,
  SamplingParams,
  SmallModel,
  Stream,
  StructuredOutputsParams,
  Tensor,
  TinyModel,
  Tool
}

# Without a GPU, vLLM takes nine tenths of the memory for its cache unless this says how much, in GiB.
System.get_env("VLLM_CPU_KVCACHE_SPACE") || System.put_env("VLLM_CPU_KVCACHE_SPACE", "1")

# vLLM logs much while an engine loads, and warns of much that is no fault. `Logger.configure(level: :debug)`
# shows it.
Logger.configure(level: :error)

IO.puts("""
vLLM from Elixir. To start:

    {:ok, model} = SmallModel.path()
    {:ok, engine} = AsyncLLM.from_engine_args(model: model)
    {:ok, answer} = Vllm.chat(engine, "Why is the sky blue?")

Vllm.status() and Vllm.top() show what runs, h AsyncLLM.generate what a function
does.
""")
