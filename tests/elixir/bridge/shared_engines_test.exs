defmodule Vllm.Bridge.SharedEnginesTest do
  # Engines that several instances declare at one worker: `engines:` with `connect:`.
  use Vllm.BridgeCase

  @moduletag :tmp_dir
  @moduletag capture_log: true

  # The worker is the one of the module's instance; those that attach to it did not start it.
  setup context do
    {:ok, address, token} = Vllm.Core.Worker.address(Module.concat(context.instance, "Worker"))

    on_exit(fn ->
      {:ok, engines} = Vllm.engines(context.instance)
      for %{ref: ref} <- engines, do: {:ok, nil} = AsyncLLM.shutdown(ref)
    end)

    %{at: [connect: address, token: token] ++ patience()}
  end

  defp attach(context, part, engines) do
    name = Module.concat(context.test, part)
    options = [name: name, engines: engines] ++ context.at
    start_supervised!(Supervisor.child_spec({Vllm, options}, id: name))
    name
  end

  defp slow(file), do: [model: "fake", additional_config: %{"fake" => %{"build_until" => file}}]

  defp named(instance, name) do
    {:ok, engines} = Vllm.engines(instance)
    Enum.filter(engines, &(&1.name == name))
  end

  test "all that declare the same name have the same engine", context do
    one = attach(context, "One", it: [model: "fake", max_model_len: 64])
    two = attach(context, "Two", it: [max_model_len: 64, model: "fake"])
    {:ok, %Ref{} = engine} = Vllm.engine(one, :it)
    assert {:ok, other} = Vllm.engine(two, :it)
    assert {other.id, other.incarnation} == {engine.id, engine.incarnation}

    assert {:ok, %RequestOutput{finished: true}} =
             complete(engine) |> then(fn _ -> complete(other) end)

    assert [%{ref: ^engine, type: "AsyncLLM", state: :ready, unfinished_requests: 0}] =
             named(one, :it)

    assert [%{name: "it"}] = named(context.instance, "it")
    assert {:ok, [%{engine: :it} | _]} = metrics_of(two, other)
  end

  defp complete(engine) do
    {:ok, stream} = AsyncLLM.generate(engine, "x", [max_tokens: 2], request_id())
    Stream.collect(stream)
  end

  defp metrics_of(instance, engine) do
    with {:ok, engines} <- Vllm.metrics(instance),
         do: {:ok, Enum.filter(engines, &(&1.ref.id == engine.id))}
  end

  test "who declares it while it is built waits for it, and a builder that leaves changes nothing",
       %{tmp_dir: dir} = context do
    built = Path.join(dir, "built")
    first = attach(context, "First", it: slow(built))
    # The worker has its declaration.
    wait_until(fn -> match?({:ok, %{"calls" => 2}}, Vllm.status(context.instance)) end)
    second = attach(context, "Second", it: slow(built))
    waiting = Task.async(fn -> Vllm.engine(second, :it, :infinity) end)
    wait_until(fn -> match?({:ok, %{"calls" => 3}}, Vllm.status(context.instance)) end)
    assert {:error, %Error{kind: :timeout}} = Vllm.engine(first, :it, 0)
    :ok = stop_supervised(first)

    File.touch!(built)
    assert {:ok, engine} = Task.await(waiting, :infinity)
    assert AsyncLLM.check_health(engine) == {:ok, nil}
    assert [_one] = named(context.instance, "it")
  end

  test "it stays when the instance stops, and is found by the next", context do
    one = attach(context, "One", it: [model: "fake"])
    {:ok, engine} = Vllm.engine(one, :it)
    :ok = stop_supervised(one)
    two = attach(context, "Two", it: [model: "fake"])
    {:ok, again} = Vllm.engine(two, :it)
    assert again.id == engine.id

    # So it is after a session that was lost.
    before = Process.whereis(Module.concat(two, "Connection"))
    Process.exit(before, :kill)
    wait_until(fn -> Process.whereis(Module.concat(two, "Connection")) not in [before, nil] end)

    wait_until(fn -> AsyncLLM.check_health(again) == {:ok, nil} end)
    # Until it is open again, nothing is said of the engine that the connection does not say.
    wait_until(fn -> match?({:ok, %Ref{}}, Vllm.engine(two, :it)) end)
    assert {:ok, %Ref{id: id}} = Vllm.engine(two, :it)
    assert id == engine.id
  end

  test "it is built anew when it dies or was shut down, once for all", context do
    one = attach(context, "One", it: [model: "fake"])
    two = attach(context, "Two", it: [model: "fake"])
    {:ok, engine} = Vllm.engine(one, :it)
    {:ok, _same} = Vllm.engine(two, :it)
    {:ok, _} = Vllm.call(engine, "die", [])

    [new, same] =
      for instance <- [one, two] do
        wait_until(fn ->
          match?({:ok, %Ref{id: id}} when id != engine.id, Vllm.engine(instance, :it))
        end)

        {:ok, new} = Vllm.engine(instance, :it)
        new.id
      end

    assert new == same
    assert [%{ref: %Ref{id: ^new}}] = named(context.instance, "it")

    {:ok, current} = Vllm.engine(one, :it)
    assert AsyncLLM.shutdown(current) == {:ok, nil}
    three = attach(context, "Three", it: [model: "fake"])
    assert {:ok, %Ref{id: id}} = Vllm.engine(three, :it)
    assert id != current.id
  end

  test "a dead engine is shut down before the one after it is made", context do
    one = attach(context, "One", it: [model: "fake"])
    {:ok, engine} = Vllm.engine(one, :it)
    :ok = stop_supervised(one)
    # Nobody who declares it is there.
    {:ok, _} = Vllm.call(%{engine | instance: {context.instance, node()}}, "die", [])
    two = attach(context, "Two", it: [model: "fake"])
    {:ok, new} = Vllm.engine(two, :it)
    assert new.id != engine.id
    {:ok, engines} = Vllm.engines(context.instance)
    refute Enum.any?(engines, &(&1.ref.id == engine.id))
  end

  test "other arguments under its name are refused and named, and no value is shown", context do
    one = attach(context, "One", it: [model: "fake", hf_token: "secret-1"])
    {:ok, engine} = Vllm.engine(one, :it)
    two = attach(context, "Two", it: [model: "fake", hf_token: "secret-2", seed: 1])
    assert {:error, %Error{kind: :invalid} = error} = Vllm.engine(two, :it)
    assert error.message =~ ~s(AsyncLLM 'it' is declared with other arguments)
    assert error.message =~ "different: hf_token, seed."
    refute error.message =~ "secret"
    assert AsyncLLM.check_health(engine) == {:ok, nil}
  end

  test "one that cannot be built is an error for each, and tried again", context do
    wrong = [model: "fake", no_such_argument: 1]
    one = attach(context, "One", it: wrong)
    two = attach(context, "Two", it: wrong)

    for instance <- [one, two] do
      assert {:error, %Error{kind: :invalid} = error} = Vllm.engine(instance, :it)
      assert error.message =~ "no_such_argument"
    end

    three = attach(context, "Three", it: [model: "fake"])
    assert {:ok, %Ref{}} = Vllm.engine(three, :it)
  end

  test "a name that is none is refused", context do
    for {name, wrong} <- [
          {"", "1 to 200 letters"},
          {7, "got int"},
          {String.duplicate("x", 201), "201"}
        ] do
      assert {:error, %Error{kind: :invalid} = error} =
               Vllm.Call.invoke_class("AsyncLLM", "declared", 0, [
                 context.instance,
                 [name, [model: "fake"]]
               ])

      assert error.message =~ wrong
    end

    assert {:error, %Error{kind: :invalid}} =
             Vllm.Call.invoke_class("AsyncLLM", "declared", 0, [context.instance, ["it"]])
  end

  test "an instance lists engines of every kind", %{instance: instance, engine: engine} do
    {:ok, llm} = Vllm.LLM.new(instance, "fake")
    {:ok, engines} = Vllm.engines(instance)
    kinds = Map.new(engines, &{&1.ref, {&1.name, &1.type, &1.state}})
    assert kinds[engine] == {nil, "AsyncLLM", :ready}
    assert kinds[llm] == {nil, "LLM", :ready}
    assert {:error, %Error{kind: :invalid}} = Vllm.engines("text")
    assert Vllm.LLM.shutdown(llm) == {:ok, nil}
  end
end
