defmodule Vllm.Core.Instance.EnginesTest do
  # The declared engines of an instance whose other parts are the test: what comes in which order.
  use ExUnit.Case, async: true

  import Vllm.FakeWorkerCase, only: [ref_value: 1]

  alias Vllm.Ref
  alias Vllm.Core.Instance.{Declared, Engines, Locator}

  setup %{test: name} do
    start_supervised!({Task.Supervisor, name: Locator.process_name(name, "Tasks")})
    # Calls come here, as `Vllm.Core.Call.Caller` sends them.
    Process.register(self(), Locator.process_name(name, "Connection"))
    start_supervised!({Engines, {name, [it: [model: "m"]], :own, nil}})
    %{instance: {name, node()}}
  end

  test "an engine that is reported dead before it is ready is rebuilt", context do
    %{test: name, instance: instance} = context
    building = assert_call("from_engine_args")
    # Whoever waits for it goes on waiting.
    waiting = Task.async(fn -> Vllm.engine(name, :it, 30_000) end)

    Engines.died(instance, %Ref{instance: instance, incarnation: "i", id: "e1"}, "killed")
    reply(building, ref_value("e1"))

    assert {_caller, %{target: {:ref, "e1"}}} = clearing = assert_call("shutdown")
    reply(clearing, {:error, Vllm.Error.new(:engine_dead, "killed")})
    reply(assert_call("from_engine_args"), ref_value("e2"))
    assert {:ok, %Ref{id: "e2"}} = Task.await(waiting, :infinity)
    assert {:ok, [it: {:ready, %Ref{id: "e2"}}]} = Declared.statuses(instance)
  end

  test "the death of another engine meanwhile does not rebuild it", context do
    %{test: name, instance: instance} = context
    building = assert_call("from_engine_args")
    Engines.died(instance, %Ref{instance: instance, incarnation: "i", id: "other"}, "killed")
    reply(building, ref_value("e1"))
    assert {:ok, %Ref{id: "e1"}} = Vllm.engine(name, :it, 30_000)
  end

  defp assert_call(method) do
    assert_receive {:call, caller, _pid, %{method: ^method} = request, _window, _producer}
    {caller, request}
  end

  defp reply({caller, _request}, %{outcome: {:value, payload}}),
    do: send(caller, {caller, {:value, payload}})

  defp reply({caller, _request}, reply), do: send(caller, {caller, reply})
end
