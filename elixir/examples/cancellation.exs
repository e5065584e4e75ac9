# The ways in which a request ends early. The engine stops computing it each time.
#
#     mix run elixir/examples/cancellation.exs
#
# For a file of your own, copy this one, put the next line at its top, and run it with `elixir`:
#
#     Mix.install([{:vllm_bridge, path: "/path/to/vllm_bridge"}])

# vLLM logs much while it loads.
Logger.configure(level: :error)

# A tiny model that counts for ever when it is asked to.
{:ok, model} = Vllm.TinyModel.make(:scripted)

IO.puts("Loading the engine …")

{:ok, engine} =
  Vllm.AsyncLLM.from_engine_args(
    model: model,
    dtype: "float32",
    # These three make it start sooner on a CPU. Leave them out where there is a GPU.
    enforce_eager: true,
    kv_cache_memory_bytes: 64 * 1024 * 1024,
    distributed_executor_backend: "vllm.v1.executor.uniproc_executor.UniProcExecutor"
  )

count = fn id, options ->
  params = [max_tokens: 2000, temperature: 0.0, output_kind: :DELTA]
  {:ok, stream} = Vllm.AsyncLLM.generate(engine, "count", params, id, options)
  stream
end

# 1. The consumer has enough. The request is aborted when the enumeration is halted.
items = Enum.take(count.("taken", []), 3)
IO.puts("Taken:     #{Enum.map_join(items, &hd(&1.outputs).text)} …")

# 2. Another process cancels the stream, as for a button "stop".
stream = count.("cancelled", [])
:timer.apply_after(200, Vllm.Stream, :cancel, [stream])
{:error, error} = Vllm.Stream.collect(stream)
IO.puts("Cancelled: #{error.kind}: #{error.message}")

# 3. A deadline passes.
{:error, error} = Vllm.Stream.collect(count.("late", rpc: [timeout: 1_000]))
IO.puts("Deadline:  #{error.kind}: #{error.message}")

# 4. The process that enumerates ends, even by a kill, as when a LiveView's tab is closed.
{consumer, monitor} =
  spawn_monitor(fn -> Enum.each(count.("killed", []), fn _item -> :ok end) end)

:timer.apply_after(200, Process, :exit, [consumer, :kill])

receive do
  {:DOWN, ^monitor, :process, _pid, reason} -> IO.puts("Killed:    #{reason}")
end

# Nothing of the four is left in the engine. The last abort takes a few milliseconds.
defmodule Idle do
  def await(engine) do
    {:ok, count} = Vllm.AsyncLLM.get_num_unfinished_requests(engine)
    unless count == 0, do: Process.sleep(10)
    if count == 0, do: count, else: await(engine)
  end
end

IO.puts("Requests left in the engine: #{Idle.await(engine)}")

{:ok, nil} = Vllm.AsyncLLM.shutdown(engine)
