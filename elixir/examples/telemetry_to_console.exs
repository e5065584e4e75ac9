# The events of calls, streams and engines, printed as they happen.
#
#     mix run elixir/examples/telemetry_to_console.exs
#
# For a file of your own, copy this one, put the next lines at its top, and run it with `elixir`:
#
#     Mix.install([{:vllm_bridge, path: "/path/to/vllm_bridge"}, {:telemetry, "~> 1.2"}])

# vLLM logs much while it loads.
Logger.configure(level: :error)

# Every Phoenix application has :telemetry. A checkout of vllm_bridge may not: then a stand-in of a
# few lines takes its place.
unless Code.ensure_loaded?(:telemetry),
  do: Code.require_file("support/telemetry.exs", __DIR__)

defmodule Console do
  # The library's own reading of vLLM's numbers, every two seconds.
  def handle(_event, _measurements, %{method: "metrics"}, _config), do: :ok

  # A handler runs in the process that emits the event, so it must be quick.
  def handle(event, measurements, metadata, _config) do
    name = event |> Enum.join(".") |> String.pad_trailing(24)
    IO.puts("#{name} #{time(measurements)} #{words(metadata)}#{numbers(measurements)}")
  end

  defp time(%{duration: native}) do
    milliseconds = System.convert_time_unit(native, :native, :microsecond) / 1000
    String.pad_leading("#{Float.round(milliseconds, 1)} ms", 12)
  end

  defp time(_no_duration), do: String.duplicate(" ", 12)

  defp words(metadata) do
    for key <- [:engine, :method, :result], value = metadata[key], do: "#{key}=#{value} "
  end

  defp numbers(measurements) do
    for key <- [:items, :requests_running, :generation_tokens],
        value = measurements[key],
        do: "#{key}=#{value} "
  end
end

events = Vllm.Telemetry.events() -- [[:vllm, :instance, :metrics]]
:ok = :telemetry.attach_many("console", events, &Console.handle/4, nil)

{:ok, model} = Vllm.TinyModel.make(:scripted)

engine = [
  model: model,
  dtype: "float32",
  max_model_len: 512,
  # These three make it start sooner on a CPU. Leave them out where there is a GPU.
  enforce_eager: true,
  kv_cache_memory_bytes: 64 * 1024 * 1024,
  distributed_executor_backend: "vllm.v1.executor.uniproc_executor.UniProcExecutor"
]

# vLLM's own numbers come every two seconds.
options = [name: Example.Vllm, engines: [llama: engine], metrics_interval: 2_000]
{:ok, instance} = Vllm.start_link(options)
{:ok, engine} = Vllm.engine(Example.Vllm, :llama, :infinity)

params = [max_tokens: 16, temperature: 0.0, output_kind: :DELTA]
{:ok, stream} = Vllm.AsyncLLM.generate(engine, "Hello", params, "request-1")
text = Enum.map_join(stream, &hd(&1.outputs).text)
IO.puts(">>> Hello#{text}")

# A call that fails is an event too.
{:error, _error} = Vllm.AsyncLLM.generate(engine, "Hello", [seed: 1.5], "request-2")

# Wait for one reading of the metrics.
Process.sleep(2_500)
Supervisor.stop(instance)
