defmodule Vllm.Faults.EnginesTest do
  # Real engines: vLLM's own tests of how engines end (tests/v1/shutdown), as far as `make test` does not
  # have them, and faults of the processes and the disks that only a real engine has.
  #
  # What `make test` has of them is in tests/elixir/vllm/life, and in files that name the test.
  use Vllm.VllmEngine

  import ExUnit.CaptureLog
  import Vllm.FaultCase, only: [note: 4, note: 5, timed: 1]
  import Vllm.ProcessTree, only: [await_gone: 1, signal: 2]

  alias Vllm.ProcessTree

  @moduletag :faults
  @moduletag timeout: 900_000

  # One process for the model in each of two ranks, beside EngineCore.
  @two_ranks [
    tensor_parallel_size: 2,
    distributed_executor_backend: "mp",
    max_model_len: 512,
    worker_extension_cls: "tests.python.support.faults.FaultyWorker"
  ]

  @requests 8

  setup_all do
    put_environment()

    {:ok, _pid} =
      start_supervised(
        {Vllm,
         name: __MODULE__,
         nice: 0,
         log: false,
         start_timeout: 300_000,
         max_restarts: 20,
         env: %{"PYTHONPATH" => File.cwd!()}}
      )

    :ok
  end

  ## tests/v1/shutdown/test_startup_error.py

  for ranks <- [1, 2],
      {worker, said} <- [
        {"NotLoading", "the weights are unreadable"},
        {"NotWarmingUp", "the first forward pass failed"}
      ] do
    # test_async_llm_startup_error
    test "#{ranks} ranks, and #{said}: an error that says so, and no process is left" do
      before = vllm_processes()
      more = [worker_cls: "tests.python.support.faults.#{unquote(worker)}"]
      {seconds, built} = timed(fn -> build_with(unquote(ranks), more) end)
      assert {:error, %Error{} = error} = built
      wait_until(fn -> vllm_processes() -- before == [] end)
      fault = "start: #{unquote(said)}, #{unquote(ranks)} ranks"
      note("engine", fault, %{error.kind => 1}, seconds, error_line(error))
      assert Exception.message(error) =~ unquote(said)
    end
  end

  ## tests/v1/shutdown/test_startup_timeout_cleanup.py

  for ranks <- [1, 2] do
    # test_wait_for_engine_startup_raises_timeout_on_silent_engine
    test "#{ranks} ranks that never become ready: the build ends with its deadline, and its processes" do
      before = vllm_processes()
      more = [worker_cls: "tests.python.support.faults.NeverReady"]
      building = Task.async(fn -> build_with(unquote(ranks), more, rpc: [timeout: 30_000]) end)
      wait_until(fn -> vllm_processes() -- before != [] end)
      {seconds, built} = timed(fn -> Task.await(building, :infinity) end)
      assert {:error, %Error{kind: :timeout}} = built
      wait_until(fn -> vllm_processes() -- before == [] end)
      note("engine", "start: never ready, #{unquote(ranks)} ranks", %{timeout: 1}, seconds)
    end
  end

  ## Two ranks: test_delete.py, test_forward_error.py and test_parent_death.py with tensor parallelism

  # test_async_llm_delete
  test "two ranks, shut down with requests" do
    engine = two_ranks()
    tree = ProcessTree.of(__MODULE__)
    assert answer(engine) == answer(engine)
    streams = for n <- 1..@requests, do: generate(engine, "#{n}: count", going_on())
    {seconds, _} = timed(fn -> {:ok, nil} = AsyncLLM.shutdown(engine) end)
    outcomes = Enum.frequencies_by(streams, &outcome/1)
    assert Map.keys(outcomes) -- [:ok, :engine_dead] == []
    wait_until(fn -> vllm_processes() == [] end)
    note("engine", "shut down with requests, 2 ranks", outcomes, seconds)
    assert_shared_memory_gone(tree)
  end

  # test_async_llm_model_error
  test "two ranks, one of whose models fails" do
    engine = two_ranks()
    streams = for n <- 1..@requests, do: generate(engine, "#{n}: count", going_on())
    {:ok, [nil, nil]} = AsyncLLM.collective_rpc(engine, "fail_forward")
    {seconds, outcomes} = timed(fn -> Enum.frequencies_by(streams, &outcome/1) end)
    assert outcomes == %{engine_dead: @requests}
    assert AsyncLLM.errored(engine) == {:ok, true}
    assert {:error, %Error{kind: :engine_dead}} = AsyncLLM.check_health(engine)
    assert AsyncLLM.shutdown(engine) == {:ok, nil}
    wait_until(fn -> vllm_processes() == [] end)
    note("engine", "the forward pass fails, 2 ranks", outcomes, seconds)
  end

  # test_engine_exits_after_parent_sigkill: what asks for EngineCore is the worker, what makes it the
  # fork server, and what asks for the ranks is EngineCore.
  for {name, pattern} <- [
        {"EngineCore", "VLLM::EngineCore"},
        {"a rank", "VLLM::Worker"},
        {"the fork server", "multiprocessing.forkserver"}
      ] do
    test "two ranks, and kill -9 of #{name}" do
      engine = two_ranks()
      streams = for n <- 1..@requests, do: generate(engine, "#{n}: count", going_on())
      wait_until(fn -> unfinished(engine) == @requests end)
      signal(one(unquote(pattern)), "KILL")
      {seconds, outcomes} = timed(fn -> Enum.frequencies_by(streams, &outcome/1) end)
      assert outcomes == %{engine_dead: @requests}
      wait_until(fn -> vllm_processes() == [] end)
      note("engine", "kill -9 of #{unquote(name)}, 2 ranks", outcomes, seconds)
      assert AsyncLLM.shutdown(engine) == {:ok, nil}
    end
  end

  test "two ranks, and kill -9 of the worker" do
    engine = two_ranks()
    tree = ProcessTree.of(__MODULE__)
    streams = for n <- 1..@requests, do: generate(engine, "#{n}: count", going_on())
    signal(tree.worker, "KILL")
    {seconds, outcomes} = timed(fn -> Enum.frequencies_by(streams, &outcome/1) end)
    assert outcomes == %{worker_down: @requests}
    await_gone(tree)
    note("engine", "kill -9 of the worker, 2 ranks", outcomes, seconds)
    wait_until(fn -> match?({:ok, _status}, Vllm.status(__MODULE__)) end)
  end

  ## Processes that stand still

  test "EngineCore, then the fork server, stopped for a time" do
    engine = built!(1, [])
    counted = [max_tokens: 500, temperature: 0.0, output_kind: :DELTA]

    streams =
      for n <- 1..@requests,
          do: Task.async(fn -> say(generate(engine, "#{n}: count", counted)) end)

    core = one("VLLM::EngineCore")

    {seconds, said} =
      timed(fn ->
        signal(core, "STOP")
        receive after: (5_000 -> signal(core, "CONT"))
        Task.await_many(streams, :infinity)
      end)

    assert Enum.uniq(said) == [counting(500)]
    note("engine", "EngineCore stopped for 5 s", %{ok: @requests}, seconds)

    # Engines that run need it no more; one that is built waits for it.
    server = one("multiprocessing.forkserver")
    signal(server, "STOP")
    assert_well(engine)
    building = Task.async(fn -> build_with(1, []) end)
    assert_well(engine)
    signal(server, "CONT")
    {seconds, {:ok, second}} = timed(fn -> Task.await(building, :infinity) end)
    assert_well(second)
    note("engine", "the fork server stopped while an engine is built", %{ok: 1}, seconds)
    for each <- [engine, second], do: assert(AsyncLLM.shutdown(each) == {:ok, nil})
  end

  ## Disks

  if reason = Vllm.Faults.Tools.missing(:mount), do: @tag(skip: reason)
  @tag :tmp_dir
  test "its caches are on a full disk, and files may not grow", %{tmp_dir: folder} do
    disk = Path.join(folder, "disk")
    on_exit(Vllm.FaultCase.full_disk(disk, size: "64k"))
    caches = ~w(VLLM_CACHE_ROOT TORCHINDUCTOR_CACHE_DIR TRITON_CACHE_DIR XDG_CACHE_HOME HF_HOME)
    env = Map.new(caches, &{&1, disk})
    name = Module.concat(__MODULE__, "Caches")
    options = [nice: 0, log: false, start_timeout: 300_000, env: env]
    {:ok, _pid} = start_supervised({Vllm, [name: name] ++ options}, id: name)
    {seconds, built} = timed(fn -> AsyncLLM.from_engine_args(name, arguments(:scripted)) end)

    case built do
      {:ok, engine} ->
        assert_well(engine)
        note("engine", "its caches are on a full disk", %{ok: 1}, seconds)

      {:error, error} ->
        note(
          "engine",
          "its caches are on a full disk",
          %{error.kind => 1},
          seconds,
          error_line(error)
        )

        assert Exception.message(error) =~ ~r/space/i
    end

    tree = ProcessTree.of(name)
    :ok = stop_supervised(name)
    await_gone(tree)
  end

  if reason = Vllm.Faults.Tools.missing(:mount), do: @tag(skip: reason)
  @tag :tmp_dir
  test "two ranks, and /dev/shm has no room", %{tmp_dir: folder} do
    {:ok, python} = Vllm.Environment.python()
    wrapper = Path.join(folder, "python")

    File.write!(wrapper, """
    #!/bin/sh
    exec unshare -m /bin/sh -c 'mount -t tmpfs -o size=64k tmpfs /dev/shm && exec "$0" "$@"' #{python} "$@"
    """)

    File.chmod!(wrapper, 0o755)
    name = Module.concat(__MODULE__, "SharedMemory")
    env = %{"PYTHONPATH" => File.cwd!()}
    options = [nice: 0, log: false, start_timeout: 300_000, python: wrapper, env: env]
    {:ok, _pid} = start_supervised({Vllm, [name: name] ++ options}, id: name)
    arguments = arguments(:scripted, [model: model(:random)] ++ plain() ++ @two_ranks)
    {seconds, built} = timed(fn -> AsyncLLM.from_engine_args(name, arguments) end)

    case built do
      {:ok, engine} ->
        assert answer(engine) == answer(engine)
        note("engine", "/dev/shm is full, 2 ranks", %{ok: 1}, seconds)

      {:error, error} ->
        note(
          "engine",
          "/dev/shm is full, 2 ranks",
          %{error.kind => 1},
          seconds,
          error_line(error)
        )
    end

    # The worker lives, and builds what needs no shared memory.
    assert {:ok, _status} = Vllm.status(name)
    tree = ProcessTree.of(name)
    :ok = stop_supervised(name)
    await_gone(tree)
  end

  ## Engines

  defp two_ranks, do: built!(2, [])

  defp built!(ranks, more) do
    {{:ok, engine}, _log} = with_log(fn -> build_with(ranks, more) end)
    engine
  end

  defp build_with(ranks, more, options \\ []) do
    # The scripted model's heads cannot be shared by two.
    more = if ranks == 2, do: [model: model(:random)] ++ @two_ranks ++ more, else: more
    AsyncLLM.from_engine_args(__MODULE__, arguments(:scripted, plain() ++ more), options)
  end

  # Without the adapters of the shared engine, which cost time.
  defp plain, do: [enable_lora: false]

  defp outcome(stream) do
    case Stream.collect(stream) do
      {:ok, _output} -> :ok
      {:error, error} -> error.kind
    end
  end

  # Of a model that says nothing in words: its answer to the same prompt is the same.
  defp answer(engine) do
    ids(complete(engine, "Hello", max_tokens: 8, temperature: 0.0, ignore_eos: true))
  end

  defp going_on,
    do: [max_tokens: 480, temperature: 0.0, ignore_eos: true, output_kind: :DELTA]

  defp say(stream), do: Enum.map_join(stream, &text/1)

  defp error_line(error) do
    error |> Exception.message() |> String.split("\n") |> hd() |> String.slice(0, 160)
  end

  ## Processes

  defp vllm_processes do
    for {pid, "VLLM::" <> _title} <- processes(), do: pid
  end

  defp one(pattern) do
    [pid | _] = for {pid, command} <- processes(), command =~ pattern, do: pid
    pid
  end

  defp processes do
    {:ok, %{"pid" => worker}} = Vllm.status(__MODULE__)
    group(worker)
  end

  defp assert_shared_memory_gone(tree) do
    name = Path.basename(tree.folder)
    wait_until(fn -> Path.wildcard("/dev/shm/#{name}_*") == [] end)
  end
end
