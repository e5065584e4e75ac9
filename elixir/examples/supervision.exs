# An instance in a supervision tree: its worker is killed, and worker and engine come back.
#
#     mix run elixir/examples/supervision.exs
#
# For a file of your own, copy this one, put the next line at its top, and run it with `elixir`:
#
#     Mix.install([{:vllm_bridge, path: "/path/to/vllm_bridge"}])

# vLLM logs much while it loads, and the supervisor reports what we are about to do to the worker.
Logger.configure(level: :emergency)

{:ok, model} = Vllm.TinyModel.make(:scripted)

# These lines stand in the `start/2` of an application.
engine = [
  model: model,
  dtype: "float32",
  max_model_len: 512,
  # These three make it start sooner on a CPU. Leave them out where there is a GPU.
  enforce_eager: true,
  kv_cache_memory_bytes: 64 * 1024 * 1024,
  distributed_executor_backend: "vllm.v1.executor.uniproc_executor.UniProcExecutor"
]

children = [{Vllm, name: Example.Vllm, engines: [llama: engine]}]

IO.puts("Starting the supervision tree …")
{:ok, supervisor} = Supervisor.start_link(children, strategy: :one_for_one)

defmodule Greeting do
  # Ask for the engine before each request, and you always have the one that lives. A request that
  # was in flight when the worker ended has failed, and may be made again.
  def say(id) do
    with {:ok, engine} <- Vllm.engine(Example.Vllm, :llama, :infinity),
         params = [max_tokens: 16, temperature: 0.0],
         {:ok, output} <- Vllm.AsyncLLM.generate_collect(engine, "Hello", params, id) do
      IO.puts("Hello#{hd(output.outputs).text}")
    else
      {:error, %Vllm.Error{kind: kind}} when kind in [:worker_down, :stale_ref, :engine_dead] ->
        Process.sleep(100)
        say(id)
    end
  end
end

Greeting.say("request-1")

# What the kernel does when memory runs out.
{:ok, %{"pid" => os_pid}} = Vllm.status(Example.Vllm)
IO.puts("\nKilling the worker, process #{os_pid} …")
{_output, 0} = System.cmd("kill", ["-KILL", to_string(os_pid)])

Greeting.say("request-2")
{:ok, %{"pid" => new_pid}} = Vllm.status(Example.Vllm)
IO.puts("The new worker is process #{new_pid}.")

# Calls in flight get a grace period. Then the engine, the worker and all its processes end.
Supervisor.stop(supervisor)
IO.puts("\nStopped. A process #{new_pid} exists: #{File.exists?("/proc/#{new_pid}")}")
