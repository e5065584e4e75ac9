# An answer while it is written: as an Enumerable, and as messages to a process.
#
#     mix run elixir/examples/streaming.exs
#
# For a file of your own, copy this one, put the next line at its top, and run it with `elixir`:
#
#     Mix.install([{:vllm_bridge, path: "/path/to/vllm_bridge"}])

# vLLM logs much while it loads.
Logger.configure(level: :error)

IO.puts("Loading the engine …")

{:ok, engine} =
  Vllm.AsyncLLM.from_engine_args(
    model: Vllm.SmallModel.path!(:chat),
    max_model_len: 1024,
    # These three make it start sooner on a CPU. Leave them out where there is a GPU.
    enforce_eager: true,
    kv_cache_memory_bytes: 256 * 1024 * 1024,
    distributed_executor_backend: "vllm.v1.executor.uniproc_executor.UniProcExecutor"
  )

# The call returns when the engine has accepted the request. The loop then prints each piece as it
# comes. The last piece has the usage.
IO.puts("\nAs an Enumerable:")
began = System.monotonic_time(:millisecond)

{:ok, stream} = Vllm.stream_chat(engine, "Why is the sky blue?", max_tokens: 40, temperature: 0.0)

last =
  Enum.reduce(stream, nil, fn delta, _previous ->
    IO.write(delta.content || "")
    delta
  end)

seconds = (System.monotonic_time(:millisecond) - began) / 1000
tokens = last.usage.completion_tokens
IO.puts("\n(#{tokens} tokens, #{Float.round(tokens / seconds, 1)} per second)")

# A GenServer or a LiveView cannot wait in a loop: it gets the same pieces as messages.
IO.puts("\nAs messages:")

{:ok, stream} =
  Vllm.stream_chat(engine, "Name a colour.",
    max_tokens: 20,
    temperature: 0.0,
    rpc: [stream_to: self()]
  )

defmodule Printer do
  def print(stream) do
    receive do
      {:vllm, ^stream, {:item, delta}} ->
        IO.write(delta.content || "")
        print(stream)

      {:vllm, ^stream, :done} ->
        IO.puts("")

      {:vllm, ^stream, {:error, error}} ->
        IO.puts("\n#{Exception.message(error)}")
    end
  end
end

Printer.print(stream)

{:ok, nil} = Vllm.AsyncLLM.shutdown(engine)
