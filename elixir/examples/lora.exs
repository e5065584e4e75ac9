# LoRA adapters: one model in memory, and a voice of its own for each request.
#
#     mix run elixir/examples/lora.exs
#
# For a file of your own, copy this one, put the next line at its top, and run it with `elixir`:
#
#     Mix.install([{:vllm_bridge, path: "/path/to/vllm_bridge"}])

# vLLM logs much while it loads, and the adapter that cannot be loaded.
Logger.configure(level: :emergency)

# A tiny model whose words are known in advance, and two adapters that make it repeat a word. They
# are made in a second, so that the difference can be seen on any machine.
{:ok, model} = Vllm.TinyModel.make(:scripted)
{:ok, [meow, woof]} = Vllm.TinyModel.adapters([:meow, :woof])

IO.puts("Loading the engine …")

{:ok, engine} =
  Vllm.AsyncLLM.from_engine_args(
    model: model,
    dtype: "float32",
    max_model_len: 512,
    enable_lora: true,
    # How many adapters one step may use, and how large they may be.
    max_loras: 2,
    max_lora_rank: 16,
    # These three make it start sooner on a CPU. Leave them out where there is a GPU.
    enforce_eager: true,
    kv_cache_memory_bytes: 64 * 1024 * 1024,
    distributed_executor_backend: "vllm.v1.executor.uniproc_executor.UniProcExecutor"
  )

cat = struct!(Vllm.LoRARequest, lora_name: "cat", lora_int_id: 1, lora_path: meow)
dog = struct!(Vllm.LoRARequest, lora_name: "dog", lora_int_id: 2, lora_path: woof)

# An adapter may be loaded before it is needed. Otherwise its first request loads it.
{:ok, true} = Vllm.AsyncLLM.add_lora(engine, cat)

# The three requests run in the engine at the same time.
requests = [{"the model", nil}, {"the cat", cat}, {"the dog", dog}]

answers =
  requests
  |> Task.async_stream(
    fn {who, lora} ->
      params = [max_tokens: 12, temperature: 0.0]
      options = [lora_request: lora]
      {:ok, output} = Vllm.AsyncLLM.generate_collect(engine, "Hello", params, who, options)
      {who, hd(output.outputs).text}
    end,
    timeout: :infinity
  )
  |> Enum.map(fn {:ok, answer} -> answer end)

for {who, text} <- answers, do: IO.puts("#{String.pad_trailing(who, 10)} Hello#{text}")

{:ok, ids} = Vllm.AsyncLLM.list_loras(engine)
IO.puts("Loaded adapters: #{ids |> Enum.sort() |> inspect(charlists: :as_lists)}")

# A folder without an adapter is an error of this call alone.
nowhere = struct!(Vllm.LoRARequest, lora_name: "bird", lora_int_id: 3, lora_path: "/nowhere")
{:error, error} = Vllm.AsyncLLM.add_lora(engine, nowhere)
IO.puts("Refused (#{error.kind}): #{error.message |> String.split("\n") |> hd()}")

{:ok, nil} = Vllm.AsyncLLM.shutdown(engine)
