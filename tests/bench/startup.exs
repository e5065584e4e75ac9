# How long from the start of a worker until it serves, and until it has an engine?
#
#     mix run tests/bench/startup.exs [--rounds N] [--engines N] [--json] [--quick]
#
# The worker is started by itself, and a program that waits outside notes when grpc.health.v1 says
# SERVING; then as a part of an instance, up to the session and the first answer. Then, with the tiny
# model, up to an engine and its first token, beside a Python program that does the same with vLLM
# alone. Last, another engine of a worker that has one: a fork of the worker's fork server, beside what
# vLLM spawns by itself, each with the model in EngineCore's process and in one of its own.

Code.require_file("support/bench.exs", __DIR__)

defmodule Startup do
  alias Vllm.{AsyncLLM, TinyModel}
  alias Vllm.Core.Worker.Launch

  @name Startup.Vllm
  @one_process "vllm.v1.executor.uniproc_executor.UniProcExecutor"

  def run(argv) do
    opts = Bench.options(argv, engines: :integer)
    {:ok, python} = Vllm.Environment.python()
    probe = open(python, ["-m", "tests.bench.health_probe"])
    "ready" = line(probe)

    # The first one reads the files from the disk.
    _cold = serving(python, probe)
    workers = for _ <- 1..Bench.rounds(opts, 7), do: Map.merge(serving(python, probe), instance())

    {:ok, model} = TinyModel.make(:random)
    rounds = Map.get(opts, :engines, if(opts.quick, do: 0, else: 3))
    engines = for _ <- 1..rounds//1, do: Map.merge(engine(model), alone(python, model))

    others =
      for _ <- 1..rounds//1 do
        [fork, fork_two] = another(model, %{})
        [spawn, spawn_two] = another(model, %{"VLLM_WORKER_MULTIPROC_METHOD" => "spawn"})
        %{fork: fork, fork_two: fork_two, spawn: spawn, spawn_two: spawn_two}
      end

    Bench.report(opts, "startup", [
      table("From the start of the worker's process", workers,
        health: "grpc.health.v1 says SERVING",
        ready: "its READY line is there",
        up: "Vllm.start_link has returned",
        status: "Vllm.status has answered"
      ),
      table("From the start of everything", engines,
        engine: "an engine is ready",
        token: "it has given a token",
        imported: "Python alone: vLLM is imported",
        engine_alone: "Python alone: an engine is ready",
        token_alone: "Python alone: it has given a token"
      ),
      table("Another engine of a worker that has one", others,
        fork: "forked, one process",
        spawn: "spawned, one process",
        fork_two: "forked, two processes",
        spawn_two: "spawned, two processes"
      )
    ])

    Port.close(probe)
  end

  defp serving(python, probe) do
    {:ok, sources} = Vllm.Environment.worker_dir()

    {:ok, folder, "unix:" <> path = listen} =
      Launch.listen(%{listen: :unix, socket_dir: nil, env: %{}})

    env = Launch.environment(sources, Launch.token(), folder, %{})
    # gRPC is served beside the sessions.
    Port.command(probe, path <> ".grpc\n")
    began = now()

    arguments = ["--listen", listen, "--lifeline", "stdin", "--log-level", "error"]
    worker = open(python, ["-m", "python_worker" | arguments], env: env)

    "VLLM_BRIDGE READY" <> _ = line(worker)
    ready = now()
    health = probe |> line() |> String.to_integer()
    Port.close(worker)
    await_gone(path)
    %{health: ms(health - began), ready: ms(ready - began)}
  end

  defp instance do
    began = now()
    {:ok, instance} = Vllm.start_link(name: @name)
    up = now()
    {:ok, _} = Vllm.status(@name)
    status = now()
    stop(instance)
    %{up: ms(up - began), status: ms(status - began)}
  end

  defp engine(model) do
    began = now()
    {:ok, instance} = Vllm.start_link(name: @name)

    engine = build(model)
    ready = now()
    {:ok, stream} = AsyncLLM.generate(engine, "Hello", [max_tokens: 1], "first")
    {:ok, _} = Vllm.Stream.collect(stream)
    token = now()
    stop(instance)
    %{engine: ms(ready - began), token: ms(token - began)}
  end

  # How long the second engine takes, in one process, and the third, in two.
  defp another(model, env) do
    {:ok, instance} = Vllm.start_link(name: @name, env: env)
    build(model)

    times =
      for more <- [[distributed_executor_backend: @one_process], []] do
        began = now()
        engine = build(model, more)
        ready = now()
        {:ok, nil} = AsyncLLM.shutdown(engine)
        ms(ready - began)
      end

    stop(instance)
    times
  end

  defp build(model, more \\ []) do
    arguments = [model: model, dtype: "float32", enforce_eager: true, max_model_len: 512]
    {:ok, engine} = AsyncLLM.from_engine_args(@name, arguments ++ more)
    engine
  end

  defp alone(python, model) do
    began = now()
    # Its log would bury the table.
    port =
      open(python, ["-m", "tests.bench.vllm_alone", model],
        env: [{~c"VLLM_LOGGING_LEVEL", ~c"ERROR"}]
      )

    times =
      for event <- ["imported", "engine", "token"] do
        [^event, at] = port |> line() |> String.split()
        ms(String.to_integer(at) - began)
      end

    receive(do: ({^port, {:exit_status, 0}} -> :ok))
    [imported, engine, token] = times
    %{imported: imported, engine_alone: engine, token_alone: token}
  end

  defp stop(instance) do
    Process.unlink(instance)
    Supervisor.stop(instance, :shutdown, 60_000)
  end

  defp open(python, args, options \\ []),
    do:
      Port.open(
        {:spawn_executable, python},
        [:binary, :exit_status, :hide, line: 10_000, args: args] ++ options
      )

  defp line(port) do
    receive do
      {^port, {:data, {:eol, line}}} -> line
    end
  end

  defp await_gone(path),
    do:
      if(File.exists?(path),
        do:
          (
            Process.sleep(5)
            await_gone(path)
          )
      )

  defp now, do: :os.perf_counter(:nanosecond)
  defp ms(nanoseconds), do: nanoseconds / 1.0e6

  defp table(title, [], _names), do: Bench.table(title <> ": not measured", [], [])

  defp table(title, rows, names) do
    rows =
      for {key, name} <- names do
        times = Enum.map(rows, & &1[key])
        %{event: name, ms: Bench.median(times), all_ms: times}
      end

    Bench.table(title, [event: "", ms: "ms"], rows)
  end
end

Startup.run(System.argv())
