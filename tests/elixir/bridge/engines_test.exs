defmodule Vllm.Bridge.EnginesTest do
  # Engines that an instance declares.
  use ExUnit.Case, async: true

  import Vllm.BridgeCase, only: [start: 2, control: 2, kill: 1, engine_class: 0]
  import Vllm.FakeWorkerCase, only: [wait_until: 1]

  alias Vllm.{AsyncLLM, Error, Ref}

  @moduletag :bridge

  defp fake(config), do: [model: "fake", additional_config: %{"fake" => config}]

  test "declared engines are built and returned by name", %{test: name} do
    {:ok, _} = start(name, engines: [llama: fake(%{}), embed: fake(%{})])

    assert {:ok, %Ref{type: "AsyncLLM"} = llama} = Vllm.engine(name, :llama)
    assert {:ok, %Ref{} = embed} = Vllm.engine(name, :embed)
    assert llama.id != embed.id
    assert Vllm.engine(name, :llama) == {:ok, llama}
    assert AsyncLLM.check_health(llama) == {:ok, nil}

    assert {:ok, %{"client" => %{engines: [llama: {:ready, ^llama}, embed: {:ready, ^embed}]}}} =
             Vllm.status(name)
  end

  @tag :tmp_dir
  test "an engine that is being built is waited for until the timeout", context do
    %{test: name, tmp_dir: dir} = context
    built = Path.join(dir, "built")
    {:ok, _} = start(name, engines: [slow: fake(%{"build_until" => built})])

    assert {:error, %Error{kind: :timeout} = error} = Vllm.engine(name, :slow, 20)
    assert error.message =~ ":slow"
    assert {:ok, %{"client" => %{engines: [slow: :building]}}} = Vllm.status(name)

    waiting = for _ <- 1..5, do: Task.async(fn -> Vllm.engine(name, :slow) end)
    File.touch!(built)
    assert [{:ok, %Ref{}} = engine] = waiting |> Task.await_many(:infinity) |> Enum.uniq()
    assert Vllm.engine(name, :slow, 0) == engine
  end

  test "an unknown name is an error that lists the known ones", %{test: name} do
    {:ok, _} = start(name, engines: [llama: fake(%{})])
    assert {:error, %Error{kind: :not_found} = error} = Vllm.engine(name, :lama)
    assert error.message =~ ":llama"

    {:ok, _} = start(:"#{name} without", [])
    assert {:error, %Error{kind: :not_found} = error} = Vllm.engine(:"#{name} without", :llama)
    assert error.message =~ ":engines"
  end

  test "an engine that dies is rebuilt", %{test: name} do
    {:ok, _} = start(name, engines: [llama: fake(%{}), other: fake(%{})])
    {:ok, first} = Vllm.engine(name, :llama)
    {:ok, other} = Vllm.engine(name, :other)
    control(first, "die")
    wait_until(fn -> match?({:ok, engine} when engine != first, Vllm.engine(name, :llama)) end)

    {:ok, second} = Vllm.engine(name, :llama)
    assert AsyncLLM.check_health(second) == {:ok, nil}
    assert Vllm.engine(name, :other) == {:ok, other}
    # The dead one is shut down, so that its memory is free again.
    wait_until(fn -> match?({:ok, %{"engines" => [_, _]}}, Vllm.status(name)) end)
  end

  test "an engine that dies again at once is rebuilt after a pause, with the reason as its status",
       %{test: name} do
    {:ok, _} = start(name, engines: [llama: fake(%{})])
    {:ok, first} = Vllm.engine(name, :llama)
    control(first, "die")
    wait_until(fn -> match?({:ok, engine} when engine != first, Vllm.engine(name, :llama)) end)
    {:ok, second} = Vllm.engine(name, :llama)
    control(second, "die")
    wait_until(fn -> match?({:error, %Error{kind: :engine_dead}}, Vllm.engine(name, :llama)) end)
    wait_until(fn -> match?({:ok, engine} when engine != second, Vllm.engine(name, :llama)) end)
  end

  test "declared engines are rebuilt with a new worker", %{test: name} do
    {:ok, _} = start(name, engines: [llama: fake(%{})])
    {:ok, first} = Vllm.engine(name, :llama)
    {:ok, %{"pid" => pid}} = Vllm.status(name)
    kill(pid)
    wait_until(fn -> match?({:ok, engine} when engine != first, Vllm.engine(name, :llama)) end)

    {:ok, second} = Vllm.engine(name, :llama)
    assert AsyncLLM.check_health(second) == {:ok, nil}
    assert {:error, %Error{kind: :stale_ref}} = AsyncLLM.check_health(first)
  end

  test "wrong arguments are an error, and are not tried again", %{test: name} do
    {:ok, _} = start(name, engines: [bad: [model: "fake", seed: "seven"], good: fake(%{})])
    assert {:error, %Error{kind: :invalid} = error} = Vllm.engine(name, :bad)
    assert error.message =~ "seed"
    assert {:ok, _engine} = Vllm.engine(name, :good)
    assert {:error, ^error} = Vllm.engine(name, :bad)
  end

  test "an engine that did not start is tried again", %{test: name} do
    # It takes its time, so that the attempt is seen.
    config = %{"build_seconds" => 0.3, "build_error" => ["RuntimeError", "no luck"]}
    {:ok, _} = start(name, engines: [flaky: fake(config)])

    for _attempt <- 1..2 do
      assert {:error, %Error{kind: :python, message: "no luck"}} = Vllm.engine(name, :flaky)
      wait_until(fn -> match?({:error, %{kind: :timeout}}, Vllm.engine(name, :flaky, 0)) end)
    end
  end

  test "names that are no atoms and arguments that are no list are refused", %{test: name} do
    for wrong <- [[llama: "a model"], [{"llama", []}], [a: [], a: []], :llama] do
      options = [name: name, engine_class: engine_class(), engines: wrong]
      assert {:error, %Error{kind: :invalid}} = Vllm.start_link(options)
    end
  end

  test "without an instance the call fails at once" do
    assert {:error, %Error{kind: :worker_down}} = Vllm.engine(Not.There, :llama)
  end
end
